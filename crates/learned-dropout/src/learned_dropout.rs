//! The learned dropout module.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use burn::config::Config;
use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};

use crate::attention::causal_attention;
use crate::config::MaskConfig;
use crate::function::MaskFunction;
use crate::initialization::Initializer;
use crate::linear::Linear;
use crate::ops::tensor::{duplicated, mask_mean, masked_product};
use crate::pass::{NoiseKey, Pass};
use crate::penalty::PenaltyKind;
use crate::rounding::{Rounding, SIGMOID_SCALE};
use crate::statistics::{MaskHistory, MaskStatistics};

/// Configuration of a [`LearnedDropout`].
///
/// ```
/// use burn::tensor::{Device, Distribution, Tensor};
/// use learned_dropout::LearnedDropoutConfig;
///
/// let device = Device::flex();
/// let dropout = LearnedDropoutConfig::new(64, 4).init(&device);
/// let x = Tensor::<3>::random([2, 16, 64], Distribution::Default, &device);
/// let out = dropout.forward(x);
/// assert_eq!(out.dims(), [2, 16, 64]);
/// ```
#[derive(Config, Debug)]
pub struct LearnedDropoutConfig {
    /// Channels; a multiple of `heads`.
    pub width: usize,
    /// Heads of the mask's attention.
    pub heads: usize,
    /// Whether the gradient stops at the mask's input.
    #[config(default = false)]
    pub detach_input: bool,
    /// Maps the attention's output to [0, 1].
    #[config(default = "MaskFunction::default()")]
    pub function: MaskFunction,
    /// Brings the mask to {0, 1}.
    #[config(default = "Rounding::Stochastic")]
    pub rounding: Rounding,
    /// Steepness of the sigmoid roundings.
    #[config(default = "SIGMOID_SCALE")]
    pub sigmoid_scale: f64,
    /// What [`Masked::penalty`] is the mean of.
    #[config(default = "PenaltyKind::Squared")]
    pub penalty: PenaltyKind,
    /// Seed of the initial weights and of the noise of [`LearnedDropout::forward`]. Give each module
    /// of a model another one, or they all begin alike and round alike.
    #[config(default = 1337)]
    pub seed: u64,
}

impl LearnedDropoutConfig {
    /// The configuration of one module of a transformer.
    pub(crate) fn of_model(mask: &MaskConfig, width: usize, heads: usize) -> Self {
        Self::new(width, heads)
            .with_detach_input(mask.detach_input)
            .with_function(mask.function.clone())
            .with_rounding(mask.rounding)
            .with_sigmoid_scale(mask.sigmoid_scale)
            .with_penalty(
                mask.penalty
                    .as_ref()
                    .map_or(PenaltyKind::Squared, |p| p.kind),
            )
    }

    /// A module with random weights: `N(0, 0.02)` for the attention, `shift_init` for the shift.
    ///
    /// # Panics
    /// If `width` is not a multiple of `heads`, or a value lies outside the range that its
    /// documentation gives.
    pub fn init(&self, device: &Device) -> LearnedDropout {
        let mut initializer = Initializer::new(self.seed, device);
        let weight = initializer.normal([3 * self.width, self.width], 0.02);
        let shift = Tensor::full([self.width], self.function.shift_init(), device);
        self.with_weights(weight, shift, 0)
    }

    /// A module with given weights: `[3 · width, width]` and `[width]`.
    pub(crate) fn with_weights(
        &self,
        query_key_value: Tensor<2>,
        shift: Tensor<1>,
        layer: usize,
    ) -> LearnedDropout {
        let mut problems = Vec::new();
        crate::config::check_heads("mask heads", self.heads, self.width, &mut problems);
        self.function.validate("function", &mut problems);
        assert!(problems.is_empty(), "{}", problems[0]);
        LearnedDropout {
            query_key_value: Linear::new(query_key_value),
            shift: Param::from_tensor(shift),
            config: self.clone(),
            layer,
            calls: Arc::default(),
            history: MaskHistory::default(),
        }
    }
}

/// Dropout that computes a binary mask from its input and learns which activations to drop.
///
/// ```text
/// M      = 0.5 cos(causal attention(mask input) + B) + 0.5
/// output = x · round(M)
/// ```
///
/// On a training device ([`Device::autodiff`]) elements are kept with probability `M`, and the
/// gradient passes the rounding straight through: `dL/dM = x · dL/doutput` and
/// `dL/dx = round(M) · dL/doutput`. Elsewhere elements are kept where `M ≥ 0.5`.
///
/// Made by [`LearnedDropoutConfig`].
#[derive(Module, Debug)]
pub struct LearnedDropout {
    /// Queries, keys and values of the mask's attention, `[3 · width, width]`.
    pub query_key_value: Linear,
    /// The shift `B`, `[width]`.
    pub shift: Param<Tensor<1>>,
    #[module(skip)]
    config: LearnedDropoutConfig,
    #[module(skip)]
    layer: usize,
    #[module(skip)]
    calls: Arc<AtomicU64>,
    #[module(skip)]
    history: MaskHistory,
}

/// What a [`LearnedDropout`] gives back.
pub struct Masked {
    /// `x · round(M)`, `[batch, time, channels]`.
    pub output: Tensor<3>,
    /// The mean of the configured penalty over the elements of `M`, `[1]`, with gradient. Times
    /// a coefficient (0.1 is the seed's), it is added to the training loss.
    pub penalty: Tensor<1>,
    attended: Tensor<3>,
    shift: Tensor<1>,
    config: LearnedDropoutConfig,
    pass: Pass,
    layer: usize,
    history: MaskHistory,
}

impl Masked {
    /// The mask `M` before rounding, `[batch, time, channels]`.
    pub fn mask(&self) -> Tensor<3> {
        self.config
            .function
            .mask(self.attended.clone(), self.shift.clone())
    }

    /// The sides that the mask was rounded to: 1 where it is kept, else 0; without gradient.
    pub fn kept(&self) -> Tensor<3> {
        let mask = self.mask().detach();
        self.config
            .rounding
            .round(mask, self.config.sigmoid_scale, &self.pass, self.layer)
            .kept
    }

    /// Measures the mask.
    ///
    /// Compares it with the mask of the module's last measured pass, and takes that one's place.
    pub fn statistics(&self) -> MaskStatistics {
        MaskStatistics::measure(self.mask(), self.kept(), &self.history)
    }
}

impl LearnedDropout {
    /// Drops activations of `x` by a mask computed from `x`.
    ///
    /// On a training device, each call rounds with new noise that follows from the configured
    /// seed and the number of calls so far.
    ///
    /// # Shapes
    /// - `x`: `[batch, time, channels]`
    /// - result: `[batch, time, channels]`
    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let pass = if x.device().is_autodiff() {
            let step = self.calls.fetch_add(1, Ordering::Relaxed);
            Pass::Train(NoiseKey {
                seed: self.config.seed,
                step,
            })
        } else {
            Pass::Evaluate
        };
        self.apply(x.clone(), x, &pass).output
    }

    /// Drops activations of `x` by a mask computed from `mask_input`.
    ///
    /// # Shapes
    /// - `x` and `mask_input`: `[batch, time, channels]`
    pub fn apply(&self, x: Tensor<3>, mask_input: Tensor<3>, pass: &Pass) -> Masked {
        let input = if self.config.detach_input {
            mask_input.detach()
        } else {
            mask_input
        };
        let packed = self.query_key_value.forward(input);
        let attended = causal_attention(packed, self.config.heads, 0.0, pass, self.layer);
        let shift = self.shift.val();
        let [attended, for_penalty] = duplicated(attended);
        Masked {
            output: self.product(x, &attended, &shift, pass),
            penalty: self.penalty(&for_penalty, &shift),
            attended,
            shift,
            config: self.config.clone(),
            pass: *pass,
            layer: self.layer,
            history: self.history.clone(),
        }
    }

    /// Whether the gradient stops at the mask's input.
    pub(crate) fn detaches_input(&self) -> bool {
        self.config.detach_input
    }

    fn product(
        &self,
        x: Tensor<3>,
        attended: &Tensor<3>,
        shift: &Tensor<1>,
        pass: &Pass,
    ) -> Tensor<3> {
        let (attended, shift) = (attended.clone(), shift.clone());
        match (
            &self.config.function,
            self.config.rounding.keep(pass, self.layer),
        ) {
            (MaskFunction::Cosine(_), Some(keep)) => masked_product(x, attended, shift, keep),
            (function, _) => {
                let mask = function.mask(attended, shift);
                let scale = self.config.sigmoid_scale;
                x * self
                    .config
                    .rounding
                    .round(mask, scale, pass, self.layer)
                    .multiplier
            }
        }
    }

    fn penalty(&self, attended: &Tensor<3>, shift: &Tensor<1>) -> Tensor<1> {
        let (attended, shift) = (attended.clone(), shift.clone());
        match (&self.config.function, self.config.penalty.moment()) {
            (MaskFunction::Cosine(_), Some(moment)) => mask_mean(attended, shift, moment),
            (function, None) => self.config.penalty.mean(function.mask(attended, shift)),
        }
    }
}
