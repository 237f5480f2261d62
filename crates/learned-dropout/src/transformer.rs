//! The decoder transformer.

use burn::module::{Module, Param};
use burn::tensor::{Device, Int, Tensor, TensorData};

use crate::attention::Attention;
use crate::config::TransformerConfig;
use crate::dropout::dropout;
use crate::feed_forward::mixture_of_experts::MixtureOfExperts;
use crate::feed_forward::relu::Relu;
use crate::feed_forward::relu_routed_experts::ReluRoutedExperts;
use crate::feed_forward::{Activity, Dense, Experts, Fed, FeedForward, FeedForwardConfig, Kind};
use crate::initialization::initial_weights;
use crate::learned_dropout::{LearnedDropoutConfig, Masked};
use crate::linear::Linear;
use crate::norm::LayerNorm;
use crate::ops::tensor::{Precision, duplicated, linear_cross_entropy, sum_of_two, tied_rows};
use crate::pass::{OUTSIDE_BLOCKS, Pass, Purpose};
use crate::statistics::MaskStatistics;
use crate::weights::Weights;

/// One block: attention and feed-forward, each behind a norm and added to the residual stream.
#[derive(Module, Debug)]
pub struct Block {
    /// Norm before the attention.
    pub attention_norm: LayerNorm,
    /// The attention.
    pub attention: Attention,
    /// Norm before the feed-forward.
    pub feed_forward_norm: LayerNorm,
    /// The feed-forward, with its learned mask.
    pub feed_forward: FeedForward,
}

/// A table of vectors, one for each index.
#[derive(Module, Debug)]
pub struct Embedding {
    /// `[entries, width]`.
    pub weight: Param<Tensor<2>>,
}

/// The decoder transformer of [`TransformerConfig`].
///
/// The names of its parameters are those of [`layout`](crate::weights::layout).
#[derive(Module, Debug)]
pub struct Transformer {
    /// Token embedding and, transposed, the output layer; `[vocabulary, width]`.
    pub token_embedding: Embedding,
    /// Learned positions, `[context, width]`.
    pub positional_embedding: Embedding,
    /// Makes the masks' common input, where masks are computed from the embedding.
    pub mask_embedding: Option<Attention>,
    /// The blocks.
    pub blocks: Vec<Block>,
    /// Norm before the output layer.
    pub final_norm: LayerNorm,
    #[module(skip)]
    config: TransformerConfig,
    #[module(skip)]
    precision: Precision,
}

/// What a forward pass gives.
pub struct Forward {
    /// The final hidden state after the last norm, `[batch, time, width]`.
    pub hidden: Tensor<3>,
    /// The output layer, `[vocabulary, width]`: the token embedding, in a form whose gradient is
    /// added to that of the embedding.
    pub output: Tensor<2>,
    /// The masks of the blocks; empty without learned masks.
    pub masks: Vec<Masked>,
    /// What the feed-forwards used of themselves; empty where they use all.
    pub activities: Vec<Activity>,
}

/// The parts of a loss.
pub struct Loss {
    /// Mean cross-entropy of the next token in nats, `[1]`.
    pub cross_entropy: Tensor<1>,
    /// Mean over modules of the configured penalty, `[1]`, without coefficient; none without
    /// learned masks.
    pub penalty: Option<Tensor<1>>,
    /// The masks of the blocks; empty without learned masks.
    pub masks: Vec<Masked>,
    /// The auxiliary loss of the feed-forwards, `[1]`, without coefficient; none where they have
    /// none.
    pub auxiliary: Option<Tensor<1>>,
    /// What the feed-forwards used of themselves; empty where they use all.
    pub activities: Vec<Activity>,
}

impl Loss {
    /// Measures the mask of every layer.
    pub fn statistics(&self) -> Vec<MaskStatistics> {
        self.masks.iter().map(Masked::statistics).collect()
    }
}

/// The mean over modules of their penalties; none without any.
pub fn mean_penalty(masks: &[Masked]) -> Option<Tensor<1>> {
    let penalties: Vec<_> = masks.iter().map(|masked| masked.penalty.clone()).collect();
    (!penalties.is_empty()).then(|| Tensor::cat(penalties, 0).mean())
}

impl Transformer {
    /// A transformer with random weights that follow from the seed.
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
    /// If the weights are not those of the configuration; [`weights::read`](crate::weights::read)
    /// gives only such that are.
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

    /// Runs the blocks on token ids, `[batch, time]`, with time at most the context.
    pub fn forward(&self, ids: Tensor<2, Int>, pass: &Pass) -> Forward {
        let [batch, time] = ids.dims();
        let width = self.config.width;
        let table = self.token_embedding.weight.val();
        let (tokens, output) = tied_rows(table, ids.reshape([batch * time]));
        let tokens = tokens.reshape([batch, time, width]);
        let positions = self.positional_embedding.weight.val().narrow(0, 0, time);
        let embedded = tokens + positions.unsqueeze();
        let rate = self.config.dropout;
        let mut hidden = dropout(
            embedded,
            rate,
            pass,
            Purpose::EmbeddingDropout,
            OUTSIDE_BLOCKS,
        );
        let mask_input = self
            .mask_embedding
            .as_ref()
            .map(|attention| attention.forward(None, hidden.clone(), pass));
        let (mut masks, mut activities) = (Vec::new(), Vec::new());
        for block in &self.blocks {
            let [input, residual] = duplicated(hidden);
            let norm = Some(&block.attention_norm);
            hidden = sum_of_two(residual, block.attention.forward(norm, input, pass));
            let [input, residual] = duplicated(hidden);
            let norm = &block.feed_forward_norm;
            let fed = block
                .feed_forward
                .forward(norm, input, mask_input.as_ref(), pass);
            let Fed {
                output,
                masked,
                activity,
            } = fed;
            hidden = sum_of_two(residual, output);
            masks.extend(masked);
            activities.extend(activity);
        }
        Forward {
            hidden: self.final_norm.forward(hidden),
            output,
            masks,
            activities,
        }
    }

    /// The logits of a hidden state: `[batch, time, width]` to `[batch, time, vocabulary]`.
    pub fn logits(&self, hidden: Tensor<3>) -> Tensor<3> {
        let [batch, time, width] = hidden.dims();
        hidden
            .reshape([batch * time, width])
            .matmul(self.token_embedding.weight.val().transpose())
            .reshape([batch, time, self.config.vocabulary])
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
            auxiliary: self.config.feed_forward.auxiliary(&activities),
            activities,
        }
    }
}

/// Puts weights in their places.
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
            blocks: (0..config.layers).map(|layer| self.block(layer)).collect(),
            final_norm: LayerNorm::new(self.tensor("final_norm.weight")),
            config: config.clone(),
            precision: Precision::F32,
        }
    }

    fn block(&self, layer: usize) -> Block {
        let name = |suffix: &str| format!("blocks.{layer}.{suffix}");
        let learned_dropout = self.config.learned_dropout.as_ref().map(|mask| {
            LearnedDropoutConfig::of_model(mask, self.config.width, self.config.mask_heads())
                .with_weights(
                    self.tensor(&name("feed_forward.learned_dropout.query_key_value.weight")),
                    self.tensor(&name("feed_forward.learned_dropout.shift")),
                    layer,
                )
        });
        Block {
            attention_norm: LayerNorm::new(self.tensor(&name("attention_norm.weight"))),
            attention: self.attention(&name("attention"), layer),
            feed_forward_norm: LayerNorm::new(self.tensor(&name("feed_forward_norm.weight"))),
            feed_forward: FeedForward {
                kind: self.feed_forward(&name("feed_forward")),
                learned_dropout,
                rate: self.config.dropout,
                layer,
            },
        }
    }

    fn feed_forward(&self, name: &str) -> Kind {
        let linear = |part: &str| Linear::new(self.tensor(&format!("{name}.{part}.weight")));
        let dense = |prefix: &str| {
            let part = |part: &str| self.tensor(&format!("{name}.{prefix}{part}.weight"));
            Dense::new(part("up"), part("down"))
        };
        let experts = || {
            let part = |part: &str| self.tensor(&format!("{name}.experts.{part}"));
            Experts::new(part("up"), part("down"))
        };
        match &self.config.feed_forward {
            FeedForwardConfig::Dense(_) => Kind::Dense(dense("")),
            FeedForwardConfig::MixtureOfExperts(config) => {
                Kind::MixtureOfExperts(MixtureOfExperts {
                    router: linear("router"),
                    experts: experts(),
                    shared: (config.shared > 0).then(|| dense("shared.")),
                    active: config.active,
                })
            }
            FeedForwardConfig::ReluRoutedExperts(_) => Kind::ReluRoutedExperts(ReluRoutedExperts {
                router: linear("router"),
                experts: experts(),
            }),
            FeedForwardConfig::Relu(_) => Kind::Relu(Relu {
                up: linear("up"),
                down: linear("down"),
            }),
        }
    }

    fn attention(&self, name: &str, layer: usize) -> Attention {
        Attention {
            query_key_value: Linear::new(self.tensor(&format!("{name}.query_key_value.weight"))),
            output: Linear::new(self.tensor(&format!("{name}.output.weight"))),
            heads: self.config.heads,
            rate: self.config.dropout,
            layer,
        }
    }

    fn tensor<const D: usize>(&self, name: &str) -> Tensor<D> {
        let Some(tensor) = self.weights.get(name) else {
            panic!("no tensor `{name}`")
        };
        let data = TensorData::new(tensor.values.clone(), tensor.shape.clone());
        Tensor::from_data(data, self.device)
    }
}
