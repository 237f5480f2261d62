//! Statistics of the masks of a forward pass.

use std::sync::{Arc, Mutex};

use burn::tensor::{DType, Tensor};

use crate::ops::differing_share;

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
    last: Arc<Mutex<Option<Sides>>>,
}

/// Which values of a mask are at least 0.5, as [`mask_statistics`](crate::ops::mask_statistics) gives
/// them, and the shape of the mask.
#[derive(Clone, Debug)]
struct Sides {
    words: Tensor<1>,
    shape: [usize; 3],
}

impl MaskHistory {
    /// Stores the sides of a new mask and returns the share that differs from the last one's.
    fn replace(&self, sides: Sides) -> Option<Tensor<1>> {
        let last = match self.last.lock() {
            Ok(mut guard) => guard.replace(sides.clone()),
            Err(poisoned) => poisoned.into_inner().replace(sides.clone()),
        };
        let last = last.filter(|last| last.shape == sides.shape)?;
        let count = sides.shape.iter().product();
        Some(differing_share(last.words, sides.words, count))
    }
}

impl MaskStatistics {
    /// The statistics and the sides of a mask of this shape, as
    /// [`mask_statistics`](crate::ops::mask_statistics) gives them. With a history, the mask is compared with
    /// the last one and becomes the last one.
    pub(crate) fn new(
        (statistics, words): (Tensor<1>, Tensor<1>),
        shape: [usize; 3],
        history: Option<&MaskHistory>,
    ) -> Self {
        let changed = history.and_then(|history| history.replace(Sides { words, shape }));
        let none = || Tensor::full([1], -1.0, (&statistics.device(), DType::F32));
        let changed = changed.unwrap_or_else(none);
        Self {
            values: Tensor::cat(vec![statistics, changed], 0),
        }
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

/// Removes the autodiff graph, if there is one.
pub(crate) fn without_graph<const D: usize>(tensor: Tensor<D>) -> Tensor<D> {
    let tensor = tensor.detach();
    if tensor.device().is_autodiff() {
        tensor.inner()
    } else {
        tensor
    }
}
