//! The plain bodies: backend operations only, no kernels.

use std::f32::consts::LOG2_E;
use std::f64::consts::FRAC_1_SQRT_2;

use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, TensorMetadata, get_or_init_device_settings};
use burn::tensor::{IndexingUpdateOp, Shape, Slice, TensorData};
use kernels::dropout::Dropout;
use kernels::mask::{Keep, Moment};
use kernels::random::{Philox, unit};
use kernels::update::AdamW;

use super::MaskedSettings;

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
fn by_token<B: Backend>(tensor: FloatTensor<B>) -> FloatTensor<B> {
    let shape = tensor.shape();
    let channels = shape[shape.num_dims() - 1];
    let rows = shape.num_elements() / channels;
    B::float_reshape(tensor, Shape::new([rows, channels]))
}

/// `attended + shift`, with the shift repeated for every token.
fn shifted<B: Backend>(attended: FloatTensor<B>, shift: FloatTensor<B>) -> FloatTensor<B> {
    let rank = attended.shape().num_dims();
    B::float_add(attended, per_channel::<B>(shift, rank))
}

fn mask<B: Backend>(shifted: FloatTensor<B>) -> FloatTensor<B> {
    B::float_add_scalar(
        B::float_mul_scalar(B::float_cos(shifted), 0.5.into()),
        0.5.into(),
    )
}

/// `dM/dz = −0.5 sin(z)`.
fn mask_slope<B: Backend>(shifted: FloatTensor<B>) -> FloatTensor<B> {
    B::float_mul_scalar(B::float_sin(shifted), (-0.5).into())
}

/// Uniform noise in [0, 1).
fn noise(count: usize, generator: Philox) -> Vec<f32> {
    let blocks = 0..count.div_ceil(4) as u64;
    let mut noise: Vec<f32> = blocks
        .flat_map(|block| generator.block(block).map(unit))
        .collect();
    noise.truncate(count);
    noise
}

/// 1 where the mask is kept, else 0.
fn kept<B: Backend>(mask: FloatTensor<B>, keep: Keep) -> FloatTensor<B> {
    let device = mask.device();
    let settings = get_or_init_device_settings::<B>(&device);
    let dtype = mask.dtype().into();
    let sides = match keep {
        Keep::Threshold(threshold) => {
            B::float_greater_equal_elem(mask, threshold.into(), settings.bool_dtype)
        }
        Keep::Random(generator) => {
            let shape = mask.shape();
            let noise = noise(shape.num_elements(), generator);
            let noise = B::float_from_data(TensorData::new(noise, shape), &device);
            B::float_lower_equal(noise, mask, settings.bool_dtype)
        }
        Keep::Narrowed { generator, spread } => {
            let shape = mask.shape();
            let noise = noise(shape.num_elements(), generator);
            let noise = noise
                .iter()
                .map(|unit| (unit - 0.5) * spread + 0.5)
                .collect();
            let noise = B::float_from_data(TensorData::new::<f32, _>(noise, shape), &device);
            B::float_lower_equal(noise, mask, settings.bool_dtype)
        }
    };
    B::bool_into_float(sides, dtype)
}

/// Plain body of [`TransformerOps::masked_product`](super::TransformerOps::masked_product).
pub fn masked_product<B: Backend>(
    x: FloatTensor<B>,
    attended: FloatTensor<B>,
    shift: FloatTensor<B>,
    keep: Keep,
) -> FloatTensor<B> {
    B::float_mul(x, kept::<B>(mask::<B>(shifted::<B>(attended, shift)), keep))
}

/// Plain body of
/// [`TransformerOps::masked_product_backward`](super::TransformerOps::masked_product_backward).
pub fn masked_product_backward<B: Backend>(
    gradient: FloatTensor<B>,
    x: FloatTensor<B>,
    attended: FloatTensor<B>,
    shift: FloatTensor<B>,
    keep: Keep,
) -> (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>) {
    let z = shifted::<B>(attended, shift);
    let kept = kept::<B>(mask::<B>(z.clone()), keep);
    let dmask = B::float_mul(x, gradient.clone());
    let dattended = B::float_mul(dmask, mask_slope::<B>(z));
    (
        B::float_mul(kept, gradient),
        dattended.clone(),
        sum_over_tokens::<B>(dattended),
    )
}

/// Plain body of [`TransformerOps::rounded_mask`](super::TransformerOps::rounded_mask).
pub fn rounded_mask<B: Backend>(
    attended: FloatTensor<B>,
    shift: FloatTensor<B>,
    keep: Keep,
) -> FloatTensor<B> {
    kept::<B>(mask::<B>(shifted::<B>(attended, shift)), keep)
}

/// Plain body of
/// [`TransformerOps::rounded_mask_backward`](super::TransformerOps::rounded_mask_backward).
pub fn rounded_mask_backward<B: Backend>(
    gradient: FloatTensor<B>,
    attended: FloatTensor<B>,
    shift: FloatTensor<B>,
) -> (FloatTensor<B>, FloatTensor<B>) {
    let slope = mask_slope::<B>(shifted::<B>(attended, shift));
    let dattended = B::float_mul(slope, gradient);
    (dattended.clone(), sum_over_tokens::<B>(dattended))
}

/// Plain body of [`TransformerOps::mask_mean`](super::TransformerOps::mask_mean).
pub fn mask_mean<B: Backend>(
    attended: FloatTensor<B>,
    shift: FloatTensor<B>,
    moment: Moment,
) -> FloatTensor<B> {
    let mask = mask::<B>(shifted::<B>(attended, shift));
    let values = match moment {
        Moment::Squared => B::float_mul_scalar(B::float_mul(mask.clone(), mask), 0.5.into()),
        Moment::Linear => mask,
        Moment::Entropy => {
            let logarithm = B::float_log(B::float_add_scalar(mask.clone(), 1e-9.into()));
            B::float_mul_scalar(B::float_mul(mask, logarithm), (-LOG2_E).into())
        }
        Moment::Kept => kept::<B>(mask, Keep::Threshold(0.5)),
    };
    B::float_mean(values)
}

/// Plain body of
/// [`TransformerOps::mask_mean_backward`](super::TransformerOps::mask_mean_backward).
pub fn mask_mean_backward<B: Backend>(
    gradient: FloatTensor<B>,
    attended: FloatTensor<B>,
    shift: FloatTensor<B>,
    moment: Moment,
) -> (FloatTensor<B>, FloatTensor<B>) {
    let z = shifted::<B>(attended, shift);
    let count = z.shape().num_elements();
    let rank = z.shape().num_dims();
    let mask = mask::<B>(z.clone());
    let slope = B::float_mul_scalar(mask_slope::<B>(z), (1.0 / count as f64).into());
    let slope = match moment {
        Moment::Squared => B::float_mul(slope, mask),
        Moment::Linear => slope,
        Moment::Entropy => {
            let moved = B::float_add_scalar(mask.clone(), 1e-9.into());
            let ratio = B::float_div(mask, moved.clone());
            let sum = B::float_add(B::float_log(moved), ratio);
            B::float_mul(slope, B::float_mul_scalar(sum, (-LOG2_E).into()))
        }
        Moment::Kept => B::float_zeros(slope.shape(), &slope.device(), slope.dtype().into()),
    };
    let dattended = B::float_mul(
        slope,
        B::float_reshape(gradient, Shape::from(vec![1; rank])),
    );
    (dattended.clone(), sum_over_tokens::<B>(dattended))
}

/// The last `values · group` channels as `[batch, time, values, group]`, and the channels before.
fn grouped<B: Backend>(
    x: FloatTensor<B>,
    values: usize,
    group: usize,
) -> (Option<FloatTensor<B>>, FloatTensor<B>) {
    let [batch, time, width] = x.shape().dims();
    let lead = width - values * group;
    let part = |from: usize, to: usize| {
        let channels = Slice::from(from..to);
        B::float_slice(x.clone(), &[Slice::full(), Slice::full(), channels])
    };
    let shape = Shape::new([batch, time, values, group]);
    (
        (lead > 0).then(|| part(0, lead)),
        B::float_reshape(part(lead, width), shape),
    )
}

/// Plain body of [`TransformerOps::grouped_product`](super::TransformerOps::grouped_product).
pub fn grouped_product<B: Backend>(
    x: FloatTensor<B>,
    factors: FloatTensor<B>,
    group: usize,
) -> FloatTensor<B> {
    let [batch, time, values] = factors.shape().dims();
    let (lead, groups) = grouped::<B>(x, values, group);
    let factors = B::float_reshape(factors, Shape::new([batch, time, values, 1]));
    let product = B::float_mul(groups, factors);
    let product = B::float_reshape(product, Shape::new([batch, time, values * group]));
    match lead {
        Some(lead) => B::float_cat(vec![lead, product], 2),
        None => product,
    }
}

/// Plain body of
/// [`TransformerOps::grouped_product_backward`](super::TransformerOps::grouped_product_backward).
pub fn grouped_product_backward<B: Backend>(
    gradient: FloatTensor<B>,
    x: FloatTensor<B>,
    factors: FloatTensor<B>,
    group: usize,
    kept_only: bool,
) -> (FloatTensor<B>, FloatTensor<B>) {
    let [batch, time, values] = factors.shape().dims();
    let dx = grouped_product::<B>(gradient.clone(), factors.clone(), group);
    let [x, gradient] = [x, gradient].map(|tensor| grouped::<B>(tensor, values, group).1);
    let sums = B::float_sum_dim(B::float_mul(x, gradient), 3);
    let dfactors = B::float_reshape(sums, Shape::new([batch, time, values]));
    (dx, where_kept::<B>(dfactors, factors, kept_only))
}

/// With `kept_only`, sets the gradients of factors that are 0 to 0.
fn where_kept<B: Backend>(
    dfactors: FloatTensor<B>,
    factors: FloatTensor<B>,
    kept_only: bool,
) -> FloatTensor<B> {
    if !kept_only {
        return dfactors;
    }
    let settings = get_or_init_device_settings::<B>(&factors.device());
    let dropped = B::float_equal_elem(factors, 0.0.into(), settings.bool_dtype);
    B::float_mask_fill(dfactors, dropped, 0.0.into())
}

/// Queries, keys and values as `[batch, heads, time, size]`.
fn unpack<B: Backend>(packed: FloatTensor<B>, heads: usize) -> [FloatTensor<B>; 3] {
    let [batch, time, width] = packed.shape().dims();
    let size = width / 3 / heads;
    let split = B::float_reshape(packed, Shape::new([batch, time, 3 * heads, size]));
    let split = B::float_swap_dims(split, 1, 2);
    [0, 1, 2].map(|part| {
        let rows = Slice::from(part * heads..(part + 1) * heads);
        B::float_slice(split.clone(), &[Slice::full(), rows])
    })
}

/// `softmax(queries · keysᵀ / sqrt(size))` over the past, `[batch, heads, time, time]`.
fn probabilities<B: Backend>(queries: FloatTensor<B>, keys: FloatTensor<B>) -> FloatTensor<B> {
    let [_, _, time, size] = queries.shape().dims();
    let device = queries.device();
    let scale = 1.0 / (size as f64).sqrt();
    let scores = B::float_matmul(queries, B::float_transpose(keys));
    let scores = B::float_mul_scalar(scores, scale.into());
    let future: Vec<f32> = (0..time * time)
        .map(|index| {
            if index % time > index / time {
                f32::NEG_INFINITY
            } else {
                0.0
            }
        })
        .collect();
    let shape = Shape::new([1, 1, time, time]);
    let future = B::float_from_data(TensorData::new(future, shape), &device);
    B::softmax(B::float_add(scores, future), 3)
}

/// Plain body of [`TransformerOps::dropped`](super::TransformerOps::dropped); the identity without
/// dropout.
pub fn dropped<B: Backend>(values: FloatTensor<B>, dropout: Option<Dropout>) -> FloatTensor<B> {
    let Some(dropout) = dropout else {
        return values;
    };
    let shape = values.shape();
    let count = shape.num_elements();
    let factors = crate::dropout::factors(count, dropout.rate, &dropout.generator);
    let factors = B::float_from_data(TensorData::new(factors, shape), &values.device());
    B::float_mul(values, factors)
}

/// Plain body of [`TransformerOps::causal_attention`](super::TransformerOps::causal_attention).
pub fn causal_attention<B: Backend>(
    packed: FloatTensor<B>,
    heads: usize,
    dropout: Option<Dropout>,
) -> FloatTensor<B> {
    let [batch, time, width] = packed.shape().dims();
    let [queries, keys, values] = unpack::<B>(packed, heads);
    let weights = dropped::<B>(probabilities::<B>(queries, keys), dropout);
    let output = B::float_matmul(weights, values);
    let output = B::float_swap_dims(output, 1, 2);
    B::float_reshape(output, Shape::new([batch, time, width / 3]))
}

/// Plain body of
/// [`TransformerOps::causal_attention_backward`](super::TransformerOps::causal_attention_backward).
pub fn causal_attention_backward<B: Backend>(
    gradient: FloatTensor<B>,
    packed: FloatTensor<B>,
    heads: usize,
    dropout: Option<Dropout>,
) -> FloatTensor<B> {
    let [batch, time, width] = packed.shape().dims();
    let size = width / 3 / heads;
    let [queries, keys, values] = unpack::<B>(packed, heads);
    let weights = probabilities::<B>(queries.clone(), keys.clone());
    let gradient = B::float_reshape(gradient, Shape::new([batch, time, heads, size]));
    let gradient = B::float_swap_dims(gradient, 1, 2);
    let used = dropped::<B>(weights.clone(), dropout);
    let dvalues = B::float_matmul(B::float_transpose(used), gradient.clone());
    let dweights = B::float_matmul(gradient, B::float_transpose(values));
    let dweights = dropped::<B>(dweights, dropout);
    let sums = B::float_sum_dim(B::float_mul(dweights.clone(), weights.clone()), 3);
    let dscores = B::float_mul(weights, B::float_sub(dweights, sums));
    let dscores = B::float_mul_scalar(dscores, (1.0 / (size as f64).sqrt()).into());
    let dqueries = B::float_matmul(dscores.clone(), keys);
    let dkeys = B::float_matmul(B::float_transpose(dscores), queries);
    let packed = B::float_cat(vec![dqueries, dkeys, dvalues], 1);
    B::float_reshape(
        B::float_swap_dims(packed, 1, 2),
        Shape::new([batch, time, width]),
    )
}

/// Plain body of [`TransformerOps::linear_without_bias`](super::TransformerOps::linear_without_bias).
pub fn linear<B: Backend>(x: FloatTensor<B>, weight: FloatTensor<B>) -> FloatTensor<B> {
    let [batch, time, _] = x.shape().dims();
    let [outputs, _] = weight.shape().dims();
    let y = B::float_matmul(by_token::<B>(x), B::float_transpose(weight));
    B::float_reshape(y, Shape::new([batch, time, outputs]))
}

/// Plain body of [`TransformerOps::linear_without_bias_backward`](super::TransformerOps::linear_without_bias_backward).
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

/// Plain body of [`TransformerOps::add_to_rows`](super::TransformerOps::add_to_rows).
pub fn add_to_rows<B: Backend>(
    table: FloatTensor<B>,
    ids: IntTensor<B>,
    gradient: FloatTensor<B>,
) -> FloatTensor<B> {
    B::float_select_assign(table, 0, ids, gradient, IndexingUpdateOp::Add)
}

/// Plain body of [`TransformerOps::norm_linear`](super::TransformerOps::norm_linear).
pub fn norm_linear<B: Backend>(
    x: FloatTensor<B>,
    norm: FloatTensor<B>,
    weight: FloatTensor<B>,
    epsilon: f32,
) -> FloatTensor<B> {
    linear::<B>(layer_norm::<B>(x, norm, epsilon), weight)
}

/// Plain body of
/// [`TransformerOps::norm_linear_backward`](super::TransformerOps::norm_linear_backward).
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

/// Plain body of [`TransformerOps::norm_feed_forward`](super::TransformerOps::norm_feed_forward).
pub fn norm_feed_forward<B: Backend>(
    x: FloatTensor<B>,
    norm: FloatTensor<B>,
    up: FloatTensor<B>,
    down: FloatTensor<B>,
    epsilon: f32,
) -> FloatTensor<B> {
    linear::<B>(gelu::<B>(norm_linear::<B>(x, norm, up, epsilon)), down)
}

/// Plain body of [`TransformerOps::norm_feed_forward_backward`](super::TransformerOps::norm_feed_forward_backward).
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

/// Plain body of [`TransformerOps::masked_feed_forward`](super::TransformerOps::masked_feed_forward).
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

/// Plain body of [`TransformerOps::masked_feed_forward_backward`](super::TransformerOps::masked_feed_forward_backward).
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

/// Plain body of [`TransformerOps::exact_gelu`](super::TransformerOps::exact_gelu).
pub fn gelu<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    B::float_mul(x.clone(), normal_distribution::<B>(x))
}

/// Plain body of [`TransformerOps::exact_gelu_backward`](super::TransformerOps::exact_gelu_backward):
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
/// [`TransformerOps::layer_norm_without_bias`](super::TransformerOps::layer_norm_without_bias).
pub fn layer_norm<B: Backend>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    epsilon: f32,
) -> FloatTensor<B> {
    let weight = per_channel::<B>(weight, x.shape().num_dims());
    B::float_mul(normalized::<B>(x, epsilon).0, weight)
}

/// Plain body of [`TransformerOps::layer_norm_without_bias_backward`](super::TransformerOps::layer_norm_without_bias_backward).
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

/// Plain body of [`TransformerOps::scaled`](super::TransformerOps::scaled).
pub fn scaled<B: Backend>(tensor: FloatTensor<B>, factor: FloatTensor<B>) -> FloatTensor<B> {
    let rank = tensor.shape().num_dims();
    B::float_mul(tensor, B::float_reshape(factor, Shape::from(vec![1; rank])))
}

/// Plain body of [`TransformerOps::adamw`](super::TransformerOps::adamw).
pub fn adamw<B: Backend>(
    parameter: FloatTensor<B>,
    gradient: FloatTensor<B>,
    first: FloatTensor<B>,
    second: FloatTensor<B>,
    step: AdamW,
) -> (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>) {
    let moved = |moment, beta: f32, term| {
        let old = B::float_mul_scalar(moment, beta.into());
        B::float_add(old, B::float_mul_scalar(term, (1.0 - beta).into()))
    };
    let square = B::float_mul(gradient.clone(), gradient.clone());
    let first = moved(first, step.betas[0], gradient);
    let second = moved(second, step.betas[1], square);
    let root = B::float_mul_scalar(B::float_sqrt(second.clone()), step.root_scale.into());
    let change = B::float_div(
        first.clone(),
        B::float_add_scalar(root, step.epsilon.into()),
    );
    let kept = B::float_mul_scalar(parameter, step.keep.into());
    let updated = B::float_sub(kept, B::float_mul_scalar(change, step.rate.into()));
    (updated, first, second)
}

/// Plain body of
/// [`TransformerOps::linear_cross_entropy`](super::TransformerOps::linear_cross_entropy).
pub fn linear_cross_entropy<B: Backend>(
    hidden: FloatTensor<B>,
    weight: FloatTensor<B>,
    targets: IntTensor<B>,
) -> FloatTensor<B> {
    let logits = B::float_matmul(hidden, B::float_transpose(weight));
    negative_mean_at::<B>(B::log_softmax(logits, 1), targets)
}

fn negative_mean_at<B: Backend>(
    logarithms: FloatTensor<B>,
    targets: IntTensor<B>,
) -> FloatTensor<B> {
    let [tokens, _] = logarithms.shape().dims();
    let targets = B::int_reshape(targets, Shape::new([tokens, 1]));
    B::float_neg(B::float_mean(B::float_gather(1, logarithms, targets)))
}

/// Plain body of [`TransformerOps::linear_cross_entropy_with_gradients`](super::TransformerOps::linear_cross_entropy_with_gradients).
pub fn linear_cross_entropy_with_gradients<B: Backend>(
    hidden: FloatTensor<B>,
    weight: FloatTensor<B>,
    targets: IntTensor<B>,
) -> (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>) {
    let [tokens, _] = hidden.shape().dims();
    let device = hidden.device();
    let dtype = hidden.dtype().into();
    let logits = B::float_matmul(hidden.clone(), B::float_transpose(weight.clone()));
    let logarithms = B::log_softmax(logits, 1);
    let loss = negative_mean_at::<B>(logarithms.clone(), targets.clone());
    let targets = B::int_reshape(targets, Shape::new([tokens, 1]));
    let minus_one = B::float_full(Shape::new([tokens, 1]), (-1.0).into(), &device, dtype);
    let probabilities = B::float_exp(logarithms);
    let dlogits = B::float_scatter(1, probabilities, targets, minus_one, IndexingUpdateOp::Add);
    let dlogits = B::float_mul_scalar(dlogits, (1.0 / tokens as f64).into());
    let dhidden = B::float_matmul(dlogits.clone(), weight);
    let dweight = B::float_matmul(B::float_transpose(dlogits), hidden);
    (loss, dhidden, dweight)
}
