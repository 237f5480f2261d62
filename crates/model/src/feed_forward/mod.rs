//! Feed-forwards: the second part of a block.
//!
//! Each kind has its own file for its settings, and a variant of [`FeedForwardConfig`].

mod auxiliary;
mod dense;
mod expert_activation;
mod hidden;
mod mixture_of_experts;
mod relu;
mod relu_routed_experts;
mod swiglu;

pub use auxiliary::{AdaptiveCoefficient, Coefficient};
pub use dense::Dense;
pub use expert_activation::ExpertActivation;
pub use hidden::Hidden;
pub use mixture_of_experts::MixtureOfExperts;
pub use relu::Relu;
pub use relu_routed_experts::ReluRoutedExperts;
pub use swiglu::Swiglu;

use kernels::activation::Activation;
use serde::{Deserialize, Serialize};

use crate::problem::{Checks, LARGEST_DIMENSION};
use crate::tensor_spec::TensorRole::{ResidualProjection, Weight};
use crate::tensor_spec::TensorSpec;

/// The choice of feed-forward.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum FeedForwardConfig {
    /// `down(gelu(up(x)))`.
    Dense(Dense),
    /// Experts; each token uses the few with the best scores.
    MixtureOfExperts(MixtureOfExperts),
    /// Experts; each token uses those with a positive gate.
    ReluRoutedExperts(ReluRoutedExperts),
    /// `down(relu(up(x)))`, or with the square of ReLU, with a penalty on the hidden units.
    Relu(Relu),
    /// `down(silu(gate(x)) · up(x))`.
    Swiglu(Swiglu),
}

/// The parameters of a feed-forward that are not used by every token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OptionalParameters {
    /// The number of these parameters.
    pub parameters: usize,
    /// The share of them that a token uses on average, according to the configuration.
    pub used: f64,
}

impl Default for FeedForwardConfig {
    /// Dense, with four times the width of hidden units.
    fn default() -> Self {
        Self::Dense(Dense::default())
    }
}

impl FeedForwardConfig {
    /// Whether this is the feed-forward of a configuration without the key `feed_forward`.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The name in configurations.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Dense(_) => "dense",
            Self::MixtureOfExperts(_) => "mixture-of-experts",
            Self::ReluRoutedExperts(_) => "relu-routed-experts",
            Self::Relu(_) => "relu",
            Self::Swiglu(_) => "swiglu",
        }
    }

    /// Hidden units of a layer of a model of this width; those of one expert where there are experts.
    pub fn hidden(&self, width: usize, layer: usize) -> usize {
        let hidden = match self {
            Self::MixtureOfExperts(config) => config.hidden,
            Self::ReluRoutedExperts(config) => config.hidden,
            Self::Dense(_) | Self::Relu(_) | Self::Swiglu(_) => {
                self.units().and_then(|hidden| hidden.of_layer(layer))
            }
        };
        hidden.unwrap_or_else(|| match self {
            Self::Swiglu(_) => Swiglu::default_hidden(width),
            _ => width.saturating_mul(4),
        })
    }

    /// The configured number of hidden units of a feed-forward without experts.
    fn units(&self) -> Option<&Hidden> {
        match self {
            Self::Dense(config) => config.hidden.as_ref(),
            Self::Relu(config) => config.hidden.as_ref(),
            Self::Swiglu(config) => config.hidden.as_ref(),
            Self::MixtureOfExperts(_) | Self::ReluRoutedExperts(_) => None,
        }
    }

    /// The activation function of the hidden units; none with experts and with SwiGLU.
    pub fn activation(&self) -> Option<Activation> {
        match self {
            Self::Dense(_) => Some(Activation::Gelu),
            Self::Relu(config) => Some(config.activation()),
            Self::MixtureOfExperts(_) | Self::ReluRoutedExperts(_) | Self::Swiglu(_) => None,
        }
    }

    /// Whether layers have numbers of hidden units of their own.
    pub fn differs_by_layer(&self) -> bool {
        self.listed_layers().is_some()
    }

    /// The number of layers whose hidden units are listed; none if all layers have the same number.
    pub(crate) fn listed_layers(&self) -> Option<usize> {
        match self.units()? {
            Hidden::OfLayers(list) => Some(list.len()),
            Hidden::Every(_) => None,
        }
    }

    /// Whether masks can stand on the hidden units.
    pub fn has_hidden_units(&self) -> bool {
        matches!(self, Self::Dense(_) | Self::Relu(_))
    }

    /// Number of experts; none for feed-forwards without experts.
    pub fn experts(&self) -> Option<usize> {
        match self {
            Self::MixtureOfExperts(config) => Some(config.experts),
            Self::ReluRoutedExperts(config) => Some(config.experts),
            Self::Dense(_) | Self::Relu(_) | Self::Swiglu(_) => None,
        }
    }

    /// Hidden units of the expert that every token uses in addition to the chosen ones; 0 for none.
    pub fn shared(&self) -> usize {
        match self {
            Self::MixtureOfExperts(config) => config.shared,
            _ => 0,
        }
    }

    /// What experts apply to their up projection; none for feed-forwards without experts.
    pub fn expert_activation(&self) -> Option<ExpertActivation> {
        match self {
            Self::MixtureOfExperts(config) => Some(config.activation),
            Self::ReluRoutedExperts(config) => Some(config.activation),
            Self::Dense(_) | Self::Relu(_) | Self::Swiglu(_) => None,
        }
    }

    /// The coefficient of the mean over the hidden units of all experts; none without experts that have one.
    /// Units of experts that a token does not use count as 0.
    pub fn unit_penalty(&self) -> Option<f64> {
        match self {
            Self::ReluRoutedExperts(config) => {
                Some(config.penalty).filter(|&penalty| penalty > 0.0)
            }
            _ => None,
        }
    }

    /// The coefficient of the auxiliary loss; none without such a loss.
    pub fn coefficient(&self) -> Option<Coefficient> {
        match self {
            Self::Dense(_) | Self::Swiglu(_) => None,
            Self::MixtureOfExperts(config) => Some(Coefficient::Constant(config.balance)),
            Self::ReluRoutedExperts(config) => Some(Coefficient::Adaptive(config.coefficient())),
            Self::Relu(config) => Some(Coefficient::Constant(config.penalty)),
        }
    }

    /// The parameters of one layer that not every token uses. None if every token uses all of them, or if
    /// the configuration does not determine the share.
    pub fn optional(&self, width: usize) -> Option<OptionalParameters> {
        let used = match self {
            Self::MixtureOfExperts(config) => config.active as f64 / config.experts as f64,
            Self::ReluRoutedExperts(config) => config.target_density,
            Self::Dense(_) | Self::Relu(_) | Self::Swiglu(_) => return None,
        };
        Some(OptionalParameters {
            parameters: 2 * self.experts()? * self.hidden(width, 0) * width,
            used,
        })
    }

    /// The tensors of a layer by their names, without those of a learned mask.
    pub(crate) fn layout(&self, width: usize, layer: usize) -> Vec<TensorSpec> {
        let hidden = self.hidden(width, layer);
        let spec = TensorSpec::new;
        let Some(experts) = self.experts() else {
            let gate = matches!(self, Self::Swiglu(_));
            let gate = gate.then(|| spec("gate.weight", &[hidden, width], Weight));
            let up = spec("up.weight", &[hidden, width], Weight);
            let down = spec("down.weight", &[width, hidden], ResidualProjection);
            return gate.into_iter().chain([up, down]).collect();
        };
        let down = [experts, width, hidden];
        let mut specs = vec![
            spec("router.weight", &[experts, width], Weight),
            spec("experts.up", &[experts, hidden, width], Weight),
            spec("experts.down", &down, ResidualProjection),
        ];
        let shared = self.shared();
        if shared > 0 {
            let down = [width, shared];
            specs.push(spec("shared.up.weight", &[shared, width], Weight));
            specs.push(spec("shared.down.weight", &down, ResidualProjection));
        }
        specs
    }

    /// Records every problem of the feed-forwards of a model with this many layers.
    pub fn check(&self, layers: usize, checks: &mut Checks) {
        match self.units() {
            Some(hidden) => hidden.check(layers, checks),
            // The width does not matter: only a configured number of hidden units can be wrong.
            None => checks.range("hidden", self.hidden(1, 0), 1..=LARGEST_DIMENSION),
        }
        match self {
            Self::Dense(_) | Self::Swiglu(_) => {}
            Self::MixtureOfExperts(config) => config.check(checks),
            Self::ReluRoutedExperts(config) => config.check(checks),
            Self::Relu(config) => config.check(checks),
        }
    }
}
