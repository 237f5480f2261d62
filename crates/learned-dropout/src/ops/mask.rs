//! Masks that are one cosine, `M = 0.5 cos(attended + shift) + 0.5`: rounded, multiplied and measured. Also
//! the rounding and the means of any mask, from its values.

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Flex, backend_extension};
use burn::tensor::Tensor;
use kernels::mask::{Keep, Moment};

use super::cpu::{Float, kernel_inputs, tensor, vector};
use super::tape::Tape;

/// `x · round(0.5 cos(attended + shift) + 0.5)` with straight-through gradients.
///
/// # Shapes
/// - `x`, `attended`, result: `[batch, time, channels]`
/// - `shift`: `[channels]`
pub fn masked_product(
    x: Tensor<3>,
    attended: Tensor<3>,
    shift: Tensor<1>,
    keep: Keep,
) -> Tensor<3> {
    on_backend!(masked_product(x, attended, shift; keep))
}

/// `round(0.5 cos(attended + shift) + 0.5)`, zeros and ones, with straight-through gradients.
///
/// # Shapes
/// - `attended`, result: `[batch, time, values]`
/// - `shift`: `[values]`
pub fn rounded_mask(attended: Tensor<3>, shift: Tensor<1>, keep: Keep) -> Tensor<3> {
    on_backend!(rounded_mask(attended, shift; keep))
}

/// The mean of a moment over the elements of the mask `0.5 cos(attended + shift) + 0.5`, `[1]`.
///
/// # Shapes
/// - `attended`: `[batch, time, values]`
/// - `shift`: `[values]`
pub fn mask_mean(attended: Tensor<3>, shift: Tensor<1>, moment: Moment) -> Tensor<1> {
    on_backend!(mask_mean(attended, shift; moment))
}

/// `round(M)` of any mask, zeros and ones, with straight-through gradients: `[batch, time, values]`.
pub fn rounded_values(mask: Tensor<3>, keep: Keep) -> Tensor<3> {
    on_backend!(rounded_values(mask; keep))
}

/// The mean of a moment over the elements of any mask, `[batch, time, values]`: `[1]`.
pub fn value_mean(mask: Tensor<3>, moment: Moment) -> Tensor<1> {
    on_backend!(value_mean(mask; moment))
}

/// Masks on a backend. Those without `value` in their names are of masks of one cosine.
#[backend_extension(Flex, Cube: cfg(feature = "gpu"), Autodiff)]
pub trait MaskOps: Backend {
    /// `x · round(0.5 cos(attended + shift) + 0.5)`, all `[batch, time, channels]` but the shift,
    /// `[channels]`.
    fn masked_product(
        x: FloatTensor<Self>,
        attended: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        keep: Keep,
    ) -> FloatTensor<Self> {
        plain::masked_product::<Self>(x, attended, shift, keep)
    }

    /// The gradients of [`masked_product`](Self::masked_product) with respect to `x`, `attended` and
    /// `shift`, straight through the rounding.
    fn masked_product_backward(
        gradient: FloatTensor<Self>,
        x: FloatTensor<Self>,
        attended: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        keep: Keep,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        plain::masked_product_backward::<Self>(gradient, x, attended, shift, keep)
    }

    /// `round(0.5 cos(attended + shift) + 0.5)` for `attended` of `[batch, time, values]` and `shift` of
    /// `[values]`.
    fn rounded_mask(
        attended: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        keep: Keep,
    ) -> FloatTensor<Self> {
        plain::rounded_mask::<Self>(attended, shift, keep)
    }

    /// The gradients of [`rounded_mask`](Self::rounded_mask) with respect to `attended` and `shift`,
    /// straight through the rounding.
    fn rounded_mask_backward(
        gradient: FloatTensor<Self>,
        attended: FloatTensor<Self>,
        shift: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        plain::rounded_mask_backward::<Self>(gradient, attended, shift)
    }

    /// The mean of a moment over the elements of `0.5 cos(attended + shift) + 0.5`, `[1]`.
    fn mask_mean(
        attended: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        moment: Moment,
    ) -> FloatTensor<Self> {
        plain::mask_mean::<Self>(attended, shift, moment)
    }

    /// The gradients of [`mask_mean`](Self::mask_mean) with respect to `attended` and `shift`;
    /// `gradient` is `[1]`.
    fn mask_mean_backward(
        gradient: FloatTensor<Self>,
        attended: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        moment: Moment,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        plain::mask_mean_backward::<Self>(gradient, attended, shift, moment)
    }

    /// `round(mask)` for a mask of `[batch, time, values]`. The gradient passes straight through.
    fn rounded_values(mask: FloatTensor<Self>, keep: Keep) -> FloatTensor<Self> {
        plain::rounded_values::<Self>(mask, keep)
    }

    /// The mean of a moment over the elements of a mask, `[1]`.
    fn value_mean(mask: FloatTensor<Self>, moment: Moment) -> FloatTensor<Self> {
        plain::value_mean::<Self>(mask, moment)
    }

    /// The gradient of [`value_mean`](Self::value_mean); `gradient` is `[1]`.
    fn value_mean_backward(
        gradient: FloatTensor<Self>,
        mask: FloatTensor<Self>,
        moment: Moment,
    ) -> FloatTensor<Self> {
        plain::value_mean_backward::<Self>(gradient, mask, moment)
    }
}

pub mod plain {
    use std::f64::consts::LOG2_E;

    use burn::backend::tensor::FloatTensor;
    use burn::backend::{Backend, TensorMetadata, get_or_init_device_settings};
    use burn::tensor::Shape;
    use kernels::mask::{Keep, Moment};
    use kernels::random::{Philox, unit};

    use crate::ops::host_values::host_values;
    use crate::ops::tokens::{per_channel, sum_over_tokens};

    /// `attended + shift`, with the shift repeated for every token.
    pub(in crate::ops) fn shifted<B: Backend>(
        attended: FloatTensor<B>,
        shift: FloatTensor<B>,
    ) -> FloatTensor<B> {
        let rank = attended.shape().num_dims();
        B::float_add(attended, per_channel::<B>(shift, rank))
    }

    pub(in crate::ops) fn mask<B: Backend>(shifted: FloatTensor<B>) -> FloatTensor<B> {
        B::float_add_scalar(
            B::float_mul_scalar(B::float_cos(shifted), 0.5.into()),
            0.5.into(),
        )
    }

    /// `dM/dz = −0.5 sin(z)`.
    pub(in crate::ops) fn mask_slope<B: Backend>(shifted: FloatTensor<B>) -> FloatTensor<B> {
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
    pub(in crate::ops) fn kept<B: Backend>(mask: FloatTensor<B>, keep: Keep) -> FloatTensor<B> {
        let settings = get_or_init_device_settings::<B>(&mask.device());
        let dtype = mask.dtype().into();
        let shape = mask.shape();
        let not_below = |noise: Vec<f32>, mask: FloatTensor<B>| {
            let noise = host_values::<B>(noise, shape.clone(), &mask);
            B::float_lower_equal(noise, mask, settings.bool_dtype)
        };
        let sides = match keep {
            Keep::Threshold(threshold) => {
                B::float_greater_equal_elem(mask, threshold.into(), settings.bool_dtype)
            }
            Keep::Random(generator) => not_below(noise(shape.num_elements(), generator), mask),
            Keep::Narrowed { generator, spread } => {
                let noise = noise(shape.num_elements(), generator);
                let noise = noise
                    .iter()
                    .map(|unit| (unit - 0.5) * spread + 0.5)
                    .collect();
                not_below(noise, mask)
            }
        };
        B::bool_into_float(sides, dtype)
    }

    /// Plain body of the method of this name.
    pub fn masked_product<B: Backend>(
        x: FloatTensor<B>,
        attended: FloatTensor<B>,
        shift: FloatTensor<B>,
        keep: Keep,
    ) -> FloatTensor<B> {
        B::float_mul(x, rounded_mask::<B>(attended, shift, keep))
    }

    /// Plain body of the method of this name.
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

    /// Plain body of the method of this name.
    pub fn rounded_mask<B: Backend>(
        attended: FloatTensor<B>,
        shift: FloatTensor<B>,
        keep: Keep,
    ) -> FloatTensor<B> {
        kept::<B>(mask::<B>(shifted::<B>(attended, shift)), keep)
    }

    /// Plain body of the method of this name.
    pub fn rounded_mask_backward<B: Backend>(
        gradient: FloatTensor<B>,
        attended: FloatTensor<B>,
        shift: FloatTensor<B>,
    ) -> (FloatTensor<B>, FloatTensor<B>) {
        let slope = mask_slope::<B>(shifted::<B>(attended, shift));
        let dattended = B::float_mul(slope, gradient);
        (dattended.clone(), sum_over_tokens::<B>(dattended))
    }

    /// Plain body of the method of this name.
    pub fn mask_mean<B: Backend>(
        attended: FloatTensor<B>,
        shift: FloatTensor<B>,
        moment: Moment,
    ) -> FloatTensor<B> {
        value_mean::<B>(mask::<B>(shifted::<B>(attended, shift)), moment)
    }

    /// Plain body of the method of this name.
    pub fn rounded_values<B: Backend>(mask: FloatTensor<B>, keep: Keep) -> FloatTensor<B> {
        kept::<B>(mask, keep)
    }

    /// Plain body of the method of this name.
    pub fn value_mean<B: Backend>(mask: FloatTensor<B>, moment: Moment) -> FloatTensor<B> {
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

    /// Plain body of the method of this name.
    pub fn mask_mean_backward<B: Backend>(
        gradient: FloatTensor<B>,
        attended: FloatTensor<B>,
        shift: FloatTensor<B>,
        moment: Moment,
    ) -> (FloatTensor<B>, FloatTensor<B>) {
        let z = shifted::<B>(attended, shift);
        let dmask = value_mean_backward::<B>(gradient, mask::<B>(z.clone()), moment);
        let dattended = B::float_mul(mask_slope::<B>(z), dmask);
        (dattended.clone(), sum_over_tokens::<B>(dattended))
    }

    /// Plain body of the method of this name.
    pub fn value_mean_backward<B: Backend>(
        gradient: FloatTensor<B>,
        mask: FloatTensor<B>,
        moment: Moment,
    ) -> FloatTensor<B> {
        let (count, rank) = (mask.shape().num_elements(), mask.shape().num_dims());
        let (shape, device, dtype) = (mask.shape(), mask.device(), mask.dtype().into());
        let slope = match moment {
            Moment::Squared => mask,
            Moment::Linear => B::float_ones(shape, &device, dtype),
            Moment::Entropy => {
                let moved = B::float_add_scalar(mask.clone(), 1e-9.into());
                let ratio = B::float_div(mask, moved.clone());
                let sum = B::float_add(B::float_log(moved), ratio);
                B::float_mul_scalar(sum, (-LOG2_E).into())
            }
            Moment::Kept => B::float_zeros(shape, &device, dtype),
        };
        let slope = B::float_mul_scalar(slope, (1.0 / count as f64).into());
        B::float_mul(
            slope,
            B::float_reshape(gradient, Shape::from(vec![1; rank])),
        )
    }
}

impl MaskOps for Flex {
    fn masked_product(x: Float, attended: Float, shift: Float, keep: Keep) -> Float {
        match kernel_inputs([x, attended, shift]) {
            Ok([x, attended, shift]) => {
                let output = kernels::mask::product(&x, &attended, &shift, keep);
                tensor(output, x.shape())
            }
            Err([x, attended, shift]) => plain::masked_product::<Self>(x, attended, shift, keep),
        }
    }

    fn masked_product_backward(
        gradient: Float,
        x: Float,
        attended: Float,
        shift: Float,
        keep: Keep,
    ) -> (Float, Float, Float) {
        match kernel_inputs([gradient, x, attended, shift]) {
            Ok([gradient, x, attended, shift]) => {
                let found = kernels::mask::product_backward(&gradient, &x, &attended, &shift, keep);
                (
                    tensor(found.x, x.shape()),
                    tensor(found.attended, x.shape()),
                    tensor(found.shift, shift.shape()),
                )
            }
            Err([gradient, x, attended, shift]) => {
                plain::masked_product_backward::<Self>(gradient, x, attended, shift, keep)
            }
        }
    }

    fn rounded_mask(attended: Float, shift: Float, keep: Keep) -> Float {
        match kernel_inputs([attended, shift]) {
            Ok([attended, shift]) => {
                let output = kernels::mask::rounded(&attended, &shift, keep);
                tensor(output, attended.shape())
            }
            Err([attended, shift]) => plain::rounded_mask::<Self>(attended, shift, keep),
        }
    }

    fn rounded_mask_backward(gradient: Float, attended: Float, shift: Float) -> (Float, Float) {
        match kernel_inputs([gradient, attended, shift]) {
            Ok([gradient, attended, shift]) => {
                let (dattended, dshift) =
                    kernels::mask::rounded_backward(&gradient, &attended, &shift);
                (
                    tensor(dattended, attended.shape()),
                    tensor(dshift, shift.shape()),
                )
            }
            Err([gradient, attended, shift]) => {
                plain::rounded_mask_backward::<Self>(gradient, attended, shift)
            }
        }
    }

    fn mask_mean(attended: Float, shift: Float, moment: Moment) -> Float {
        match kernel_inputs([attended, shift]) {
            Ok([attended, shift]) => vector(vec![kernels::mask::mean(&attended, &shift, moment)]),
            Err([attended, shift]) => plain::mask_mean::<Self>(attended, shift, moment),
        }
    }

    fn mask_mean_backward(
        gradient: Float,
        attended: Float,
        shift: Float,
        moment: Moment,
    ) -> (Float, Float) {
        match kernel_inputs([gradient, attended, shift]) {
            Ok([gradient, attended, shift]) => {
                let (dattended, dshift) =
                    kernels::mask::mean_backward(&attended, &shift, moment, gradient[0]);
                (
                    tensor(dattended, attended.shape()),
                    tensor(dshift, shift.shape()),
                )
            }
            Err([gradient, attended, shift]) => {
                plain::mask_mean_backward::<Self>(gradient, attended, shift, moment)
            }
        }
    }

    fn rounded_values(mask: Float, keep: Keep) -> Float {
        match kernel_inputs([mask]) {
            Ok([mask]) => tensor(kernels::mask::rounded_values(&mask, keep), mask.shape()),
            Err([mask]) => plain::rounded_values::<Self>(mask, keep),
        }
    }

    fn value_mean(mask: Float, moment: Moment) -> Float {
        match kernel_inputs([mask]) {
            Ok([mask]) => vector(vec![kernels::mask::value_mean(&mask, moment)]),
            Err([mask]) => plain::value_mean::<Self>(mask, moment),
        }
    }

    fn value_mean_backward(gradient: Float, mask: Float, moment: Moment) -> Float {
        match kernel_inputs([gradient, mask]) {
            Ok([gradient, mask]) => {
                let dmask = kernels::mask::value_mean_backward(&mask, moment, gradient[0]);
                tensor(dmask, mask.shape())
            }
            Err([gradient, mask]) => plain::value_mean_backward::<Self>(gradient, mask, moment),
        }
    }
}

#[cfg(feature = "gpu")]
impl MaskOps for burn::backend::Cube {}

impl<B: MaskOps, C: CheckpointStrategy> MaskOps for Autodiff<B, C> {
    fn masked_product(
        x: FloatTensor<Self>,
        attended: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        keep: Keep,
    ) -> FloatTensor<Self> {
        Tape::<B, C>::saving_inputs(
            [x, attended, shift],
            |[x, attended, shift]| B::masked_product(x, attended, shift, keep),
            move |gradient, [x, attended, shift]| {
                B::masked_product_backward(gradient, x, attended, shift, keep)
            },
        )
    }

    fn rounded_mask(
        attended: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        keep: Keep,
    ) -> FloatTensor<Self> {
        Tape::<B, C>::saving_inputs(
            [attended, shift],
            |[attended, shift]| B::rounded_mask(attended, shift, keep),
            |gradient, [attended, shift]| B::rounded_mask_backward(gradient, attended, shift),
        )
    }

    fn mask_mean(
        attended: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        moment: Moment,
    ) -> FloatTensor<Self> {
        Tape::<B, C>::saving_inputs(
            [attended, shift],
            |[attended, shift]| B::mask_mean(attended, shift, moment),
            move |gradient, [attended, shift]| {
                B::mask_mean_backward(gradient, attended, shift, moment)
            },
        )
    }

    fn rounded_values(mask: FloatTensor<Self>, keep: Keep) -> FloatTensor<Self> {
        Tape::<B, C>::saving_nothing(
            [mask],
            |[mask]| B::rounded_values(mask, keep),
            |gradient| [gradient],
        )
    }

    fn value_mean(mask: FloatTensor<Self>, moment: Moment) -> FloatTensor<Self> {
        Tape::<B, C>::saving_inputs(
            [mask],
            |[mask]| B::value_mean(mask, moment),
            move |gradient, [mask]| [B::value_mean_backward(gradient, mask, moment)],
        )
    }
}
