//! From a model's weights to the layers of an engine.

use kernels::decode::{Columns, FeedForward, Matrix};
use model::weights::Weights;
use model::{CutInputs, FeedForwardConfig, Site, TransformerConfig};

use crate::experts::{Experts, group_of};
use crate::layers::{Block, Hidden, Output};
use crate::linear::Linear;
use crate::mask::Mask;
use crate::mask_function::Function;
use crate::options::{EngineOptions, Thresholds};

/// Numbers of the feed-forward's layers among the linear layers of a block.
const UP: usize = 2;
const DOWN: usize = 3;

/// Takes weights apart.
pub(crate) struct Builder<'a> {
    pub(crate) config: &'a TransformerConfig,
    pub(crate) weights: &'a mut Weights,
    pub(crate) options: EngineOptions,
    pub(crate) thresholds: Option<&'a Thresholds>,
    /// Masks taken so far.
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

    /// The threshold of the linear layer with this number in a block, and the share below it.
    fn cut(&self, layer: usize, number: usize) -> Option<(f32, f64)> {
        let thresholds = self.thresholds?;
        let index = match thresholds.inputs {
            CutInputs::All => 4 * layer + number,
            CutInputs::Hidden if number == DOWN => layer,
            CutInputs::Hidden => return None,
        };
        Some((thresholds.values[index], thresholds.sparsity))
    }

    fn output(&mut self, layer: usize, name: String) -> Output {
        let width = self.config.width;
        match self.config.mask_shape(Site::AttentionHeads) {
            Some(shape) if self.skips() => {
                let (weight, format) = (self.vector(name), self.options.format);
                Output::ByHead(Columns::new(&weight, width, width, shape.group, format))
            }
            _ => Output::Whole(self.linear(name, (width, width), self.cut(layer, 1))),
        }
    }

    /// Whether what masks drop is left out where it can be.
    fn skips(&self) -> bool {
        self.options.leaves_out_dropped(self.config)
    }

    fn feed_forward(&mut self, layer: usize) -> Hidden {
        let (width, format) = (self.config.width, self.options.format);
        let config = &self.config.feed_forward;
        let hidden = config.hidden(width);
        let name = |suffix: &str| format!("blocks.{layer}.feed_forward.{suffix}");
        let take = |suffix: &str| self.vector(name(suffix));
        if let Some(experts) = Experts::new(config, width, format, take) {
            return Hidden::Experts(experts);
        }
        let (up, down) = (name("up.weight"), name("down.weight"));
        if let FeedForwardConfig::Relu(_) = config {
            // Nothing is small but what is 0.
            let zeros = self.cut(layer, DOWN).unwrap_or((0.0, 0.0));
            return Hidden::Relu {
                up: self.linear(up, (hidden, width), self.cut(layer, UP)),
                down: self.linear(down, (width, hidden), Some(zeros)),
            };
        }
        let group = match self.config.mask_shape(Site::FeedForwardHidden) {
            None => group_of(hidden),
            Some(shape) => shape.group,
        };
        let masked = self.config.mask_shape(Site::FeedForwardHidden).is_some();
        let is_cut = self.thresholds.is_some();
        if masked && !self.skips() || is_cut || !hidden.is_multiple_of(group) {
            Hidden::Layers {
                up: self.linear(up, (hidden, width), self.cut(layer, UP)),
                down: self.linear(down, (width, hidden), self.cut(layer, DOWN)),
            }
        } else {
            let (up, down) = (self.vector(up), self.vector(down));
            Hidden::Fused(FeedForward::new(&up, &down, width, group, format))
        }
    }

    pub(crate) fn mask(&mut self, site: Site, layer: usize) -> Option<Mask> {
        let shape = self.config.mask_shape(site)?;
        let config = self.config.learned_dropout.as_ref()?;
        let prefix = site.tensor_prefix(layer);
        let number = self.masks;
        self.masks += 1;
        Some(Mask {
            config: config.clone(),
            shape,
            layer,
            number,
            query_key_value: self.matrix(
                format!("{prefix}.query_key_value.weight"),
                3 * shape.attention,
                shape.input,
            ),
            output: shape.projected.then(|| {
                self.matrix(
                    format!("{prefix}.output.weight"),
                    shape.values,
                    shape.attention,
                )
            }),
            function: Function::new(&config.function, |name| {
                self.vector(format!("{prefix}.{name}"))
            }),
        })
    }
}
