//! The decoder transformer.

use burn::module::{Module, Param};
use burn::tensor::{Device, Int, Tensor, TensorData};

use model::initialization::initial_weights;
use model::mask_control::THRESHOLD;
use model::pass::{OUTSIDE_BLOCKS, Purpose};
use model::weights::Weights;
use model::{FeedForwardConfig, MaskInput, Pass, Site, TransformerConfig};

use crate::attention::Attention;
use crate::dropout::dropout;
use crate::feed_forward::{
    Activity, Dense, Experts, FeedForward, Kind, MixtureOfExperts, Relu, ReluRoutedExperts, Swiglu,
    auxiliary_loss, unit_mean,
};
use crate::function::learned;
use crate::learned_dropout::LearnedDropout;
use crate::learned_dropout_config::LearnedDropoutConfig;
use crate::learned_dropout_init::MaskWeights;
use crate::linear::Linear;
use crate::mask::Mask;
use crate::mask_sources::{MaskInputs, duplicate};
use crate::norm::LayerNorm;
use crate::ops::{
    Precision, duplicated, linear_cross_entropy, sum_of_two, sum_with_shared, tied_rows,
    token_losses,
};
use crate::statistics::MaskStatistics;

/// One block: attention, then feed-forward. Each reads the residual stream through a norm and adds its
/// output to it.
#[derive(Module, Debug)]
pub struct Block {
    /// Norm before the attention.
    pub attention_norm: LayerNorm,
    /// The attention.
    pub attention: Attention,
    /// Norm before the feed-forward.
    pub feed_forward_norm: LayerNorm,
    /// The feed-forward, with its learned masks.
    pub feed_forward: FeedForward,
}

impl Block {
    /// Runs the block on the residual stream, `[batch, time, width]`, and adds its masks to `masks`. Also
    /// returns the activity of the feed-forward, if it has experts or ReLU.
    fn forward(
        &self,
        mut hidden: Tensor<3>,
        mask_input: Option<&Tensor<3>>,
        masks: &mut Vec<Mask>,
        pass: &Pass,
    ) -> (Tensor<3>, Option<Activity>) {
        let block_input = self
            .attention
            .masks()
            .chain(self.feed_forward.masks())
            .any(|module| module.mask_input() == MaskInput::Residual)
            .then(|| duplicate(&mut hidden));
        let mut mask_inputs = MaskInputs {
            embedding: mask_input,
            residual: block_input,
        };
        let [input, residual] = duplicated(hidden);
        let norm = Some(&self.attention_norm);
        let output = self
            .attention
            .masked(norm, input, &mut mask_inputs, masks, pass);
        let hidden = sum_of_two(residual, output);
        let [input, residual] = duplicated(hidden);
        let norm = &self.feed_forward_norm;
        let (output, activity) =
            self.feed_forward
                .forward(norm, input, &mut mask_inputs, masks, pass);
        (sum_of_two(residual, output), activity)
    }
}

/// A table with one vector for each index.
#[derive(Module, Debug)]
pub struct Embedding {
    /// `[entries, width]`.
    pub weight: Param<Tensor<2>>,
}

/// The decoder transformer of [`TransformerConfig`].
///
/// The names of its parameters are those of [`layout`](model::layout::layout).
#[derive(Module, Debug)]
pub struct Transformer {
    /// Token embedding and, transposed, the output layer; `[vocabulary, width]`.
    pub token_embedding: Embedding,
    /// Learned positions, `[context, width]`.
    pub positional_embedding: Embedding,
    /// Computes the masks' common input from the embedding; none if masks have other inputs.
    pub mask_embedding: Option<Attention>,
    /// The learned mask on the embedding, if there is one.
    pub embedding_learned_dropout: Option<LearnedDropout>,
    /// The blocks.
    pub blocks: Vec<Block>,
    /// Norm before the output layer.
    pub final_norm: LayerNorm,
    #[module(skip)]
    config: TransformerConfig,
    #[module(skip)]
    precision: Precision,
}

/// The results of a forward pass.
pub struct Forward {
    /// The final hidden state after the last norm, `[batch, time, width]`.
    pub hidden: Tensor<3>,
    /// The output layer, `[vocabulary, width]`: the token embedding. The backward pass adds its gradient
    /// to that of the embedding.
    pub output: Tensor<2>,
    /// The masks in the order of the forward pass; empty without learned masks.
    pub masks: Vec<Mask>,
    /// What each feed-forward with experts or ReLU used; empty for dense ones.
    pub activities: Vec<Activity>,
}

/// The parts of a loss.
pub struct Loss {
    /// Mean cross-entropy of the next token in nats, `[1]`.
    pub cross_entropy: Tensor<1>,
    /// Mean of the configured penalty over the masks without a control, `[1]`, without the coefficient; none
    /// without such masks.
    pub penalty: Option<Tensor<1>>,
    /// The masks in the order of the forward pass; empty without learned masks.
    pub masks: Vec<Mask>,
    /// The auxiliary loss of the feed-forwards, `[1]`, without the coefficient; none for dense ones.
    pub auxiliary: Option<Tensor<1>>,
    /// The mean over the hidden units of all experts, tokens and layers, `[1]`, without the coefficient; none
    /// without experts with ReLU. Units of experts that a token does not use count as 0.
    pub unit_mean: Option<Tensor<1>>,
    /// What each feed-forward with experts or ReLU used; empty for dense ones.
    pub activities: Vec<Activity>,
}

impl Loss {
    /// Measures every mask.
    pub fn statistics(&self) -> Vec<MaskStatistics> {
        self.masks.iter().map(Mask::statistics).collect()
    }

    /// The share of mask values that inference keeps, averaged over the masks without a control: `[1]`. None
    /// without such masks.
    pub fn kept_at_inference(&self) -> Option<Tensor<1>> {
        let adapted = self.masks.iter().filter(|mask| !mask.has_control());
        mean(adapted.map(Mask::kept_at_inference))
    }

    /// The share of values that each mask with a control keeps, `[masks]`, in the order of the forward pass.
    /// None without such masks.
    pub fn kept_by_controlled(&self) -> Option<Tensor<1>> {
        let controlled = self.masks.iter().filter(|mask| mask.has_control());
        let kept: Vec<_> = controlled.map(Mask::kept_at_inference).collect();
        (!kept.is_empty()).then(|| Tensor::cat(kept, 0))
    }

    /// The shortfall of mask values below the configured floor, averaged over the masks: `[1]`. None
    /// without a floor.
    pub fn shortfall(&self) -> Option<Tensor<1>> {
        mean(self.masks.iter().filter_map(|mask| mask.shortfall.clone()))
    }
}

/// The mean penalty of the masks without a control, `[1]`; none if there are none.
pub fn mean_penalty(masks: &[Mask]) -> Option<Tensor<1>> {
    let penalized = masks.iter().filter(|mask| !mask.has_control());
    mean(penalized.map(|mask| mask.penalty.clone()))
}

fn mean(values: impl Iterator<Item = Tensor<1>>) -> Option<Tensor<1>> {
    let values: Vec<_> = values.collect();
    (!values.is_empty()).then(|| Tensor::cat(values, 0).mean())
}

impl Transformer {
    /// A transformer with random weights, which the seed determines.
    ///
    /// # Panics
    /// If the configuration is not valid; see [`TransformerConfig::validate`].
    pub fn new(config: &TransformerConfig, seed: u64, device: &Device) -> Self {
        if let Err(problems) = config.validate() {
            panic!("{}", problems[0]);
        }
        Self::from_weights(config, &initial_weights(config, seed), device)
    }

    /// A transformer with given weights.
    ///
    /// # Panics
    /// If the weights do not belong to the configuration. Those from
    /// [`weights::read`](model::weights::read) always do.
    pub fn from_weights(config: &TransformerConfig, weights: &Weights, device: &Device) -> Self {
        Builder {
            config,
            weights,
            device,
        }
        .transformer()
    }

    /// Rounds the operands of matrix products of the linear layers and the output layer, on the CPU
    /// backend: parameters, sums and everything else stay f32. Attention scores are not rounded.
    pub fn with_precision(mut self, precision: Precision) -> Self {
        self.precision = precision;
        for attention in self.mask_embedding.iter_mut() {
            attention.set_precision(precision);
        }
        for module in self.embedding_learned_dropout.iter_mut() {
            module.set_precision(precision);
        }
        for block in &mut self.blocks {
            block.attention.set_precision(precision);
            block.feed_forward.set_precision(precision);
        }
        self
    }

    /// The configuration.
    pub fn config(&self) -> &TransformerConfig {
        &self.config
    }

    /// Runs the blocks on token ids, `[batch, time]`; the time is at most the context.
    pub fn forward(&self, ids: Tensor<2, Int>, pass: &Pass) -> Forward {
        let [batch, time] = ids.dims();
        let width = self.config.width;
        let table = self.token_embedding.weight.val();
        let (tokens, output) = tied_rows(table, ids.reshape([batch * time]));
        let tokens = tokens.reshape([batch, time, width]);
        let positions = self.positional_embedding.weight.val().narrow(0, 0, time);
        let embedded = sum_with_shared(tokens, positions);
        let (mut masks, mut activities) = (Vec::new(), Vec::new());
        let (mut hidden, mask_input) = self.embed(embedded, &mut masks, pass);
        for block in &self.blocks {
            let activity;
            (hidden, activity) = block.forward(hidden, mask_input.as_ref(), &mut masks, pass);
            activities.extend(activity);
        }
        Forward {
            hidden: self.final_norm.forward(hidden),
            output,
            masks,
            activities,
        }
    }

    /// Applies dropout to the embedding. Also returns the masks' common input, if it is computed from the
    /// embedding.
    fn embed(
        &self,
        mut embedded: Tensor<3>,
        masks: &mut Vec<Mask>,
        pass: &Pass,
    ) -> (Tensor<3>, Option<Tensor<3>>) {
        let make_input = |embedded: Tensor<3>| {
            let attention = self.mask_embedding.as_ref()?;
            Some(attention.forward(None, embedded, pass))
        };
        let Some(module) = &self.embedding_learned_dropout else {
            let (rate, purpose) = (self.config.dropout, Purpose::EmbeddingDropout);
            let hidden = dropout(embedded, rate, pass, purpose, OUTSIDE_BLOCKS);
            let mask_input = make_input(hidden.clone());
            return (hidden, mask_input);
        };
        let mask_input = make_input(embedded.clone());
        let mut mask_inputs = MaskInputs {
            embedding: mask_input.as_ref(),
            residual: None,
        };
        let source = mask_inputs.source(module, None, &mut embedded, None);
        let mask = module.mask(source, pass);
        let hidden = mask.product(embedded);
        masks.push(mask);
        (hidden, mask_input)
    }

    /// The logits of a hidden state: `[batch, time, width]` to `[batch, time, vocabulary]`.
    pub fn logits(&self, hidden: Tensor<3>) -> Tensor<3> {
        let [batch, time, width] = hidden.dims();
        hidden
            .reshape([batch * time, width])
            .matmul(self.token_embedding.weight.val().transpose())
            .reshape([batch, time, self.config.vocabulary])
    }

    /// The cross-entropy of each of the `targets`, in nats, from a forward pass: both `[batch, time]`. Without
    /// gradient.
    pub fn token_losses(&self, forward: &Forward, targets: Tensor<2, Int>) -> Tensor<2> {
        let [batch, time] = targets.dims();
        let hidden = forward.hidden.clone();
        let losses = token_losses(
            hidden.reshape([batch * time, self.config.width]),
            forward.output.clone(),
            targets.reshape([batch * time]),
            self.precision,
        );
        losses.reshape([batch, time])
    }

    /// The loss of predicting `targets` from `ids`, both `[batch, time]`.
    pub fn loss(&self, ids: Tensor<2, Int>, targets: Tensor<2, Int>, pass: &Pass) -> Loss {
        let Forward {
            hidden,
            output,
            masks,
            activities,
        } = self.forward(ids, pass);
        let [batch, time] = targets.dims();
        let cross_entropy = linear_cross_entropy(
            hidden.reshape([batch * time, self.config.width]),
            output,
            targets.reshape([batch * time]),
            self.precision,
        );
        Loss {
            cross_entropy,
            penalty: mean_penalty(&masks),
            masks,
            auxiliary: auxiliary_loss(&self.config.feed_forward, &activities),
            unit_mean: unit_mean(&activities),
            activities,
        }
    }
}

/// Builds the modules of a transformer from weights by name.
struct Builder<'a> {
    config: &'a TransformerConfig,
    weights: &'a Weights,
    device: &'a Device,
}

impl Builder<'_> {
    fn transformer(&self) -> Transformer {
        let config = self.config;
        Transformer {
            token_embedding: Embedding {
                weight: Param::from_tensor(self.tensor("token_embedding.weight")),
            },
            positional_embedding: Embedding {
                weight: Param::from_tensor(self.tensor("positional_embedding.weight")),
            },
            mask_embedding: config
                .masks_from_embedding()
                .then(|| self.attention("mask_embedding", OUTSIDE_BLOCKS)),
            embedding_learned_dropout: self.learned_dropout(Site::Embedding, OUTSIDE_BLOCKS),
            blocks: (0..config.layers).map(|layer| self.block(layer)).collect(),
            final_norm: LayerNorm::new(self.tensor("final_norm.weight")),
            config: config.clone(),
            precision: Precision::F32,
        }
    }

    fn block(&self, layer: usize) -> Block {
        let name = |suffix: &str| format!("blocks.{layer}.{suffix}");
        Block {
            attention_norm: LayerNorm::new(self.tensor(&name("attention_norm.weight"))),
            attention: Attention {
                probability_learned_dropout: self
                    .learned_dropout(Site::AttentionProbabilities, layer),
                head_learned_dropout: self.learned_dropout(Site::AttentionHeads, layer),
                learned_dropout: self.learned_dropout(Site::AttentionOutput, layer),
                ..self.attention(&name("attention"), layer)
            },
            feed_forward_norm: LayerNorm::new(self.tensor(&name("feed_forward_norm.weight"))),
            feed_forward: FeedForward {
                kind: self.feed_forward(&name("feed_forward")),
                hidden_learned_dropout: self.learned_dropout(Site::FeedForwardHidden, layer),
                learned_dropout: self.learned_dropout(Site::FeedForwardOutput, layer),
                rate: self.config.dropout,
                layer,
            },
        }
    }

    fn feed_forward(&self, name: &str) -> Kind {
        let linear = |layer: &str| Linear::new(self.tensor(&format!("{name}.{layer}.weight")));
        let dense = |prefix: &str| {
            let weight = |layer: &str| self.tensor(&format!("{name}.{prefix}{layer}.weight"));
            Dense::new(weight("up"), weight("down"))
        };
        let activation = self.config.feed_forward.expert_activation();
        let activation = activation.unwrap_or_default().kernel();
        let experts = || {
            let weight = |layer: &str| self.tensor(&format!("{name}.experts.{layer}"));
            Experts::new(weight("up"), weight("down"), activation)
        };
        match &self.config.feed_forward {
            FeedForwardConfig::Dense(_) => Kind::Dense(dense("")),
            FeedForwardConfig::MixtureOfExperts(config) => {
                Kind::MixtureOfExperts(MixtureOfExperts {
                    router: linear("router"),
                    experts: experts(),
                    shared: (config.shared > 0)
                        .then(|| dense("shared.").with_activation(activation)),
                    active: config.active,
                    scaling: config.scaling,
                })
            }
            FeedForwardConfig::ReluRoutedExperts(_) => Kind::ReluRoutedExperts(ReluRoutedExperts {
                router: linear("router"),
                experts: experts(),
            }),
            FeedForwardConfig::Relu(config) => Kind::Relu(Relu {
                up: linear("up"),
                down: linear("down"),
                activation: config.activation(),
            }),
            FeedForwardConfig::Swiglu(_) => Kind::Swiglu(Swiglu {
                gate: linear("gate"),
                up: linear("up"),
                down: linear("down"),
            }),
        }
    }

    /// The attention without masks.
    fn attention(&self, name: &str, layer: usize) -> Attention {
        Attention {
            query_key_value: Linear::new(self.tensor(&format!("{name}.query_key_value.weight"))),
            probability_learned_dropout: None,
            head_learned_dropout: None,
            output: Linear::new(self.tensor(&format!("{name}.output.weight"))),
            learned_dropout: None,
            heads: self.config.heads,
            rate: self.config.dropout,
            layer,
        }
    }

    fn learned_dropout(&self, site: Site, layer: usize) -> Option<LearnedDropout> {
        let mask = self.config.masks_at(site)?;
        let shape = self.config.mask_shape(site, layer)?;
        let name = |suffix: &str| format!("{}.{suffix}", site.tensor_prefix(layer));
        let attention = shape.attention;
        let weights = MaskWeights {
            query_key_value: attention.map(|_| self.tensor(&name("query_key_value.weight"))),
            output: shape.projected.then(|| self.tensor(&name("output.weight"))),
            learned: learned(&mask.function, |parameter| self.tensor(&name(parameter))),
            threshold: mask.control.as_ref().map(|_| self.tensor(&name(THRESHOLD))),
        };
        // The seed is unused: every pass of a transformer brings the key of its noise.
        let module = LearnedDropoutConfig::for_site(&mask, &shape).with_weights(weights, 0);
        Some(module.with_site(site, layer, mask.input))
    }

    fn tensor<const D: usize>(&self, name: &str) -> Tensor<D> {
        let Some(tensor) = self.weights.get(name) else {
            panic!("no tensor `{name}`")
        };
        let data = TensorData::new(tensor.values.clone(), tensor.shape.clone());
        Tensor::from_data(data, self.device)
    }
}
