//! Builds the layers of an engine from a model's weights.

use kernels::decode::{Columns, FeedForward, Matrix};
use model::mask_control::THRESHOLD;
use model::weights::Weights;
use model::{CutInputs, FeedForwardConfig, Rounding, Site, TransformerConfig};

use crate::experts::{Experts, group_size};
use crate::layers::{AttentionOutput, Block, FeedForwardLayers};
use crate::linear::Linear;
use crate::mask::Mask;
use crate::mask_function::LearnedFunction;
use crate::options::{EngineOptions, Thresholds};

/// Numbers of the feed-forward's layers among the linear layers of a block.
const UP: usize = 2;
const DOWN: usize = 3;

/// Builds layers, taking their tensors out of the weights.
pub(crate) struct Builder<'a> {
    pub(crate) config: &'a TransformerConfig,
    pub(crate) weights: &'a mut Weights,
    pub(crate) options: EngineOptions,
    pub(crate) thresholds: Option<&'a Thresholds>,
    /// Number of masks built so far.
    pub(crate) masks: usize,
}

impl Builder<'_> {
    pub(crate) fn vector(&mut self, name: String) -> Vec<f32> {
        let tensor = self.weights.remove(&name);
        tensor.expect("checked against the layout").values
    }

    pub(crate) fn matrix(&mut self, name: String, outputs: usize, inputs: usize) -> Matrix {
        let values = self.vector(name);
        Matrix::new(&values, outputs, inputs, self.options.format)
    }

    pub(crate) fn block(&mut self, layer: usize) -> Block {
        let name = |suffix: &str| format!("blocks.{layer}.{suffix}");
        let width = self.config.width;
        let sites = Site::ALL.into_iter().filter(|site| site.is_in_blocks());
        Block {
            attention_norm: self.vector(name("attention_norm.weight")),
            query_key_value: self.linear(
                name("attention.query_key_value.weight"),
                (3 * width, width),
                self.cut(layer, 0),
            ),
            attention_output: self.output(layer, name("attention.output.weight")),
            feed_forward_norm: self.vector(name("feed_forward_norm.weight")),
            feed_forward: self.feed_forward(layer),
            masks: sites.filter_map(|site| self.mask(site, layer)).collect(),
        }
    }

    fn linear(&mut self, name: String, size: (usize, usize), cut: Option<(f32, f64)>) -> Linear {
        Linear::new(&self.vector(name), size, self.options.format, cut)
    }

    /// The threshold of linear layer `number` of a block, and the share of inputs below it.
    fn cut(&self, layer: usize, number: usize) -> Option<(f32, f64)> {
        let thresholds = self.thresholds?;
        let index = match thresholds.inputs {
            CutInputs::All => 4 * layer + number,
            CutInputs::Hidden if number == DOWN => layer,
            CutInputs::Hidden => return None,
        };
        Some((thresholds.values[index], thresholds.sparsity))
    }

    fn output(&mut self, layer: usize, name: String) -> AttentionOutput {
        let width = self.config.width;
        let site = Site::AttentionHeads;
        match self.config.mask_shape(site, layer) {
            Some(shape) if self.options.leaves_out_after(self.config, site) => {
                let (weight, format) = (self.vector(name), self.options.format);
                AttentionOutput::ByHead(Columns::new(&weight, width, width, shape.group, format))
            }
            _ => AttentionOutput::Whole(self.linear(name, (width, width), self.cut(layer, 1))),
        }
    }

    /// Whether the engine leaves out what masks at a site drop.
    fn skips_dropped(&self, site: Site) -> bool {
        self.options.leaves_out_dropped(self.config, site)
    }

    fn feed_forward(&mut self, layer: usize) -> FeedForwardLayers {
        let (width, format) = (self.config.width, self.options.format);
        let config = &self.config.feed_forward;
        let hidden = config.hidden(width, layer);
        let name = |suffix: &str| format!("blocks.{layer}.feed_forward.{suffix}");
        let take = |suffix: &str| self.vector(name(suffix));
        if let Some(experts) = Experts::new(config, width, format, take) {
            return FeedForwardLayers::Experts(experts);
        }
        let (up, down) = (name("up.weight"), name("down.weight"));
        if let FeedForwardConfig::Swiglu(_) = config {
            let both = [self.vector(name("gate.weight")), self.vector(up)].concat();
            let cut = self.cut(layer, UP);
            return FeedForwardLayers::Swiglu {
                gate_and_up: Linear::new(&both, (2 * hidden, width), format, cut),
                down: self.linear(down, (width, hidden), self.cut(layer, DOWN)),
            };
        }
        let activation = config.activation().unwrap_or_default();
        let site = Site::FeedForwardHidden;
        let group = match self.config.mask_shape(site, layer) {
            None => group_size(hidden),
            Some(shape) => shape.group,
        };
        let masked = self.config.mask_shape(site, layer).is_some();
        let is_cut = self.thresholds.is_some();
        if masked && !self.skips_dropped(site) || is_cut || !hidden.is_multiple_of(group) {
            // Without thresholds only the zeros of ReLU count as small.
            let zeros = activation.gives_zeros().then_some((0.0, 0.0));
            FeedForwardLayers::Layers {
                up: self.linear(up, (hidden, width), self.cut(layer, UP)),
                down: self.linear(down, (width, hidden), self.cut(layer, DOWN).or(zeros)),
                activation,
            }
        } else {
            let (up, down) = (self.vector(up), self.vector(down));
            let layer = FeedForward::new(&up, &down, width, group, activation, format);
            FeedForwardLayers::Fused(layer)
        }
    }

    pub(crate) fn mask(&mut self, site: Site, layer: usize) -> Option<Mask> {
        let shape = self.config.mask_shape(site, layer)?;
        let config = self.config.masks_at(site)?;
        let prefix = site.tensor_prefix(layer);
        let number = self.masks;
        self.masks += 1;
        Some(Mask {
            shape,
            layer,
            number,
            query_key_value: shape.attention.map(|attention| {
                let name = format!("{prefix}.query_key_value.weight");
                self.matrix(name, 3 * attention.width, shape.input)
            }),
            output: shape.projected.then(|| {
                let name = format!("{prefix}.output.weight");
                self.matrix(name, shape.values, shape.output_inputs())
            }),
            function: LearnedFunction::new(&config.function, |name| {
                self.vector(format!("{prefix}.{name}"))
            }),
            threshold: match (&config.control, config.rounding) {
                (Some(_), _) => Some(self.vector(format!("{prefix}.{THRESHOLD}"))[0]),
                (None, Rounding::Carried) => Some(0.0),
                (None, _) => None,
            },
            config,
        })
    }
}
