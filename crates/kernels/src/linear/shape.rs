//! The shape of a linear layer.

use crate::layer_norm::Norm;

/// The shape of a linear layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Rows of the input.
    pub tokens: usize,
    /// Channels of the input.
    pub inputs: usize,
    /// Channels of the output.
    pub outputs: usize,
}

impl Shape {
    pub(crate) fn check(&self, x: &[f32], norm: Option<Norm<'_>>, weight: &[f32]) {
        assert!(self.inputs > 0 && self.outputs > 0, "an empty layer");
        assert_eq!(x.len(), self.tokens * self.inputs, "input");
        assert_eq!(weight.len(), self.outputs * self.inputs, "weight");
        assert!(
            norm.is_none_or(|norm| norm.weight.len() == self.inputs),
            "norm"
        );
    }
}
