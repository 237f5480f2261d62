//! The learned dropout module.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData};
use model::initialization::{DEVIATION, NormalValues, scale_preserving_deviation};
use model::pass::NoiseKey;
use model::{MaskInput, Pass, Site};

use crate::function::{Learned, Series, learned};
use crate::learned_dropout_config::LearnedDropoutConfig;
use crate::linear::Linear;
use crate::mask::Mask;
use crate::norm::LayerNorm;
use crate::ops::{Precision, causal_attention};
use crate::statistics::MaskHistory;

impl LearnedDropoutConfig {
    /// A module with random weights and the mask function's initial parameters. The attention's are from
    /// `N(0, 0.02²)`; with a rank, they and the linear layer's are from `N(0, 1 / inputs)`, so that
    /// the attention's output is as large as its input and the cosine does not begin flat.
    ///
    /// # Panics
    /// If a value lies outside the range that its documentation gives.
    pub fn init(&self, device: &Device) -> LearnedDropout {
        let mut normal = NormalValues::new(self.seed);
        let mut matrix = |outputs: usize, inputs: usize, deviation: f64| -> Tensor<2> {
            let values = normal.next(outputs * inputs, deviation);
            Tensor::from_data(TensorData::new(values, [outputs, inputs]), device)
        };
        let (inputs, values) = (self.inputs(), self.values());
        let (weight, output) = match self.rank {
            None => (matrix(3 * inputs, inputs, DEVIATION), None),
            Some(rank) => {
                let mut layer =
                    |outputs, inputs| matrix(outputs, inputs, scale_preserving_deviation(inputs));
                (layer(3 * rank, inputs), Some(layer(values, rank)))
            }
        };
        let parameters = self.function.parameters(values);
        let learned = learned(&self.function, |name| {
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
        let mut checks = model::Checks::default();
        model::check_heads("mask heads", self.heads, attention, &mut checks);
        checks.table("function", |checks| self.function.check(checks));
        if let Some(problem) = checks.problems().first() {
            panic!("{problem}");
        }
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
/// or with another [`MaskFunction`](model::MaskFunction).
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
