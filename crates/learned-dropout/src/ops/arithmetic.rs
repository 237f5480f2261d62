//! Sums, multiples and means.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::tensor::{Shape, Tensor};

use super::cpu::{Float, KernelInput, are_f32, into_values, kernel_inputs, tensor, vector};
use super::tape::Tape;

/// `left + right` of one shape.
///
/// # Panics
/// If the shapes differ: nothing is repeated here.
pub fn sum_of_two<const D: usize>(left: Tensor<D>, right: Tensor<D>) -> Tensor<D> {
    assert_eq!(left.dims(), right.dims(), "shapes differ");
    on_backend!(sum_of_two(left, right))
}

/// The same tensor twice, for two uses whose gradients are added by [`sum_of_two`].
///
/// The tensor must be the result of another operation: the gradient of a parameter would be counted
/// twice.
pub fn duplicated(tensor: Tensor<3>) -> [Tensor<3>; 2] {
    let (first, second) = Dispatch::duplicated(tensor.into_dispatch());
    [first, second].map(Tensor::from_dispatch)
}

/// `tensor · factor`. Without gradient.
pub fn scaled(tensor: Tensor<1>, factor: f32) -> Tensor<1> {
    let factor = Tensor::<1>::from_floats([factor], &tensor.device()).cast(tensor.dtype());
    on_backend!(scaled(tensor, factor))
}

/// The mean of all elements, `[1]`.
pub fn mean(values: Tensor<3>) -> Tensor<1> {
    on_backend!(mean(values))
}

/// Sums, multiples and means on a backend.
#[backend_extension(Flex, Cube: cfg(feature = "gpu"), Autodiff)]
pub trait ArithmeticOps: Backend {
    /// `left + right` of one shape.
    fn sum_of_two(left: FloatTensor<Self>, right: FloatTensor<Self>) -> FloatTensor<Self> {
        plain::sum_of_two::<Self>(left, right)
    }

    /// The same tensor twice, for two uses whose gradients are added by
    /// [`sum_of_two`](Self::sum_of_two).
    fn duplicated(tensor: FloatTensor<Self>) -> (FloatTensor<Self>, FloatTensor<Self>) {
        (tensor.clone(), tensor)
    }

    /// `tensor · factor` with a factor of one element.
    fn scaled(tensor: FloatTensor<Self>, factor: FloatTensor<Self>) -> FloatTensor<Self> {
        plain::scaled::<Self>(tensor, factor)
    }

    /// The mean of all elements, `[1]`.
    fn mean(values: FloatTensor<Self>) -> FloatTensor<Self> {
        plain::mean::<Self>(values)
    }

    /// The gradient of [`mean`](Self::mean) for values of this shape; `gradient` is `[1]`.
    fn mean_backward(gradient: FloatTensor<Self>, shape: Shape) -> FloatTensor<Self> {
        plain::mean_backward::<Self>(gradient, shape)
    }
}

pub mod plain {
    use burn::backend::tensor::FloatTensor;
    use burn::backend::{Backend, TensorMetadata};
    use burn::tensor::Shape;

    /// Plain body of the method of this name.
    pub fn sum_of_two<B: Backend>(left: FloatTensor<B>, right: FloatTensor<B>) -> FloatTensor<B> {
        B::float_add(left, right)
    }

    /// Plain body of the method of this name.
    pub fn scaled<B: Backend>(tensor: FloatTensor<B>, factor: FloatTensor<B>) -> FloatTensor<B> {
        let rank = tensor.shape().num_dims();
        B::float_mul(tensor, B::float_reshape(factor, Shape::from(vec![1; rank])))
    }

    /// Plain body of the method of this name.
    pub fn mean<B: Backend>(values: FloatTensor<B>) -> FloatTensor<B> {
        B::float_mean(values)
    }

    /// Plain body of the method of this name.
    pub fn mean_backward<B: Backend>(gradient: FloatTensor<B>, shape: Shape) -> FloatTensor<B> {
        let scaled = B::float_mul_scalar(gradient, (1.0 / shape.num_elements() as f64).into());
        let ones = Shape::from(vec![1; shape.num_dims()]);
        B::float_expand(B::float_reshape(scaled, ones), shape)
    }
}

impl ArithmeticOps for Flex {
    fn sum_of_two(left: Float, right: Float) -> Float {
        match kernel_inputs([left, right]) {
            Ok([left, right]) => tensor(kernels::update::add(&left, &right), left.shape()),
            Err([left, right]) => plain::sum_of_two::<Self>(left, right),
        }
    }

    fn scaled(values: Float, factor: Float) -> Float {
        if !are_f32(&[&values, &factor]) {
            return plain::scaled::<Self>(values, factor);
        }
        let factor = KernelInput::new(factor)[0];
        if factor == 1.0 {
            return values;
        }
        let (mut output, shape) = into_values(values);
        kernels::update::scale(&mut output, factor);
        tensor(output, shape)
    }

    fn mean(values: Float) -> Float {
        match kernel_inputs([values]) {
            Ok([values]) => vector(vec![kernels::routing::mean(&values)]),
            Err([values]) => plain::mean::<Self>(values),
        }
    }

    fn mean_backward(gradient: Float, shape: Shape) -> Float {
        match kernel_inputs([gradient]) {
            Ok([gradient]) => {
                let count = shape.num_elements();
                tensor(vec![gradient[0] / count as f32; count], shape)
            }
            Err([gradient]) => plain::mean_backward::<Self>(gradient, shape),
        }
    }
}

#[cfg(feature = "gpu")]
impl ArithmeticOps for burn::backend::Cube {}

impl<B: ArithmeticOps, C: CheckpointStrategy> ArithmeticOps for Autodiff<B, C> {
    fn sum_of_two(left: FloatTensor<Self>, right: FloatTensor<Self>) -> FloatTensor<Self> {
        Tape::<B, C>::saving_nothing(
            [left, right],
            |[left, right]| B::sum_of_two(left, right),
            |gradient| [gradient.clone(), gradient],
        )
    }

    fn duplicated(tensor: FloatTensor<Self>) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let registered = Arc::default();
        let for_one_use = |tensor: FloatTensor<Self>| {
            let (tensor, node) = tensor.into_parts();
            let prepared = Backward::<B, 1>::prepare::<C>(OneOfTwoUses, [node]);
            match prepared.compute_bound().stateful() {
                OpsKind::Tracked(prepared) => prepared.finish(Arc::clone(&registered), tensor),
                OpsKind::UnTracked(prepared) => prepared.finish(tensor),
            }
        };
        (for_one_use(tensor.clone()), for_one_use(tensor))
    }

    fn mean(values: FloatTensor<Self>) -> FloatTensor<Self> {
        let shape = values.shape();
        Tape::<B, C>::saving_nothing(
            [values],
            |[values]| B::mean(values),
            |gradient| [B::mean_backward(gradient, shape)],
        )
    }
}

/// One of two uses of a tensor. Whichever comes first in the backward pass registers its gradient;
/// the other one takes what is registered by then and puts the sum in its place.
#[derive(Debug)]
struct OneOfTwoUses;

impl<B: ArithmeticOps> Backward<B, 1> for OneOfTwoUses {
    /// Whether the other use has registered its gradient.
    type State = Arc<AtomicBool>;

    fn backward(
        self,
        ops: Ops<Self::State, 1>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let mut gradient = gradients.consume::<B>(&ops.node);
        let [parent] = ops.parents;
        if let Some(parent) = parent {
            if ops.state.swap(true, Ordering::Relaxed) {
                gradient = B::sum_of_two(gradients.consume::<B>(&parent), gradient);
            }
            gradients.register::<B>(parent.id, gradient);
        }
    }
}
