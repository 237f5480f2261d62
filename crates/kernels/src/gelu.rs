//! The exact GELU, `x Φ(x)`, and its gradient.

use crate::lane_sums::sum_of_pairs;
use crate::level::levelled;
use crate::math::{erf, exp};
use crate::uninitialized::{Uninit, as_uninit, from_chunks};

/// Elements of one task.
const CHUNK: usize = 1 << 14;

const SQRT_HALF: f32 = std::f32::consts::FRAC_1_SQRT_2;

/// `1 / sqrt(2 π)`.
const DENSITY_AT_ZERO: f32 = 0.398_942_3;

levelled! {
    /// Writes `output = x Φ(x)`, and replaces the gradient of `x Φ(x)` by the gradient of `x`.
    pub(crate) fn value_and_gradient(output: &mut [f32], gradient: &mut [f32], x: &[f32]) {
        for ((output, gradient), &x) in output.iter_mut().zip(gradient).zip(x) {
            let distribution = 0.5 * erf::<FUSED>(x * SQRT_HALF) + 0.5;
            let density = DENSITY_AT_ZERO * exp::<FUSED>(-0.5 * x * x);
            *output = x * distribution;
            *gradient *= distribution + x * density;
        }
    }
}

levelled! {
    /// [`value_and_gradient`] that also writes, for each row of `x`, the sum of `x Φ(x)` times its
    /// gradient to `products`.
    pub(crate) fn value_gradient_and_product(
        output: &mut [f32],
        gradient: &mut [f32],
        x: &[f32],
        products: &mut [f32],
    ) {
        let width = x.len().checked_div(products.len()).unwrap_or(0).max(1);
        let rows = output.chunks_exact_mut(width).zip(gradient.chunks_exact_mut(width));
        for ((output, gradient), (x, product)) in rows.zip(x.chunks_exact(width).zip(products)) {
            for (output, &x) in output.iter_mut().zip(x) {
                *output = x * (0.5 * erf::<FUSED>(x * SQRT_HALF) + 0.5);
            }
            *product = sum_of_pairs(output, gradient, |output, gradient| output * gradient);
            for (gradient, &x) in gradient.iter_mut().zip(x) {
                let distribution = 0.5 * erf::<FUSED>(x * SQRT_HALF) + 0.5;
                let density = DENSITY_AT_ZERO * exp::<FUSED>(-0.5 * x * x);
                *gradient *= distribution + x * density;
            }
        }
    }
}

levelled! {
    /// Replaces `x` by `x Φ(x)`.
    pub(crate) fn in_place(values: &mut [f32]) {
        for value in values {
            *value *= 0.5 * erf::<FUSED>(*value * SQRT_HALF) + 0.5;
        }
    }
}

levelled! {
    fn write_values(output: &mut [Uninit], x: &[f32]) {
        for (output, &x) in output.iter_mut().zip(x) {
            output.write(x * (0.5 * erf::<FUSED>(x * SQRT_HALF) + 0.5));
        }
    }
}

/// Writes `output = x Φ(x)`.
pub(crate) fn write<'a>(output: &'a mut [Uninit], x: &[f32]) -> &'a mut [f32] {
    assert_eq!(output.len(), x.len());
    write_values(output, x);
    // SAFETY: there is a value for each element.
    unsafe { output.assume_init_mut() }
}

/// Overwrites `output` with `x Φ(x)`.
pub(crate) fn copy(output: &mut [f32], x: &[f32]) {
    // SAFETY: all values that are written are initialized.
    write(unsafe { as_uninit(output) }, x);
}

levelled! {
    fn write_gradients(output: &mut [Uninit], gradient: &[f32], x: &[f32]) {
        for ((output, &gradient), &x) in output.iter_mut().zip(gradient).zip(x) {
            let distribution = 0.5 * erf::<FUSED>(x * SQRT_HALF) + 0.5;
            let density = DENSITY_AT_ZERO * exp::<FUSED>(-0.5 * x * x);
            output.write(gradient * (distribution + x * density));
        }
    }
}

/// `x Φ(x)`, with the standard normal distribution `Φ`.
pub fn forward(x: &[f32]) -> Vec<f32> {
    from_chunks(x.len(), CHUNK, |index, output| {
        let chunk = index * CHUNK..index * CHUNK + output.len();
        write(output, &x[chunk])
    })
}

/// `gradient · (Φ(x) + x φ(x))`, with the standard normal density `φ`.
///
/// # Panics
/// If the lengths differ.
pub fn backward(gradient: &[f32], x: &[f32]) -> Vec<f32> {
    assert_eq!(gradient.len(), x.len());
    from_chunks(x.len(), CHUNK, |index, output| {
        let chunk = index * CHUNK..index * CHUNK + output.len();
        write_gradients(output, &gradient[chunk.clone()], &x[chunk]);
        // SAFETY: the slices are as long as the chunk, so there is a value for each element.
        unsafe { output.assume_init_mut() }
    })
}
