//! One mask of one forward pass, and what is done with it.

use burn::tensor::{Bool, DType, Tensor};

use model::pass::Place;
use model::{MaskFunction, MaskGradient, Pass, Site};

use crate::function::{self, Learned};
use crate::learned_dropout_config::LearnedDropoutConfig;
use crate::ops::{Moment, duplicated, grouped_product, mask_mean, masked_product, rounded_mask};
use crate::penalty;
use crate::rounding::round;
use crate::rows::with_leading;
use crate::statistics::{MaskHistory, MaskStatistics};

/// A mask that a [`LearnedDropout`](crate::LearnedDropout) has computed for a tensor of `D` dimensions.
///
/// All tensors are f32, whatever the type of the module.
pub struct Mask<const D: usize = 3> {
    /// The mean of the configured penalty over the elements of `M`, `[1]`, with gradient. Times
    /// a coefficient (0.1 is the original's), it is added to the training loss.
    pub penalty: Tensor<1>,
    /// With a configured floor, how far the mean of a value over the tokens lies below it, as a
    /// mean over the values, `[1]`, with gradient.
    pub shortfall: Option<Tensor<1>>,
    made: MadeMask,
    /// The dimensions of what is masked, of which the last one is its channels.
    shape: [usize; D],
    history: MaskHistory,
}

/// All that a rounded mask follows from.
#[derive(Clone)]
pub(crate) struct MadeMask {
    attended: Tensor<3>,
    learned: Learned,
    /// `M`, computed once, where no kernel computes it as part of what is done with it.
    computed: Option<Tensor<3>>,
    config: LearnedDropoutConfig,
    site: Site,
    layer: usize,
    pass: Pass,
    padding: Option<Padding>,
}

/// Which tokens count.
#[derive(Clone)]
pub(crate) struct Padding {
    /// 1 for a token that counts, 0 for padding: `[batch, time, 1]`.
    counts: Tensor<3>,
    /// All tokens by those that count, `[1]`: turns a mean over all into one over those.
    scale: Tensor<1>,
}

impl Padding {
    /// `padding` is true where a token does not count, `[batch, time]`.
    pub(crate) fn new(padding: Tensor<2, Bool>) -> Self {
        let [batch, time] = padding.dims();
        let counts = padding.bool_not().float().cast(DType::F32);
        let scale = counts.clone().sum().clamp_min(1.0).recip() * (batch * time) as f64;
        let counts = counts.reshape([batch, time, 1]);
        Self { counts, scale }
    }
}

impl MadeMask {
    pub(crate) fn new(
        attended: Tensor<3>,
        learned: Learned,
        config: LearnedDropoutConfig,
        (site, layer): (Site, usize),
        pass: Pass,
        padding: Option<Padding>,
    ) -> Self {
        Self {
            attended,
            learned,
            computed: None,
            config,
            site,
            layer,
            pass,
            padding,
        }
    }

    /// Whether kernels compute `M` as part of what they do with it.
    fn is_fused(&self) -> bool {
        matches!(self.config.function, MaskFunction::Cosine(_)) && self.padding.is_none()
    }

    /// Takes `M` from the output of the attention, where no kernel does.
    fn compute(&mut self, attended: Tensor<3>) -> Tensor<3> {
        let mask = function::mask(&self.config.function, attended, self.learned.clone());
        let mask = match &self.padding {
            Some(padding) => mask * padding.counts.clone(),
            None => mask,
        };
        self.computed = Some(mask.clone());
        mask
    }

    /// The mean of the penalty, `[1]`; it comes before whatever else is done with the mask.
    fn penalty(&mut self) -> Tensor<1> {
        let [attended, for_penalty] = duplicated(self.attended.clone());
        self.attended = attended;
        let kind = self.config.penalty;
        match kind.moment().filter(|_| self.is_fused()) {
            Some(moment) => mask_mean(for_penalty, self.learned.shift.clone(), moment),
            None => {
                let mean = penalty::mean(kind, self.compute(for_penalty));
                self.over_tokens(mean)
            }
        }
    }

    /// A mean over all tokens, of which padding has 0, as one over those that count.
    fn over_tokens<const D: usize>(&self, mean: Tensor<D>) -> Tensor<D> {
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

    fn kept(&self) -> Tensor<3> {
        let mask = self.values().detach();
        let scale = self.config.sigmoid_scale;
        let rounding = self.config.rounding;
        let kept = round(rounding, mask, scale, &self.pass, self.place()).kept;
        match &self.padding {
            Some(padding) => kept * padding.counts.clone(),
            None => kept,
        }
    }

    /// What the groups of channels are multiplied by, with the gradient of the rounding.
    fn multiplier(&self) -> Tensor<3> {
        let keep = self.config.rounding.keep(&self.pass, self.place());
        match keep.filter(|_| self.is_fused() && self.computed.is_none()) {
            Some(keep) => {
                let shift = self.learned.shift.clone();
                rounded_mask(self.attended.clone(), shift, keep)
            }
            None => {
                let scale = self.config.sigmoid_scale;
                let rounding = self.config.rounding;
                round(rounding, self.values(), scale, &self.pass, self.place()).multiplier
            }
        }
    }

    fn kept_only(&self) -> bool {
        self.config.gradient == MaskGradient::KeptOnly
    }

    /// Masks the last `values · group` channels of `x`, `[batch, time, channels]`.
    pub(crate) fn product(&self, x: Tensor<3>) -> Tensor<3> {
        let dtype = x.dtype();
        let channelwise = self.config.group == 1 && x.dims() == self.attended.dims();
        if !channelwise || self.kept_only() {
            let (group, factors) = (self.config.group, self.multiplier().cast(dtype));
            return grouped_product(x, factors, group, self.kept_only());
        }
        let keep = self.config.rounding.keep(&self.pass, self.place());
        match keep.filter(|_| self.is_fused() && dtype == DType::F32) {
            Some(keep) => {
                let shift = self.learned.shift.clone();
                masked_product(x, self.attended.clone(), shift, keep)
            }
            None => x * self.multiplier().cast(dtype),
        }
    }

    /// `[batch, time, values]`.
    pub(crate) fn dims(&self) -> [usize; 3] {
        self.attended.dims()
    }

    fn place(&self) -> Place {
        self.site.place(self.layer)
    }

    /// How far the means of the values lie below a floor.
    fn below(&self, floor: f64) -> Tensor<1> {
        let mask = self.values();
        let [batch, time, values] = mask.dims();
        let means = self.over_tokens(mask.reshape([batch * time, values]).mean_dim(0));
        (means.neg() + floor).clamp_min(0.0).mean()
    }

    /// Values of the tokens that count, `[1, tokens, values]`.
    fn counted(&self, values: Tensor<3>) -> Tensor<3> {
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
    /// A mask for a tensor of a shape, with its penalty.
    pub(crate) fn new(mut made: MadeMask, shape: [usize; D], history: MaskHistory) -> Self {
        let floor = made.config.floor;
        if made.attended.shape().num_elements() == 0 {
            let zero = || Tensor::zeros([1], (&made.attended.device(), DType::F32));
            return Self {
                penalty: zero(),
                shortfall: floor.map(|_| zero()),
                made,
                shape,
                history,
            };
        }
        let penalty = made.penalty();
        Self {
            penalty,
            shortfall: floor.map(|floor| made.below(floor)),
            made,
            shape,
            history,
        }
    }

    /// What the mask was made of.
    pub(crate) fn made(&self) -> &MadeMask {
        &self.made
    }

    /// Where the mask stands.
    pub fn site(&self) -> Site {
        self.made.site
    }

    /// The number of the block that the mask stands in.
    pub fn layer(&self) -> usize {
        self.made.layer
    }

    /// The mask `M` before rounding, `[..., time, values]`; 0 for padding.
    pub fn values(&self) -> Tensor<D> {
        with_leading(self.made.values(), self.shape)
    }

    /// The sides that the mask was rounded to: 1 where it is kept, else 0; without gradient.
    /// `[..., time, values]`.
    pub fn kept(&self) -> Tensor<D> {
        with_leading(self.made.kept(), self.shape)
    }

    /// The share of values of at least 0.5, `[1]`: what is kept at inference. Without gradient.
    pub fn kept_at_inference(&self) -> Tensor<1> {
        let made = &self.made;
        if made.attended.shape().num_elements() == 0 {
            return Tensor::zeros([1], (&made.attended.device(), DType::F32));
        }
        if made.is_fused() && made.computed.is_none() {
            let attended = made.attended.clone().detach();
            return mask_mean(attended, made.learned.shift.clone().detach(), Moment::Kept);
        }
        let kept = made.values().detach().greater_equal_elem(0.5).float();
        made.over_tokens(kept.cast(DType::F32).mean())
    }

    /// Measures the mask; padding does not count.
    ///
    /// Compares it with the mask of the module's last measured pass, and takes that one's place.
    pub fn statistics(&self) -> MaskStatistics {
        let [mask, kept] = [self.made.values(), self.made.kept()];
        let [mask, kept] = [mask, kept].map(|values| self.made.counted(values));
        MaskStatistics::measure(mask, kept, &self.history)
    }

    /// Whether gradients reach the mask only where it keeps.
    pub fn kept_only(&self) -> bool {
        self.made.kept_only()
    }
}

impl Mask {
    /// What the groups of channels are multiplied by, `[batch, time, values]`, with the gradient of
    /// the rounding.
    pub(crate) fn multiplier(&self) -> Tensor<3> {
        self.made.multiplier()
    }

    /// Masks the last `values · group` channels of `x`, `[batch, time, channels]`.
    pub(crate) fn product(&self, x: Tensor<3>) -> Tensor<3> {
        self.made.product(x)
    }
}
