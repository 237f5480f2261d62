//! How many floating-point operations a model takes, and what share of a processor's peak a
//! training speed amounts to.
//!
//! After appendix B of "PaLM: Scaling Language Modeling with Pathways" (Chowdhery et al., 2022):
//! a multiplication and an addition per weight and token forwards, twice that backwards; and for
//! each attention `2 · 2 · context · width` per token forwards for its scores and its sums, as if
//! every position saw the whole context. Looking an embedding up costs nothing: the positional
//! embedding does not count, and the token embedding counts once, as the output layer. A learned
//! mask has an attention of its own, and the masks from the embedding share one more. Experts that a
//! token does not choose are not executed for it.

use learned_dropout::TransformerConfig;
use learned_dropout::feed_forward::FeedForwardConfig;

/// Operations of the forward pass per token, if everything is computed.
///
/// ```
/// use learned_dropout::TransformerConfig;
/// let config = TransformerConfig {
///     vocabulary: 10, context: 4, width: 2, heads: 1, layers: 1, dropout: 0.0,
///     feed_forward: Default::default(),
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

/// Operations of the forward pass per token without those of experts that are not chosen; on average,
/// as far as the configuration tells.
pub fn executed_per_token(config: &TransformerConfig) -> f64 {
    let unused = config.parameters() - config.active_parameters();
    forward_per_token(config) - 2.0 * unused as f64
}

/// Operations of the forward pass per token where feed-forwards used this share of themselves: of their
/// experts, or of the hidden units of a feed-forward with ReLU, which saves rows of its down
/// projection.
pub fn executed_at_density(config: &TransformerConfig, density: f64) -> f64 {
    let feed_forward = &config.feed_forward;
    let optional = match feed_forward {
        FeedForwardConfig::Dense(_) => 0,
        FeedForwardConfig::Relu(_) => feed_forward.hidden(config.width) * config.width,
        _ => feed_forward
            .optional(config.width)
            .map_or(0, |optional| optional.parameters),
    };
    let unused = config.layers as f64 * optional as f64 * (1.0 - density);
    forward_per_token(config) - 2.0 * unused
}

/// Operations of the forward and the backward pass per token: three times what the forward pass
/// executes.
pub fn training_per_token(config: &TransformerConfig) -> f64 {
    3.0 * executed_per_token(config)
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

#[cfg(test)]
mod tests {
    use learned_dropout::feed_forward::{mixture_of_experts, relu};

    use super::*;

    fn model(feed_forward: FeedForwardConfig) -> TransformerConfig {
        TransformerConfig {
            vocabulary: 10,
            context: 4,
            width: 2,
            heads: 1,
            layers: 3,
            dropout: 0.0,
            feed_forward,
            learned_dropout: None,
        }
    }

    #[test]
    fn experts_worked_by_hand() {
        let layer = mixture_of_experts::Config {
            experts: 4,
            active: 1,
            hidden: Some(5),
            shared: 3,
            balance: 0.0,
        };
        let config = model(FeedForwardConfig::MixtureOfExperts(layer));
        // In each layer 4 experts of 2 · 5 · 2 weights, of which a token leaves 3 out.
        let dense = 2.0 * (20 + 3 * (12 + 4 + 4 + 8 + 80 + 12) + 2) as f64 + 3.0 * 4.0 * 4.0 * 2.0;
        assert_eq!(forward_per_token(&config), dense);
        assert_eq!(config.parameters() - config.active_parameters(), 3 * 60);
        assert_eq!(executed_per_token(&config), dense - 2.0 * 180.0);
        assert_eq!(
            executed_at_density(&config, 0.25),
            executed_per_token(&config)
        );
        assert_eq!(
            training_per_token(&config),
            3.0 * executed_per_token(&config)
        );
    }

    #[test]
    fn units_that_are_zero_save_their_down_weights() {
        let layer = relu::Config {
            hidden: Some(10),
            ..Default::default()
        };
        let config = model(FeedForwardConfig::Relu(layer));
        assert_eq!(executed_per_token(&config), forward_per_token(&config));
        let saved = forward_per_token(&config) - executed_at_density(&config, 0.1);
        assert!((saved - 2.0 * 3.0 * 9.0 * 2.0).abs() < 1e-9);
    }
}
