//! What this machine can do: the measured peak of matrix products.

use std::time::Instant;

use crate::matrix::View;
use crate::product::{Packed, Precision, multiply};

/// Rows and columns of the matrices: all three fit into the second-level cache.
const SIZE: usize = 256;

/// Products of one measurement.
const REPEATS: usize = 20;

/// The best of several measurements of matrix products on all threads of the current rayon pool, in
/// floating-point operations per second. Takes some tens of milliseconds.
pub fn matrix_product_flops(precision: Precision) -> f64 {
    let left = vec![1.0; SIZE * SIZE];
    let right = Packed::new(View::new(&left, SIZE, SIZE, SIZE), precision);
    let threads = rayon::current_num_threads();
    let operations = (2 * SIZE.pow(3) * REPEATS * threads) as f64;
    let once = || {
        let began = Instant::now();
        rayon::broadcast(|_| {
            let mut output = vec![0.0; SIZE * SIZE];
            for _ in 0..REPEATS {
                let left = View::new(&left, SIZE, SIZE, SIZE);
                multiply(&mut output, SIZE, left, &right, false);
            }
        });
        operations / began.elapsed().as_secs_f64()
    };
    (0..5).map(|_| once()).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use crate::product::Precision;

    #[test]
    fn the_peak_is_plausible() {
        let peak = super::matrix_product_flops(Precision::F32);
        assert!((1e7..1e15).contains(&peak), "{peak}");
    }
}
