//! One mask of one forward pass, and what is done with it.

use burn::tensor::Tensor;

use model::pass::Place;
use model::{MaskFunction, MaskGradient, Pass, Site};

use crate::function::{self, Learned};
use crate::learned_dropout_config::LearnedDropoutConfig;
use crate::ops::{Moment, duplicated, grouped_product, mask_mean, masked_product, rounded_mask};
use crate::penalty;
use crate::rounding::round;
use crate::statistics::{MaskHistory, MaskStatistics};

/// A mask that a [`LearnedDropout`](crate::LearnedDropout) has computed.
pub struct Mask {
    /// The mean of the configured penalty over the elements of `M`, `[1]`, with gradient. Times
    /// a coefficient (0.1 is the seed's), it is added to the training loss.
    pub penalty: Tensor<1>,
    /// With a configured floor, how far the mean of a value over the tokens lies below it, as a
    /// mean over the values, `[1]`, with gradient.
    pub shortfall: Option<Tensor<1>>,
    attended: Tensor<3>,
    shift: Tensor<1>,
    /// `M`, computed once, where no kernel computes it as part of what is done with it.
    computed: Option<Tensor<3>>,
    config: LearnedDropoutConfig,
    site: Site,
    layer: usize,
    pass: Pass,
    history: MaskHistory,
}

impl Mask {
    pub(crate) fn new(
        attended: Tensor<3>,
        learned: Learned,
        config: LearnedDropoutConfig,
        (site, layer): (Site, usize),
        pass: Pass,
        history: MaskHistory,
    ) -> Self {
        let [attended, for_penalty] = duplicated(attended);
        let floor = config.floor;
        let shift = learned.shift.clone();
        let (penalty, computed) = match (&config.function, config.penalty.moment()) {
            (MaskFunction::Cosine(_), Some(moment)) => {
                (mask_mean(for_penalty, shift.clone(), moment), None)
            }
            (function, _) => {
                let mask = function::mask(function, for_penalty, learned);
                (penalty::mean(config.penalty, mask.clone()), Some(mask))
            }
        };
        let mut mask = Self {
            penalty,
            shortfall: None,
            attended,
            shift,
            computed,
            config,
            site,
            layer,
            pass,
            history,
        };
        mask.shortfall = floor.map(|floor| mask.below(floor));
        mask
    }

    /// Where the mask stands.
    pub fn site(&self) -> Site {
        self.site
    }

    /// The number of the block that the mask stands in.
    pub fn layer(&self) -> usize {
        self.layer
    }

    /// The mask `M` before rounding, `[batch, time, values]`.
    pub fn mask(&self) -> Tensor<3> {
        let compute = || {
            let (attended, shift) = (self.attended.clone(), self.shift.clone());
            function::mask(&self.config.function, attended, shift)
        };
        self.computed.clone().unwrap_or_else(compute)
    }

    /// The sides that the mask was rounded to: 1 where it is kept, else 0; without gradient.
    pub fn kept(&self) -> Tensor<3> {
        let mask = self.mask().detach();
        let scale = self.config.sigmoid_scale;
        let rounding = self.config.rounding;
        round(rounding, mask, scale, &self.pass, self.place()).kept
    }

    /// The share of values of at least 0.5, `[1]`: what is kept at inference. Without gradient.
    pub fn kept_at_inference(&self) -> Tensor<1> {
        if let Some(mask) = &self.computed {
            return mask.clone().detach().greater_equal_elem(0.5).float().mean();
        }
        let (attended, shift) = (self.attended.clone().detach(), self.shift.clone().detach());
        mask_mean(attended, shift, Moment::Kept)
    }

    /// Measures the mask.
    ///
    /// Compares it with the mask of the module's last measured pass, and takes that one's place.
    pub fn statistics(&self) -> MaskStatistics {
        MaskStatistics::measure(self.mask(), self.kept(), &self.history)
    }

    /// What the groups of channels are multiplied by, `[batch, time, values]`, with the gradient of
    /// the rounding.
    pub fn multiplier(&self) -> Tensor<3> {
        let (attended, shift) = (self.attended.clone(), self.shift.clone());
        let keep = self.config.rounding.keep(&self.pass, self.place());
        match (&self.config.function, keep) {
            (MaskFunction::Cosine(_), Some(keep)) => rounded_mask(attended, shift, keep),
            _ => {
                let scale = self.config.sigmoid_scale;
                let rounding = self.config.rounding;
                round(rounding, self.mask(), scale, &self.pass, self.place()).multiplier
            }
        }
    }

    /// Whether gradients reach the mask only where it keeps.
    pub fn kept_only(&self) -> bool {
        self.config.gradient == MaskGradient::KeptOnly
    }

    /// Masks the last `values · group` channels of `x`, `[batch, time, channels]`.
    pub fn product(&self, x: Tensor<3>) -> Tensor<3> {
        let channelwise = self.config.group == 1 && x.dims() == self.attended.dims();
        if !channelwise || self.kept_only() {
            let group = self.config.group;
            return grouped_product(x, self.multiplier(), group, self.kept_only());
        }
        let (attended, shift) = (self.attended.clone(), self.shift.clone());
        let keep = self.config.rounding.keep(&self.pass, self.place());
        match (&self.config.function, keep) {
            (MaskFunction::Cosine(_), Some(keep)) => masked_product(x, attended, shift, keep),
            _ => x * self.multiplier(),
        }
    }

    fn place(&self) -> Place {
        self.site.place(self.layer)
    }

    fn below(&self, floor: f64) -> Tensor<1> {
        let mask = self.mask();
        let [batch, time, values] = mask.dims();
        let means = mask.reshape([batch * time, values]).mean_dim(0);
        (means.neg() + floor).clamp_min(0.0).mean()
    }
}
