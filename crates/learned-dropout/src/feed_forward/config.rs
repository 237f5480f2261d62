//! What stands in the second half of a block, as a configuration says it.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{Activity, mixture_of_experts, relu, relu_routed_experts};
use crate::config::{ConfigProblem, LARGEST_DIMENSION};
use crate::weights::TensorSpec;

/// The choice of feed-forward.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum FeedForwardConfig {
    /// `down(gelu(up(x)))`.
    Dense(Dense),
    /// Experts of which each token takes the best few.
    MixtureOfExperts(mixture_of_experts::Config),
    /// Experts of which each token takes those whose gate is positive.
    ReluRoutedExperts(relu_routed_experts::Config),
    /// `down(relu(up(x)))` with a penalty on the hidden units.
    Relu(relu::Config),
}

/// The dense feed-forward with GELU.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Dense {
    /// Hidden units; four times the width where left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hidden: Option<usize>,
}

/// What the auxiliary loss of a feed-forward is multiplied by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Coefficient {
    /// Always the same.
    Constant(f64),
    /// Adapted after every step until the share of what is used is the target.
    Adaptive(AdaptiveCoefficient),
}

/// A coefficient that follows the share of what is used: times `factor` while it is above the
/// target, divided by it while it is below.
///
/// From Wang et al., "ReMoE: fully differentiable mixture-of-experts with ReLU routing" (2024).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdaptiveCoefficient {
    /// The coefficient of the first step.
    pub initial: f64,
    /// What a step multiplies or divides by; above 1.
    pub factor: f64,
    /// The wanted share of what is used.
    pub target_density: f64,
}

impl AdaptiveCoefficient {
    /// The coefficient of the next step, from that of a step and the share that was used in it.
    ///
    /// ```
    /// use learned_dropout::feed_forward::AdaptiveCoefficient;
    /// let rule = AdaptiveCoefficient { initial: 1.0, factor: 1.25, target_density: 0.5 };
    /// assert_eq!(rule.next(1.0, 0.75), 1.25);
    /// assert_eq!(rule.next(1.0, 0.25), 0.8);
    /// assert_eq!(rule.next(1.0, 0.5), 1.0);
    /// ```
    pub fn next(&self, coefficient: f64, density: f64) -> f64 {
        let next = if density > self.target_density {
            coefficient * self.factor
        } else if density < self.target_density {
            coefficient / self.factor
        } else {
            coefficient
        };
        // Either end is out of every use; beyond it the number could never come back.
        next.clamp(1e-30, 1e30)
    }
}

/// The parameters of a feed-forward that are not used by every token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OptionalParameters {
    /// Their number.
    pub parameters: usize,
    /// The share of them that a token uses on average, as the configuration wants it.
    pub used: f64,
}

impl Default for FeedForwardConfig {
    /// Dense, with four times the width of hidden units.
    fn default() -> Self {
        Self::Dense(Dense::default())
    }
}

impl FeedForwardConfig {
    /// Whether this is what a configuration without feed-forward means.
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
        }
    }

    /// Hidden units for a model of this width; those of one expert where there are experts.
    pub fn hidden(&self, width: usize) -> usize {
        let hidden = match self {
            Self::Dense(config) => config.hidden,
            Self::MixtureOfExperts(config) => config.hidden,
            Self::ReluRoutedExperts(config) => config.hidden,
            Self::Relu(config) => config.hidden,
        };
        hidden.unwrap_or(width.saturating_mul(4))
    }

    /// Number of experts; none where there is nothing to choose from.
    pub fn experts(&self) -> Option<usize> {
        match self {
            Self::MixtureOfExperts(config) => Some(config.experts),
            Self::ReluRoutedExperts(config) => Some(config.experts),
            Self::Dense(_) | Self::Relu(_) => None,
        }
    }

    /// Hidden units of the expert that every token uses besides the chosen ones; 0 for none.
    pub fn shared(&self) -> usize {
        match self {
            Self::MixtureOfExperts(config) => config.shared,
            _ => 0,
        }
    }

    /// What the auxiliary loss is multiplied by; none where there is no such loss.
    pub fn coefficient(&self) -> Option<Coefficient> {
        match self {
            Self::Dense(_) => None,
            Self::MixtureOfExperts(config) => Some(Coefficient::Constant(config.balance)),
            Self::ReluRoutedExperts(config) => Some(Coefficient::Adaptive(config.coefficient())),
            Self::Relu(config) => Some(Coefficient::Constant(config.penalty)),
        }
    }

    /// The auxiliary loss of a model, `[1]`, from what its layers did: the sum of the layers' losses
    /// for a mixture of experts, else their mean. None without any.
    pub(crate) fn auxiliary(&self, activities: &[Activity]) -> Option<Tensor<1>> {
        let penalties: Vec<_> = activities.iter().map(|one| one.penalty.clone()).collect();
        (!penalties.is_empty()).then(|| {
            let penalties = Tensor::cat(penalties, 0);
            match self {
                Self::MixtureOfExperts(_) => penalties.sum(),
                _ => penalties.mean(),
            }
        })
    }

    /// The parameters of one layer that not every token uses. None where every token uses all, or
    /// where only running the model tells.
    pub fn optional(&self, width: usize) -> Option<OptionalParameters> {
        let used = match self {
            Self::MixtureOfExperts(config) => config.active as f64 / config.experts as f64,
            Self::ReluRoutedExperts(config) => config.target_density,
            Self::Dense(_) | Self::Relu(_) => return None,
        };
        Some(OptionalParameters {
            parameters: 2 * self.experts()? * self.hidden(width) * width,
            used,
        })
    }

    /// The tensors of one layer by their names, without those of a learned mask.
    pub(crate) fn layout(&self, width: usize) -> Vec<TensorSpec> {
        let hidden = self.hidden(width);
        let spec = |name: &str, shape: &[usize]| TensorSpec {
            name: name.into(),
            shape: shape.to_vec(),
        };
        let Some(experts) = self.experts() else {
            return vec![
                spec("up.weight", &[hidden, width]),
                spec("down.weight", &[width, hidden]),
            ];
        };
        let mut specs = vec![
            spec("router.weight", &[experts, width]),
            spec("experts.up", &[experts, hidden, width]),
            spec("experts.down", &[experts, width, hidden]),
        ];
        if self.shared() > 0 {
            specs.push(spec("shared.up.weight", &[self.shared(), width]));
            specs.push(spec("shared.down.weight", &[width, self.shared()]));
        }
        specs
    }

    /// Records what no model can be made from.
    pub fn validate(&self, key: &str, problems: &mut Vec<ConfigProblem>) {
        let mut check = Checks { key, problems };
        // Any width will do: only a number that is written out can be wrong.
        check.whole("hidden", self.hidden(1), 1, LARGEST_DIMENSION);
        match self {
            Self::Dense(_) => {}
            Self::MixtureOfExperts(config) => config.validate(&mut check),
            Self::ReluRoutedExperts(config) => config.validate(&mut check),
            Self::Relu(config) => check.not_negative("penalty", config.penalty),
        }
    }
}

/// The most experts of a layer.
const MOST_EXPERTS: usize = 4096;

/// Checks of values under one key.
pub(super) struct Checks<'a> {
    key: &'a str,
    problems: &'a mut Vec<ConfigProblem>,
}

impl Checks<'_> {
    pub(super) fn experts(&mut self, experts: usize) {
        self.whole("experts", experts, 1, MOST_EXPERTS);
    }

    pub(super) fn whole(&mut self, name: &str, value: usize, least: usize, most: usize) {
        if !(least..=most).contains(&value) {
            let expected = format!("expected a whole number from {least} to {most}");
            self.wrong(name, value, expected);
        }
    }

    pub(super) fn not_negative(&mut self, name: &str, value: f64) {
        if !(value >= 0.0 && value.is_finite()) {
            self.wrong(name, value, "expected a finite number of at least 0");
        }
    }

    pub(super) fn positive(&mut self, name: &str, value: f64) {
        if !(value > 0.0 && value.is_finite()) {
            self.wrong(name, value, "expected a finite number above 0");
        }
    }

    pub(super) fn wrong(
        &mut self,
        name: &str,
        value: impl std::fmt::Display,
        expected: impl Into<String>,
    ) {
        let key = format!("{}.{name}", self.key);
        self.problems.push(ConfigProblem::new(key, value, expected));
    }
}
