//! Tensors of the CPU backend as the kernels take them: slices and shapes.

use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Flex, TensorMetadata};
use burn::tensor::{DType, Shape, TensorData};
use kernels::kept_groups::KeptGroups;
use kernels::linear::Norm;
use kernels::product::Precision;
use kernels::{attention, cross_entropy, feed_forward, group_product, grouped, linear};

use super::MaskedSettings;

pub(in crate::ops) type Float = FloatTensor<Flex>;

/// Whether every tensor is of the type that the kernels work on.
pub(in crate::ops) fn is_f32(tensors: &[&Float]) -> bool {
    tensors.iter().all(|tensor| tensor.dtype() == DType::F32)
}

/// The elements in order; the tensor must be contiguous.
pub(in crate::ops) fn slice(tensor: &Float) -> &[f32] {
    tensor.as_slice().expect("a contiguous f32 tensor")
}

pub(in crate::ops) fn tensor(values: Vec<f32>, shape: Shape) -> Float {
    Float::from_data(TensorData::new(values, shape))
}

/// The elements, to be changed in place, and the shape; copied only where they are shared.
pub(in crate::ops) fn owned(values: Float) -> (Vec<f32>, Shape) {
    let shape = values.shape();
    let values = match values.into_data().try_into_vec::<f32>() {
        Ok(values) => values,
        Err(_) => unreachable!("the tensor holds f32"),
    };
    (values, shape)
}

pub(in crate::ops) fn attention_shape(packed: &Float, heads: usize) -> attention::Shape {
    let [batch, time, width] = packed.shape().dims();
    attention::Shape {
        batch,
        time,
        heads,
        size: width / 3 / heads,
    }
}

pub(in crate::ops) fn linear_shape(x: &Float, weight: &Float) -> linear::Shape {
    let [outputs, inputs] = weight.shape().dims();
    linear::Shape {
        tokens: x.shape().num_elements() / inputs,
        inputs,
        outputs,
    }
}

/// The shape of `x` with another number of channels.
pub(in crate::ops) fn with_channels(x: &Float, channels: usize) -> Shape {
    let [batch, time, _] = x.shape().dims();
    Shape::new([batch, time, channels])
}

pub(in crate::ops) fn feed_forward_shape(x: &Float, up: &Float) -> feed_forward::Shape {
    let [hidden, width] = up.shape().dims();
    feed_forward::Shape {
        tokens: x.shape().num_elements() / width,
        width,
        hidden,
    }
}

pub(in crate::ops) fn feed_forward_weights<'a>(
    norm: &'a Float,
    up: &'a Float,
    down: &'a Float,
    epsilon: f32,
) -> feed_forward::Weights<'a> {
    feed_forward::Weights {
        norm: Some(Norm {
            weight: slice(norm),
            epsilon,
        }),
        up: slice(up),
        down: slice(down),
    }
}

pub(in crate::ops) fn group_shape(
    x: &Float,
    factors: &Float,
    group: usize,
) -> group_product::Shape {
    let [batch, time, width] = x.shape().dims();
    let [_, _, values] = factors.shape().dims();
    group_product::Shape {
        rows: batch * time,
        width,
        values,
        group,
    }
}

pub(in crate::ops) fn hidden_factors(
    factors: &Float,
    shape: feed_forward::Shape,
    settings: MaskedSettings,
) -> feed_forward::Factors<'_> {
    let [_, _, groups] = factors.shape().dims();
    feed_forward::Factors {
        values: slice(factors),
        group: shape.hidden / groups,
        kept_only: settings.kept_only,
    }
}

/// The kept groups of a mask of zeros and ones, where it is faster to compute them alone.
pub(in crate::ops) fn few_kept(
    factors: &feed_forward::Factors<'_>,
    shape: feed_forward::Shape,
    precision: Precision,
) -> Option<KeptGroups> {
    let ones = factors
        .values
        .iter()
        .filter(|&&factor| factor == 1.0)
        .count();
    let zeros = factors
        .values
        .iter()
        .filter(|&&factor| factor == 0.0)
        .count();
    let all = factors.values.len();
    let few =
        grouped::is_faster_than_dense(factors.group, ones as f64 / all.max(1) as f64, precision);
    (few && ones + zeros == all)
        .then(|| KeptGroups::new(factors.values, shape.tokens, shape.hidden / factors.group))
}

/// Ids or targets, or none if one of them is negative or does not fit.
pub(in crate::ops) fn indices(tensor: &IntTensor<Flex>) -> Option<Vec<u32>> {
    let data = tensor.clone().into_data();
    data.iter::<i64>()
        .map(|target| u32::try_from(target).ok())
        .collect()
}

pub(in crate::ops) fn cross_entropy_shape(hidden: &Float, weight: &Float) -> cross_entropy::Shape {
    let [tokens, width] = hidden.shape().dims();
    let [vocabulary, _] = weight.shape().dims();
    cross_entropy::Shape {
        tokens,
        width,
        vocabulary,
    }
}
