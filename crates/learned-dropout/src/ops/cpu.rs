//! Tensors of the CPU backend as the kernels take them.

use std::ops::Deref;

use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Flex, TensorMetadata};
use burn::tensor::{DType, Shape, TensorData};

/// A tensor of floats of the CPU backend, of any type of float.
pub(super) type Float = FloatTensor<Flex>;

/// A tensor that a kernel reads: f32, its elements one after the other. It is a slice of them.
pub(super) struct KernelInput(Float);

impl KernelInput {
    /// Takes an f32 tensor; copies it only where its elements are not one after the other.
    pub(super) fn new(tensor: Float) -> Self {
        Self(tensor.to_contiguous())
    }

    pub(super) fn shape(&self) -> Shape {
        self.0.shape()
    }

    pub(super) fn dims<const D: usize>(&self) -> [usize; D] {
        self.0.shape().dims()
    }

    /// The length of the last dimension.
    pub(super) fn channels(&self) -> usize {
        let shape = self.0.shape();
        shape[shape.num_dims() - 1]
    }

    /// The shape with another length of the last dimension.
    pub(super) fn shape_with_channels(&self, channels: usize) -> Shape {
        let mut shape = self.0.shape();
        let last = shape.num_dims() - 1;
        shape[last] = channels;
        shape
    }
}

impl Deref for KernelInput {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        self.0.as_slice().expect("a contiguous f32 tensor")
    }
}

/// The tensors for a kernel, or as they were where one is not f32: then the plain body takes them.
pub(super) fn kernel_inputs<const N: usize>(
    tensors: [Float; N],
) -> Result<[KernelInput; N], [Float; N]> {
    if are_f32(&tensors.each_ref()) {
        Ok(tensors.map(KernelInput::new))
    } else {
        Err(tensors)
    }
}

/// Whether every tensor is of the type that the kernels work on.
pub(super) fn are_f32(tensors: &[&Float]) -> bool {
    tensors.iter().all(|tensor| tensor.dtype() == DType::F32)
}

/// A tensor of a kernel's results.
pub(super) fn tensor(values: Vec<f32>, shape: Shape) -> Float {
    Float::from_data(TensorData::new(values, shape))
}

/// A tensor with one dimension of a kernel's results.
pub(super) fn vector(values: Vec<f32>) -> Float {
    let shape = Shape::new([values.len()]);
    tensor(values, shape)
}

/// The elements of an f32 tensor, to be changed in place, and its shape; copied only where another
/// tensor shares them.
pub(super) fn into_values(tensor: Float) -> (Vec<f32>, Shape) {
    let shape = tensor.shape();
    let values = match tensor.into_data().try_into_vec::<f32>() {
        Ok(values) => values,
        Err(_) => unreachable!("the tensor holds f32"),
    };
    (values, shape)
}

/// Ids or targets, or none if one of them is negative or does not fit.
pub(super) fn indices(tensor: &IntTensor<Flex>) -> Option<Vec<u32>> {
    let data = tensor.clone().into_data();
    data.iter::<i64>()
        .map(|index| u32::try_from(index).ok())
        .collect()
}
