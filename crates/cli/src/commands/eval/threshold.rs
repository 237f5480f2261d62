//! Thresholds below which inputs of a trained model's layers are taken as 0.

use burn::tensor::{Device, Int, Tensor, TensorData};
use data::{DataFolder, Split};
use learned_dropout::Transformer;
use model::{CutInputs, Pass};
use training::flops;

use super::{ForwardFlops, Used};
use crate::failure::Failure;

/// Tokens of the training split that magnitudes are looked at for.
const CALIBRATION_TOKENS: usize = 1 << 14;

/// Sets the thresholds of a model for a share of inputs to be 0, on windows from all over the training
/// split.
pub fn calibrate(
    transformer: &mut Transformer,
    folder: &DataFolder,
    (which, sparsity): (CutInputs, f64),
    device: &Device,
) -> Result<(), Failure> {
    transformer
        .record_magnitudes(which)
        .map_err(|problem| Failure::work(format!("--threshold-sparsity: {problem}")))?;
    let tokens = folder.split(Split::Train);
    let longest = tokens.len().saturating_sub(1).max(1);
    let context = transformer.config().context.min(longest);
    let windows = CALIBRATION_TOKENS.div_ceil(context);
    for window in 0..windows as u64 {
        let mut place = |bound: u64| (bound - 1) * window / windows as u64;
        let batch = data::batches::sample(tokens, 1, context, &mut place)?;
        let tensor = |ids: Vec<u32>| {
            let ids: Vec<i32> = ids.into_iter().map(|id| id as i32).collect();
            Tensor::<2, Int>::from_data(TensorData::new(ids, [1, context]), device)
        };
        transformer.forward(tensor(batch.inputs), &Pass::Evaluate);
    }
    transformer.cut_small_inputs(sparsity);
    Ok(())
}

/// What the cut layers used.
pub(super) fn used(transformer: &mut Transformer) -> Used {
    let layers = transformer.cut_layers();
    let all: usize = layers.iter().map(|layer| layer.parameters).sum();
    let unused = layers
        .iter()
        .map(|layer| layer.sparsity * layer.parameters as f64);
    let unused: f64 = unused.sum();
    let dense = flops::forward_per_token(transformer.config());
    Used {
        density: 1.0 - unused / all.max(1) as f64,
        forward_flops_per_token: ForwardFlops {
            dense: dense as u64,
            executed: (dense - 2.0 * unused) as u64,
        },
    }
}
