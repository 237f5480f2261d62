//! Some neighbouring channels of a tensor.

use std::ops::Range;

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Flex, TensorMetadata, backend_extension};
use burn::tensor::Tensor;

use super::cpu::{Float, kernel_inputs, tensor};
use super::tape::Tape;

/// The channels in `range` of `x`, `[batch, time, channels]`.
///
/// # Panics
/// If the range is empty or not among the channels.
pub fn channels(x: Tensor<3>, range: Range<usize>) -> Tensor<3> {
    let [_, _, channels] = x.dims();
    assert!(
        !range.is_empty() && range.end <= channels,
        "{range:?} of {channels} channels"
    );
    on_backend!(channels(x; range))
}

/// Channels on a backend.
#[backend_extension(Flex, Cube: cfg(feature = "gpu"), Autodiff)]
pub trait ChannelOps: Backend {
    /// The channels in `range` of `x`, `[batch, time, channels]`.
    fn channels(x: FloatTensor<Self>, range: Range<usize>) -> FloatTensor<Self> {
        plain::channels::<Self>(x, range)
    }

    /// The gradient of the `all` channels of `x` in [`channels`](Self::channels): 0 outside the range.
    fn channels_backward(
        gradient: FloatTensor<Self>,
        all: usize,
        range: Range<usize>,
    ) -> FloatTensor<Self> {
        plain::channels_backward::<Self>(gradient, all, range)
    }
}

pub mod plain {
    use std::ops::Range;

    use burn::backend::tensor::FloatTensor;
    use burn::backend::{Backend, TensorMetadata};
    use burn::tensor::{Shape, Slice};

    /// Plain body of the method of this name.
    pub fn channels<B: Backend>(x: FloatTensor<B>, range: Range<usize>) -> FloatTensor<B> {
        let [batch, time, _] = x.shape().dims();
        B::float_slice(x, &[0..batch, 0..time, range].map(Slice::from))
    }

    /// Plain body of the method of this name.
    pub fn channels_backward<B: Backend>(
        gradient: FloatTensor<B>,
        all: usize,
        range: Range<usize>,
    ) -> FloatTensor<B> {
        let [batch, time, _] = gradient.shape().dims();
        let shape = Shape::new([batch, time, all]);
        let zeros = B::float_zeros(shape, &gradient.device(), gradient.dtype().into());
        let slices = [0..batch, 0..time, range].map(Slice::from);
        B::float_slice_assign(zeros, &slices, gradient)
    }
}

impl ChannelOps for Flex {
    fn channels(x: Float, range: Range<usize>) -> Float {
        match kernel_inputs([x]) {
            Ok([x]) => {
                let [batch, time, channels] = x.dims();
                let selected = kernels::channels::select(&x, channels, range.clone());
                tensor(selected, [batch, time, range.len()].into())
            }
            Err([x]) => plain::channels::<Self>(x, range),
        }
    }

    fn channels_backward(gradient: Float, all: usize, range: Range<usize>) -> Float {
        match kernel_inputs([gradient]) {
            Ok([gradient]) => {
                let [batch, time, _] = gradient.dims();
                let placed = kernels::channels::place(&gradient, all, range);
                tensor(placed, [batch, time, all].into())
            }
            Err([gradient]) => plain::channels_backward::<Self>(gradient, all, range),
        }
    }
}

#[cfg(feature = "gpu")]
impl ChannelOps for burn::backend::Cube {}

impl<B: ChannelOps, C: CheckpointStrategy> ChannelOps for Autodiff<B, C> {
    fn channels(x: FloatTensor<Self>, range: Range<usize>) -> FloatTensor<Self> {
        let all = x.shape()[2];
        let of_gradient = range.clone();
        Tape::<B, C>::saving_nothing(
            [x],
            |[x]| B::channels(x, range.clone()),
            move |gradient| [B::channels_backward(gradient, all, of_gradient)],
        )
    }
}
