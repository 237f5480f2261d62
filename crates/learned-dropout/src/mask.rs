//! One mask of one forward pass: its rounding, its penalty, and its product with activations.

use burn::tensor::{Bool, DType, Tensor};

use model::pass::Place;
use model::{MaskFunction, Pass, Rounding, Site};

use crate::dropout::{active_dropout, dropout};
use crate::function::{self, Learned};
use crate::learned_dropout_config::LearnedDropoutConfig;
use crate::ops::{
    GateFactor, Keep, Moment, duplicated, gate, grouped_product, mask_mean, mask_statistics,
    masked_product, rounded_mask, rounded_values, value_mean, value_statistics,
};
use crate::penalty;
use crate::rounding::{round, straight_through};
use crate::rows::with_leading;
use crate::statistics::{MaskHistory, MaskStatistics, without_graph};

/// A mask that a [`LearnedDropout`](crate::LearnedDropout) has computed for a tensor of `D` dimensions.
///
/// All tensors are f32, whatever the type of the module.
pub struct Mask<const D: usize = 3> {
    /// The mean of the configured penalty over the elements of `M`, `[1]`, with a gradient. Multiply it
    /// by a coefficient (0.1 in the original write-up) and add it to the training loss. 0 with a
    /// [control](crate::LearnedDropoutConfig::control), which takes the penalty's place.
    pub penalty: Tensor<1>,
    /// How far each value's mean over the tokens lies below the configured floor, averaged over the
    /// values: `[1]`, with a gradient. None without a floor.
    pub shortfall: Option<Tensor<1>>,
    unrounded: UnroundedMask,
    /// The shape of the masked tensor; the last dimension is its channels.
    shape: [usize; D],
    history: MaskHistory,
}

/// A mask before rounding, with everything that its rounding depends on.
#[derive(Clone)]
pub(crate) struct UnroundedMask {
    attended: Tensor<3>,
    learned: Learned,
    /// The threshold `θ`, `[1]`; none if the mask has no control.
    threshold: Option<Tensor<1>>,
    /// `M`, computed once. None if the kernels that use the mask compute `M` themselves.
    computed: Option<Tensor<3>>,
    /// The factors and the kept share of a gate that one operation computes, once they are computed.
    gate: Option<Gate>,
    config: LearnedDropoutConfig,
    site: Site,
    layer: usize,
    pass: Pass,
    padding: Option<Padding>,
}

/// A gate: a mask that keeps values above a threshold.
#[derive(Clone)]
struct Gate {
    /// The factors of the groups of channels, with their gradient, `[batch, time, values]`.
    factors: Tensor<3>,
    /// The share of values that is kept, `[1]`.
    kept_share: Tensor<1>,
}

/// Which tokens are padding and therefore excluded from means and statistics.
#[derive(Clone)]
pub(crate) struct Padding {
    /// 0 for padding, 1 for every other token: `[batch, time, 1]`.
    counts: Tensor<3>,
    /// The number of all tokens divided by the number of tokens without padding, `[1]`. Multiplying by
    /// it turns a mean over all tokens into a mean without padding.
    scale: Tensor<1>,
}

impl Padding {
    /// `padding` is true where a token is padding, `[batch, time]`.
    pub(crate) fn new(padding: Tensor<2, Bool>) -> Self {
        let [batch, time] = padding.dims();
        let counts = padding.bool_not().float().cast(DType::F32);
        let scale = counts.clone().sum().clamp_min(1.0).recip() * (batch * time) as f64;
        let counts = counts.reshape([batch, time, 1]);
        Self { counts, scale }
    }
}

impl UnroundedMask {
    pub(crate) fn new(
        attended: Tensor<3>,
        (learned, threshold): (Learned, Option<Tensor<1>>),
        config: LearnedDropoutConfig,
        (site, layer): (Site, usize),
        pass: Pass,
        padding: Option<Padding>,
    ) -> Self {
        Self {
            attended,
            learned,
            threshold,
            computed: None,
            gate: None,
            config,
            site,
            layer,
            pass,
            padding,
        }
    }

    /// Whether the kernels that use the mask compute `M` themselves.
    fn is_fused(&self) -> bool {
        matches!(self.config.function, MaskFunction::Cosine(_)) && self.padding.is_none()
    }

    /// The gate, if the mask is one that a single operation computes.
    fn gate(&self) -> Option<Gate> {
        if !self.config.has_threshold() || !self.is_fused() {
            return None;
        }
        if let Some(gate) = &self.gate {
            return Some(gate.clone());
        }
        let factor = match self.config.rounding {
            Rounding::Carried => GateFactor::Excess,
            _ => GateFactor::One,
        };
        let zero = || Tensor::zeros([1], (&self.attended.device(), DType::F32));
        let threshold = self.threshold.clone().unwrap_or_else(zero);
        let (attended, shift) = (self.attended.clone(), self.learned.shift.clone());
        let (factors, kept_share) = gate(attended, shift, threshold, factor);
        Some(Gate {
            factors,
            kept_share,
        })
    }

    /// Computes `M` from the output of the attention and stores it.
    fn compute(&mut self, attended: Tensor<3>) -> Tensor<3> {
        let mask = function::mask(&self.config.function, attended, self.learned.clone());
        let mask = match &self.padding {
            Some(padding) => mask * padding.counts.clone(),
            None => mask,
        };
        self.computed = Some(mask.clone());
        mask
    }

    /// The mean of the penalty, `[1]`. Must be called before the mask is used for anything else.
    fn penalty(&mut self) -> Tensor<1> {
        let [attended, for_penalty] = duplicated(self.attended.clone());
        self.attended = attended;
        let kind = self.config.penalty;
        let moment = kind.moment();
        if let Some(moment) = moment.filter(|_| self.is_fused()) {
            return mask_mean(for_penalty, self.learned.shift.clone(), moment);
        }
        let mask = self.compute(for_penalty);
        let mean = match moment {
            Some(moment) => value_mean(mask, moment),
            None => penalty::mean(kind, mask),
        };
        self.rescaled_for_padding(mean)
    }

    /// Rescales a mean over all tokens, to which padding adds 0, to a mean over the tokens without
    /// padding.
    fn rescaled_for_padding<const D: usize>(&self, mean: Tensor<D>) -> Tensor<D> {
        match &self.padding {
            Some(padding) => mean * padding.scale.clone().reshape([1; D]),
            None => mean,
        }
    }

    /// `M`, `[batch, time, values]`.
    fn values(&self) -> Tensor<3> {
        match &self.computed {
            Some(mask) => mask.clone(),
            None => self.clone().compute(self.attended.clone()),
        }
    }

    /// Whether `M` is left to the kernels, which compute it where they need it.
    fn is_computed_by_kernels(&self) -> bool {
        self.is_fused() && self.computed.is_none()
    }

    /// By which rule elements count as kept, where the kernels have it.
    fn keep_of_kept(&self) -> Option<Keep> {
        match self.config.rounding.is_binary() {
            true => self.config.rounding.keep(&self.pass, self.place()),
            // The factors are not 0 and 1.
            false => Some(Keep::Threshold(0.5)),
        }
    }

    /// `2 M − 1 − θ`, which is positive where a value is kept; with 0 for padding.
    fn excess(&self) -> Tensor<3> {
        let mask = self.values() * 2.0 - 1.0;
        let excess = match &self.threshold {
            Some(threshold) => mask - threshold.clone().reshape([1, 1, 1]),
            None => mask,
        };
        match &self.padding {
            Some(padding) => excess * padding.counts.clone(),
            None => excess,
        }
    }

    fn kept(&self) -> Tensor<3> {
        if let Some(gate) = self.gate() {
            let factors = gate.factors.detach();
            return match self.config.rounding {
                Rounding::Carried => factors.greater_elem(0.0).float().cast(DType::F32),
                _ => factors,
            };
        }
        if self.config.has_threshold() {
            let excess = self.excess().detach();
            return excess.greater_elem(0.0).float().cast(DType::F32);
        }
        let kept = match self.keep_of_kept() {
            Some(keep) if self.is_computed_by_kernels() => {
                let shift = self.learned.shift.clone().detach();
                rounded_mask(self.attended.clone().detach(), shift, keep)
            }
            Some(keep) => rounded_values(self.values().detach(), keep),
            None => {
                let (mask, scale) = (self.values().detach(), self.config.sigmoid_scale);
                round(self.config.rounding, mask, scale, &self.pass, self.place()).kept
            }
        };
        match &self.padding {
            Some(padding) => kept * padding.counts.clone(),
            None => kept,
        }
    }

    /// The factors of the groups of channels, with the gradient of the rounding and the dropout of kept values.
    fn multiplier(&self) -> Tensor<3> {
        self.with_dropout(self.rounded())
    }

    /// Values of the shape of the mask after the dropout of kept values.
    fn with_dropout(&self, values: Tensor<3>) -> Tensor<3> {
        let Place { purpose, layer } = self.site.dropout_place(self.layer);
        let rate = self.config.dropout;
        dropout(values, rate, &self.pass, purpose, layer)
    }

    /// Whether this pass drops kept values.
    fn drops_kept(&self) -> bool {
        let Place { purpose, layer } = self.site.dropout_place(self.layer);
        active_dropout(self.config.dropout, &self.pass, purpose, layer).is_some()
    }

    /// The rounded mask with the gradient of the rounding.
    fn rounded(&self) -> Tensor<3> {
        if let Some(gate) = self.gate() {
            return gate.factors;
        }
        if self.config.rounding == Rounding::Carried {
            return self.excess().clamp_min(0.0);
        }
        if self.config.has_threshold() {
            return straight_through(self.values(), self.kept()).multiplier;
        }
        let keep = self.config.rounding.keep(&self.pass, self.place());
        match keep {
            Some(keep) if self.is_computed_by_kernels() => {
                let shift = self.learned.shift.clone();
                rounded_mask(self.attended.clone(), shift, keep)
            }
            Some(keep) => rounded_values(self.values(), keep),
            None => {
                let scale = self.config.sigmoid_scale;
                let rounding = self.config.rounding;
                round(rounding, self.values(), scale, &self.pass, self.place()).multiplier
            }
        }
    }

    /// The statistics and the sides, without padding, and the shape of what was measured.
    fn measure(&self) -> ((Tensor<1>, Tensor<1>), [usize; 3]) {
        let fused = self
            .keep_of_kept()
            .filter(|_| self.is_computed_by_kernels() && !self.config.has_threshold());
        let mask = match fused {
            Some(_) => self.attended.clone(),
            // The moments are those of numbers in [0, 1].
            None if !self.config.function.is_bounded() => {
                self.without_padding(self.values()).clamp(0.0, 1.0)
            }
            None => self.without_padding(self.values()),
        };
        let (shape, mask) = (mask.dims(), without_graph(mask));
        if shape.contains(&0) {
            let zeros = |count: usize| Tensor::zeros([count], (&mask.device(), DType::F32));
            return ((zeros(7), zeros(1)), shape);
        }
        let measured = match fused {
            Some(keep) => mask_statistics(mask, without_graph(self.learned.shift.clone()), keep),
            None => {
                let kept = without_graph(self.without_padding(self.kept()));
                value_statistics(mask, kept)
            }
        };
        (measured, shape)
    }

    fn kept_only(&self) -> bool {
        self.config.is_kept_only()
    }

    /// Masks the last `values · group` channels of `x`, `[batch, time, channels]`.
    pub(crate) fn product(&self, x: Tensor<3>) -> Tensor<3> {
        let dtype = x.dtype();
        let channelwise = self.config.group == 1 && x.dims() == self.attended.dims();
        let fused = channelwise && !self.kept_only() && !self.config.has_threshold();
        if !fused || self.drops_kept() {
            let (group, factors) = (self.config.group, self.multiplier().cast(dtype));
            return grouped_product(x, factors, group, self.kept_only());
        }
        let keep = self.config.rounding.keep(&self.pass, self.place());
        match keep.filter(|_| self.is_fused() && dtype == DType::F32) {
            Some(keep) => {
                let shift = self.learned.shift.clone();
                masked_product(x, self.attended.clone(), shift, keep)
            }
            None => grouped_product(x, self.multiplier().cast(dtype), 1, false),
        }
    }

    /// `[batch, time, values]`.
    pub(crate) fn dims(&self) -> [usize; 3] {
        self.attended.dims()
    }

    fn place(&self) -> Place {
        self.site.place(self.layer)
    }

    /// How far the means of the values lie below a floor, averaged over the values: `[1]`.
    fn shortfall(&self, floor: f64) -> Tensor<1> {
        let mask = self.values();
        let [batch, time, values] = mask.dims();
        let means = self.rescaled_for_padding(mask.reshape([batch * time, values]).mean_dim(0));
        (means.neg() + floor).clamp_min(0.0).mean()
    }

    /// The values of the tokens that are not padding, `[1, tokens, values]`.
    fn without_padding(&self, values: Tensor<3>) -> Tensor<3> {
        let Some(padding) = &self.padding else {
            return values;
        };
        let [batch, time, width] = values.dims();
        let counts = padding.counts.clone().reshape([batch * time]);
        let tokens = counts.greater_elem(0.5).argwhere().squeeze_dim::<1>(1);
        let rows = values.reshape([batch * time, width]).select(0, tokens);
        rows.unsqueeze_dim(0)
    }
}

impl<const D: usize> Mask<D> {
    /// A mask for a tensor of this shape. Computes its penalty and its shortfall.
    pub(crate) fn new(
        mut unrounded: UnroundedMask,
        shape: [usize; D],
        history: MaskHistory,
    ) -> Self {
        let floor = unrounded.config.floor;
        if unrounded.attended.shape().num_elements() == 0 {
            let zero = || Tensor::zeros([1], (&unrounded.attended.device(), DType::F32));
            return Self {
                penalty: zero(),
                shortfall: floor.map(|_| zero()),
                unrounded,
                shape,
                history,
            };
        }
        let penalty = match unrounded.config.control {
            None => unrounded.penalty(),
            Some(_) => Tensor::zeros([1], (&unrounded.attended.device(), DType::F32)),
        };
        unrounded.gate = unrounded.gate();
        let needs_values = unrounded.config.has_threshold() && unrounded.gate.is_none();
        if needs_values && unrounded.computed.is_none() {
            unrounded.compute(unrounded.attended.clone());
        }
        Self {
            penalty,
            shortfall: floor.map(|floor| unrounded.shortfall(floor)),
            unrounded,
            shape,
            history,
        }
    }

    /// The mask before rounding.
    pub(crate) fn unrounded(&self) -> &UnroundedMask {
        &self.unrounded
    }

    /// The site of the mask.
    pub fn site(&self) -> Site {
        self.unrounded.site
    }

    /// The number of the mask's block.
    pub fn layer(&self) -> usize {
        self.unrounded.layer
    }

    /// The mask `M` before rounding, `[..., time, values]`; 0 for padding.
    pub fn values(&self) -> Tensor<D> {
        with_leading(self.unrounded.values(), self.shape)
    }

    /// The rounded mask, `[..., time, values]`: 1 for kept values and 0 for dropped ones, without
    /// gradient. The dropout of kept values does not count.
    pub fn kept(&self) -> Tensor<D> {
        with_leading(self.unrounded.kept(), self.shape)
    }

    /// The share of values that inference keeps, those of at least 0.5 or above the threshold: `[1]`, without
    /// gradient.
    pub fn kept_at_inference(&self) -> Tensor<1> {
        let unrounded = &self.unrounded;
        if unrounded.attended.shape().num_elements() == 0 {
            return Tensor::zeros([1], (&unrounded.attended.device(), DType::F32));
        }
        if let Some(gate) = unrounded.gate() {
            return gate.kept_share;
        }
        if unrounded.config.has_threshold() {
            let kept = value_mean(unrounded.kept(), Moment::Linear);
            return unrounded.rescaled_for_padding(kept);
        }
        if unrounded.is_computed_by_kernels() {
            let attended = unrounded.attended.clone().detach();
            return mask_mean(
                attended,
                unrounded.learned.shift.clone().detach(),
                Moment::Kept,
            );
        }
        let kept = value_mean(unrounded.values().detach(), Moment::Kept);
        unrounded.rescaled_for_padding(kept)
    }

    /// Measures the mask, without padding.
    ///
    /// Compares it with the last mask of the module that was measured so. The next call compares with
    /// this one.
    pub fn statistics(&self) -> MaskStatistics {
        let (measured, shape) = self.unrounded.measure();
        MaskStatistics::new(measured, shape, Some(&self.history))
    }

    /// Measures the mask like [`statistics`](Self::statistics), but compares it with no other one:
    /// `changed` is none.
    pub fn statistics_alone(&self) -> MaskStatistics {
        let (measured, shape) = self.unrounded.measure();
        MaskStatistics::new(measured, shape, None)
    }

    /// The threshold `θ` of the mask, `[1]`; none without a control.
    pub fn threshold(&self) -> Option<Tensor<1>> {
        self.unrounded.threshold.clone()
    }

    /// Whether a control holds the kept share of the mask.
    pub fn has_control(&self) -> bool {
        self.unrounded.config.control.is_some()
    }

    /// Whether gradients reach the mask only through kept values.
    pub fn kept_only(&self) -> bool {
        self.unrounded.kept_only()
    }
}

impl Mask {
    /// The factors of the groups of channels, `[batch, time, values]`, with the gradient of the rounding.
    pub(crate) fn multiplier(&self) -> Tensor<3> {
        self.unrounded.multiplier()
    }

    /// 1 for the values whose factor is not 0, otherwise 0: `[batch, time, values]`, without gradient.
    pub(crate) fn has_factor(&self) -> Tensor<3> {
        let factors = self.multiplier().detach();
        factors.not_equal_elem(0.0).float().cast(DType::F32)
    }

    /// Masks the last `values · group` channels of `x`, `[batch, time, channels]`.
    pub(crate) fn product(&self, x: Tensor<3>) -> Tensor<3> {
        self.unrounded.product(x)
    }
}
