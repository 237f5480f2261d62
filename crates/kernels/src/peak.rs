//! The measured peaks of this machine: matrix products and reading memory.

use std::hint::black_box;
use std::time::Instant;

use crate::level::levelled;
use crate::matrix::View;
use crate::product::{LeftOperand, Packed, Precision, multiply_operand};
use crate::scratch::scratch;
use crate::team::Team;

/// Rows and columns of the matrices. All three fit into the second-level cache.
const SIZE: usize = 256;

/// Products of one measurement.
const REPEATS: usize = 20;

/// The peak of matrix products on all threads of the current rayon pool, in floating-point
/// operations per second: the best of several measurements with operands that are packed once.
/// Takes some tens of milliseconds.
pub fn matrix_product_flops(precision: Precision) -> f64 {
    let left = vec![1.0; SIZE * SIZE];
    let right = Packed::new(View::new(&left, SIZE, SIZE, SIZE), precision);
    let threads = rayon::current_num_threads();
    let operations = (2 * SIZE.pow(3) * REPEATS * threads) as f64;
    let once = || {
        let began = Instant::now();
        rayon::broadcast(|_| {
            let mut output = scratch(SIZE * SIZE);
            let left = LeftOperand::for_product(View::new(&left, SIZE, SIZE, SIZE), &right);
            for _ in 0..REPEATS {
                multiply_operand(&mut output, SIZE, &left, SIZE, &right, SIZE, false);
            }
        });
        operations / began.elapsed().as_secs_f64()
    };
    (0..5).map(|_| once()).fold(0.0, f64::max)
}

/// Values that one task reads: 64 KiB.
const READ: usize = 1 << 14;

/// The peak of reading memory, in bytes per second: the best of several passes over `count` f32
/// values that do nothing else.
pub fn read_bytes_per_second(team: &Team, count: usize) -> f64 {
    let values = vec![1.0; count.max(1)];
    let once = || {
        let began = Instant::now();
        team.run(values.len().div_ceil(READ), &|task| {
            let values = &values[task * READ..];
            black_box(read(&values[..READ.min(values.len())]));
        });
        4.0 * values.len() as f64 / began.elapsed().as_secs_f64().max(1e-9)
    };
    (0..7).map(|_| once()).fold(0.0, f64::max)
}

levelled! {
    /// A value that depends on all bits, so that all must be read.
    fn read(values: &[f32]) -> u32 {
        let mut lanes = [0; 64];
        let (whole, rest) = values.as_chunks::<64>();
        for values in whole {
            for (lane, value) in lanes.iter_mut().zip(values) {
                *lane ^= value.to_bits();
            }
        }
        let rest = rest.iter().fold(0, |bits, value| bits ^ value.to_bits());
        lanes.iter().fold(rest, |bits, lane| bits ^ lane)
    }
}

#[cfg(test)]
mod tests {
    use crate::product::Precision;
    use crate::team::Team;

    #[test]
    fn the_bandwidth_is_plausible() {
        let bandwidth = super::read_bytes_per_second(&Team::new(2), 3_000_001);
        assert!((1e7..1e14).contains(&bandwidth), "{bandwidth}");
    }

    #[test]
    fn the_peak_is_plausible() {
        let peak = super::matrix_product_flops(Precision::F32);
        assert!((1e7..1e15).contains(&peak), "{peak}");
    }
}
