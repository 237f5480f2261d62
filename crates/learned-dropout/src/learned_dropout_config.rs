//! The configuration of a learned dropout module.

use burn::config::Config;
use model::rounding::SIGMOID_SCALE;
use model::{MaskConfig, MaskFunction, MaskGradient, MaskShape, PenaltyKind, Rounding};

/// Configuration of a [`LearnedDropout`](crate::LearnedDropout).
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
///
/// // Groups of 8 channels, by an attention of width 16 over another input of 32 channels.
/// let narrow = LearnedDropoutConfig::new(64, 4)
///     .with_input(Some(32)).with_rank(Some(16)).with_group(8).init(&device);
/// let x = Tensor::<3>::random([2, 16, 64], Distribution::Default, &device);
/// let input = Tensor::<3>::random([2, 16, 32], Distribution::Default, &device);
/// let masked = narrow.apply(x, input, &learned_dropout::Pass::Evaluate);
/// assert_eq!(masked.mask().dims(), [2, 16, 8]);
/// ```
#[derive(Config, Debug)]
pub struct LearnedDropoutConfig {
    /// Channels that are masked.
    pub width: usize,
    /// Heads of the mask's attention; a divisor of its width.
    pub heads: usize,
    /// Channels of the mask's input; `width` where left out.
    #[config(default = "None")]
    pub input: Option<usize>,
    /// Width of the mask's attention, which a linear layer then takes to the mask's values. Left
    /// out, the attention is as wide as its input and makes the values itself: then there must be
    /// as many values as channels of the input.
    #[config(default = "None")]
    pub rank: Option<usize>,
    /// Neighbouring channels that share one mask value; a divisor of `width`.
    #[config(default = 1)]
    pub group: usize,
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
    /// Which gradients pass the rounding.
    #[config(default = "MaskGradient::Exact")]
    pub gradient: MaskGradient,
    /// What [`Mask::penalty`](crate::Mask::penalty) is the mean of.
    #[config(default = "PenaltyKind::Squared")]
    pub penalty: PenaltyKind,
    /// The mean below which [`Mask::shortfall`](crate::Mask::shortfall) counts a value, if any.
    #[config(default = "None")]
    pub floor: Option<f64>,
    /// Seed of the initial weights and of the noise of [`LearnedDropout::forward`](crate::LearnedDropout::forward). Give each module
    /// of a model another one, or they all begin alike and round alike.
    #[config(default = 1337)]
    pub seed: u64,
}

impl LearnedDropoutConfig {
    /// The configuration of one module of a transformer.
    pub(crate) fn of_model(mask: &MaskConfig, shape: &MaskShape) -> Self {
        let penalty = mask.penalty.as_ref();
        Self::new(shape.values * shape.group, shape.heads)
            .with_input(Some(shape.input))
            .with_rank(mask.rank)
            .with_group(shape.group)
            .with_detach_input(mask.detach_input)
            .with_function(mask.function.clone())
            .with_rounding(mask.rounding)
            .with_sigmoid_scale(mask.sigmoid_scale)
            .with_gradient(mask.gradient)
            .with_penalty(penalty.map_or(PenaltyKind::Squared, |penalty| penalty.kind))
            .with_floor(penalty.and_then(|penalty| penalty.floor))
    }

    /// Channels of the mask's input.
    pub(crate) fn inputs(&self) -> usize {
        self.input.unwrap_or(self.width)
    }

    /// Mask values per token.
    pub(crate) fn values(&self) -> usize {
        self.width / self.group.max(1)
    }
}
