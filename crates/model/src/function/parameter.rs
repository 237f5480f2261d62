//! The description of a mask function's tensors, and the shift, which every function has.

use std::f64::consts::PI;

use crate::problem::{Allowed, Checks};

/// The name of the shift's tensor, after the mask's prefix.
pub const SHIFT: &str = "shift";

/// A tensor of a mask function. It has one dimension.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FunctionParameter {
    /// The name, after the mask's prefix.
    pub name: &'static str,
    /// The number of elements.
    pub count: usize,
    /// The initial value of every element.
    pub initial: f64,
    /// The value of every element with which `M` is near 1 where `z` is near 0.
    pub nearly_open: f64,
}

/// Records a problem if an initial shift is outside [0, π].
pub(super) fn check_shift(shift_init: f64, checks: &mut Checks) {
    let shifts = Allowed::from(0.0..=PI).called("a value");
    checks.range("shift_init", shift_init, shifts);
}
