//! Rounding at random.

use burn::tensor::Tensor;

/// 1 where the noise is at most `M`, else 0.
pub(super) fn kept(mask: &Tensor<3>, noise: Tensor<3>) -> Tensor<3> {
    noise.lower_equal(mask.clone()).float()
}

/// The probability of keeping at a temperature: `M^a / (M^a + (1 − M)^a)` with
/// `a = 1 / temperature`.
pub(super) fn tempered(mask: Tensor<3>, temperature: f32) -> Tensor<3> {
    let exponent = 1.0 / temperature;
    let keep = mask.clone().powf_scalar(exponent);
    let drop = (mask.neg() + 1.0).clamp_min(0.0).powf_scalar(exponent);
    keep.clone() / (keep + drop)
}
