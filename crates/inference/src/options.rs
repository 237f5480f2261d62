//! How an engine computes: threads, format of the weights, what it leaves out.

use kernels::decode::Format;
use kernels::level::Level;
use kernels::product::Precision;
use model::{CutInputs, MaskInput, TransformerConfig};

/// How an engine computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineOptions {
    /// How many threads work on one token; 0 stands for all that the machine has. The results have
    /// the same bits for any number of them.
    pub threads: usize,
    /// What the matrices are stored as. Sums are f32 in any case.
    pub format: Format,
    /// Computes what the masks drop, too. The results are the same but for rounding.
    pub dense: bool,
}

impl Default for EngineOptions {
    /// f32, on all threads, without what the masks drop.
    fn default() -> Self {
        Self {
            threads: 0,
            format: Format::F32,
            dense: false,
        }
    }
}

impl EngineOptions {
    /// Whether what the masks of a model drop is not computed: they are known before it, and drop
    /// values whole.
    pub(crate) fn leaves_out_dropped(&self, config: &TransformerConfig) -> bool {
        let masks = config.learned_dropout.as_ref();
        !self.dense
            && masks
                .is_some_and(|masks| masks.input != MaskInput::Hidden && masks.rounding.is_binary())
    }
}

/// Thresholds below which inputs of linear layers are taken as 0, as
/// `learned_dropout::threshold_sparsity` finds them.
#[derive(Clone, Debug, PartialEq)]
pub struct Thresholds {
    /// Which inputs have thresholds.
    pub inputs: CutInputs,
    /// The share of the inputs that is expected to be below them, from 0 to 1.
    pub sparsity: f64,
    /// The thresholds, in the order of the layers in a forward pass.
    pub values: Vec<f32>,
}

/// The format in which this machine runs a model fastest: 16 bits, unless the model fits into the
/// cache, or the processor is slow with them.
pub fn fastest_format(config: &TransformerConfig) -> Format {
    if 4 * config.parameters() < CACHE || Level::current() == Level::Portable {
        return Format::F32;
    }
    match Precision::fastest() {
        Precision::Bf16 => Format::Bf16,
        Precision::F32 => Format::F16,
    }
}

/// Bytes of weights that need not come from memory for each token.
const CACHE: usize = 32 << 20;
