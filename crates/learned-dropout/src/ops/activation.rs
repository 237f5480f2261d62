//! Activation functions: GELU and ReLU.

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Flex, backend_extension};
use burn::tensor::Tensor;
use kernels::activation::Activation;

use super::cpu::{Float, kernel_inputs, tensor};
use super::tape::Tape;

/// The exact GELU, `x Φ(x)`, from Hendrycks and Gimpel, "Gaussian error linear units" (2016).
pub fn gelu(x: Tensor<3>) -> Tensor<3> {
    on_backend!(exact_gelu(x))
}

/// `max(x, 0)`.
pub fn relu(x: Tensor<3>) -> Tensor<3> {
    on_backend!(relu_units(x))
}

/// Activation functions on a backend.
#[backend_extension(Flex, Cube: cfg(feature = "gpu"), Autodiff)]
pub trait ActivationFunctionOps: Backend {
    /// The exact GELU, `x Φ(x)`.
    fn exact_gelu(x: FloatTensor<Self>) -> FloatTensor<Self> {
        plain::exact_gelu::<Self>(x)
    }

    /// The gradient of [`exact_gelu`](Self::exact_gelu).
    fn exact_gelu_backward(gradient: FloatTensor<Self>, x: FloatTensor<Self>) -> FloatTensor<Self> {
        plain::exact_gelu_backward::<Self>(gradient, x)
    }

    /// `max(x, 0)`.
    fn relu_units(x: FloatTensor<Self>) -> FloatTensor<Self> {
        plain::relu_units::<Self>(x)
    }

    /// The gradient of [`relu_units`](Self::relu_units) from its output, `relu`.
    fn relu_units_backward(
        gradient: FloatTensor<Self>,
        relu: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        plain::relu_units_backward::<Self>(gradient, relu)
    }
}

pub mod plain {
    use std::f64::consts::FRAC_1_SQRT_2;

    use burn::backend::Backend;
    use burn::backend::tensor::FloatTensor;
    use kernels::activation::Activation;

    use crate::ops::routing::plain::used;

    /// The values of an activation function.
    pub(in crate::ops) fn activated<B: Backend>(
        x: FloatTensor<B>,
        activation: Activation,
    ) -> FloatTensor<B> {
        match activation {
            Activation::Gelu => exact_gelu::<B>(x),
            Activation::Relu => relu_units::<B>(x),
            Activation::SquaredRelu => {
                let relu = relu_units::<B>(x);
                B::float_mul(relu.clone(), relu)
            }
        }
    }

    /// The gradient of [`activated`].
    pub(in crate::ops) fn activated_backward<B: Backend>(
        gradient: FloatTensor<B>,
        x: FloatTensor<B>,
        activation: Activation,
    ) -> FloatTensor<B> {
        match activation {
            Activation::Gelu => exact_gelu_backward::<B>(gradient, x),
            Activation::Relu => relu_units_backward::<B>(gradient, relu_units::<B>(x)),
            Activation::SquaredRelu => {
                let slope = B::float_mul_scalar(relu_units::<B>(x), 2.0.into());
                B::float_mul(gradient, slope)
            }
        }
    }

    /// `Φ(x)`, the standard normal distribution.
    fn normal_distribution<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
        let error = B::float_erf(B::float_mul_scalar(x, FRAC_1_SQRT_2.into()));
        B::float_mul_scalar(B::float_add_scalar(error, 1.0.into()), 0.5.into())
    }

    /// Plain body of the method of this name.
    pub fn exact_gelu<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
        B::float_mul(x.clone(), normal_distribution::<B>(x))
    }

    /// Plain body of the method of this name: `Φ(x) + x φ(x)` with the normal density `φ`.
    pub fn exact_gelu_backward<B: Backend>(
        gradient: FloatTensor<B>,
        x: FloatTensor<B>,
    ) -> FloatTensor<B> {
        let square = B::float_mul(x.clone(), x.clone());
        let density = B::float_exp(B::float_mul_scalar(square, (-0.5).into()));
        let factor = 1.0 / std::f64::consts::TAU.sqrt();
        let product = B::float_mul_scalar(B::float_mul(x.clone(), density), factor.into());
        B::float_mul(gradient, B::float_add(normal_distribution::<B>(x), product))
    }

    /// Plain body of the method of this name.
    pub fn relu_units<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
        B::relu(x)
    }

    /// Plain body of the method of this name.
    pub fn relu_units_backward<B: Backend>(
        gradient: FloatTensor<B>,
        relu: FloatTensor<B>,
    ) -> FloatTensor<B> {
        B::float_mul(gradient, used::<B>(relu))
    }
}

impl ActivationFunctionOps for Flex {
    fn exact_gelu(x: Float) -> Float {
        match kernel_inputs([x]) {
            Ok([x]) => tensor(Activation::Gelu.forward(&x), x.shape()),
            Err([x]) => plain::exact_gelu::<Self>(x),
        }
    }

    fn exact_gelu_backward(gradient: Float, x: Float) -> Float {
        match kernel_inputs([gradient, x]) {
            Ok([gradient, x]) => tensor(Activation::Gelu.backward(&gradient, &x), x.shape()),
            Err([gradient, x]) => plain::exact_gelu_backward::<Self>(gradient, x),
        }
    }

    fn relu_units(x: Float) -> Float {
        match kernel_inputs([x]) {
            Ok([x]) => tensor(Activation::Relu.forward(&x), x.shape()),
            Err([x]) => plain::relu_units::<Self>(x),
        }
    }

    fn relu_units_backward(gradient: Float, relu: Float) -> Float {
        match kernel_inputs([gradient, relu]) {
            Ok([gradient, relu]) => {
                // ReLU is positive where its input is.
                let output = Activation::Relu.backward(&gradient, &relu);
                tensor(output, relu.shape())
            }
            Err([gradient, relu]) => plain::relu_units_backward::<Self>(gradient, relu),
        }
    }
}

#[cfg(feature = "gpu")]
impl ActivationFunctionOps for burn::backend::Cube {}

impl<B: ActivationFunctionOps, C: CheckpointStrategy> ActivationFunctionOps for Autodiff<B, C> {
    fn exact_gelu(x: FloatTensor<Self>) -> FloatTensor<Self> {
        Tape::<B, C>::saving_inputs(
            [x],
            |[x]| B::exact_gelu(x),
            |gradient, [x]| [B::exact_gelu_backward(gradient, x)],
        )
    }

    fn relu_units(x: FloatTensor<Self>) -> FloatTensor<Self> {
        Tape::<B, C>::saving_output(
            [x],
            |[x]| B::relu_units(x),
            |gradient, relu| [B::relu_units_backward(gradient, relu)],
        )
    }
}
