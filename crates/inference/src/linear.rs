//! Linear layers that use all inputs, or only large ones.

use kernels::decode::{ByInput, Format, Matrix};
use kernels::kept_groups::KeptGroups;

use crate::workers::{FEW_TOKENS, Workers};

/// A linear layer of a block.
pub(crate) enum Linear {
    /// Uses all inputs.
    Whole(Matrix),
    /// Sets inputs with a small magnitude to 0. For few tokens, their weights are not read.
    Cut {
        weights: ByInput,
        /// Inputs with a smaller magnitude are set to 0.
        threshold: f32,
        /// The expected share of small inputs.
        sparsity: f64,
    },
}

impl Linear {
    /// Stores `weight`, `[outputs, inputs]`.
    pub(crate) fn new(
        weight: &[f32],
        (outputs, inputs): (usize, usize),
        format: Format,
        cut: Option<(f32, f64)>,
    ) -> Self {
        match cut {
            None => Self::Whole(Matrix::new(weight, outputs, inputs, format)),
            Some((threshold, sparsity)) => Self::Cut {
                weights: ByInput::new(weight, outputs, inputs, format),
                threshold,
                sparsity,
            },
        }
    }

    /// Number of outputs.
    pub(crate) fn outputs(&self) -> usize {
        match self {
            Self::Whole(matrix) => matrix.outputs(),
            Self::Cut { weights, .. } => weights.outputs(),
        }
    }

    /// The bytes of the weights, the number of weights, and the share of them that a token needs.
    pub(crate) fn size(&self) -> (usize, usize, f64) {
        match self {
            Self::Whole(matrix) => (matrix.bytes(), matrix.outputs() * matrix.inputs(), 1.0),
            Self::Cut {
                weights, sparsity, ..
            } => (
                weights.bytes(),
                weights.outputs() * weights.inputs(),
                1.0 - sparsity,
            ),
        }
    }

    /// [`multiply`](Self::multiply) without the outputs that tokens drop, if some are: the first outputs are
    /// in groups, of which each token keeps some. `kept` also has the outputs of a group. Outputs that are
    /// left out hold anything. A layer that sets small inputs to 0 computes all.
    pub(crate) fn multiply_kept(
        &self,
        workers: &Workers,
        x: &[f32],
        y: &mut [f32],
        kept: Option<(&KeptGroups, usize)>,
    ) {
        match (self, kept) {
            (Self::Whole(matrix), Some((kept, group))) => {
                workers.multiply_kept(matrix, x, y, kept, group);
            }
            _ => self.multiply(workers, x, y),
        }
    }

    /// `y = x · weightᵀ`, without small inputs. Must run in the engine's threads.
    pub(crate) fn multiply(&self, workers: &Workers, x: &[f32], y: &mut [f32]) {
        let (weights, threshold) = match self {
            Self::Whole(matrix) => return workers.multiply(matrix, x, y),
            Self::Cut {
                weights, threshold, ..
            } => (weights, *threshold),
        };
        let cut = |&value: &f32| {
            if value.abs() < threshold { 0.0 } else { value }
        };
        let large: Vec<f32> = x.iter().map(cut).collect();
        if x.len() <= FEW_TOKENS * weights.inputs() {
            weights.multiply(workers.team(), y, &large);
        } else {
            weights.multiply_many(y, &large, workers.precision());
        }
    }
}
