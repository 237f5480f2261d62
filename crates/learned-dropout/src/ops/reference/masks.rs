//! Plain bodies of the operations of masks.

use std::f32::consts::LOG2_E;

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, TensorMetadata, get_or_init_device_settings};
use burn::tensor::{Shape, Slice, TensorData};
use kernels::mask::{Keep, Moment};
use kernels::random::{Philox, unit};

use super::{per_channel, sum_over_tokens};

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

/// Plain body of [`TransformerOps::masked_product`](crate::ops::TransformerOps::masked_product).
pub fn masked_product<B: Backend>(
    x: FloatTensor<B>,
    attended: FloatTensor<B>,
    shift: FloatTensor<B>,
    keep: Keep,
) -> FloatTensor<B> {
    B::float_mul(x, kept::<B>(mask::<B>(shifted::<B>(attended, shift)), keep))
}

/// Plain body of
/// [`TransformerOps::masked_product_backward`](crate::ops::TransformerOps::masked_product_backward).
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

/// Plain body of [`TransformerOps::rounded_mask`](crate::ops::TransformerOps::rounded_mask).
pub fn rounded_mask<B: Backend>(
    attended: FloatTensor<B>,
    shift: FloatTensor<B>,
    keep: Keep,
) -> FloatTensor<B> {
    kept::<B>(mask::<B>(shifted::<B>(attended, shift)), keep)
}

/// Plain body of
/// [`TransformerOps::rounded_mask_backward`](crate::ops::TransformerOps::rounded_mask_backward).
pub fn rounded_mask_backward<B: Backend>(
    gradient: FloatTensor<B>,
    attended: FloatTensor<B>,
    shift: FloatTensor<B>,
) -> (FloatTensor<B>, FloatTensor<B>) {
    let slope = mask_slope::<B>(shifted::<B>(attended, shift));
    let dattended = B::float_mul(slope, gradient);
    (dattended.clone(), sum_over_tokens::<B>(dattended))
}

/// Plain body of [`TransformerOps::mask_mean`](crate::ops::TransformerOps::mask_mean).
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
/// [`TransformerOps::mask_mean_backward`](crate::ops::TransformerOps::mask_mean_backward).
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

/// Plain body of [`TransformerOps::grouped_product`](crate::ops::TransformerOps::grouped_product).
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
/// [`TransformerOps::grouped_product_backward`](crate::ops::TransformerOps::grouped_product_backward).
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
