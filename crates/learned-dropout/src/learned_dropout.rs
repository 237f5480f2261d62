//! The learned dropout module.

use std::fmt;

use burn::module::{Content, DisplaySettings, Flag, Module, ModuleDisplay, ModuleVisitor, Param};
use burn::tensor::{DType, Tensor};
use model::function::Shift;
use model::{Generator, MaskControl, MaskInput, Pass, Site};

use crate::dropout_input::DropoutInput;
use crate::function::{Learned, Series};
use crate::learned_dropout_config::LearnedDropoutConfig;
use crate::linear::Linear;
use crate::mask::{Mask, Padding, UnroundedMask};
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
/// or with another [`MaskFunction`](model::MaskFunction), or with a linear layer in the place of the attention
/// ([`Generator`](model::Generator)). With the rounding [`Carried`](model::Rounding::Carried) the mask is a gate
/// that keeps its value:
///
/// ```text
/// output = x · max(0, 2 M − 1 − θ)
/// ```
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
/// There, [`LearnedDropoutConfig::dropout`] also drops some of the kept values.
///
/// Otherwise elements are kept where `M ≥ 0.5`, and the same input gives the same output, bit for bit.
/// With [`apply`](Self::apply) and [`DropoutInput::pass`] the caller decides instead.
///
/// The noise depends on the [seed and the number of passes so far](NoiseState), not on the random
/// numbers of the device. It is therefore the same on all devices and with any number of threads. Both
/// numbers are part of the module's record: a loaded module continues where the saved one stopped.
///
/// Made by [`LearnedDropoutConfig`].
#[derive(Module)]
#[module(custom_display)]
pub struct LearnedDropout {
    /// Queries, keys and values of the mask's attention, `[3 · attention width, input]`; none with a linear
    /// generator.
    pub query_key_value: Option<Linear>,
    /// Makes the mask's values from the attention's output, `[values, rank]`, or from the input,
    /// `[values, input]`, with a linear generator; none where the attention makes them.
    pub output: Option<Linear>,
    /// The shift `B`, `[values]`. It gets no gradient if the mask function says that it is fixed.
    pub shift: Param<Tensor<1>>,
    /// The coefficients of the mask function if it is a series of several terms, otherwise none.
    pub series: Option<Series>,
    /// The threshold `θ`, `[1]`, which gets no gradient; none without a [control](model::MaskControl), then
    /// `θ` is 0.
    pub threshold: Option<Param<Tensor<1>>>,
    /// Whether masks are rounded with noise on a training device; cleared by [`Module::freeze`].
    pub training: Param<Flag>,
    /// The seed and the step of the noise of [`forward`](Self::forward).
    pub noise: NoiseState,
    #[module(skip)]
    pub(crate) config: LearnedDropoutConfig,
    #[module(skip)]
    pub(crate) site: Site,
    #[module(skip)]
    pub(crate) mask_input: MaskInput,
    #[module(skip)]
    pub(crate) layer: usize,
    #[module(skip)]
    pub(crate) history: MaskHistory,
}

/// The result of applying a [`LearnedDropout`] to a tensor of `D` dimensions.
pub struct Masked<const D: usize = 3> {
    /// `x · round(M)`, with the shape and the type of `x`.
    pub output: Tensor<D>,
    /// The mean of the configured penalty over the elements of `M`, `[1]`, in the type of `x`, with a
    /// gradient. Multiply it by a coefficient and add it to the training loss.
    pub penalty: Tensor<1>,
    /// How far each mask value's mean over the tokens lies below the configured floor, averaged over the
    /// values: `[1]`, in the type of `x`, with a gradient. None without a floor.
    pub shortfall: Option<Tensor<1>>,
    /// The mask, with its values, its rounded values and its statistics.
    pub mask: Mask<D>,
}

/// The tensor that a mask is computed from.
pub(crate) enum MaskSource<'a> {
    /// The tensor itself.
    Plain(Tensor<3>),
    /// The tensor after a norm.
    Normalized(&'a LayerNorm, Tensor<3>),
}

impl LearnedDropout {
    /// The same module at a site of a block, computing its mask from `mask_input`.
    pub(crate) fn with_site(self, site: Site, layer: usize, mask_input: MaskInput) -> Self {
        Self {
            site,
            mask_input,
            layer,
            ..self
        }
    }

    /// Which tensor of the model the mask is computed from.
    pub(crate) fn mask_input(&self) -> MaskInput {
        self.mask_input
    }

    /// Sets the precision that matrix products round their operands to.
    pub(crate) fn set_precision(&mut self, precision: Precision) {
        let layers = [&mut self.query_key_value, &mut self.output];
        for layer in layers.into_iter().flatten() {
            layer.precision = precision;
        }
    }

    /// The settings that the module was made from.
    pub fn config(&self) -> &LearnedDropoutConfig {
        &self.config
    }

    /// The number of forward passes with noise so far. It determines the noise of the next one.
    pub fn step(&self) -> u64 {
        self.noise.step()
    }

    /// Sets the number of forward passes with noise so far, for this module and its clones.
    pub fn set_step(&self, step: u64) {
        self.noise.set_step(step);
    }

    /// Moves the threshold after an optimizer step, so that the kept share comes nearer to the target of the
    /// [control](LearnedDropoutConfig::control). `kept` is the share that the step kept, the mean of
    /// [`Mask::kept_at_inference`] over its batches. Does nothing without a control.
    ///
    /// ```
    /// use burn::tensor::{Device, Distribution, Tensor};
    /// use learned_dropout::model::mask_control::{MaskControl, ThresholdControl};
    /// use learned_dropout::{LearnedDropoutConfig, Rounding};
    ///
    /// let device = Device::flex();
    /// let control = MaskControl::Threshold(ThresholdControl::new(0.25));
    /// let mut gate = LearnedDropoutConfig::new(64, 4)
    ///     .with_rounding(Rounding::Carried).with_control(Some(control)).init(&device);
    /// let x = Tensor::<3>::random([2, 16, 64], Distribution::Default, &device);
    /// for _ in 0..10 {
    ///     let masked = gate.forward_with_mask(x.clone());
    ///     // ... the backward pass and the step of the optimizer ...
    ///     gate.move_threshold(masked.mask.kept_at_inference().into_scalar::<f32>().into());
    /// }
    /// // Masks begin by keeping everything, so the threshold rises.
    /// assert!(gate.threshold() > 0.0);
    /// ```
    pub fn move_threshold(&mut self, kept: f64) {
        let moved = match &self.config.control {
            Some(MaskControl::Threshold(control)) => control.next(self.threshold(), kept),
            None => return,
        };
        if let Some(parameter) = self.threshold.take() {
            let device = parameter.val().device();
            let moved = parameter.map(|_| Tensor::from_floats([moved], &device).detach());
            self.threshold = Some(moved.set_require_grad(false));
        }
    }

    /// The threshold `θ`; 0 without a control.
    pub fn threshold(&self) -> f32 {
        self.threshold.as_ref().map_or(0.0, |parameter| {
            let data = parameter.val().into_data();
            data.iter::<f32>().next().unwrap_or(0.0)
        })
    }

    /// Drops activations of `x` by a mask computed from `x`.
    ///
    /// # Shapes
    /// - `x` and result: `[..., time, channels]`; all dimensions before the time are batch dimensions
    ///
    /// # Panics
    /// If the number of channels of `x` is not the module's width.
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let (shape, pass) = (x.dims(), self.pass_for(&x));
        let (x, mask) = self.compute_mask(DropoutInput::new(x), pass);
        with_leading(product(&mask, x), shape)
    }

    /// Like [`forward`](Self::forward), and also returns the penalty and the mask.
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

    /// Like [`forward_from`](Self::forward_from), but `pass` decides how the mask is rounded.
    pub fn apply<const D: usize>(
        &self,
        x: Tensor<D>,
        mask_input: Tensor<D>,
        pass: &Pass,
    ) -> Masked<D> {
        self.forward_input(DropoutInput::new(x).mask_input(mask_input).pass(*pass))
    }

    /// Drops activations of `input`, with the padding, the mask input and the pass that it may give.
    ///
    /// # Panics
    /// If shapes are not those of the module, or do not fit each other.
    pub fn forward_input<const D: usize>(&self, input: DropoutInput<D>) -> Masked<D> {
        let (shape, dtype) = (input.x.dims(), input.x.dtype());
        let pass = input.pass.unwrap_or_else(|| self.pass_for(&input.x));
        let (x, unrounded) = self.compute_mask(input, pass);
        let mask = Mask::new(unrounded, shape, self.history.clone());
        Masked {
            output: with_leading(product(mask.unrounded(), x), shape),
            penalty: mask.penalty.clone().cast(dtype),
            shortfall: mask.shortfall.clone().map(|mean| mean.cast(dtype)),
            mask,
        }
    }

    /// The pass that [`forward`](Self::forward) uses: with noise in training, otherwise without.
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

    /// Checks an input and computes its mask. Also returns the tensor to mask as
    /// `[batch, time, channels]`, with padding set to 0.
    fn compute_mask<const D: usize>(
        &self,
        input: DropoutInput<D>,
        pass: Pass,
    ) -> (Tensor<3>, UnroundedMask) {
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
        let generated = match &self.query_key_value {
            _ if batch * time == 0 => Tensor::zeros(
                [batch, time, self.config.values()],
                (&x.device(), DType::F32),
            ),
            Some(layer) if !self.config.causal || padding.is_some() => {
                let input = in_f32(self.detach_if_configured(mask_input));
                let packed = linear(input, in_f32(layer.weight.val()), layer.precision);
                self.projected(attention(
                    packed,
                    self.config.heads,
                    self.config.causal,
                    padding.as_ref(),
                ))
            }
            _ => self.generated(MaskSource::Plain(mask_input)),
        };
        let padding = padding.map(Padding::new);
        (x, self.unrounded_mask(generated, pass, padding))
    }

    /// Computes only the mask, for a site of the transformer.
    pub(crate) fn mask(&self, source: MaskSource<'_>, pass: &Pass) -> Mask {
        let mask = self.unrounded_mask(self.generated(source), *pass, None);
        let [batch, time, _] = mask.dims();
        Mask::new(mask, [batch, time, self.config.width], self.history.clone())
    }

    /// The mask that the output of the generator gives, `[batch, time, values]`.
    fn unrounded_mask(
        &self,
        generated: Tensor<3>,
        pass: Pass,
        padding: Option<Padding>,
    ) -> UnroundedMask {
        let shift = in_f32(self.shift.val());
        let learned = Learned {
            shift: match self.config.function.shift() {
                Shift::Learned => shift,
                Shift::Fixed => shift.detach(),
            },
            series: self
                .series
                .as_ref()
                .map(|series| series.values().map(in_f32)),
        };
        let threshold = self.threshold.as_ref();
        let threshold = threshold.map(|threshold| in_f32(threshold.val()).detach());
        let place = (self.site, self.layer);
        UnroundedMask::new(
            generated,
            (learned, threshold),
            self.config.clone(),
            place,
            pass,
            padding,
        )
    }

    /// The output of the generator, causal attention or a linear layer, `[batch, time, values]` in f32. Masks are
    /// always computed in f32: bf16 has too few bits for the angle of the cosine.
    fn generated(&self, source: MaskSource<'_>) -> Tensor<3> {
        let heads = self.config.heads;
        let (norm, input) = match source {
            MaskSource::Normalized(norm, input) if !self.config.detach_input => (norm, input),
            MaskSource::Normalized(norm, input) => {
                return self.generated(MaskSource::Plain(norm.forward(input)));
            }
            MaskSource::Plain(input) => {
                let input = in_f32(self.detach_if_configured(input));
                return match &self.query_key_value {
                    None => self.projected(input),
                    Some(layer) => {
                        let weight = in_f32(layer.weight.val());
                        self.projected(linear_attention(input, weight, heads, layer.precision))
                    }
                };
            }
        };
        match (&self.query_key_value, &self.output) {
            (Some(layer), _) => {
                let packed = in_f32(layer.forward_normalized(norm, input));
                self.projected(causal_attention(packed, heads, None, layer.precision))
            }
            (None, Some(layer)) => in_f32(layer.forward_normalized(norm, input)),
            (None, None) => unreachable!("a generator has at least one of its layers"),
        }
    }

    /// The mask's values from the output of the attention, or from the input with a linear generator.
    fn projected(&self, attended: Tensor<3>) -> Tensor<3> {
        match &self.output {
            Some(layer) => linear(attended, in_f32(layer.weight.val()), layer.precision),
            None => attended,
        }
    }

    /// The mask's input, detached from the gradient if the configuration says so.
    fn detach_if_configured(&self, input: Tensor<3>) -> Tensor<3> {
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

    /// Whether a linear layer generates the masks.
    pub(crate) fn has_linear_generator(&self) -> bool {
        self.config.generator == Generator::Linear
    }

    /// Whether gradients reach the masks only through kept values.
    pub(crate) fn is_kept_only(&self) -> bool {
        self.config.is_kept_only()
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

/// Masks `x`. An empty tensor is returned as it is.
fn product(mask: &UnroundedMask, x: Tensor<3>) -> Tensor<3> {
    if x.shape().num_elements() == 0 {
        return x;
    }
    mask.product(x)
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
        let content = self.config.add_to_display(content);
        match self.training.is_enabled() {
            true => content.optional(),
            false => content.add("training", &self.training).optional(),
        }
    }
}
