//! Token ids as tensors.

use burn::tensor::{Device, Int, Tensor, TensorData};

/// Token ids and the tokens that follow them, both `[batch, context]`.
pub(crate) struct TokenBatch {
    pub(crate) inputs: Tensor<2, Int>,
    pub(crate) targets: Tensor<2, Int>,
}

impl TokenBatch {
    /// Puts ids of the shape `[batch, context]`, row after row, on a device.
    pub(crate) fn new(
        inputs: Vec<u32>,
        targets: Vec<u32>,
        shape: [usize; 2],
        device: &Device,
    ) -> Self {
        Self {
            inputs: id_tensor(inputs, shape, device),
            targets: id_tensor(targets, shape, device),
        }
    }
}

/// Puts ids of the shape `[batch, context]`, row after row, on a device.
pub(crate) fn id_tensor(ids: Vec<u32>, shape: [usize; 2], device: &Device) -> Tensor<2, Int> {
    // Ids are below 2³¹: no vocabulary is larger than 2²⁴.
    let ids: Vec<i32> = ids.into_iter().map(|id| id as i32).collect();
    Tensor::from_data(TensorData::new(ids, shape), device)
}

/// Reads a tensor of one element from its device.
pub(crate) fn read_scalar(tensor: &Tensor<1>) -> f64 {
    tensor
        .to_data()
        .iter::<f32>()
        .next()
        .map_or(f64::NAN, f64::from)
}
