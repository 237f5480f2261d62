//! Which experts or hidden units a feed-forward used, and its auxiliary loss.

use burn::tensor::Tensor;
use model::FeedForwardConfig;

use super::experts::UnitMeans;

/// Which experts or hidden units a feed-forward used in a forward pass, and its auxiliary loss.
pub struct Activity {
    /// The auxiliary loss of the layer, `[1]`, with a gradient and without its coefficient.
    pub penalty: Tensor<1>,
    /// With experts, the share of tokens that used each, `[experts]`; with ReLU, the share of hidden units
    /// that were not 0, `[1]`.
    pub shares: Tensor<1>,
    /// The hidden units of experts with ReLU; otherwise none.
    pub units: Option<UnitMeans>,
}

impl Activity {
    /// Of the hidden units of the experts that tokens used, the share that was not 0, `[1]`: 0 if none was used.
    /// None without experts with ReLU.
    pub fn unit_density(&self) -> Option<Tensor<1>> {
        let units = self.units.as_ref()?;
        let used = self.shares.clone().mean().clamp_min(f32::MIN_POSITIVE);
        Some(units.nonzero.clone() / used)
    }
}

/// The mean over the hidden units of all experts and layers, `[1]`, with a gradient; none without experts with
/// ReLU.
pub fn unit_mean(activities: &[Activity]) -> Option<Tensor<1>> {
    let units = activities.iter().filter_map(|one| one.units.as_ref());
    let values: Vec<_> = units.map(|units| units.value.clone()).collect();
    (!values.is_empty()).then(|| Tensor::cat(values, 0).mean())
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
