//! Which experts or hidden units a feed-forward used, and its auxiliary loss.

use burn::tensor::Tensor;
use model::FeedForwardConfig;

/// Which experts or hidden units a feed-forward used in a forward pass, and its auxiliary loss.
pub struct Activity {
    /// The auxiliary loss of the layer, `[1]`, with a gradient and without its coefficient.
    pub penalty: Tensor<1>,
    /// With experts, the share of tokens that used each, `[experts]`; with ReLU, the share of hidden units
    /// that were not 0, `[1]`.
    pub shares: Tensor<1>,
}

/// The auxiliary loss of a model, `[1]`: the sum of the layers' losses for a mixture of experts, otherwise
/// their mean. None if no layer has one.
pub fn auxiliary_loss(config: &FeedForwardConfig, activities: &[Activity]) -> Option<Tensor<1>> {
    let penalties: Vec<_> = activities.iter().map(|one| one.penalty.clone()).collect();
    (!penalties.is_empty()).then(|| {
        let penalties = Tensor::cat(penalties, 0);
        match config {
            FeedForwardConfig::MixtureOfExperts(_) => penalties.sum(),
            _ => penalties.mean(),
        }
    })
}
