//! How many floating-point operations a model takes, and what share of a processor's peak a
//! training speed amounts to.
//!
//! After appendix B of "PaLM: Scaling Language Modeling with Pathways" (Chowdhery et al., 2022):
//! a multiplication and an addition per weight and token forwards, twice that backwards; and for
//! each attention `2 · 2 · context · width` per token forwards for its scores and its sums, as if
//! every position saw the whole context. Looking an embedding up costs nothing: the positional
//! embedding does not count, and the token embedding counts once, as the output layer. A learned
//! mask has an attention of its own, and the masks from the embedding share one more.

use learned_dropout::TransformerConfig;

/// Operations of the forward pass per token.
///
/// ```
/// use learned_dropout::TransformerConfig;
/// let config = TransformerConfig {
///     vocabulary: 10, context: 4, width: 2, heads: 1, layers: 1, dropout: 0.0,
///     learned_dropout: None,
/// };
/// // 20 (output) + 12 + 4 (attention) + 16 + 16 (feed-forward) + 6 (norms) = 74 weights.
/// assert_eq!(learned_dropout_training::flops::forward_per_token(&config), 2.0 * 74.0 + 4.0 * 4.0 * 2.0);
/// ```
pub fn forward_per_token(config: &TransformerConfig) -> f64 {
    let masked = config.learned_dropout.is_some();
    let attentions =
        config.layers * (1 + usize::from(masked)) + usize::from(config.masks_from_embedding());
    2.0 * config.parameters_without_positions() as f64
        + 4.0 * attentions as f64 * config.context as f64 * config.width as f64
}

/// Operations of the forward and the backward pass per token: three times the forward pass.
pub fn training_per_token(config: &TransformerConfig) -> f64 {
    3.0 * forward_per_token(config)
}

/// The share of the processor's peak that a training speed amounts to, usually from 0 to 1.
///
/// `peak` is in operations per second; without it the share is unknown.
pub fn utilization(
    config: &TransformerConfig,
    tokens_per_second: f64,
    peak: Option<f64>,
) -> Option<f64> {
    peak.filter(|peak| *peak > 0.0)
        .map(|peak| training_per_token(config) * tokens_per_second / peak)
}
