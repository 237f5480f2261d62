//! The output of a grouped feed-forward.

use rayon::prelude::*;

use super::gather::{chunks, gather};
use super::group_weights::{GroupWeights, units_of_group};
use super::sum_groups::sum_groups;
use crate::activation::Activation;
use crate::feed_forward::{Shape, Weights};
use crate::group_product::scale_groups;
use crate::kept_groups::KeptGroups;
use crate::layer_norm::normalized_in_parallel;
use crate::linear::Norm;
use crate::product::{Packed, Precision, multiply};
use crate::scratch::scratch;
use crate::shared::Shared;
use crate::unit_sum::UnitSum;

/// The packed weights of a grouped feed-forward.
pub struct Prepared {
    groups: Vec<Group>,
    width: usize,
    group: usize,
    activation: Activation,
}

struct Group {
    /// `[width, group]`.
    up: Packed,
    /// `[group, width]`.
    down: Packed,
}

impl Group {
    fn new(weights: GroupWeights<'_>, precision: Precision) -> Self {
        Self {
            up: Packed::new(weights.up.transposed(), precision),
            down: Packed::new(weights.down.transposed(), precision),
        }
    }
}

impl Prepared {
    /// Packs `up`, `[hidden, width]`, and `down`, `[width, hidden]`, for groups of `group` hidden
    /// units.
    ///
    /// # Panics
    /// If the lengths do not fit, one is 0, or `group` does not divide the hidden units.
    pub fn new(
        up: &[f32],
        down: &[f32],
        width: usize,
        group: usize,
        activation: Activation,
        precision: Precision,
    ) -> Self {
        let weights = Weights {
            norm: None,
            up,
            activation,
            down,
        };
        assert!(width > 0 && group > 0, "an empty feed-forward");
        let shape = Shape {
            tokens: 0,
            width,
            hidden: up.len() / width,
        };
        shape.check(&[], &weights);
        assert!(
            shape.hidden.is_multiple_of(group),
            "groups do not divide the hidden units"
        );
        let groups = (0..shape.hidden / group)
            .into_par_iter()
            .map(|index| Group::new(GroupWeights::new(&weights, shape, group, index), precision))
            .collect();
        Self {
            groups,
            width,
            group,
            activation,
        }
    }

    /// The output of the groups that each token keeps, `[tokens, width]`.
    ///
    /// # Panics
    /// If the lengths or the kept groups are those of another shape.
    pub fn forward(&self, x: &[f32], norm: Option<Norm<'_>>, kept: &KeptGroups) -> Vec<f32> {
        assert_eq!(x.len(), kept.tokens() * self.width, "input");
        assert_eq!(kept.groups(), self.groups.len(), "groups");
        assert!(
            norm.is_none_or(|norm| norm.weight.len() == self.width),
            "norm"
        );
        let mut buffer = None;
        let x = normalized_in_parallel(x, norm, &mut buffer);
        let mut units = scratch(kept.pairs() * self.group);
        let shared = Shared::new(&mut units);
        let groups = self.groups.par_iter().enumerate().with_max_len(1);
        groups.for_each(|(index, group)| {
            let first = kept.pairs_before(index) * self.group;
            // SAFETY: each group has its own pairs.
            let units = unsafe { shared.slice(first, kept.tokens_of(index).len() * self.group) };
            hidden_units(units, x, (kept, index), &group.up, self.activation, false);
        });
        sum_groups(
            &units,
            self.group,
            |index| Some(&self.groups[index].down),
            kept,
            self.width,
        )
    }
}

/// The output of the groups that each token keeps, `[tokens, width]`, with weights that change from
/// call to call. The weights of groups that no token keeps are not read.
///
/// # Panics
/// If the lengths or the kept groups do not fit the shape.
pub fn forward(
    x: &[f32],
    weights: &Weights<'_>,
    kept: &KeptGroups,
    shape: Shape,
    precision: Precision,
) -> Vec<f32> {
    forward_from_weights(x, weights, kept, shape, precision, false).0
}

/// [`forward()`] that also gives the sum of the hidden units of the kept groups.
///
/// # Panics
/// If the lengths or the kept groups do not fit the shape.
pub fn forward_with_sum(
    x: &[f32],
    weights: &Weights<'_>,
    kept: &KeptGroups,
    shape: Shape,
    precision: Precision,
) -> (Vec<f32>, UnitSum) {
    forward_from_weights(x, weights, kept, shape, precision, true)
}

fn forward_from_weights(
    x: &[f32],
    weights: &Weights<'_>,
    kept: &KeptGroups,
    shape: Shape,
    precision: Precision,
    sums: bool,
) -> (Vec<f32>, UnitSum) {
    let group = units_of_group(x, weights, shape, kept);
    let width = shape.width;
    let mut buffer = None;
    let x = normalized_in_parallel(x, weights.norm, &mut buffer);
    let pack = |index| {
        let Group { up, down } =
            Group::new(GroupWeights::new(weights, shape, group, index), precision);
        (up, down)
    };
    forward_packed(x, kept, (width, group), weights.activation, sums, pack)
}

/// The output of the groups that each token keeps, `[tokens, width]`, and if `sums`, the sum of their
/// hidden units. `pack` gives the two operands of a kept group, `[width, group]` and `[group,
/// width]`.
pub(crate) fn forward_packed(
    x: &[f32],
    kept: &KeptGroups,
    (width, group): (usize, usize),
    activation: Activation,
    sums: bool,
    pack: impl Fn(usize) -> (Packed, Packed) + Sync,
) -> (Vec<f32>, UnitSum) {
    let mut units = scratch(kept.pairs() * group);
    let shared = Shared::new(&mut units);
    let groups = (0..kept.groups()).into_par_iter().with_max_len(1);
    let (down, sums): (Vec<Option<Packed>>, Vec<UnitSum>) = groups
        .map(|index| {
            let count = kept.tokens_of(index).len();
            if count == 0 {
                return (None, UnitSum::default());
            }
            let (up, down) = pack(index);
            // SAFETY: each group has its own pairs.
            let units = unsafe { shared.slice(kept.pairs_before(index) * group, count * group) };
            let sum = hidden_units(units, x, (kept, index), &up, activation, sums);
            (Some(down), sum)
        })
        .unzip();
    let y = sum_groups(&units, group, |index| down[index].as_ref(), kept, width);
    (y, UnitSum::total(sums))
}

/// `activation(x · upᵀ)` for the tokens of a group, `[tokens, group]`, times the factors of the
/// tokens. If `sums`, gives the sum of these units before they are multiplied.
fn hidden_units(
    units: &mut [f32],
    x: &[f32],
    (kept, index): (&KeptGroups, usize),
    up: &Packed,
    activation: Activation,
    sums: bool,
) -> UnitSum {
    let (width, group) = (up.inner(), up.columns());
    let factors = kept.factors_of(index);
    let mut done = 0;
    let mut parts = Vec::new();
    for tokens in chunks(kept.tokens_of(index)) {
        let mut buffer = None;
        let rows = gather(x, tokens, width, &mut buffer);
        let units = &mut units[done * group..][..tokens.len() * group];
        multiply(units, group, rows, up, false);
        activation.in_place(units);
        if sums {
            parts.push(UnitSum::of(units));
        }
        if let Some(factors) = factors {
            scale_groups(units, &factors[done..][..tokens.len()], group);
        }
        done += tokens.len();
    }
    UnitSum::total(parts)
}
