//! Reshapes tensors with any number of dimensions to `[batch, time, channels]` and back.

use burn::tensor::Tensor;

/// The dimensions `[..., time, channels]` as `[batch, time, channels]`; the batch is the product of the
/// others.
pub(crate) fn row_dims<const D: usize>(dims: [usize; D]) -> [usize; 3] {
    const {
        assert!(
            D >= 2,
            "learned dropout needs tensors of [..., time, channels]"
        )
    };
    let batch = dims[..D - 2].iter().product();
    [batch, dims[D - 2], dims[D - 1]]
}

/// Reshapes a tensor from `[..., time, channels]` to `[batch, time, channels]`.
pub(crate) fn rows<const D: usize>(tensor: Tensor<D>) -> Tensor<3> {
    let dims = row_dims(tensor.dims());
    if D == 3 {
        // The dimensions are the same. A reshape would add a step to the backward pass.
        return Tensor::from_dispatch(tensor.into_dispatch());
    }
    tensor.reshape(dims)
}

/// Reshapes `[batch, time, values]` to `[..., time, values]`, with the leading dimensions of `shape`,
/// `[..., time, channels]`.
pub(crate) fn with_leading<const D: usize>(rows: Tensor<3>, shape: [usize; D]) -> Tensor<D> {
    let mut dims = shape;
    dims[D - 1] = rows.dims()[2];
    if D == 3 {
        return Tensor::from_dispatch(rows.into_dispatch());
    }
    rows.reshape(dims)
}
