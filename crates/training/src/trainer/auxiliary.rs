//! The auxiliary loss of feed-forwards: its coefficient, and what they used of themselves.

use learned_dropout::transformer::Loss;
use model::TransformerConfig;
use model::feed_forward::Coefficient;

use super::scalar::scalar;
use crate::metrics::{FeedForwardLayerMetrics, FeedForwardMetrics};

/// The coefficient of a step, from the one that the state holds after the step before.
pub(super) fn coefficient(model: &TransformerConfig, held: Option<f64>) -> Option<f64> {
    model.feed_forward.coefficient().map(|rule| match rule {
        Coefficient::Constant(coefficient) => coefficient,
        Coefficient::Adaptive(rule) => held.unwrap_or(rule.initial),
    })
}

/// What the state holds after a step with this coefficient and share of what was used.
pub(super) fn next(
    model: &TransformerConfig,
    coefficient: Option<f64>,
    density: Option<f64>,
) -> Option<f64> {
    match model.feed_forward.coefficient()? {
        Coefficient::Constant(_) => None,
        Coefficient::Adaptive(rule) => Some(rule.next(coefficient?, density?)),
    }
}

/// What the feed-forwards of a forward pass used of themselves; none where they use all.
pub(super) fn feed_forward_metrics(loss: &Loss) -> Option<FeedForwardMetrics> {
    let layers = loss.activities.iter().map(|activity| {
        let shares = activity.shares.to_data();
        FeedForwardLayerMetrics::of_shares(shares.iter::<f32>().map(f64::from).collect())
    });
    let auxiliary = scalar(loss.auxiliary.as_ref()?);
    FeedForwardMetrics::of_layers(auxiliary, layers.collect())
}
