//! Sparsity without training: inputs of linear layers whose magnitude is small are taken as 0.
//!
//! The idea of Liu et al., "Training-free activation sparsity in large language models" (TEAL,
//! 2024), for every token of a text. The thresholds of the layers come from magnitudes that were
//! recorded on a text: the wanted share of them lies below.
//!
//! ```
//! use burn::tensor::{Device, Int, Tensor};
//! use learned_dropout::cut::CutInputs;
//! use learned_dropout::pass::Pass;
//! use learned_dropout::{Transformer, TransformerConfig};
//!
//! let config = TransformerConfig {
//!     vocabulary: 11, context: 8, width: 4, heads: 2, layers: 1, dropout: 0.0,
//!     feed_forward: Default::default(), learned_dropout: None,
//! };
//! let device = Device::flex();
//! let mut model = Transformer::new(&config, 1, &device);
//! let ids = Tensor::<1, Int>::arange(0..8, &device).unsqueeze();
//! model.record_magnitudes(CutInputs::Hidden).unwrap();
//! model.loss(ids.clone(), ids.clone(), &Pass::Evaluate);
//! model.cut_small_inputs(0.5);
//! model.loss(ids.clone(), ids, &Pass::Evaluate);
//! let layers = model.cut_layers();
//! assert_eq!(layers[0].parameters, 16 * 4);
//! assert!((layers[0].sparsity - 0.5).abs() < 0.1);
//! ```

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use burn::tensor::Tensor;

use crate::config::ConfigProblem;
use crate::feed_forward::Kind;
use crate::linear::Linear;
use crate::transformer::Transformer;

/// Which inputs are cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CutInputs {
    /// The hidden units of the feed-forwards: the inputs of their down projections.
    #[default]
    Hidden,
    /// The inputs of all linear layers of the blocks.
    All,
}

/// What became of the inputs of one linear layer.
#[derive(Clone, Debug, PartialEq)]
pub struct CutLayer {
    /// Number of its weights; the share `sparsity` of them is not needed for a token on average.
    pub parameters: usize,
    /// Magnitudes below are taken as 0.
    pub threshold: f32,
    /// Share of the inputs that were 0 since the threshold was set; 0 where there were none.
    pub sparsity: f64,
}

/// Magnitudes are counted by the upper half of their bits, which is in their order: their
/// thresholds are known to 0.8%.
const COUNTED_BITS: u32 = 16;

/// What a layer knows of the inputs that it takes as 0.
#[derive(Debug, Default)]
struct Inputs {
    /// How often each magnitude was seen, while there is no threshold.
    magnitudes: Vec<u64>,
    threshold: Option<f32>,
    zeros: u64,
    elements: u64,
}

/// A layer's treatment of small inputs; does nothing unless it is switched on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cut(Option<Arc<Mutex<Inputs>>>);

impl Cut {
    fn recording() -> Self {
        let inputs = Inputs {
            magnitudes: vec![0; 1 << (32 - COUNTED_BITS)],
            ..Inputs::default()
        };
        Self(Some(Arc::new(Mutex::new(inputs))))
    }

    fn inputs(&self) -> Option<MutexGuard<'_, Inputs>> {
        let inputs = self.0.as_ref()?;
        Some(inputs.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether the layer has to look at its inputs.
    pub(crate) fn is_active(&self) -> bool {
        self.0.is_some()
    }

    /// What the layer takes for an input, `[batch, time, channels]`.
    pub(crate) fn apply(&self, input: Tensor<3>) -> Tensor<3> {
        let Some(mut inputs) = self.inputs() else {
            return input;
        };
        let Some(threshold) = inputs.threshold else {
            let values = input.to_data();
            for value in values.iter::<f32>() {
                inputs.magnitudes[(value.abs().to_bits() >> COUNTED_BITS) as usize] += 1;
            }
            return input;
        };
        let small = input.clone().abs().lower_elem(threshold);
        let cut = input.mask_fill(small, 0.0);
        let values = cut.to_data();
        inputs.elements += values.num_elements() as u64;
        inputs.zeros += values.iter::<f32>().filter(|&value| value == 0.0).count() as u64;
        cut
    }
}

impl Inputs {
    /// Sets the threshold to what a share of the recorded magnitudes lies below, as nearly as they
    /// were counted.
    fn set_threshold(&mut self, share: f64) {
        let all: u64 = self.magnitudes.iter().sum();
        let wanted = (share * all as f64).round() as u64;
        let mut below = 0;
        let mut number = 0;
        for (index, count) in self.magnitudes.iter().enumerate() {
            // The nearer one of the two ends of this magnitude's counter.
            if below + count / 2 >= wanted {
                break;
            }
            below += count;
            number = index as u32 + 1;
        }
        self.threshold = Some(f32::from_bits(number << COUNTED_BITS));
        self.magnitudes = Vec::new();
    }
}

impl Transformer {
    /// Begins to record the magnitudes of inputs; the next passes are those of the calibration.
    ///
    /// # Errors
    /// The model is not a dense one: it has experts or learned masks.
    pub fn record_magnitudes(&mut self, which: CutInputs) -> Result<(), ConfigProblem> {
        let config = self.config();
        let refused = |key: &str, found: &str| {
            let expected = "magnitudes can be cut in models without experts and learned masks";
            ConfigProblem::new(key, found, expected)
        };
        if config.learned_dropout.is_some() {
            return Err(refused("learned_dropout", "there"));
        }
        if config.feed_forward.experts().is_some() {
            return Err(refused("feed_forward.kind", config.feed_forward.name()));
        }
        for linear in self.cut_linears(which) {
            linear.cut = Cut::recording();
        }
        Ok(())
    }

    /// Ends the recording: from now on, inputs are cut so that the share `sparsity` of those that
    /// were recorded would be 0 in each layer.
    pub fn cut_small_inputs(&mut self, sparsity: f64) {
        for linear in self.cut_linears(CutInputs::All) {
            if let Some(mut inputs) = linear.cut.inputs() {
                inputs.set_threshold(sparsity);
            }
        }
    }

    /// What became of the inputs of all layers that cut them, from the first block to the last.
    pub fn cut_layers(&mut self) -> Vec<CutLayer> {
        let layers = self.cut_linears(CutInputs::All).into_iter();
        let layers = layers.filter_map(|linear| {
            let inputs = linear.cut.inputs()?;
            Some(CutLayer {
                parameters: linear.weight.dims().iter().product(),
                threshold: inputs.threshold.unwrap_or(0.0),
                sparsity: inputs.zeros as f64 / inputs.elements.max(1) as f64,
            })
        });
        layers.collect()
    }

    fn cut_linears(&mut self, which: CutInputs) -> Vec<&mut Linear> {
        let mut linears = Vec::new();
        for block in &mut self.blocks {
            let (up, down) = match &mut block.feed_forward.kind {
                Kind::Dense(layer) => (&mut layer.up, &mut layer.down),
                Kind::Relu(layer) => (&mut layer.up, &mut layer.down),
                Kind::MixtureOfExperts(_) | Kind::ReluRoutedExperts(_) => continue,
            };
            if which == CutInputs::All {
                let attention = &mut block.attention;
                linears.extend([&mut attention.query_key_value, &mut attention.output, up]);
            }
            linears.push(down);
        }
        linears
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;

    fn tensor(values: &[f32]) -> Tensor<3> {
        let data = TensorData::new(values.to_vec(), [1, 1, values.len()]);
        Tensor::from_data(data, &Device::flex())
    }

    #[test]
    fn magnitudes_worked_by_hand() {
        let cut = Cut::recording();
        let x = tensor(&[0.0, -1.0, 2.0, -4.0, 8.0]);
        let same = cut.apply(x.clone()).into_data();
        assert_eq!(same, x.clone().into_data());
        cut.inputs().unwrap().set_threshold(0.6);
        let found = cut.apply(x.clone()).into_data();
        assert_eq!(found, tensor(&[0.0, 0.0, 0.0, -4.0, 8.0]).into_data());
        let inputs = cut.inputs().unwrap();
        // The next counter after that of 2.
        assert_eq!(inputs.threshold, Some(2.015_625));
        assert_eq!((inputs.zeros, inputs.elements), (3, 5));
        drop(inputs);
        let nothing = Cut::default();
        assert!(!nothing.is_active());
        assert_eq!(nothing.apply(x.clone()).into_data(), x.into_data());
    }

    #[test]
    fn no_sparsity_cuts_nothing_and_all_of_it_everything() {
        let x = tensor(&[0.5, -1.0, 2.0]);
        for (share, expected) in [(0.0, [0.5, -1.0, 2.0]), (1.0, [0.0; 3])] {
            let cut = Cut::recording();
            cut.apply(x.clone());
            cut.inputs().unwrap().set_threshold(share);
            assert_eq!(
                cut.apply(x.clone()).into_data(),
                tensor(&expected).into_data()
            );
        }
    }
}
