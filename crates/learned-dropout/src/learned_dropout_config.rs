//! The configuration of a learned dropout module.

use burn::config::Config;
use burn::module::Content;
use model::pass::NoiseKey;
use model::penalty::check_floor;
use model::problem::LARGEST_DIMENSION;
use model::rounding::SIGMOID_SCALE;
use model::{
    Checks, ConfigProblem, Generator, MaskConfig, MaskControl, MaskFunction, MaskGradient,
    MaskShape, Pass, PenaltyKind, Rounding, check_heads, check_mask_dropout, check_rounding,
    check_threshold, noise_spread,
};

/// Configuration of a [`LearnedDropout`](crate::LearnedDropout).
///
/// ```
/// use burn::tensor::{Device, Distribution, Tensor};
/// use learned_dropout::LearnedDropoutConfig;
///
/// let device = Device::flex();
/// let dropout = LearnedDropoutConfig::new(64, 4).init(&device);
/// let x = Tensor::<3>::random([2, 16, 64], Distribution::Default, &device);
/// assert_eq!(dropout.forward(x).dims(), [2, 16, 64]);
///
/// // Groups of 8 channels, by an attention of width 16 over another input of 32 channels.
/// let narrow = LearnedDropoutConfig::new(64, 4)
///     .with_input(Some(32)).with_rank(Some(16)).with_group(8).init(&device);
/// let x = Tensor::<3>::random([2, 16, 64], Distribution::Default, &device);
/// let input = Tensor::<3>::random([2, 16, 32], Distribution::Default, &device);
/// let masked = narrow.forward_from(x, input);
/// assert_eq!(masked.mask.values().dims(), [2, 16, 8]);
/// ```
#[derive(Config, Debug)]
pub struct LearnedDropoutConfig {
    /// Channels that are masked.
    pub width: usize,
    /// Heads of the mask's attention; a divisor of its width. A linear generator ignores them.
    pub heads: usize,
    /// Channels of the mask's input; `width` if left out.
    #[config(default = "None")]
    pub input: Option<usize>,
    /// What computes the values that the mask function takes.
    #[config(default = "Generator::Attention")]
    pub generator: Generator,
    /// Width of the mask's attention, which a linear layer then projects to the mask's values. If left
    /// out, the attention is as wide as its input and its output is the mask's values: then there must
    /// be as many values as channels of the input.
    #[config(default = "None")]
    pub rank: Option<usize>,
    /// Neighbouring channels that share one mask value; a divisor of `width`.
    #[config(default = 1)]
    pub group: usize,
    /// Whether a token's mask depends only on this token and earlier ones, as in a decoder. Otherwise it
    /// depends on all tokens of the sequence, as in an encoder, and burn's operations compute it.
    #[config(default = true)]
    pub causal: bool,
    /// Whether the gradient stops at the mask's input.
    #[config(default = false)]
    pub detach_input: bool,
    /// Maps the generator's output to `M`.
    #[config(default = "MaskFunction::default()")]
    pub function: MaskFunction,
    /// How the mask is rounded.
    #[config(default = "Rounding::Stochastic")]
    pub rounding: Rounding,
    /// Number of forward passes with noise over which the noise of the stochastic rounding fades linearly
    /// to none; after that it rounds at 0.5. If left out, the noise does not fade.
    #[config(default = "None")]
    pub noise_steps: Option<u64>,
    /// Steepness of the sigmoid roundings.
    #[config(default = "SIGMOID_SCALE")]
    pub sigmoid_scale: f64,
    /// The probability with which training drops a kept value of the mask; the others are divided by 1 minus this
    /// rate. 0 for none. The gradient is that of what was kept. [`Mask::kept`](crate::Mask::kept) and the
    /// statistics are those before this dropout.
    #[config(default = "0.0")]
    pub dropout: f64,
    /// Which gradients pass through the rounding. Those of [`Rounding::Carried`] are always kept-only.
    #[config(default = "MaskGradient::Exact")]
    pub gradient: MaskGradient,
    /// What holds the kept share at a target without a penalty;
    /// [`move_threshold`](crate::LearnedDropout::move_threshold) applies it. None if left out.
    #[config(default = "None")]
    pub control: Option<MaskControl>,
    /// The penalty whose mean is [`Mask::penalty`](crate::Mask::penalty).
    #[config(default = "PenaltyKind::Squared")]
    pub penalty: PenaltyKind,
    /// [`Mask::shortfall`](crate::Mask::shortfall) measures how far values' means lie below this floor;
    /// there is none if it is left out.
    #[config(default = "None")]
    pub floor: Option<f64>,
    /// Seed of the initial weights and of the noise of
    /// [`LearnedDropout::forward`](crate::LearnedDropout::forward). If left out, it is drawn from the random
    /// numbers of the device, so that every module has its own and
    /// [`Device::seed`](burn::tensor::Device::seed) determines all of them.
    #[config(default = "None")]
    pub seed: Option<u64>,
}

impl LearnedDropoutConfig {
    /// The configuration of the module at one site of a transformer, from the settings at this site.
    pub(crate) fn for_site(mask: &MaskConfig, shape: &MaskShape) -> Self {
        // A control takes the place of the whole penalty, its floor included.
        let penalty = mask.penalty.as_ref().filter(|_| mask.control.is_none());
        let heads = shape.attention.map_or(1, |attention| attention.heads);
        Self::new(shape.values * shape.group, heads)
            .with_input(Some(shape.input))
            .with_generator(mask.generator)
            .with_rank(mask.rank)
            .with_group(shape.group)
            .with_detach_input(mask.detach_input)
            .with_function(mask.function.clone())
            .with_rounding(mask.rounding)
            .with_sigmoid_scale(mask.sigmoid_scale)
            .with_dropout(mask.dropout)
            .with_gradient(mask.gradient)
            .with_control(mask.control.clone())
            .with_penalty(penalty.map_or(PenaltyKind::Squared, |penalty| penalty.kind))
            .with_floor(penalty.and_then(|penalty| penalty.floor))
    }

    /// Checks the configuration and reports every problem.
    ///
    /// ```
    /// use learned_dropout::LearnedDropoutConfig;
    /// let problems = LearnedDropoutConfig::new(0, 4).with_floor(Some(2.0)).validate().unwrap_err();
    /// assert_eq!(problems[0].to_string(), "`width` is 0: expected a whole number from 1 to 16777216");
    /// assert_eq!(problems[1].key, "floor");
    /// ```
    ///
    /// # Errors
    /// All problems, not just the first. Their keys are the names of the fields.
    pub fn validate(&self) -> Result<(), Vec<ConfigProblem>> {
        let mut checks = Checks::default();
        let sizes = [
            ("width", Some(self.width)),
            ("heads", Some(self.heads)),
            ("input", self.input),
            ("rank", self.rank),
            ("group", Some(self.group)),
        ];
        for (key, size) in sizes {
            checks.range(key, size, 1..=LARGEST_DIMENSION);
        }
        if checks.problems().is_empty() {
            self.check_divisions(&mut checks);
        }
        checks.table("function", |checks| self.function.check(checks));
        check_rounding(
            self.rounding,
            self.sigmoid_scale,
            self.gradient,
            self.noise_steps,
            &mut checks,
        );
        check_threshold(
            &self.function,
            self.rounding,
            self.control.as_ref(),
            &mut checks,
        );
        check_mask_dropout(self.dropout, &mut checks);
        check_floor(self.floor, &mut checks);
        checks.finish()
    }

    /// Records sizes that should divide another one and do not.
    fn check_divisions(&self, checks: &mut Checks) {
        if self.generator == Generator::Attention {
            check_heads("heads", self.heads, self.attention(), checks);
        } else if let Some(rank) = self.rank {
            let expected = "only the generator `Attention` has one; leave it out";
            checks.wrong("rank", rank, expected);
        }
        let (width, values, inputs) = (self.width, self.values(), self.inputs());
        if !width.is_multiple_of(self.group) {
            let expected = format!("expected a divisor of the width, {width}");
            checks.wrong("group", self.group, expected);
        } else if !self.is_projected() && values != inputs {
            let expected = format!(
                "give the width of the mask's attention, for example {}: without it the attention \
                 is as wide as its input and makes the values itself, but the input has {inputs} \
                 channels and the mask {values} values",
                (width / 16).max(1)
            );
            checks.wrong("rank", "missing", expected);
        }
    }

    /// Adds the settings to a display, without those that have their default values.
    pub(crate) fn add_to_display(&self, content: Content) -> Content {
        let default = Self::new(self.width, self.heads);
        let mut content = content.add("width", &self.width).add("heads", &self.heads);
        for (name, value) in [("input", self.input), ("rank", self.rank)] {
            if let Some(value) = value {
                content = content.add(name, &value);
            }
        }
        if self.generator != default.generator {
            content = content.add("generator", self.generator.name());
        }
        if self.group != default.group {
            content = content.add("group", &self.group);
        }
        if !self.causal {
            content = content.add("causal", &self.causal);
        }
        if self.detach_input {
            content = content.add("detach_input", &self.detach_input);
        }
        content = content
            .add("function", self.function.name())
            .add_debug_attribute("rounding", &self.rounding);
        if let Some(steps) = self.noise_steps {
            content = content.add_debug_attribute("noise_steps", &steps);
        }
        if self.dropout != default.dropout {
            content = content.add("dropout", &self.dropout);
        }
        if self.gradient != default.gradient {
            content = content.add_debug_attribute("gradient", &self.gradient);
        }
        if let Some(control) = &self.control {
            content = content.add_debug_attribute("control", control);
        }
        if self.penalty != default.penalty {
            content = content.add_debug_attribute("penalty", &self.penalty);
        }
        if let Some(floor) = self.floor {
            content = content.add("floor", &floor);
        }
        content
    }

    /// The training pass for a key, with the spread of the noise at its step.
    pub(crate) fn training_pass(&self, key: NoiseKey) -> Pass {
        match self.noise_steps {
            Some(_) => Pass::TrainWithSpread {
                key,
                spread: noise_spread(self.noise_steps, key.step) as f32,
            },
            None => Pass::Train(key),
        }
    }

    /// Channels of the mask's input.
    pub(crate) fn inputs(&self) -> usize {
        self.input.unwrap_or(self.width)
    }

    /// Whether a linear layer makes the mask's values.
    pub(crate) fn is_projected(&self) -> bool {
        self.generator == Generator::Linear || self.rank.is_some()
    }

    /// Whether values are kept where they are above a threshold, which the module may have as a tensor.
    pub(crate) fn has_threshold(&self) -> bool {
        self.control.is_some() || self.rounding == Rounding::Carried
    }

    /// Whether gradients reach the mask only through kept values.
    pub(crate) fn is_kept_only(&self) -> bool {
        self.gradient == MaskGradient::KeptOnly || self.rounding == Rounding::Carried
    }

    /// Channels of the mask's attention.
    pub(crate) fn attention(&self) -> usize {
        self.rank.unwrap_or(self.inputs())
    }

    /// Mask values per token.
    pub(crate) fn values(&self) -> usize {
        self.width / self.group.max(1)
    }
}
