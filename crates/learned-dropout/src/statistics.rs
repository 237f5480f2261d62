//! Statistics of the masks of a forward pass.

use std::sync::{Arc, Mutex};

use burn::tensor::{Bool, DType, Tensor};

use model::PenaltyKind;

use crate::penalty;

/// Statistics of one mask. They stay on the device until they are read.
#[derive(Clone, Debug)]
pub struct MaskStatistics {
    /// `[kept, near one, near zero, entropy, squared penalty, never kept, always kept, changed]`;
    /// `changed` is negative if there is no earlier mask.
    values: Tensor<1>,
}

/// Statistics of one mask.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MaskValues {
    /// Share of ones in the rounded mask.
    pub kept: f32,
    /// Share of `M > 0.9`.
    pub near_one: f32,
    /// Share of `M < 0.1`.
    pub near_zero: f32,
    /// Mean of `−M log₂(M + 1e-9)`.
    pub entropy: f32,
    /// Mean of `M² / 2`.
    pub penalty: f32,
    /// Share of the values that are kept for no token. Each value belongs to a group of channels.
    pub never_kept: f32,
    /// Share of the values that are kept for every token.
    pub always_kept: f32,
    /// Share of elements that were on the other side of 0.5 in the mask measured before; none if there is
    /// no earlier mask of the same shape.
    pub changed: Option<f32>,
}

/// Which values of the last measured mask were at least 0.5, to compute the share that changed.
#[derive(Clone, Debug, Default)]
pub struct MaskHistory {
    sides: Arc<Mutex<Option<Tensor<3, Bool>>>>,
}

impl MaskHistory {
    /// Stores the sides of a new mask and returns the share that differs from the last one's.
    fn replace(&self, mask: &Tensor<3>) -> Option<Tensor<1>> {
        let sides = mask.clone().greater_equal_elem(0.5);
        let last = match self.sides.lock() {
            Ok(mut guard) => guard.replace(sides.clone()),
            Err(poisoned) => poisoned.into_inner().replace(sides.clone()),
        };
        last.filter(|last| last.dims() == sides.dims())
            .map(|last| share(last.not_equal(sides)))
    }
}

impl MaskStatistics {
    /// Measures a mask `M` and its rounded values `kept`, both `[batch, time, channels]`.
    pub(crate) fn measure(mask: Tensor<3>, kept: Tensor<3>, history: &MaskHistory) -> Self {
        let (mask, kept) = (mask.detach().inner_or_self(), kept.detach().inner_or_self());
        let none = || Tensor::full([1], -1.0, (&mask.device(), DType::F32));
        let changed = history.replace(&mask).unwrap_or_else(none);
        let [batch, time, values] = kept.dims();
        let by_value = kept.clone().reshape([batch * time, values]).sum_dim(0);
        let by_value = by_value.reshape([values]);
        // Counts are whole numbers: a bound between two of them is safe from rounding errors.
        let nearly_all = (batch * time) as f64 - 0.5;
        let values = Tensor::cat(
            vec![
                kept.mean(),
                share(mask.clone().greater_elem(0.9)),
                share(mask.clone().lower_elem(0.1)),
                penalty::mean(PenaltyKind::Entropy, mask.clone()),
                penalty::mean(PenaltyKind::Squared, mask),
                share(by_value.clone().lower_elem(0.5)),
                share(by_value.greater_elem(nearly_all)),
                changed,
            ],
            0,
        );
        Self { values }
    }

    /// Reads statistics from the device.
    pub fn read(&self) -> MaskValues {
        let data = self.values.clone().into_data_as::<f32>();
        let values: Vec<f32> = data.iter::<f32>().collect();
        let [
            kept,
            near_one,
            near_zero,
            entropy,
            penalty,
            never_kept,
            always_kept,
            changed,
        ] = values[..]
        else {
            unreachable!("eight values are measured");
        };
        let changed = (changed >= 0.0).then_some(changed);
        MaskValues {
            kept,
            near_one,
            near_zero,
            entropy,
            penalty,
            never_kept,
            always_kept,
            changed,
        }
    }
}

impl MaskValues {
    /// The mean over masks; `changed` only if every mask has it. None if there are no masks.
    pub fn mean(masks: &[Self]) -> Option<Self> {
        let count = masks.len() as f64;
        let average = |value: fn(&Self) -> f32| {
            (masks.iter().map(|mask| f64::from(value(mask))).sum::<f64>() / count) as f32
        };
        let changed = masks.iter().all(|mask| mask.changed.is_some());
        (!masks.is_empty()).then(|| Self {
            kept: average(|mask| mask.kept),
            near_one: average(|mask| mask.near_one),
            near_zero: average(|mask| mask.near_zero),
            entropy: average(|mask| mask.entropy),
            penalty: average(|mask| mask.penalty),
            never_kept: average(|mask| mask.never_kept),
            always_kept: average(|mask| mask.always_kept),
            changed: changed.then(|| average(|mask| mask.changed.unwrap_or_default())),
        })
    }
}

/// The share of elements that are true, `[1]`.
fn share<const D: usize>(elements: Tensor<D, Bool>) -> Tensor<1> {
    elements.float().cast(DType::F32).mean()
}

/// Removes the autodiff graph, if there is one.
trait InnerOrSelf {
    fn inner_or_self(self) -> Self;
}

impl InnerOrSelf for Tensor<3> {
    fn inner_or_self(self) -> Self {
        if self.device().is_autodiff() {
            self.inner()
        } else {
            self
        }
    }
}
