//! The plain bodies: backend operations only, no kernels.

mod attention;
mod layers;
mod masks;
mod training;

pub use attention::{causal_attention, causal_attention_backward, dropped};
pub use layers::{
    add_to_rows, gelu, gelu_backward, layer_norm, layer_norm_backward, linear, linear_backward,
    masked_feed_forward, masked_feed_forward_backward, norm_feed_forward,
    norm_feed_forward_backward, norm_linear, norm_linear_backward, sum_over_batch, sum_with_shared,
};
pub use masks::{
    grouped_product, grouped_product_backward, mask_mean, mask_mean_backward, masked_product,
    masked_product_backward, rounded_mask, rounded_mask_backward,
};
pub use training::{adamw, linear_cross_entropy, linear_cross_entropy_with_gradients};

use burn::backend::Backend;
use burn::backend::TensorMetadata;
use burn::backend::tensor::FloatTensor;
use burn::tensor::Shape;

/// A value per channel, shaped to be repeated for every token.
fn per_channel<B: Backend>(values: FloatTensor<B>, rank: usize) -> FloatTensor<B> {
    let mut shape = vec![1; rank];
    shape[rank - 1] = values.shape()[0];
    B::float_reshape(values, Shape::from(shape))
}

/// Sums `[batch, time, channels]` over all tokens: `[channels]`.
fn sum_over_tokens<B: Backend>(tensor: FloatTensor<B>) -> FloatTensor<B> {
    let channels = tensor.shape()[tensor.shape().num_dims() - 1];
    let sum = B::float_sum_dim(by_token::<B>(tensor), 0);
    B::float_reshape(sum, Shape::new([channels]))
}

/// `[batch, time, channels]` as `[tokens, channels]`.
pub(in crate::ops) fn by_token<B: Backend>(tensor: FloatTensor<B>) -> FloatTensor<B> {
    let shape = tensor.shape();
    let channels = shape[shape.num_dims() - 1];
    let rows = shape.num_elements() / channels;
    B::float_reshape(tensor, Shape::new([rows, channels]))
}

/// Plain body of [`TransformerOps::scaled`](crate::ops::TransformerOps::scaled).
pub fn scaled<B: Backend>(tensor: FloatTensor<B>, factor: FloatTensor<B>) -> FloatTensor<B> {
    let rank = tensor.shape().num_dims();
    B::float_mul(tensor, B::float_reshape(factor, Shape::from(vec![1; rank])))
}
