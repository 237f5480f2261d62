//! Ordinary dropout against the numbers of its generator.

mod common;

use common::{at_every_level, on_any_threads, values};
use learned_dropout_kernels::dropout::{self, Dropout};
use learned_dropout_kernels::random::{Philox, unit};

#[test]
fn values_are_dropped_as_the_generator_says() {
    let generator = Philox::new(3, 4);
    for count in [0, 1, 255, 256, 300, 40_001] {
        let x = values(count, 1);
        for rate in [0.0, 0.1, 0.5, 0.999] {
            let dropout = Dropout { rate, generator };
            let scale = (1.0 / (1.0 - rate)) as f32;
            let expected: Vec<f32> = x
                .iter()
                .enumerate()
                .map(|(i, x)| {
                    let keeps = f64::from(unit(generator.number(i as u64))) >= rate;
                    x * if keeps { scale } else { 0.0 }
                })
                .collect();
            at_every_level(|_| {
                assert_eq!(on_any_threads(|| dropout::forward(&x, dropout)), expected);
            });
        }
    }
}
