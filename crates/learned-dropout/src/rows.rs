//! Tensors of any number of dimensions as `[batch, time, channels]`, and back.

use burn::tensor::Tensor;

/// The batch, the time and the channels of dimensions whose last two are time and channels.
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

/// A tensor of `[..., time, channels]` as `[batch, time, channels]`.
pub(crate) fn rows<const D: usize>(tensor: Tensor<D>) -> Tensor<3> {
    let dims = row_dims(tensor.dims());
    if D == 3 {
        // The same dimensions: another shape would be one more step of the backward pass.
        return Tensor::from_dispatch(tensor.into_dispatch());
    }
    tensor.reshape(dims)
}

/// `[batch, time, values]` with the dimensions of a tensor of `[..., time, channels]` in front of the
/// values.
pub(crate) fn with_leading<const D: usize>(rows: Tensor<3>, shape: [usize; D]) -> Tensor<D> {
    let mut dims = shape;
    dims[D - 1] = rows.dims()[2];
    if D == 3 {
        return Tensor::from_dispatch(rows.into_dispatch());
    }
    rows.reshape(dims)
}
