//! The options of an engine: threads, format of the weights, and what it leaves out.

use kernels::decode::Format;
use kernels::level::Level;
use kernels::product::Precision;
use model::{CutInputs, MaskConfig, MaskInput, Site, TransformerConfig};

/// The options of an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineOptions {
    /// The number of threads; 0 for all of the machine. It does not change the bits of the results.
    pub threads: usize,
    /// The format in which matrices are stored. Sums are always f32.
    pub format: Format,
    /// Also computes what masks drop. The results are the same except for rounding errors.
    pub dense: bool,
}

impl Default for EngineOptions {
    /// f32, all threads, leaving out what masks drop.
    fn default() -> Self {
        Self {
            threads: 0,
            format: Format::F32,
            dense: false,
        }
    }
}

impl EngineOptions {
    /// Whether the engine leaves out what the masks of a model at a site drop, before the masked tensor is
    /// computed. It does so if masks are known then and the factor of a dropped value is 0.
    pub(crate) fn leaves_out_dropped(&self, config: &TransformerConfig, site: Site) -> bool {
        let known = |masks: MaskConfig| masks.input != MaskInput::Hidden;
        self.leaves_out_after(config, site) && config.masks_at(site).is_some_and(known)
    }

    /// Whether the engine leaves out what follows the values that the masks of a model at a site drop: the
    /// factor of a dropped value is 0.
    pub(crate) fn leaves_out_after(&self, config: &TransformerConfig, site: Site) -> bool {
        let drops = |masks: MaskConfig| masks.rounding.drops_whole();
        !self.dense && config.masks_at(site).is_some_and(drops)
    }
}

/// Thresholds below which linear layers set inputs to 0. `learned_dropout::threshold_sparsity` determines
/// them.
#[derive(Clone, Debug, PartialEq)]
pub struct Thresholds {
    /// Which inputs have thresholds.
    pub inputs: CutInputs,
    /// The expected share of inputs below the thresholds, from 0 to 1.
    pub sparsity: f64,
    /// The thresholds, in the order of the layers in a forward pass.
    pub values: Vec<f32>,
}

/// The format in which this machine runs a model fastest: 16 bits, unless the model fits into the cache or
/// the processor is slow with 16-bit values.
pub fn fastest_format(config: &TransformerConfig) -> Format {
    if 4 * config.parameters() < CACHE || Level::current() == Level::Portable {
        return Format::F32;
    }
    match Precision::fastest() {
        Precision::Bf16 => Format::Bf16,
        Precision::F32 => Format::F16,
    }
}

/// Size of the cache in bytes: smaller models are not read from memory for each token.
const CACHE: usize = 32 << 20;
