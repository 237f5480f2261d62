//! Operations on single elements and single rows.

use pulp::{Arch, Simd, WithSimd};

use super::exponential::erf;

/// Added to the variance in [`layer_norm`], as in the model's training.
const NORM_EPSILON: f32 = 1e-5;

/// LayerNorm without bias: each row of `x` less its mean, over its standard deviation, times
/// `weight`. `x` and `out` are `[rows, weight.len()]`; the variance is the biased one.
///
/// # Panics
/// If the lengths do not fit together.
pub fn layer_norm(x: &[f32], weight: &[f32], out: &mut [f32]) {
    assert_eq!(x.len(), out.len(), "out has another shape");
    assert_eq!(x.len() % weight.len(), 0, "x is not a whole number of rows");
    let count = weight.len() as f32;
    for (x, out) in x
        .chunks_exact(weight.len())
        .zip(out.chunks_exact_mut(weight.len()))
    {
        let mean = sum(x) / count;
        for (out, x) in out.iter_mut().zip(x) {
            *out = x - mean;
        }
        let scale = 1.0 / (sum_of_squares(out) / count + NORM_EPSILON).sqrt();
        for (out, weight) in out.iter_mut().zip(weight) {
            *out = *out * scale * weight;
        }
    }
}

/// `x · (1 + erf(x / √2)) / 2`, in place: the exact GELU.
pub fn gelu(x: &mut [f32]) {
    struct Gelu<'a>(&'a mut [f32]);
    impl WithSimd for Gelu<'_> {
        type Output = ();
        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) {
            for x in self.0 {
                *x = 0.5 * *x * (1.0 + erf(*x * std::f32::consts::FRAC_1_SQRT_2));
            }
        }
    }
    Arch::new().dispatch(Gelu(x));
}

/// `to += from`.
///
/// # Panics
/// If the lengths differ.
pub fn add(to: &mut [f32], from: &[f32]) {
    assert_eq!(to.len(), from.len(), "the sum of two shapes");
    for (to, from) in to.iter_mut().zip(from) {
        *to += from;
    }
}

fn sum(values: &[f32]) -> f32 {
    lanes(values, |value| value)
}

fn sum_of_squares(values: &[f32]) -> f32 {
    lanes(values, |value| value * value)
}

/// A sum in eight interleaved parts: more exact than one chain of additions, and quicker.
#[inline(always)]
fn lanes(values: &[f32], term: impl Fn(f32) -> f32) -> f32 {
    let (chunks, rest) = values.as_chunks::<8>();
    let mut parts = [0.0; 8];
    for chunk in chunks {
        for (part, &value) in parts.iter_mut().zip(chunk) {
            *part += term(value);
        }
    }
    parts.iter().sum::<f32>() + rest.iter().map(|&value| term(value)).sum::<f32>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layer_norm_of_a_row_worked_by_hand() {
        // Mean 4, deviations ±3 and ±1, variance (9 + 1 + 1 + 9) / 4 = 5.
        let mut out = [0.0; 8];
        layer_norm(
            &[1.0, 3.0, 5.0, 7.0, 0.0, 0.0, 0.0, 0.0],
            &[1.0, 1.0, 2.0, 0.5],
            &mut out,
        );
        let deviation = 5.000_01_f32.sqrt();
        let expected = [-3.0, -1.0, 2.0, 1.5].map(|value| value / deviation);
        for (found, expected) in out.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
        assert_eq!(out[4..], [0.0; 4], "a constant row becomes zero");
    }

    #[test]
    fn gelu_of_known_points() {
        // Φ(1) = 0.841344746, Φ(2) = 0.977249868: the standard normal's printed table.
        let mut values = [0.0, 1.0, -1.0, 2.0, -2.0, 50.0, -50.0];
        gelu(&mut values);
        let expected = [
            0.0,
            0.841_344_8,
            -0.158_655_26,
            1.954_499_7,
            -0.045_500_264,
            50.0,
            0.0,
        ];
        for (found, expected) in values.iter().zip(expected) {
            assert!((found - expected).abs() < 3e-7, "{found} {expected}");
        }
    }

    #[test]
    fn sums_cover_the_rest_of_the_last_chunk() {
        let values: Vec<f32> = (1..=11).map(|value| value as f32).collect();
        assert_eq!(sum(&values), 66.0);
        assert_eq!(sum_of_squares(&values), 506.0);
    }
}
