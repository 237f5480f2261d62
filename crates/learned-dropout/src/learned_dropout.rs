//! The learned dropout module.

use std::fmt;

use burn::module::{Content, DisplaySettings, Flag, Module, ModuleDisplay, ModuleVisitor, Param};
use burn::tensor::{DType, Tensor};
use model::{MaskInput, Pass, Site};

use crate::dropout_input::DropoutInput;
use crate::function::{Learned, Series};
use crate::learned_dropout_config::LearnedDropoutConfig;
use crate::linear::Linear;
use crate::mask::{MadeMask, Mask, Padding};
use crate::mask_attention::attention;
use crate::noise_state::NoiseState;
use crate::norm::LayerNorm;
use crate::ops::{Precision, causal_attention, linear, linear_attention};
use crate::rows::{row_dims, rows, with_leading};
use crate::statistics::MaskHistory;
use crate::supported_device;

/// Dropout that computes a binary mask from its input and learns which activations to drop.
///
/// ```text
/// M      = 0.5 cos(causal attention(mask input) + B) + 0.5
/// output = x · round(M)
/// ```
///
/// or with another [`MaskFunction`](model::MaskFunction).
///
/// The gradient passes the rounding straight through: `dL/dM = x · dL/doutput` and
/// `dL/dx = round(M) · dL/doutput`. Where neighbouring channels share a value of the mask, its gradient
/// is the sum over them.
///
/// # When noise is used
/// In training, elements are kept with probability `M` (with the rounding
/// [`Stochastic`](model::Rounding::Stochastic), the default). Training means all of this; the
/// first two also decide for the dropout of burn:
///
/// - The input is on a training device ([`Device::autodiff`](burn::tensor::Device::autodiff)).
/// - The module is not frozen: [`Module::freeze`] and [`Module::freeze_group`] clear [`training`](Self::training),
///   [`Module::unfreeze`] sets it. [`Module::valid`] gives a module in which it is cleared, and
///   [`Module::train`] takes it back.
/// - A parameter of the module requires gradients: after [`Module::no_grad`], nothing is left to learn.
///
/// Else elements are kept where `M ≥ 0.5`: the same input gives the same output, bit by bit.
/// [`apply`](Self::apply) and [`DropoutInput::pass`] take the decision themselves.
///
/// The noise follows from the [seed and the number of passes](NoiseState) so far, not from the random
/// numbers of the device, so that it is the same on all devices and with any number of threads. Both are
/// part of the module's record: a module that was saved and loaded goes on where the saved one was.
///
/// Made by [`LearnedDropoutConfig`].
#[derive(Module)]
#[module(custom_display)]
pub struct LearnedDropout {
    /// Queries, keys and values of the mask's attention, `[3 · attention width, input]`.
    pub query_key_value: Linear,
    /// From the attention's output to the mask's values, `[values, rank]`, where there is a rank.
    pub output: Option<Linear>,
    /// The shift `B`, `[values]`.
    pub shift: Param<Tensor<1>>,
    /// The coefficients of the mask function, where it is a series of several terms.
    pub series: Option<Series>,
    /// Whether masks are rounded with noise on a training device; cleared by [`Module::freeze`].
    pub training: Param<Flag>,
    /// Where the noise of [`forward`](Self::forward) comes from.
    pub noise: NoiseState,
    #[module(skip)]
    pub(crate) config: LearnedDropoutConfig,
    #[module(skip)]
    pub(crate) site: Site,
    #[module(skip)]
    pub(crate) reads: MaskInput,
    #[module(skip)]
    pub(crate) layer: usize,
    #[module(skip)]
    pub(crate) history: MaskHistory,
}

/// What a [`LearnedDropout`] makes of a tensor of `D` dimensions.
pub struct Masked<const D: usize = 3> {
    /// `x · round(M)`, like `x`.
    pub output: Tensor<D>,
    /// The mean of the configured penalty over the elements of `M`, `[1]`, in the type of `x` and with
    /// gradient: times a coefficient, it is added to the training loss.
    pub penalty: Tensor<1>,
    /// With a configured floor, how far the mean of a mask value over the tokens lies below it, as a
    /// mean over the values, `[1]`, in the type of `x` and with gradient.
    pub shortfall: Option<Tensor<1>>,
    /// The mask: its values, what was kept, and statistics.
    pub mask: Mask<D>,
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

    /// The settings that the module was made from.
    pub fn config(&self) -> &LearnedDropoutConfig {
        &self.config
    }

    /// The number of forward passes with noise so far, which the next one's noise follows from.
    pub fn step(&self) -> u64 {
        self.noise.step()
    }

    /// Goes on with the noise of another forward pass, for this module and its clones.
    pub fn set_step(&self, step: u64) {
        self.noise.set_step(step);
    }

    /// Drops activations of `x` by a mask computed from `x`.
    ///
    /// # Shapes
    /// - `x` and result: `[..., time, channels]`, where all dimensions before the time are a batch
    ///
    /// # Panics
    /// If `x` has another number of channels than the module.
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let (shape, pass) = (x.dims(), self.pass_for(&x));
        let (x, made) = self.make(DropoutInput::new(x), pass);
        with_leading(product(&made, x), shape)
    }

    /// [`forward`](Self::forward), with the penalty and the mask.
    pub fn forward_with_mask<const D: usize>(&self, x: Tensor<D>) -> Masked<D> {
        self.forward_input(DropoutInput::new(x))
    }

    /// Drops activations of `x` by a mask computed from another tensor.
    ///
    /// # Shapes
    /// - `x` and result: `[..., time, channels]`
    /// - `mask_input`: `[..., time, input]`
    ///
    /// # Panics
    /// If the shapes are not those of the module, or do not fit each other.
    pub fn forward_from<const D: usize>(&self, x: Tensor<D>, mask_input: Tensor<D>) -> Masked<D> {
        self.forward_input(DropoutInput::new(x).mask_input(mask_input))
    }

    /// [`forward_from`](Self::forward_from), rounded as `pass` says.
    pub fn apply<const D: usize>(
        &self,
        x: Tensor<D>,
        mask_input: Tensor<D>,
        pass: &Pass,
    ) -> Masked<D> {
        self.forward_input(DropoutInput::new(x).mask_input(mask_input).pass(*pass))
    }

    /// Drops activations, with all that [`DropoutInput`] can say about it.
    ///
    /// # Panics
    /// If shapes are not those of the module, or do not fit each other.
    pub fn forward_input<const D: usize>(&self, input: DropoutInput<D>) -> Masked<D> {
        let (shape, dtype) = (input.x.dims(), input.x.dtype());
        let pass = input.pass.unwrap_or_else(|| self.pass_for(&input.x));
        let (x, made) = self.make(input, pass);
        let mask = Mask::new(made, shape, self.history.clone());
        Masked {
            output: with_leading(product(mask.made(), x), shape),
            penalty: mask.penalty.clone().cast(dtype),
            shortfall: mask.shortfall.clone().map(|mean| mean.cast(dtype)),
            mask,
        }
    }

    /// Noise in training, else none.
    fn pass_for<const D: usize>(&self, x: &Tensor<D>) -> Pass {
        if self.training.is_enabled() && x.device().is_autodiff() && self.learns() {
            self.config.training_pass(self.noise.next_key())
        } else {
            Pass::Evaluate
        }
    }

    /// Whether any parameter requires gradients.
    fn learns(&self) -> bool {
        struct Learns(bool);
        impl ModuleVisitor for Learns {
            fn visit_float<const D: usize>(&mut self, parameter: &Param<Tensor<D>>) {
                self.0 |= parameter.base().is_require_grad();
            }
        }
        let mut learns = Learns(false);
        self.visit(&mut learns);
        learns.0
    }

    /// Checks an input, and makes its mask; gives also what is masked, as rows without padding.
    fn make<const D: usize>(&self, input: DropoutInput<D>, pass: Pass) -> (Tensor<3>, MadeMask) {
        self.check(&input);
        let (padding, mask_input) = (input.padding, input.mask_input);
        let rows = |tensor: Tensor<D>| {
            let tensor = rows(tensor);
            match &padding {
                Some(padding) => {
                    let hidden = padding.clone().unsqueeze_dim::<3>(2).expand(tensor.dims());
                    tensor.mask_fill(hidden, 0.0)
                }
                None => tensor,
            }
        };
        let x = rows(input.x);
        let mask_input = mask_input.map_or_else(|| x.clone(), rows);
        let [batch, time, _] = x.dims();
        let attended = if batch * time == 0 {
            Tensor::zeros(
                [batch, time, self.config.values()],
                (&x.device(), DType::F32),
            )
        } else if self.config.causal && padding.is_none() {
            self.attended(MaskSource::Plain(mask_input))
        } else {
            let input = in_f32(self.input(mask_input));
            let layer = &self.query_key_value;
            let packed = linear(input, in_f32(layer.weight.val()), layer.precision);
            attention(
                packed,
                self.config.heads,
                self.config.causal,
                padding.as_ref(),
            )
        };
        let padding = padding.map(Padding::new);
        (x, self.made(attended, pass, padding))
    }

    /// Computes the mask alone, for a place of the transformer.
    pub(crate) fn mask(&self, source: MaskSource<'_>, pass: &Pass) -> Mask {
        let made = self.made(self.attended(source), *pass, None);
        let [batch, time, _] = made.dims();
        Mask::new(made, [batch, time, self.config.width], self.history.clone())
    }

    /// The mask that follows from the output of the attention.
    fn made(&self, attended: Tensor<3>, pass: Pass, padding: Option<Padding>) -> MadeMask {
        let attended = match &self.output {
            Some(output) if attended.shape().num_elements() > 0 => {
                linear(attended, in_f32(output.weight.val()), output.precision)
            }
            _ => attended,
        };
        let learned = Learned {
            shift: in_f32(self.shift.val()),
            series: self
                .series
                .as_ref()
                .map(|series| series.values().map(in_f32)),
        };
        let place = (self.site, self.layer);
        MadeMask::new(attended, learned, self.config.clone(), place, pass, padding)
    }

    /// The output of the causal attention, in f32: masks are computed in it whatever the type of the
    /// module, since bf16 has too few bits for an angle.
    fn attended(&self, source: MaskSource<'_>) -> Tensor<3> {
        let (layer, heads) = (&self.query_key_value, self.config.heads);
        match source {
            MaskSource::Plain(input) => {
                let (input, weight) = (in_f32(self.input(input)), in_f32(layer.weight.val()));
                linear_attention(input, weight, heads, layer.precision)
            }
            MaskSource::Normalized(norm, input) if self.config.detach_input => {
                self.attended(MaskSource::Plain(norm.forward(input)))
            }
            MaskSource::Normalized(norm, input) => {
                let packed = in_f32(layer.forward_normalized(norm, input));
                causal_attention(packed, heads, None, layer.precision)
            }
        }
    }

    /// What the mask's gradients pass to, or not.
    fn input(&self, input: Tensor<3>) -> Tensor<3> {
        if self.config.detach_input {
            input.detach()
        } else {
            input
        }
    }

    /// Whether the gradient stops at the mask's input.
    pub(crate) fn detaches_input(&self) -> bool {
        self.config.detach_input
    }

    fn check<const D: usize>(&self, input: &DropoutInput<D>) {
        if let Some(refusal) = supported_device::refusal(&input.x.device()) {
            panic!("{refusal}");
        }
        let [batch, time, channels] = row_dims(input.x.dims());
        let (found, width) = (input.x.dims(), self.config.width);
        assert!(
            channels == width,
            "LearnedDropout: expected x of [..., time, {width}], found {found:?}"
        );
        let inputs = self.config.inputs();
        let mut expected = found;
        expected[D - 1] = inputs;
        match &input.mask_input {
            Some(mask_input) => assert!(
                mask_input.dims() == expected,
                "LearnedDropout: expected a mask input of {expected:?}, as many tokens as x, found {:?}",
                mask_input.dims()
            ),
            None => assert!(
                inputs == width,
                "LearnedDropout: expected a mask input of {expected:?} beside x, since the \
                 configuration gives it {inputs} channels and x {width}: use `forward_from`"
            ),
        }
        if let Some(padding) = &input.padding {
            assert!(
                padding.dims() == [batch, time],
                "LearnedDropout: expected padding of {:?}, found {:?}",
                [batch, time],
                padding.dims()
            );
        }
    }
}

/// Masks `x`; nothing has no mask.
fn product(made: &MadeMask, x: Tensor<3>) -> Tensor<3> {
    if x.shape().num_elements() == 0 {
        return x;
    }
    made.product(x)
}

fn in_f32<const D: usize>(tensor: Tensor<D>) -> Tensor<D> {
    if tensor.dtype() == DType::F32 {
        tensor
    } else {
        tensor.cast(DType::F32)
    }
}

impl fmt::Debug for LearnedDropout {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.format(DisplaySettings::default()))
    }
}

impl ModuleDisplay for LearnedDropout {
    fn custom_settings(&self) -> Option<DisplaySettings> {
        DisplaySettings::new()
            .with_new_line_after_attribute(false)
            .optional()
    }

    fn custom_content(&self, content: Content) -> Option<Content> {
        let content = self.config.show(content);
        match self.training.is_enabled() {
            true => content.optional(),
            false => content.add("training", &self.training).optional(),
        }
    }
}
