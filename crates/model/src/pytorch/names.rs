//! The names of the weights in the author's checkpoints.

use crate::config::TransformerConfig;
use crate::layout::layout;

/// The author's name of the output layer, which shares the token embedding's weights.
pub(super) const OUTPUT_LAYER: &str = "output_layer.weight";
/// The author's name of the token embedding.
pub(super) const TOKEN_EMBEDDING: &str = "token_embedding.weight";

/// Pairs of each tensor's name in this library (see [`layout`]) and in the author's
/// checkpoints, in the order of the forward pass.
///
/// ```
/// use learned_dropout_model::{TransformerConfig, pytorch::author_names};
/// let config = TransformerConfig {
///     vocabulary: 97, context: 24, width: 32, heads: 4, layers: 1, dropout: 0.0,
///     feed_forward: Default::default(),
///     learned_dropout: None,
/// };
/// let (ours, author) = author_names(&config).nth(3).unwrap();
/// assert_eq!(ours, "blocks.0.attention.query_key_value.weight");
/// assert_eq!(author, "transformer_blocks.0.multi_attn_head.batch_attn_weights.weight");
/// ```
pub fn author_names(config: &TransformerConfig) -> impl Iterator<Item = (String, String)> + '_ {
    layout(config).map(|spec| {
        let author = author_name(&spec.name);
        (spec.name, author)
    })
}

pub(super) fn author_name(name: &str) -> String {
    if let Some((layer, rest)) = name
        .strip_prefix("blocks.")
        .and_then(|rest| rest.split_once('.'))
    {
        return format!("transformer_blocks.{layer}.{}", in_block(rest));
    }
    match name {
        "mask_embedding.query_key_value.weight" => "dropout_embed_attn.batch_attn_weights.weight",
        "mask_embedding.output.weight" => "dropout_embed_attn.linear.weight",
        "final_norm.weight" => "ln.weight",
        // The embeddings have the same names in both.
        same => same,
    }
    .into()
}

fn in_block(name: &str) -> &str {
    match name {
        "attention_norm.weight" => "ln1.weight",
        "attention.query_key_value.weight" => "multi_attn_head.batch_attn_weights.weight",
        "attention.output.weight" => "multi_attn_head.residual_proj.weight",
        "feed_forward_norm.weight" => "ln2.weight",
        "feed_forward.up.weight" => "feed_forward.linear.weight",
        "feed_forward.down.weight" => "feed_forward.residual_proj.weight",
        "feed_forward.learned_dropout.query_key_value.weight" => {
            "feed_forward.dropout.batch_attn_weights.weight"
        }
        "feed_forward.learned_dropout.shift" => "feed_forward.dropout.shift",
        same => same,
    }
}

/// A name without the prefixes that wrappers of the model add: `_orig_mod.` from `torch.compile`, `module.`
/// from data parallelism.
pub(super) fn without_wrappers(mut name: &str) -> &str {
    while let Some(rest) = name
        .strip_prefix("_orig_mod.")
        .or_else(|| name.strip_prefix("module."))
    {
        name = rest;
    }
    name
}
