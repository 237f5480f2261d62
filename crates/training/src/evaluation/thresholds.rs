//! Thresholds below which the inputs of a trained dense model's layers are taken as 0.
//!
//! The thresholds follow from the magnitudes of the inputs on training text; the model then
//! computes with the small inputs as 0, and counts them. See [`learned_dropout::threshold_sparsity`].

use data::error::DataError;
use data::{Tokens, batches};
use learned_dropout::Transformer;
use model::{ConfigProblem, CutInputs, Pass};

use super::{ExecutedShare, ForwardFlops, device_of};
use crate::flops;
use crate::token_batch::id_tensor;

/// Tokens that the magnitudes are taken from.
const CALIBRATION_TOKENS: usize = 1 << 14;

/// Why a model got no thresholds.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ThresholdError {
    /// The model is not dense: it has experts or learned masks.
    #[error("thresholds for small inputs: {0}")]
    NotDense(ConfigProblem),
    /// The share of inputs to be taken as 0 is no share.
    #[error("thresholds for small inputs: the sparsity is {found}; expected a share from 0 to 1")]
    Sparsity {
        /// The share that was asked for.
        found: f64,
    },
    /// The tokens cannot be read, or there are fewer than two.
    #[error(transparent)]
    Data(#[from] DataError),
}

/// Sets a threshold for each layer, below which the share `sparsity` of its inputs lies.
///
/// The magnitudes are those of about 16,384 tokens, in windows at even distances over the whole
/// text.
///
/// # Errors
/// The model has experts or learned masks, `sparsity` is not from 0 to 1, or the tokens cannot be
/// read.
pub fn calibrate(
    model: &mut Transformer,
    tokens: &Tokens,
    inputs: CutInputs,
    sparsity: f64,
) -> Result<(), ThresholdError> {
    if !(0.0..=1.0).contains(&sparsity) {
        return Err(ThresholdError::Sparsity { found: sparsity });
    }
    model
        .record_magnitudes(inputs)
        .map_err(ThresholdError::NotDense)?;
    let device = device_of(model);
    let longest = tokens.len().saturating_sub(1).max(1);
    let context = model.config().context.min(longest);
    let windows = CALIBRATION_TOKENS.div_ceil(context) as u64;
    for window in 0..windows {
        let mut evenly_spaced = |bound: u64| (bound - 1) * window / windows;
        let batch = batches::sample(tokens, 1, context, &mut evenly_spaced)?;
        let ids = id_tensor(batch.inputs, [1, context], &device);
        model.forward(ids, &Pass::Evaluate);
    }
    model.cut_small_inputs(sparsity);
    Ok(())
}

/// What a model with thresholds executed since they were set.
pub fn executed_share(model: &mut Transformer) -> ExecutedShare {
    let layers = model.cut_layers();
    let all: usize = layers.iter().map(|layer| layer.parameters).sum();
    let unused: f64 = layers
        .iter()
        .map(|layer| layer.sparsity * layer.parameters as f64)
        .sum();
    let dense = flops::forward_per_token(model.config());
    ExecutedShare {
        density: 1.0 - unused / all.max(1) as f64,
        forward_flops_per_token: ForwardFlops {
            dense: dense as u64,
            executed: (dense - 2.0 * unused) as u64,
        },
    }
}
