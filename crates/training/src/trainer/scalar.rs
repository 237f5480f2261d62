//! Losses and other single numbers, from the device.

use burn::tensor::Tensor;

/// The value of a tensor of one element.
pub(super) fn scalar(tensor: &Tensor<1>) -> f64 {
    tensor
        .to_data()
        .iter::<f32>()
        .next()
        .map_or(f64::NAN, f64::from)
}
