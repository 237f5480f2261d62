//! The hidden units of SwiGLU.

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Flex, backend_extension};
use burn::tensor::Tensor;

use super::cpu::{Float, kernel_inputs, tensor};
use super::tape::Tape;

/// `silu(gate) · up` with `silu(z) = z · sigmoid(z)`, from Shazeer, "GLU variants improve transformer" (2020).
///
/// # Shapes
/// - `packed`: `[batch, time, 2 · hidden]`, for each token the gate and then the up projection
/// - result: `[batch, time, hidden]`
///
/// # Panics
/// If the number of channels is odd.
pub fn swiglu(packed: Tensor<3>) -> Tensor<3> {
    let [_, _, channels] = packed.dims();
    assert!(channels.is_multiple_of(2), "a gate for each unit");
    on_backend!(swiglu(packed))
}

/// The hidden units of SwiGLU on a backend.
#[backend_extension(Flex, Cube: cfg(feature = "gpu"), Autodiff)]
pub trait SwigluOps: Backend {
    /// `silu(gate) · up` for a packed gate and up projection, `[batch, time, 2 · hidden]`.
    fn swiglu(packed: FloatTensor<Self>) -> FloatTensor<Self> {
        plain::swiglu::<Self>(packed)
    }

    /// The gradient of `packed` in [`swiglu`](Self::swiglu).
    fn swiglu_backward(
        gradient: FloatTensor<Self>,
        packed: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        plain::swiglu_backward::<Self>(gradient, packed)
    }
}

pub mod plain {
    use burn::backend::tensor::FloatTensor;
    use burn::backend::{Backend, TensorMetadata};

    use crate::ops::channels::plain::channels;

    /// The gate and the up projection.
    fn unpacked<B: Backend>(packed: FloatTensor<B>) -> (FloatTensor<B>, FloatTensor<B>) {
        let [_, _, all] = packed.shape().dims();
        let half = all / 2;
        let gate = channels::<B>(packed.clone(), 0..half);
        (gate, channels::<B>(packed, half..all))
    }

    /// Plain body of the method of this name.
    pub fn swiglu<B: Backend>(packed: FloatTensor<B>) -> FloatTensor<B> {
        let (gate, up) = unpacked::<B>(packed);
        let silu = B::float_mul(gate.clone(), B::sigmoid(gate));
        B::float_mul(silu, up)
    }

    /// Plain body of the method of this name.
    pub fn swiglu_backward<B: Backend>(
        gradient: FloatTensor<B>,
        packed: FloatTensor<B>,
    ) -> FloatTensor<B> {
        let (gate, up) = unpacked::<B>(packed);
        let sigmoid = B::sigmoid(gate.clone());
        let silu = B::float_mul(gate, sigmoid.clone());
        let dup = B::float_mul(gradient.clone(), silu.clone());
        // silu' = sigmoid + silu (1 − sigmoid).
        let rest = B::float_add_scalar(B::float_neg(sigmoid.clone()), 1.0.into());
        let slope = B::float_add(sigmoid, B::float_mul(silu, rest));
        let dgate = B::float_mul(B::float_mul(gradient, up), slope);
        B::float_cat(vec![dgate, dup], 2)
    }
}

impl SwigluOps for Flex {
    fn swiglu(packed: Float) -> Float {
        match kernel_inputs([packed]) {
            Ok([packed]) => {
                let [batch, time, channels] = packed.dims();
                let units = kernels::swiglu::forward(&packed, channels / 2);
                tensor(units, [batch, time, channels / 2].into())
            }
            Err([packed]) => plain::swiglu::<Self>(packed),
        }
    }

    fn swiglu_backward(gradient: Float, packed: Float) -> Float {
        match kernel_inputs([gradient, packed]) {
            Ok([gradient, packed]) => {
                let [_, _, channels] = packed.dims();
                let found = kernels::swiglu::backward(&gradient, &packed, channels / 2);
                tensor(found, packed.shape())
            }
            Err([gradient, packed]) => plain::swiglu_backward::<Self>(gradient, packed),
        }
    }
}

#[cfg(feature = "gpu")]
impl SwigluOps for burn::backend::Cube {}

impl<B: SwigluOps, C: CheckpointStrategy> SwigluOps for Autodiff<B, C> {
    fn swiglu(packed: FloatTensor<Self>) -> FloatTensor<Self> {
        Tape::<B, C>::saving_inputs(
            [packed],
            |[packed]| B::swiglu(packed),
            |gradient, [packed]| [B::swiglu_backward(gradient, packed)],
        )
    }
}
