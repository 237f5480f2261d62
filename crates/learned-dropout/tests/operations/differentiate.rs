//! Values and gradients of functions of any number of tensors with any number of dimensions.

use burn::backend::ops::FloatTensorOps;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Dispatch, TensorMetadata};
use burn::tensor::{DType, Device, Int, Shape, Tensor, TensorData};
use kernels::dropout::Dropout;
use kernels::random::unit;

use crate::support::values;

/// A tensor of floats whose number of dimensions is not part of its type.
pub type Primitive = FloatTensor<Dispatch>;

/// A function of `N` tensors with `M` results.
pub type Function<'a, const N: usize, const M: usize> =
    &'a dyn Fn([Primitive; N]) -> [Primitive; M];

/// The values of an input.
#[derive(Clone)]
pub struct Input {
    pub values: Vec<f32>,
    shape: Vec<usize>,
}

impl Input {
    pub fn new<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> Self {
        assert_eq!(values.len(), shape.iter().product::<usize>());
        let shape = shape.into();
        Self { values, shape }
    }

    pub fn map(self, function: impl Fn(f32) -> f32) -> Self {
        self.map_with_index(|_, value| function(value))
    }

    pub fn map_with_index(mut self, function: impl Fn(usize, f32) -> f32) -> Self {
        for (index, value) in self.values.iter_mut().enumerate() {
            *value = function(index, *value);
        }
        self
    }

    /// The values in one dimension.
    fn flat(&self, dtype: DType, device: &Device) -> Tensor<1> {
        Tensor::<1>::from_floats(self.values.as_slice(), device).cast(dtype)
    }

    fn shaped(&self, flat: Tensor<1>) -> Primitive {
        let shape = Shape::from(self.shape.clone());
        Dispatch::float_reshape(flat.into_dispatch(), shape)
    }

    pub fn primitive(&self, dtype: DType, device: &Device) -> Primitive {
        self.shaped(self.flat(dtype, device))
    }
}

/// A tensor with the number of dimensions that it is used with.
pub fn tensor<const D: usize>(primitive: Primitive) -> Tensor<D> {
    Tensor::from_dispatch(primitive)
}

/// Values of the test as a tensor with the type and on the device of `like`.
pub fn constant<const D: usize, const E: usize>(
    values: Vec<f32>,
    shape: [usize; D],
    like: &Tensor<E>,
) -> Tensor<D> {
    let values = Tensor::<D>::from_data(TensorData::new(values, shape), &like.device());
    values.cast(like.dtype())
}

/// Ids on the device of `like`.
pub fn ids<const D: usize>(ids: &[usize], like: &Tensor<D>) -> Tensor<1, Int> {
    let values: Vec<i32> = ids.iter().map(|&id| id as i32).collect();
    Tensor::from_data(TensorData::new(values, [ids.len()]), &like.device())
}

/// The factors by which dropout multiplies the elements of a tensor.
pub fn dropout_factors<const D: usize>(dropout: Dropout, like: &Tensor<D>) -> Tensor<D> {
    let scale = (1.0 / (1.0 - dropout.rate)) as f32;
    let shape = like.dims();
    let factor = |index| {
        let kept = f64::from(unit(dropout.generator.number(index))) >= dropout.rate;
        if kept { scale } else { 0.0 }
    };
    let count = shape.iter().product::<usize>() as u64;
    constant((0..count).map(factor).collect(), shape, like)
}

fn flattened(primitive: Primitive) -> Tensor<1> {
    let count = primitive.shape().num_elements();
    tensor(Dispatch::float_reshape(primitive, Shape::new([count])))
}

/// The elements of a tensor.
pub fn read(primitive: Primitive) -> Vec<f64> {
    flattened(primitive).into_data().iter::<f64>().collect()
}

/// The gradient of output number `index`. The loss whose gradients are compared is the sum of all outputs,
/// multiplied by these values.
pub fn output_gradient(output: &Primitive, index: usize) -> Input {
    let shape = output.shape();
    Input {
        values: values(shape.num_elements(), 99 + index as u64),
        shape: shape.to_vec(),
    }
}

/// The outputs of a function, and the gradients with respect to its inputs.
pub struct Found {
    pub outputs: Vec<Vec<f64>>,
    pub gradients: Vec<Vec<f64>>,
}

/// The outputs of a function, without gradients.
pub fn evaluate<const N: usize, const M: usize>(
    inputs: &[Input; N],
    dtype: DType,
    device: &Device,
    function: Function<'_, N, M>,
) -> Vec<Vec<f64>> {
    let inputs = inputs
        .each_ref()
        .map(|input| input.primitive(dtype, device));
    let outputs = function(inputs);
    outputs
        .map(|output| checked(output, dtype))
        .map(read)
        .into()
}

/// The outputs of a function and its gradients, computed in the type `dtype` on an ordinary device and on
/// its training device.
pub fn differentiate<const N: usize, const M: usize>(
    inputs: &[Input; N],
    dtype: DType,
    device: &Device,
    function: Function<'_, N, M>,
) -> Found {
    let device = device.clone().autodiff();
    let leaves = inputs
        .each_ref()
        .map(|input| input.flat(dtype, &device).detach().require_grad());
    let shaped = std::array::from_fn(|index| inputs[index].shaped(leaves[index].clone()));
    let outputs = function(shaped).map(|output| checked(output, dtype));
    let loss = outputs
        .iter()
        .enumerate()
        .map(|(index, output)| {
            let factors = output_gradient(output, index).flat(dtype, &device);
            (flattened(output.clone()) * factors).sum()
        })
        .reduce(|sum, term| sum + term)
        .expect("a function has an output");
    let gradients = loss.backward();
    let gradient = |leaf: Tensor<1>| match leaf.grad(&gradients) {
        Some(gradient) => read(gradient.into_dispatch()),
        None => vec![0.0; leaf.dims()[0]],
    };
    Found {
        outputs: outputs
            .map(|output| read(flattened(output).inner().into_dispatch()))
            .into(),
        gradients: leaves.map(gradient).into(),
    }
}

#[track_caller]
fn checked(output: Primitive, dtype: DType) -> Primitive {
    assert_eq!(output.dtype(), dtype);
    output
}

/// Asserts that two lists of tensors agree within a share of the largest value of each.
#[track_caller]
pub fn assert_close(what: &str, found: &[Vec<f64>], expected: &[Vec<f64>], tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (number, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert_eq!(found.len(), expected.len(), "{what} {number}");
        let largest = expected
            .iter()
            .fold(1e-3f64, |largest, value| largest.max(value.abs()));
        for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
            assert!(
                (found - expected).abs() <= tolerance * largest,
                "{what} {number}, element {index}: {found}, expected {expected}"
            );
        }
    }
}
