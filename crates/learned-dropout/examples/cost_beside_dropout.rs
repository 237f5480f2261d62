//! What learned dropout costs beside burn's random one.
//!
//! ```console
//! $ cargo run --release --example cost_beside_dropout
//! ```
//!
//! In this repository, burn's own operations are compiled quickly rather than well. Copy the file into a
//! program of its own for the numbers that such a program has.
//!
//! `burn_nn` is `burn::nn` in the crate `burn`.

use std::time::Instant;

use burn::tensor::{Device, Distribution, Tensor};
use burn_nn::DropoutConfig;
use learned_dropout::{LearnedDropout, LearnedDropoutConfig};

const SHAPE: [usize; 3] = [16, 128, 256];
/// Few without optimization, where the numbers say nothing anyway.
const RUNS: usize = if cfg!(debug_assertions) { 3 } else { 60 };

fn main() {
    let device = Device::flex().autodiff();
    let x = Tensor::random(SHAPE, Distribution::Default, &device);
    let random = DropoutConfig::new(0.1).init();
    let module = |config: LearnedDropoutConfig| -> LearnedDropout { config.init(&device) };
    let config = LearnedDropoutConfig::new(SHAPE[2], 4);
    let whole = module(config.clone());
    let narrow = module(config.clone().with_rank(Some(32)));
    let groups = module(config.clone().with_rank(Some(32)).with_group(8));
    let encoder = module(config.with_causal(false));
    println!("milliseconds for {SHAPE:?}, the fastest of {RUNS} runs");
    println!("{:<30} {:>8} {:>14}", "", "forward", "with backward");
    let row = |name: &str, forward: &dyn Fn(Tensor<3>) -> Tensor<3>| {
        let once = fastest(|| drop(forward(x.clone())));
        let both = fastest(|| {
            let x = x.clone().require_grad();
            let gradients = forward(x.clone()).sum().backward();
            x.grad(&gradients).expect("a gradient");
        });
        println!("{name:<30} {once:>8.2} {both:>14.2}");
    };
    row("random dropout of burn", &|x| random.forward(x));
    row("learned dropout", &|x| whole.forward(x));
    row("with the penalty", &|x| {
        let masked = whole.forward_with_mask(x);
        masked.output + masked.penalty.reshape([1, 1, 1])
    });
    row("rank 32", &|x| narrow.forward(x));
    row("rank 32, groups of 8", &|x| groups.forward(x));
    row("masks of whole sequences", &|x| encoder.forward(x));
}

/// The fastest of several runs, in milliseconds: other programs only ever add to it.
fn fastest(mut work: impl FnMut()) -> f64 {
    let mut time = || {
        let begun = Instant::now();
        work();
        begun.elapsed().as_secs_f64() * 1e3
    };
    (0..RUNS).map(|_| time()).fold(f64::INFINITY, f64::min)
}
