//! The learned dropout module.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use burn::config::Config;
use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};

use crate::config::{MaskConfig, MaskGradient};
use crate::function::fourier::Series;
use crate::function::{Learned, MaskFunction};
use crate::initialization::Initializer;
use crate::linear::Linear;
use crate::mask::Mask;
use crate::norm::LayerNorm;
use crate::ops::{Precision, causal_attention};
use crate::pass::{NoiseKey, Pass};
use crate::penalty::PenaltyKind;
use crate::rounding::{Rounding, SIGMOID_SCALE};
use crate::site::{MaskInput, MaskShape, Site};
use crate::statistics::MaskHistory;

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
///
/// // Groups of 8 channels, by an attention of width 16 over another input of 32 channels.
/// let narrow = LearnedDropoutConfig::new(64, 4)
///     .with_input(Some(32)).with_rank(Some(16)).with_group(8).init(&device);
/// let x = Tensor::<3>::random([2, 16, 64], Distribution::Default, &device);
/// let input = Tensor::<3>::random([2, 16, 32], Distribution::Default, &device);
/// let masked = narrow.apply(x, input, &learned_dropout::pass::Pass::Evaluate);
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
    /// What [`Mask::penalty`] is the mean of.
    #[config(default = "PenaltyKind::Squared")]
    pub penalty: PenaltyKind,
    /// The mean below which [`Mask::shortfall`] counts a value, if any.
    #[config(default = "None")]
    pub floor: Option<f64>,
    /// Seed of the initial weights and of the noise of [`LearnedDropout::forward`]. Give each module
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
    fn inputs(&self) -> usize {
        self.input.unwrap_or(self.width)
    }

    /// Mask values per token.
    fn values(&self) -> usize {
        self.width / self.group.max(1)
    }

    /// A module with random weights and the mask function's initial parameters. The attention's are from
    /// `N(0, 0.02²)`; with a rank, they and the linear layer's are from `N(0, 1 / inputs)`, so that
    /// the attention's output is as large as its input and the cosine does not begin flat.
    ///
    /// # Panics
    /// If a value lies outside the range that its documentation gives.
    pub fn init(&self, device: &Device) -> LearnedDropout {
        let mut initializer = Initializer::new(self.seed, device);
        let (inputs, values) = (self.inputs(), self.values());
        let (weight, output) = match self.rank {
            None => (initializer.normal([3 * inputs, inputs], 0.02), None),
            Some(rank) => {
                let mut layer = |outputs, inputs: usize| {
                    initializer.normal([outputs, inputs], (inputs as f64).powf(-0.5))
                };
                (layer(3 * rank, inputs), Some(layer(values, rank)))
            }
        };
        let parameters = self.function.parameters(values);
        let learned = self.function.learned(|name| {
            let mut named = parameters.iter().filter(|parameter| parameter.name == name);
            let parameter = named.next().expect("it names what it asks for");
            Tensor::full([parameter.count], parameter.initial, device)
        });
        self.with_weights(weight, output, learned)
    }

    /// A module with given weights: `[3 · attention, input]`, with a rank `[values, rank]`, and what
    /// the mask function learns.
    pub(crate) fn with_weights(
        &self,
        query_key_value: Tensor<2>,
        output: Option<Tensor<2>>,
        learned: Learned,
    ) -> LearnedDropout {
        let attention = self.rank.unwrap_or(self.inputs());
        let mut problems = Vec::new();
        crate::config::check_heads("mask heads", self.heads, attention, &mut problems);
        self.function.validate("function", &mut problems);
        assert!(problems.is_empty(), "{}", problems[0]);
        assert!(
            self.group > 0 && self.width.is_multiple_of(self.group),
            "groups of {} channels do not divide {}",
            self.group,
            self.width
        );
        assert!(
            self.rank.is_some() || self.values() == self.inputs(),
            "without a rank, the {} channels of the input make as many values, not {}",
            self.inputs(),
            self.values()
        );
        LearnedDropout {
            query_key_value: Linear::new(query_key_value),
            output: output.map(Linear::new),
            shift: Param::from_tensor(learned.shift),
            series: learned.series.map(Series::new),
            config: self.clone(),
            site: Site::FeedForwardOutput,
            reads: MaskInput::Hidden,
            layer: 0,
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
/// or with another [`MaskFunction`].
///
/// On a training device ([`Device::autodiff`]) elements are kept with probability `M`, and the
/// gradient passes the rounding straight through: `dL/dM = x · dL/doutput` and
/// `dL/dx = round(M) · dL/doutput`. Elsewhere elements are kept where `M ≥ 0.5`.
///
/// Where neighbouring channels share a value of the mask, its gradient is the sum over them.
///
/// Made by [`LearnedDropoutConfig`].
#[derive(Module, Debug)]
pub struct LearnedDropout {
    /// Queries, keys and values of the mask's attention, `[3 · attention width, input]`.
    pub query_key_value: Linear,
    /// From the attention's output to the mask's values, `[values, rank]`, where there is a rank.
    pub output: Option<Linear>,
    /// The shift `B`, `[values]`.
    pub shift: Param<Tensor<1>>,
    /// The coefficients of the mask function, where it is a series of several terms.
    pub series: Option<Series>,
    #[module(skip)]
    config: LearnedDropoutConfig,
    #[module(skip)]
    site: Site,
    #[module(skip)]
    reads: MaskInput,
    #[module(skip)]
    layer: usize,
    #[module(skip)]
    calls: Arc<AtomicU64>,
    #[module(skip)]
    history: MaskHistory,
}

/// What a [`LearnedDropout`] gives back: the masked tensor, and the [`Mask`].
pub struct Masked {
    /// `x · round(M)`, `[batch, time, channels]`.
    pub output: Tensor<3>,
    mask: Mask,
}

impl Deref for Masked {
    type Target = Mask;

    fn deref(&self) -> &Mask {
        &self.mask
    }
}

/// What a mask is computed from.
pub(crate) enum MaskSource<'a> {
    /// A tensor as it is.
    Plain(Tensor<3>),
    /// A tensor after a norm.
    Normalized(&'a LayerNorm, Tensor<3>),
}

impl LearnedDropout {
    /// The same module at another place of a model.
    pub(crate) fn at(self, site: Site, layer: usize, reads: MaskInput) -> Self {
        Self {
            site,
            reads,
            layer,
            ..self
        }
    }

    /// What the mask is computed from.
    pub(crate) fn reads(&self) -> MaskInput {
        self.reads
    }

    /// Sets what operands of products are rounded to.
    pub(crate) fn set_precision(&mut self, precision: Precision) {
        self.query_key_value.precision = precision;
        if let Some(output) = &mut self.output {
            output.precision = precision;
        }
    }

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
    /// - `x`: `[batch, time, channels]`
    /// - `mask_input`: `[batch, time, input]`
    pub fn apply(&self, x: Tensor<3>, mask_input: Tensor<3>, pass: &Pass) -> Masked {
        let mask = self.mask(MaskSource::Plain(mask_input), pass);
        Masked {
            output: mask.product(x),
            mask,
        }
    }

    /// Computes the mask alone.
    pub(crate) fn mask(&self, source: MaskSource<'_>, pass: &Pass) -> Mask {
        let mut attended = self.attended(source);
        if let Some(output) = &self.output {
            attended = output.forward(attended);
        }
        Mask::new(
            attended,
            Learned {
                shift: self.shift.val(),
                series: self.series.as_ref().map(Series::values),
            },
            self.config.clone(),
            (self.site, self.layer),
            *pass,
            self.history.clone(),
        )
    }

    /// The output of the mask's attention.
    fn attended(&self, source: MaskSource<'_>) -> Tensor<3> {
        let (layer, heads) = (&self.query_key_value, self.config.heads);
        match (source, self.config.detach_input) {
            (MaskSource::Plain(input), false) => layer.forward_attended(input, heads),
            (MaskSource::Plain(input), true) => layer.forward_attended(input.detach(), heads),
            (MaskSource::Normalized(norm, input), false) => {
                let packed = layer.forward_normalized(norm, input);
                causal_attention(packed, heads, None, layer.precision)
            }
            (MaskSource::Normalized(norm, input), true) => {
                layer.forward_attended(norm.forward(input).detach(), heads)
            }
        }
    }

    /// Whether the gradient stops at the mask's input.
    pub(crate) fn detaches_input(&self) -> bool {
        self.config.detach_input
    }
}
