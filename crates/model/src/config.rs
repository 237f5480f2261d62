//! The configuration of a transformer.
//!
//! It is plain data: the content of a configuration file's `[model]` table and of a checkpoint's
//! `config.json`. It needs neither a device nor a tensor.
//!
//! Both have the same type, so every setting is declared once. Only the vocabulary differs: a checkpoint
//! always has one, while a configuration file may leave it to the data. Its type is therefore a parameter.

use serde::{Deserialize, Serialize};

use crate::feed_forward::FeedForwardConfig;
use crate::mask_config::MaskConfig;

/// The decoder transformer: pre-norm blocks, learned positions, LayerNorm without bias, exact
/// GELU, a feed-forward of four times the width (others can be chosen), no biases, the output layer
/// tied to the token embedding.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransformerConfig<Vocabulary = usize> {
    /// Number of tokens that the model knows.
    pub vocabulary: Vocabulary,
    /// Longest sequence, in tokens; also the length of the training windows.
    pub context: usize,
    /// Channels of the residual stream; a multiple of `heads`.
    pub width: usize,
    /// Attention heads per block.
    pub heads: usize,
    /// Number of blocks.
    pub layers: usize,
    /// Rate of the ordinary dropout, in [0, 1): on the embedding, the attention probabilities,
    /// the attention output and the feed-forward output. A learned mask at one of these replaces it.
    #[serde(default)]
    pub dropout: f64,
    /// The feed-forward of each block; a dense one with four times the width of hidden units if left
    /// out.
    #[serde(default, skip_serializing_if = "FeedForwardConfig::is_default")]
    pub feed_forward: FeedForwardConfig,
    /// The learned masks; none if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learned_dropout: Option<MaskConfig>,
}

/// The `[model]` table of a run: a transformer whose vocabulary the data may decide.
pub type ModelConfig = TransformerConfig<Option<usize>>;

impl<Vocabulary> TransformerConfig<Vocabulary> {
    /// The same configuration with another vocabulary.
    pub fn with_vocabulary<Other>(self, vocabulary: Other) -> TransformerConfig<Other> {
        TransformerConfig {
            vocabulary,
            context: self.context,
            width: self.width,
            heads: self.heads,
            layers: self.layers,
            dropout: self.dropout,
            feed_forward: self.feed_forward,
            learned_dropout: self.learned_dropout,
        }
    }
}

impl From<TransformerConfig> for ModelConfig {
    fn from(config: TransformerConfig) -> Self {
        let vocabulary = Some(config.vocabulary);
        config.with_vocabulary(vocabulary)
    }
}
