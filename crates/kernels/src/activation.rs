//! Activation functions of hidden units, and their gradients.

use crate::gelu::Gelu;
use crate::lane_sums::sum_of_pairs;
use crate::level::levelled;
use crate::uninitialized::{Uninit, as_uninit, from_chunks};

/// Elements of one task.
const CHUNK: usize = 1 << 14;

/// An activation function.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Activation {
    /// The exact GELU, `x Φ(x)`, with the standard normal distribution `Φ`.
    #[default]
    Gelu,
    /// `max(x, 0)`. NaN stays NaN.
    Relu,
    /// `max(x, 0)²`. NaN stays NaN.
    SquaredRelu,
}

/// An activation function of one value. `FUSED` says whether there are fused multiply-add
/// instructions.
pub(crate) trait Function {
    fn value<const FUSED: bool>(x: f32) -> f32;

    /// The value, and the gradient of `x` for the gradient of the value.
    fn value_and_gradient<const FUSED: bool>(x: f32, gradient: f32) -> (f32, f32);
}

struct Relu;

impl Function for Relu {
    #[inline(always)]
    fn value<const FUSED: bool>(x: f32) -> f32 {
        // NaN stays NaN, so that it shows.
        if x < 0.0 { 0.0 } else { x }
    }

    #[inline(always)]
    fn value_and_gradient<const FUSED: bool>(x: f32, gradient: f32) -> (f32, f32) {
        let gradient = if x > 0.0 { gradient } else { 0.0 };
        (Self::value::<FUSED>(x), gradient)
    }
}

struct SquaredRelu;

impl Function for SquaredRelu {
    #[inline(always)]
    fn value<const FUSED: bool>(x: f32) -> f32 {
        let value = Relu::value::<FUSED>(x);
        value * value
    }

    #[inline(always)]
    fn value_and_gradient<const FUSED: bool>(x: f32, gradient: f32) -> (f32, f32) {
        let value = Relu::value::<FUSED>(x);
        (value * value, 2.0 * value * gradient)
    }
}

/// Compiles the code for each activation function, under the name `$function`.
macro_rules! for_each_function {
    ($activation:expr, $function:ident => $code:expr) => {
        match $activation {
            Activation::Gelu => {
                type $function = Gelu;
                $code
            }
            Activation::Relu => {
                type $function = Relu;
                $code
            }
            Activation::SquaredRelu => {
                type $function = SquaredRelu;
                $code
            }
        }
    };
}

levelled! {
    fn value_and_gradient(
        activation: Activation,
        output: &mut [f32],
        gradient: &mut [f32],
        x: &[f32],
    ) {
        for_each_function!(activation, F => {
            for ((output, gradient), &x) in output.iter_mut().zip(gradient).zip(x) {
                (*output, *gradient) = F::value_and_gradient::<FUSED>(x, *gradient);
            }
        })
    }
}

levelled! {
    fn value_gradient_and_product(
        activation: Activation,
        output: &mut [f32],
        gradient: &mut [f32],
        x: &[f32],
        products: &mut [f32],
    ) {
        let width = x.len().checked_div(products.len()).unwrap_or(0).max(1);
        let rows = output.chunks_exact_mut(width).zip(gradient.chunks_exact_mut(width));
        let rows = rows.zip(x.chunks_exact(width).zip(products));
        for_each_function!(activation, F => {
            for ((output, gradient), (x, product)) in rows {
                for (output, &x) in output.iter_mut().zip(x) {
                    *output = F::value::<FUSED>(x);
                }
                *product = sum_of_pairs(output, gradient, |output, gradient| output * gradient);
                for (gradient, &x) in gradient.iter_mut().zip(x) {
                    *gradient = F::value_and_gradient::<FUSED>(x, *gradient).1;
                }
            }
        })
    }
}

levelled! {
    fn in_place(activation: Activation, values: &mut [f32]) {
        for_each_function!(activation, F => {
            for value in values {
                *value = F::value::<FUSED>(*value);
            }
        })
    }
}

levelled! {
    fn write_values(activation: Activation, output: &mut [Uninit], x: &[f32]) {
        for_each_function!(activation, F => {
            for (output, &x) in output.iter_mut().zip(x) {
                output.write(F::value::<FUSED>(x));
            }
        })
    }
}

levelled! {
    fn write_gradients(activation: Activation, output: &mut [Uninit], gradient: &[f32], x: &[f32]) {
        for_each_function!(activation, F => {
            for ((output, &gradient), &x) in output.iter_mut().zip(gradient).zip(x) {
                output.write(F::value_and_gradient::<FUSED>(x, gradient).1);
            }
        })
    }
}

impl Activation {
    /// All activation functions.
    pub const ALL: [Self; 3] = [Self::Gelu, Self::Relu, Self::SquaredRelu];

    /// Whether many values are exactly 0: then leaving them out saves work.
    pub fn gives_zeros(self) -> bool {
        match self {
            Self::Gelu => false,
            Self::Relu | Self::SquaredRelu => true,
        }
    }

    /// The values.
    pub fn forward(self, x: &[f32]) -> Vec<f32> {
        from_chunks(x.len(), CHUNK, |index, output| {
            let chunk = index * CHUNK..index * CHUNK + output.len();
            self.write(output, &x[chunk])
        })
    }

    /// The gradient of `x` for the gradient of [`forward`](Self::forward). At 0 the gradient of both
    /// kinds of ReLU is 0; that of [`Relu`](Self::Relu) can also be computed from its values.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn backward(self, gradient: &[f32], x: &[f32]) -> Vec<f32> {
        assert_eq!(gradient.len(), x.len());
        from_chunks(x.len(), CHUNK, |index, output| {
            let chunk = index * CHUNK..index * CHUNK + output.len();
            write_gradients(self, output, &gradient[chunk.clone()], &x[chunk]);
            // SAFETY: the slices are as long as the chunk, so there is a value for each element.
            unsafe { output.assume_init_mut() }
        })
    }

    /// Replaces `x` by its values.
    pub(crate) fn in_place(self, values: &mut [f32]) {
        in_place(self, values);
    }

    /// Writes the values of `x`.
    pub(crate) fn write<'a>(self, output: &'a mut [Uninit], x: &[f32]) -> &'a mut [f32] {
        assert_eq!(output.len(), x.len());
        write_values(self, output, x);
        // SAFETY: there is a value for each element.
        unsafe { output.assume_init_mut() }
    }

    /// Overwrites `output` with the values of `x`.
    pub(crate) fn copy(self, output: &mut [f32], x: &[f32]) {
        // SAFETY: all values that are written are initialized.
        self.write(unsafe { as_uninit(output) }, x);
    }

    /// Overwrites `output` with the values of `x`, and replaces their gradient by that of `x`.
    pub(crate) fn value_and_gradient(self, output: &mut [f32], gradient: &mut [f32], x: &[f32]) {
        value_and_gradient(self, output, gradient, x);
    }

    /// [`value_and_gradient`](Self::value_and_gradient) that also writes, for each row of `x`, the
    /// sum of the values times their gradient to `products`.
    pub(crate) fn value_gradient_and_product(
        self,
        output: &mut [f32],
        gradient: &mut [f32],
        x: &[f32],
        products: &mut [f32],
    ) {
        value_gradient_and_product(self, output, gradient, x, products);
    }
}
