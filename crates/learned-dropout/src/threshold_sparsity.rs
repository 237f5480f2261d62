//! Sparsity without training: sets inputs of linear layers to 0 if their magnitude is small.
//!
//! The method of Liu et al., "Training-free activation sparsity in large language models" (TEAL,
//! 2024), applied to every token of a text. Each layer's threshold comes from magnitudes recorded on a
//! calibration text: the wanted share of them lies below it.
//!
//! ```
//! use burn::tensor::{Device, Int, Tensor};
//! use learned_dropout::model::CutInputs;
//! use learned_dropout::Pass;
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

use model::{ConfigProblem, CutInputs};

use crate::cut::Cut;
use crate::feed_forward::Kind;
use crate::linear::Linear;
use crate::transformer::Transformer;

/// Statistics of the inputs of one linear layer.
#[derive(Clone, Debug, PartialEq)]
pub struct CutLayer {
    /// Number of its weights. On average a token does not need the share `sparsity` of them.
    pub parameters: usize,
    /// Inputs with a smaller magnitude are set to 0.
    pub threshold: f32,
    /// Share of the inputs that were 0 since the threshold was set; 0 without any inputs.
    pub sparsity: f64,
}

impl Transformer {
    /// Starts the calibration: the following forward passes record the magnitudes of inputs.
    ///
    /// # Errors
    /// The model has experts or learned masks.
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
        for input in self.cut_inputs(which) {
            input.linear.cut = Cut::recording();
        }
        Ok(())
    }

    /// Ends the calibration. From now on each layer sets small inputs to 0, with a threshold that would
    /// set the share `sparsity` of the recorded inputs to 0.
    pub fn cut_small_inputs(&mut self, sparsity: f64) {
        for input in self.cut_inputs(CutInputs::All) {
            if let Some(mut inputs) = input.linear.cut.statistics() {
                inputs.set_threshold(sparsity);
            }
        }
    }

    /// Statistics of all layers that set small inputs to 0, from the first block to the last.
    pub fn cut_layers(&mut self) -> Vec<CutLayer> {
        let layers = self.cut_inputs(CutInputs::All).into_iter();
        let layers = layers.filter_map(|CutInput { linear, parameters }| {
            let inputs = linear.cut.statistics()?;
            Some(CutLayer {
                parameters,
                threshold: inputs.threshold.unwrap_or(0.0),
                sparsity: inputs.zeros as f64 / inputs.elements.max(1) as f64,
            })
        });
        layers.collect()
    }

    fn cut_inputs(&mut self, which: CutInputs) -> Vec<CutInput<'_>> {
        let mut inputs = Vec::new();
        for block in &mut self.blocks {
            let (up, down, beside_up) = match &mut block.feed_forward.kind {
                Kind::Dense(layer) => (&mut layer.up, &mut layer.down, 0),
                Kind::Relu(layer) => (&mut layer.up, &mut layer.down, 0),
                Kind::Swiglu(layer) => {
                    let gate = weights_of(&layer.gate);
                    (&mut layer.up, &mut layer.down, gate)
                }
                Kind::MixtureOfExperts(_) | Kind::ReluRoutedExperts(_) => continue,
            };
            if which == CutInputs::All {
                let attention = &mut block.attention;
                inputs.push(CutInput::of(&mut attention.query_key_value));
                inputs.push(CutInput::of(&mut attention.output));
                let mut up = CutInput::of(up);
                up.parameters += beside_up;
                inputs.push(up);
            }
            inputs.push(CutInput::of(down));
        }
        inputs
    }
}

/// An input of which small values can be set to 0.
struct CutInput<'a> {
    /// The layer that does so.
    linear: &'a mut Linear,
    /// Number of weights that multiply the input: those of the layer and of others with the same input.
    parameters: usize,
}

impl<'a> CutInput<'a> {
    fn of(linear: &'a mut Linear) -> Self {
        let parameters = weights_of(linear);
        Self { linear, parameters }
    }
}

fn weights_of(linear: &Linear) -> usize {
    linear.weight.dims().iter().product()
}
