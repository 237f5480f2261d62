//! What every mask function learns: the shift, and how a learned tensor is described.

use std::f64::consts::PI;

use crate::problem::{Allowed, Checks};

/// The name of the shift's tensor, after that of the mask.
pub const SHIFT: &str = "shift";

/// A tensor that a mask function learns; it has one dimension.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FunctionParameter {
    /// Its name, after that of the mask.
    pub name: &'static str,
    /// Its elements.
    pub count: usize,
    /// What every element begins with.
    pub initial: f64,
}

/// Records a problem with an initial shift.
pub(super) fn check_shift(shift_init: f64, checks: &mut Checks) {
    let shifts = Allowed::from(0.0..=PI).called("a value");
    checks.range("shift_init", shift_init, shifts);
}
