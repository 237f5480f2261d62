//! The weights of one group of hidden units.

use crate::feed_forward::{Shape, Weights};
use crate::kept_groups::KeptGroups;
use crate::matrix::View;

/// The number of hidden units of a group.
///
/// # Panics
/// If the lengths or the groups do not fit the shape.
pub(super) fn units_of_group(
    x: &[f32],
    weights: &Weights<'_>,
    shape: Shape,
    kept: &KeptGroups,
) -> usize {
    shape.check(x, weights);
    assert_eq!(kept.tokens(), shape.tokens, "tokens of the kept groups");
    assert!(
        kept.groups() > 0 && shape.hidden.is_multiple_of(kept.groups()),
        "groups do not divide the hidden units"
    );
    shape.hidden / kept.groups()
}

/// The weights of a group, as matrices.
#[derive(Clone, Copy)]
pub(super) struct GroupWeights<'a> {
    /// `[group, width]`.
    pub(super) up: View<'a>,
    /// `[width, group]`.
    pub(super) down: View<'a>,
}

impl<'a> GroupWeights<'a> {
    pub(super) fn new(weights: &Weights<'a>, shape: Shape, group: usize, index: usize) -> Self {
        let Shape { width, hidden, .. } = shape;
        Self {
            up: View::new(weights.up, hidden, width, width).rows_from(index * group, group),
            down: View::new(weights.down, width, hidden, hidden).columns_from(index * group, group),
        }
    }
}
