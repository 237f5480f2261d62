//! The feed-forward `activation(norm(x) · upᵀ) · downᵀ`, one tile of tokens at a time.
//!
//! The input of the activation function can be saved for the backward pass, which else computes it
//! again. Hidden units can be multiplied by factors, and their sum can be given besides the output.

mod backward;
mod forward;

pub use backward::{Gradients, OutputGradients, backward, backward_masked, backward_with};
pub use forward::{Output, Wanted, forward, forward_masked, forward_with};

use crate::activation::Activation;
use crate::linear::Norm;

/// The shape of a feed-forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Rows of the input and the output.
    pub tokens: usize,
    /// Channels of the input and the output.
    pub width: usize,
    /// Hidden units.
    pub hidden: usize,
}

/// The weights of a feed-forward, and its activation function.
#[derive(Clone, Copy, Debug)]
pub struct Weights<'a> {
    /// The LayerNorm in front, if any.
    pub norm: Option<Norm<'a>>,
    /// `[hidden, width]`.
    pub up: &'a [f32],
    /// What the hidden units are computed with.
    pub activation: Activation,
    /// `[width, hidden]`.
    pub down: &'a [f32],
}

/// Factors of groups of neighbouring hidden units. A group with the factor 0 is dropped.
#[derive(Clone, Copy, Debug)]
pub struct Factors<'a> {
    /// `[tokens, hidden / group]`.
    pub values: &'a [f32],
    /// Hidden units that share a factor. It divides the number of hidden units.
    pub group: usize,
    /// Whether the gradient of a factor of 0 is 0.
    pub kept_only: bool,
}

impl Shape {
    pub(crate) fn check(&self, x: &[f32], weights: &Weights<'_>) {
        let Self {
            tokens,
            width,
            hidden,
        } = *self;
        assert!(width > 0 && hidden > 0, "an empty feed-forward");
        assert_eq!(x.len(), tokens * width, "input");
        assert_eq!(weights.up.len(), hidden * width, "up weight");
        assert_eq!(weights.down.len(), hidden * width, "down weight");
        assert!(
            weights.norm.is_none_or(|norm| norm.weight.len() == width),
            "norm"
        );
    }

    /// Factors of each token; 0 without factors.
    fn values(&self, factors: Option<Factors<'_>>) -> usize {
        factors.map_or(0, |factors| {
            let values = self.hidden / factors.group;
            assert_eq!(values * factors.group, self.hidden, "whole groups");
            assert_eq!(factors.values.len(), self.tokens * values, "factors");
            values
        })
    }
}
