//! Plain bodies of linear layers, norms and feed-forwards.

use std::f64::consts::FRAC_1_SQRT_2;

use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, TensorMetadata};
use burn::tensor::{IndexingUpdateOp, Shape};

use super::{by_token, grouped_product, grouped_product_backward, per_channel};
use crate::ops::MaskedSettings;

/// Plain body of [`TransformerOps::linear_without_bias`](crate::ops::TransformerOps::linear_without_bias).
pub fn linear<B: Backend>(x: FloatTensor<B>, weight: FloatTensor<B>) -> FloatTensor<B> {
    let [batch, time, _] = x.shape().dims();
    let [outputs, _] = weight.shape().dims();
    let y = B::float_matmul(by_token::<B>(x), B::float_transpose(weight));
    B::float_reshape(y, Shape::new([batch, time, outputs]))
}

/// Plain body of [`TransformerOps::linear_without_bias_backward`](crate::ops::TransformerOps::linear_without_bias_backward).
pub fn linear_backward<B: Backend>(
    gradient: FloatTensor<B>,
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
) -> (FloatTensor<B>, FloatTensor<B>) {
    let shape = x.shape();
    let gradient = by_token::<B>(gradient);
    let dx = B::float_matmul(gradient.clone(), weight);
    let dweight = B::float_matmul(B::float_transpose(gradient), by_token::<B>(x));
    (B::float_reshape(dx, shape), dweight)
}

/// Plain body of [`TransformerOps::sum_with_shared`](crate::ops::TransformerOps::sum_with_shared).
pub fn sum_with_shared<B: Backend>(x: FloatTensor<B>, shared: FloatTensor<B>) -> FloatTensor<B> {
    let [time, channels] = shared.shape().dims();
    B::float_add(x, B::float_reshape(shared, Shape::new([1, time, channels])))
}

/// Plain body of [`TransformerOps::sum_over_batch`](crate::ops::TransformerOps::sum_over_batch).
pub fn sum_over_batch<B: Backend>(gradient: FloatTensor<B>) -> FloatTensor<B> {
    let [_, time, channels] = gradient.shape().dims();
    let sums = B::float_sum_dim(gradient, 0);
    B::float_reshape(sums, Shape::new([time, channels]))
}

/// Plain body of [`TransformerOps::add_to_rows`](crate::ops::TransformerOps::add_to_rows).
pub fn add_to_rows<B: Backend>(
    table: FloatTensor<B>,
    ids: IntTensor<B>,
    gradient: FloatTensor<B>,
) -> FloatTensor<B> {
    B::float_select_assign(table, 0, ids, gradient, IndexingUpdateOp::Add)
}

/// Plain body of [`TransformerOps::norm_linear`](crate::ops::TransformerOps::norm_linear).
pub fn norm_linear<B: Backend>(
    x: FloatTensor<B>,
    norm: FloatTensor<B>,
    weight: FloatTensor<B>,
    epsilon: f32,
) -> FloatTensor<B> {
    linear::<B>(layer_norm::<B>(x, norm, epsilon), weight)
}

/// Plain body of
/// [`TransformerOps::norm_linear_backward`](crate::ops::TransformerOps::norm_linear_backward).
pub fn norm_linear_backward<B: Backend>(
    gradient: FloatTensor<B>,
    x: FloatTensor<B>,
    norm: FloatTensor<B>,
    weight: FloatTensor<B>,
    epsilon: f32,
) -> (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>) {
    let normal = layer_norm::<B>(x.clone(), norm.clone(), epsilon);
    let (dnormal, dweight) = linear_backward::<B>(gradient, normal, weight);
    let (dx, dnorm) = layer_norm_backward::<B>(dnormal, x, norm, epsilon);
    (dx, dnorm, dweight)
}

/// Plain body of [`TransformerOps::norm_feed_forward`](crate::ops::TransformerOps::norm_feed_forward).
pub fn norm_feed_forward<B: Backend>(
    x: FloatTensor<B>,
    norm: FloatTensor<B>,
    up: FloatTensor<B>,
    down: FloatTensor<B>,
    epsilon: f32,
) -> FloatTensor<B> {
    linear::<B>(gelu::<B>(norm_linear::<B>(x, norm, up, epsilon)), down)
}

/// Plain body of [`TransformerOps::norm_feed_forward_backward`](crate::ops::TransformerOps::norm_feed_forward_backward).
pub fn norm_feed_forward_backward<B: Backend>(
    gradient: FloatTensor<B>,
    x: FloatTensor<B>,
    norm: FloatTensor<B>,
    up: FloatTensor<B>,
    down: FloatTensor<B>,
    epsilon: f32,
) -> (
    FloatTensor<B>,
    FloatTensor<B>,
    FloatTensor<B>,
    FloatTensor<B>,
) {
    let hidden = norm_linear::<B>(x.clone(), norm.clone(), up.clone(), epsilon);
    let (dunits, ddown) = linear_backward::<B>(gradient, gelu::<B>(hidden.clone()), down);
    let dhidden = gelu_backward::<B>(dunits, hidden);
    let (dx, dnorm, dup) = norm_linear_backward::<B>(dhidden, x, norm, up, epsilon);
    (dx, dnorm, dup, ddown)
}

/// Plain body of [`TransformerOps::masked_feed_forward`](crate::ops::TransformerOps::masked_feed_forward).
pub fn masked_feed_forward<B: Backend>(
    x: FloatTensor<B>,
    norm: FloatTensor<B>,
    up: FloatTensor<B>,
    down: FloatTensor<B>,
    factors: FloatTensor<B>,
    settings: MaskedSettings,
) -> FloatTensor<B> {
    let group = up.shape()[0] / factors.shape()[2];
    let units = gelu::<B>(norm_linear::<B>(x, norm, up, settings.epsilon));
    linear::<B>(grouped_product::<B>(units, factors, group), down)
}

type FiveOf<T> = (T, T, T, T, T);

/// Plain body of [`TransformerOps::masked_feed_forward_backward`](crate::ops::TransformerOps::masked_feed_forward_backward).
pub fn masked_feed_forward_backward<B: Backend>(
    gradient: FloatTensor<B>,
    x: FloatTensor<B>,
    norm: FloatTensor<B>,
    up: FloatTensor<B>,
    down: FloatTensor<B>,
    factors: FloatTensor<B>,
    settings: MaskedSettings,
) -> FiveOf<FloatTensor<B>> {
    let epsilon = settings.epsilon;
    let group = up.shape()[0] / factors.shape()[2];
    let hidden = norm_linear::<B>(x.clone(), norm.clone(), up.clone(), epsilon);
    let units = gelu::<B>(hidden.clone());
    let masked = grouped_product::<B>(units.clone(), factors.clone(), group);
    let (dmasked, ddown) = linear_backward::<B>(gradient, masked, down);
    let (dunits, dfactors) =
        grouped_product_backward::<B>(dmasked, units, factors, group, settings.kept_only);
    let dhidden = gelu_backward::<B>(dunits, hidden);
    let (dx, dnorm, dup) = norm_linear_backward::<B>(dhidden, x, norm, up, epsilon);
    (dx, dnorm, dup, ddown, dfactors)
}

/// `Φ(x)`, the standard normal distribution.
fn normal_distribution<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    let error = B::float_erf(B::float_mul_scalar(x, FRAC_1_SQRT_2.into()));
    B::float_mul_scalar(B::float_add_scalar(error, 1.0.into()), 0.5.into())
}

/// Plain body of [`TransformerOps::exact_gelu`](crate::ops::TransformerOps::exact_gelu).
pub fn gelu<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    B::float_mul(x.clone(), normal_distribution::<B>(x))
}

/// Plain body of [`TransformerOps::exact_gelu_backward`](crate::ops::TransformerOps::exact_gelu_backward):
/// `Φ(x) + x φ(x)` with the normal density `φ`.
pub fn gelu_backward<B: Backend>(gradient: FloatTensor<B>, x: FloatTensor<B>) -> FloatTensor<B> {
    let square = B::float_mul(x.clone(), x.clone());
    let density = B::float_exp(B::float_mul_scalar(square, (-0.5).into()));
    let factor = 1.0 / std::f64::consts::TAU.sqrt();
    let product = B::float_mul_scalar(B::float_mul(x.clone(), density), factor.into());
    B::float_mul(gradient, B::float_add(normal_distribution::<B>(x), product))
}

/// `(x − mean) / sqrt(variance + epsilon)` and `1 / sqrt(variance + epsilon)`.
fn normalized<B: Backend>(x: FloatTensor<B>, epsilon: f32) -> (FloatTensor<B>, FloatTensor<B>) {
    let channels = x.shape().num_dims() - 1;
    let centered = B::float_sub(x.clone(), B::float_mean_dim(x, channels));
    let square = B::float_mul(centered.clone(), centered.clone());
    let variance = B::float_add_scalar(B::float_mean_dim(square, channels), epsilon.into());
    let scale = B::float_recip(B::float_sqrt(variance));
    (B::float_mul(centered, scale.clone()), scale)
}

/// Plain body of
/// [`TransformerOps::layer_norm_without_bias`](crate::ops::TransformerOps::layer_norm_without_bias).
pub fn layer_norm<B: Backend>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    epsilon: f32,
) -> FloatTensor<B> {
    let weight = per_channel::<B>(weight, x.shape().num_dims());
    B::float_mul(normalized::<B>(x, epsilon).0, weight)
}

/// Plain body of [`TransformerOps::layer_norm_without_bias_backward`](crate::ops::TransformerOps::layer_norm_without_bias_backward).
pub fn layer_norm_backward<B: Backend>(
    gradient: FloatTensor<B>,
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    epsilon: f32,
) -> (FloatTensor<B>, FloatTensor<B>) {
    let shape = x.shape();
    let (rank, channels) = (shape.num_dims(), weight.shape()[0]);
    let (normal, scale) = normalized::<B>(x, epsilon);
    let dweight = B::float_mul(gradient.clone(), normal.clone());
    let rows = Shape::new([shape.num_elements() / channels, channels]);
    let dweight = B::float_sum_dim(B::float_reshape(dweight, rows), 0);
    let dweight = B::float_reshape(dweight, Shape::new([channels]));
    let inner = B::float_mul(gradient, per_channel::<B>(weight, rank));
    let mean = B::float_mean_dim(inner.clone(), rank - 1);
    let along = B::float_mul(inner.clone(), normal.clone());
    let along = B::float_mul(normal, B::float_mean_dim(along, rank - 1));
    let dx = B::float_sub(B::float_sub(inner, mean), along);
    (B::float_mul(dx, scale), dweight)
}
