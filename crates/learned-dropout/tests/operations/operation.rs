//! The checks that every operation must pass.

use burn::tensor::{DType, Device};

use crate::differentiate::{
    Function, Input, Primitive, assert_close, differentiate, evaluate, output_gradient, read,
};
use crate::support::device;

/// Tolerance for sums of products in f32. Their relative error is about 6e-8 times the root of the number of
/// terms, which is at most a few thousand here. Both sides have this error.
pub const TOLERANCE: f64 = 2e-5;

/// Tolerance in f64, whose errors are 2⁻²⁹ of those of f32. It leaves room for sums that cancel.
const TOLERANCE_F64: f64 = 1e-11;

/// A function from the gradients of the outputs, and the inputs, to the gradients of the inputs.
pub type Backward<'a, const N: usize, const M: usize> =
    &'a dyn Fn([Primitive; M], [Primitive; N]) -> [Primitive; N];

/// One case of an operation with `N` inputs and `M` outputs.
pub struct Operation<'a, const N: usize, const M: usize> {
    pub inputs: [Input; N],
    /// The operation.
    pub operation: Function<'a, N, M>,
    /// Its plain body.
    pub plain: Function<'a, N, M>,
    /// The plain body of its backward pass; none if it has no gradient.
    pub plain_backward: Option<Backward<'a, N, M>>,
    /// The same computation by burn's own operations, with the same gradients.
    pub formula: Function<'a, N, M>,
}

impl<const N: usize, const M: usize> Operation<'_, N, M> {
    /// Asserts for outputs and gradients
    /// - that the operation agrees with the formula, in f32 on the device under test;
    /// - that the plain bodies agree with the operation there: on the CPU with the kernels;
    /// - that the operation agrees with the formula in f64 on the CPU, where the plain bodies compute it.
    #[track_caller]
    pub fn check(self) {
        let device = device();
        self.check_operation(DType::F32, &device, TOLERANCE);
        self.check_plain_bodies(&device);
        self.check_operation(DType::F64, &Device::flex(), TOLERANCE_F64);
    }

    #[track_caller]
    fn check_operation(&self, dtype: DType, device: &Device, tolerance: f64) {
        if self.plain_backward.is_none() {
            let found = evaluate(&self.inputs, dtype, device, self.operation);
            let expected = evaluate(&self.inputs, dtype, device, self.formula);
            assert_close(&format!("{dtype:?} output"), &found, &expected, tolerance);
            return;
        }
        let found = differentiate(&self.inputs, dtype, device, self.operation);
        let expected = differentiate(&self.inputs, dtype, device, self.formula);
        let what = |what| format!("{dtype:?} {what}");
        assert_close(
            &what("output"),
            &found.outputs,
            &expected.outputs,
            tolerance,
        );
        let (found, expected) = (found.gradients, expected.gradients);
        assert_close(&what("gradient"), &found, &expected, tolerance);
    }

    #[track_caller]
    fn check_plain_bodies(&self, device: &Device) {
        let dtype = DType::F32;
        let found = evaluate(&self.inputs, dtype, device, self.plain);
        let expected = evaluate(&self.inputs, dtype, device, self.operation);
        assert_close("plain output", &found, &expected, TOLERANCE);
        let Some(backward) = self.plain_backward else {
            return;
        };
        let inputs = || {
            let inputs = self.inputs.each_ref();
            inputs.map(|input| input.primitive(dtype, device))
        };
        let outputs = (self.plain)(inputs());
        let gradients = std::array::from_fn(|index| {
            output_gradient(&outputs[index], index).primitive(dtype, device)
        });
        let found: Vec<_> = backward(gradients, inputs()).map(read).into();
        let expected = differentiate(&self.inputs, dtype, device, self.operation);
        assert_close("plain gradient", &found, &expected.gradients, TOLERANCE);
    }
}
