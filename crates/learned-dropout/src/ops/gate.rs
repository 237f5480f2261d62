//! Gates with a threshold and the cosine: their factors and the share that they keep, in one pass.

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::Tensor;
use kernels::gate::GateFactor;

use super::cpu::{Float, kernel_inputs, tensor, vector};
use super::tape::Tape;

/// The factors of a gate, and the share of them that it keeps, `[1]`.
///
/// A value is kept where the excess `(2 M − 1) − threshold` is above 0, with `M = 0.5 cos(attended + shift) +
/// 0.5`. [`GateFactor`] says what a kept value is multiplied by, and with which gradient. Neither the threshold
/// nor the share has a gradient.
///
/// # Shapes
/// - `attended`, factors: `[batch, time, values]`
/// - `shift`: `[values]`
/// - `threshold`: `[1]`
pub fn gate(
    attended: Tensor<3>,
    shift: Tensor<1>,
    threshold: Tensor<1>,
    factor: GateFactor,
) -> (Tensor<3>, Tensor<1>) {
    let (factors, share) = Dispatch::gate(
        attended.into_dispatch(),
        shift.into_dispatch(),
        threshold.into_dispatch(),
        factor,
    );
    (Tensor::from_dispatch(factors), Tensor::from_dispatch(share))
}

/// Gates on a backend.
#[backend_extension(Flex, Cube: cfg(feature = "gpu"), Autodiff)]
pub trait GateOps: Backend {
    /// The factors of a gate, `[batch, time, values]`, and the share that it keeps, `[1]`; see
    /// [`gate`](super::gate()).
    fn gate(
        attended: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        threshold: FloatTensor<Self>,
        factor: GateFactor,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        plain::gate::<Self>(attended, shift, threshold, factor)
    }

    /// The gradients of the factors of [`gate`](Self::gate) with respect to `attended` and `shift`.
    fn gate_backward(
        gradient: FloatTensor<Self>,
        attended: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        threshold: FloatTensor<Self>,
        factor: GateFactor,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        plain::gate_backward::<Self>(gradient, attended, shift, threshold, factor)
    }
}

pub mod plain {
    use burn::backend::tensor::FloatTensor;
    use burn::backend::{Backend, TensorMetadata, get_or_init_device_settings};
    use kernels::gate::GateFactor;

    use crate::ops::mask::plain::{mask, mask_slope, shifted};
    use crate::ops::tokens::{per_channel, sum_over_tokens};

    /// `(2 M − 1) − threshold` of `attended + shift`.
    fn excess<B: Backend>(shifted: FloatTensor<B>, threshold: FloatTensor<B>) -> FloatTensor<B> {
        let rank = shifted.shape().num_dims();
        let doubled = B::float_mul_scalar(mask::<B>(shifted), 2.0.into());
        let cosine = B::float_sub_scalar(doubled, 1.0.into());
        B::float_sub(cosine, per_channel::<B>(threshold, rank))
    }

    /// 1 where the excess is above 0, else 0.
    fn above<B: Backend>(excess: FloatTensor<B>) -> FloatTensor<B> {
        let settings = get_or_init_device_settings::<B>(&excess.device());
        let dtype = excess.dtype().into();
        let kept = B::float_greater_elem(excess, 0.0.into(), settings.bool_dtype);
        B::bool_into_float(kept, dtype)
    }

    /// Plain body of the method of this name.
    pub fn gate<B: Backend>(
        attended: FloatTensor<B>,
        shift: FloatTensor<B>,
        threshold: FloatTensor<B>,
        factor: GateFactor,
    ) -> (FloatTensor<B>, FloatTensor<B>) {
        let excess = excess::<B>(shifted::<B>(attended, shift), threshold);
        let kept = above::<B>(excess.clone());
        let share = B::float_mean(kept.clone());
        match factor {
            GateFactor::Excess => (B::float_clamp_min(excess, 0.0.into()), share),
            GateFactor::One => (kept, share),
        }
    }

    /// Plain body of the method of this name.
    pub fn gate_backward<B: Backend>(
        gradient: FloatTensor<B>,
        attended: FloatTensor<B>,
        shift: FloatTensor<B>,
        threshold: FloatTensor<B>,
        factor: GateFactor,
    ) -> (FloatTensor<B>, FloatTensor<B>) {
        let z = shifted::<B>(attended, shift);
        let slope = mask_slope::<B>(z.clone());
        let slope = match factor {
            GateFactor::Excess => {
                let kept = above::<B>(excess::<B>(z, threshold));
                B::float_mul(slope, B::float_mul_scalar(kept, 2.0.into()))
            }
            GateFactor::One => slope,
        };
        let dattended = B::float_mul(slope, gradient);
        (dattended.clone(), sum_over_tokens::<B>(dattended))
    }
}

impl GateOps for Flex {
    fn gate(attended: Float, shift: Float, threshold: Float, factor: GateFactor) -> (Float, Float) {
        match kernel_inputs([attended, shift, threshold]) {
            Ok([attended, shift, threshold]) => {
                let (factors, share) =
                    kernels::gate::forward(&attended, &shift, threshold[0], factor);
                (tensor(factors, attended.shape()), vector(vec![share]))
            }
            Err([attended, shift, threshold]) => {
                plain::gate::<Self>(attended, shift, threshold, factor)
            }
        }
    }

    fn gate_backward(
        gradient: Float,
        attended: Float,
        shift: Float,
        threshold: Float,
        factor: GateFactor,
    ) -> (Float, Float) {
        match kernel_inputs([gradient, attended, shift, threshold]) {
            Ok([gradient, attended, shift, threshold]) => {
                let (dattended, dshift) =
                    kernels::gate::backward(&gradient, &attended, &shift, threshold[0], factor);
                (
                    tensor(dattended, attended.shape()),
                    tensor(dshift, shift.shape()),
                )
            }
            Err([gradient, attended, shift, threshold]) => {
                plain::gate_backward::<Self>(gradient, attended, shift, threshold, factor)
            }
        }
    }
}

#[cfg(feature = "gpu")]
impl GateOps for burn::backend::Cube {}

impl<B: GateOps, C: CheckpointStrategy> GateOps for Autodiff<B, C> {
    fn gate(
        attended: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        threshold: FloatTensor<Self>,
        factor: GateFactor,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let threshold = threshold.into_primitive();
        let for_backward = threshold.clone();
        Tape::<B, C>::saving_inputs_with_measured(
            [attended, shift],
            move |[attended, shift]| B::gate(attended, shift, threshold, factor),
            move |gradient, [attended, shift]| {
                B::gate_backward(gradient, attended, shift, for_backward, factor)
            },
        )
    }
}
