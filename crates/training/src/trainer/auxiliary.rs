//! The auxiliary loss of feed-forwards with experts or ReLU, and the shares of them that were used.

use learned_dropout::transformer::Loss;
use model::TransformerConfig;
use model::feed_forward::Coefficient;

use crate::metrics::{FeedForwardLayerMetrics, FeedForwardMetrics};
use crate::token_batch::read_scalar;

/// The coefficient of a step. An adaptive one is `stored` in the state after the step before.
pub(super) fn coefficient(model: &TransformerConfig, stored: Option<f64>) -> Option<f64> {
    model.feed_forward.coefficient().map(|rule| match rule {
        Coefficient::Constant(coefficient) => coefficient,
        Coefficient::Adaptive(rule) => stored.unwrap_or(rule.initial),
    })
}

/// The coefficient to store after a step with this coefficient, in which the share `density` of the
/// feed-forwards was used; none unless it adapts.
pub(super) fn next_coefficient(
    model: &TransformerConfig,
    coefficient: Option<f64>,
    density: Option<f64>,
) -> Option<f64> {
    match model.feed_forward.coefficient()? {
        Coefficient::Constant(_) => None,
        Coefficient::Adaptive(rule) => Some(rule.next(coefficient?, density?)),
    }
}

/// The shares of the feed-forwards that a forward pass used; none for dense ones.
pub(super) fn feed_forward_metrics(loss: &Loss) -> Option<FeedForwardMetrics> {
    let layers = loss.activities.iter().map(|activity| {
        let shares = activity.shares.to_data();
        FeedForwardLayerMetrics {
            unit_density: activity.unit_density().as_ref().map(read_scalar),
            ..FeedForwardLayerMetrics::of_shares(shares.iter::<f32>().map(f64::from).collect())
        }
    });
    let auxiliary = read_scalar(loss.auxiliary.as_ref()?);
    FeedForwardMetrics::of_layers(auxiliary, layers.collect())
}
