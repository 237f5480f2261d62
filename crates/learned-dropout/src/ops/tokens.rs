//! The layouts that plain bodies compute in: by token and by channel.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, TensorMetadata};
use burn::tensor::Shape;

/// `[batch, time, channels]` as `[tokens, channels]`.
pub(super) fn by_token<B: Backend>(tensor: FloatTensor<B>) -> FloatTensor<B> {
    let shape = tensor.shape();
    let channels = shape[shape.num_dims() - 1];
    let rows = shape.num_elements() / channels;
    B::float_reshape(tensor, Shape::new([rows, channels]))
}

/// A value for each channel, shaped to be repeated for every token of a tensor with `rank` dimensions.
pub(super) fn per_channel<B: Backend>(values: FloatTensor<B>, rank: usize) -> FloatTensor<B> {
    let mut shape = vec![1; rank];
    shape[rank - 1] = values.shape()[0];
    B::float_reshape(values, Shape::from(shape))
}

/// Sums `[batch, time, channels]` over all tokens: `[channels]`.
pub(super) fn sum_over_tokens<B: Backend>(tensor: FloatTensor<B>) -> FloatTensor<B> {
    let channels = tensor.shape()[tensor.shape().num_dims() - 1];
    let sum = B::float_sum_dim(by_token::<B>(tensor), 0);
    B::float_reshape(sum, Shape::new([channels]))
}

/// The means of `[batch, time, channels]` over all tokens: `[channels]`.
pub(super) fn mean_over_tokens<B: Backend>(tensor: FloatTensor<B>) -> FloatTensor<B> {
    let rows = by_token::<B>(tensor);
    let [_, channels] = rows.shape().dims();
    B::float_reshape(B::float_mean_dim(rows, 0), Shape::new([channels]))
}
