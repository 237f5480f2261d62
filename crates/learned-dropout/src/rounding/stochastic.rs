//! Stochastic rounding.

use burn::tensor::{Tensor, activation::sigmoid};

/// 1 where the noise is at most `M`, else 0, in the type of `M`.
pub(super) fn kept(mask: &Tensor<3>, noise: Tensor<3>) -> Tensor<3> {
    noise.lower_equal(mask.clone()).float().cast(mask.dtype())
}

/// The probability of keeping at a temperature: `M^a / (M^a + (1 − M)^a)` with
/// `a = 1 / temperature`.
pub(super) fn tempered(mask: Tensor<3>, temperature: f32) -> Tensor<3> {
    // This equals a sigmoid of the log-odds, in which no power can underflow. The clamp keeps the
    // logarithms finite; it changes probabilities by at most 1e-7.
    let mask = mask.clamp(1e-7, 1.0 - 1e-7);
    let odds = mask.clone().log() - (mask.neg() + 1.0).log();
    sigmoid(odds / temperature)
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    #[test]
    fn temperatures_lie_between_the_rounding_of_training_and_the_threshold() {
        let masks = [0.0, 0.2, 0.45, 0.55, 1.0];
        let at = |temperature| -> Vec<f32> {
            let mask = Tensor::<1>::from_floats(masks, &Device::flex()).reshape([1, 1, 5]);
            let data = tempered(mask, temperature).into_data();
            data.iter::<f32>().collect()
        };
        for (found, expected) in at(1.0).iter().zip(masks) {
            assert!(
                (found - expected).abs() < 1e-6,
                "{found}, expected {expected}"
            );
        }
        for (found, expected) in at(0.005).iter().zip([0.0, 0.0, 0.0, 1.0, 1.0]) {
            assert!(
                (found - expected).abs() < 1e-6,
                "{found}, expected {expected}"
            );
        }
    }
}
