//! What feed-forwards used of themselves, and the auxiliary loss that follows from it.

use burn::tensor::Tensor;
use model::FeedForwardConfig;

/// What a feed-forward that does not use all of itself for every token did in a forward pass.
pub struct Activity {
    /// The auxiliary loss of the layer, `[1]`, with gradient and without its coefficient.
    pub penalty: Tensor<1>,
    /// The share of tokens that used each expert, `[experts]`; or the share of hidden units that
    /// were not 0, `[1]`.
    pub shares: Tensor<1>,
}

/// The auxiliary loss of a model, `[1]`, from what its layers did: the sum of the layers' losses
/// for a mixture of experts, else their mean. None without any.
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
