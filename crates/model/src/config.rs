//! The configuration of a transformer.
//!
//! It is plain data: what a configuration file's `[model]` table and a checkpoint's `config.json`
//! hold. It needs neither a device nor a tensor.
//!
//! Both are the same type, so that every setting is declared once. Only the vocabulary differs: a
//! checkpoint has one, and a file may leave it to the data. Its type is therefore a parameter.

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
    /// the attention output and the feed-forward output, each where no learned mask stands.
    #[serde(default)]
    pub dropout: f64,
    /// What stands in the second half of a block; the dense feed-forward with four times the width
    /// of hidden units where left out.
    #[serde(default, skip_serializing_if = "FeedForwardConfig::is_default")]
    pub feed_forward: FeedForwardConfig,
    /// The learned masks; the plain baseline where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learned_dropout: Option<MaskConfig>,
}

/// The `[model]` table of a run: a transformer whose vocabulary the data may decide.
pub type ModelConfig = TransformerConfig<Option<usize>>;

impl<Vocabulary> TransformerConfig<Vocabulary> {
    /// The same model with another vocabulary.
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
