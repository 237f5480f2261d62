//! What an optimizer computes of parameters and gradients. Nothing here has a gradient.

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::Tensor;
use kernels::update::AdamW;

use super::cpu::{Float, KernelInput, are_f32, into_values, kernel_inputs, tensor, vector};

/// The sum of the squares of all elements, `[1]`. Without gradient.
pub fn sum_of_squares(tensor: Tensor<1>) -> Tensor<1> {
    on_backend!(sum_of_squares(tensor))
}

/// One update of AdamW: the new parameter, first and second moment. Without gradient.
pub fn adamw(
    parameter: Tensor<1>,
    gradient: Tensor<1>,
    [first, second]: [Tensor<1>; 2],
    step: AdamW,
) -> (Tensor<1>, [Tensor<1>; 2]) {
    let (parameter, first, second) = Dispatch::adamw(
        parameter.into_dispatch(),
        gradient.into_dispatch(),
        first.into_dispatch(),
        second.into_dispatch(),
        step,
    );
    let [first, second] = [first, second].map(Tensor::from_dispatch);
    (Tensor::from_dispatch(parameter), [first, second])
}

/// The computations of an optimizer on a backend.
#[backend_extension(Flex, Cube: cfg(feature = "gpu"), Autodiff)]
pub trait OptimizerOps: Backend {
    /// The sum of the squares of all elements, `[1]`. Without gradient.
    fn sum_of_squares(tensor: FloatTensor<Self>) -> FloatTensor<Self> {
        plain::sum_of_squares::<Self>(tensor)
    }

    /// One update of AdamW: parameter, first and second moment, from their old values and the
    /// gradient. All have one shape. Without gradient.
    fn adamw(
        parameter: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        step: AdamW,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        plain::adamw::<Self>(parameter, gradient, first, second, step)
    }
}

pub mod plain {
    use burn::backend::Backend;
    use burn::backend::tensor::FloatTensor;
    use kernels::update::AdamW;

    /// Plain body of the method of this name.
    pub fn sum_of_squares<B: Backend>(tensor: FloatTensor<B>) -> FloatTensor<B> {
        B::float_sum(B::float_mul(tensor.clone(), tensor))
    }

    /// Plain body of the method of this name.
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
        let gradient = B::float_mul_scalar(gradient, step.gradient_scale.into());
        let square = B::float_mul(gradient.clone(), gradient.clone());
        let first = moved(first, step.betas[0], gradient);
        let second = moved(second, step.betas[1], square);
        let root = B::float_mul_scalar(B::float_sqrt(second.clone()), step.root_scale.into());
        let change = B::float_div(
            first.clone(),
            B::float_add_scalar(root, step.epsilon.into()),
        );
        let decayed = B::float_mul_scalar(parameter, step.keep.into());
        let updated = B::float_sub(decayed, B::float_mul_scalar(change, step.rate.into()));
        (updated, first, second)
    }
}

impl OptimizerOps for Flex {
    fn sum_of_squares(values: Float) -> Float {
        match kernel_inputs([values]) {
            Ok([values]) => vector(vec![kernels::update::sum_of_squares(&values) as f32]),
            Err([values]) => plain::sum_of_squares::<Self>(values),
        }
    }

    fn adamw(
        parameter: Float,
        gradient: Float,
        first: Float,
        second: Float,
        step: AdamW,
    ) -> (Float, Float, Float) {
        if !are_f32(&[&parameter, &gradient, &first, &second]) {
            return plain::adamw::<Self>(parameter, gradient, first, second, step);
        }
        let gradient = KernelInput::new(gradient);
        let [mut p, mut m, mut v] = [parameter, first, second].map(into_values);
        kernels::update::adamw(&mut p.0, &mut m.0, &mut v.0, &gradient, step);
        (tensor(p.0, p.1), tensor(m.0, m.1), tensor(v.0, v.1))
    }
}

#[cfg(feature = "gpu")]
impl OptimizerOps for burn::backend::Cube {}

/// Optimizers take tensors without autodiff; for others the plain bodies are there.
impl<B: OptimizerOps, C: CheckpointStrategy> OptimizerOps for Autodiff<B, C> {}
