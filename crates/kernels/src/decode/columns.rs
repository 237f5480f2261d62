//! A matrix of weights whose inputs are in groups, of which each token keeps some.

use std::ops::Range;

use super::format::{Format, Rows, SourceRow};
use super::kernel::{self, INPUTS, Weight, WeightBlock, Work, add_rows};
use super::lanes::Lanes;
use super::sum_parts::sum_parts;
use crate::group_product::scale_groups;
use crate::kept_groups::KeptGroups;
use crate::kept_linear::forward_packed;
use crate::matrix::View;
use crate::product::{Packed, Precision};
use crate::scratch::scratch;
use crate::team::Team;

/// A matrix `[outputs, inputs]`, stored input by input. The weights of a group of inputs are
/// contiguous, and are not read if no token keeps the group.
pub struct Columns {
    /// The weights of each input.
    rows: Rows,
    inputs: usize,
    outputs: usize,
    group: usize,
}

impl Columns {
    /// Stores `weight`, `[outputs, inputs]`, in a format and in groups of `group` inputs.
    ///
    /// # Panics
    /// If the length does not fit, a size is 0, or `group` does not divide the inputs.
    pub fn new(
        weight: &[f32],
        outputs: usize,
        inputs: usize,
        group: usize,
        format: Format,
    ) -> Self {
        assert!(outputs > 0 && group > 0, "an empty matrix");
        assert_eq!(Some(weight.len()), outputs.checked_mul(inputs), "weight");
        assert!(
            inputs.is_multiple_of(group),
            "groups do not divide the inputs"
        );
        let row = |input: usize| SourceRow {
            values: &weight[input..],
            step: inputs,
        };
        Self {
            rows: Rows::new(inputs, outputs, format, row),
            inputs,
            outputs,
            group,
        }
    }

    /// Values of an output.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Values of an input.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Bytes of the weights, including padding.
    pub fn bytes(&self) -> usize {
        self.rows.bytes().len()
    }

    fn check(&self, y: &[f32], x: &[f32], kept: &KeptGroups) {
        assert_eq!(x.len(), kept.tokens() * self.inputs, "input");
        assert_eq!(y.len(), kept.tokens() * self.outputs, "output");
        assert_eq!(kept.groups(), self.inputs / self.group, "groups");
    }

    /// `y = x · Wᵀ` over the groups of inputs that each token keeps, whose inputs are multiplied by
    /// the factor of the token. Overwrites `y`, `[tokens, outputs]`.
    ///
    /// For few tokens. A group is read from memory once for all its tokens. The result depends on
    /// which tokens keep which groups, but not on the team.
    ///
    /// # Panics
    /// If the lengths or the kept groups are those of another shape.
    pub fn multiply(&self, team: &Team, y: &mut [f32], x: &[f32], kept: &KeptGroups) {
        self.check(y, x, kept);
        let groups: Vec<usize> = (0..kept.groups())
            .filter(|&group| !kept.tokens_of(group).is_empty())
            .collect();
        let stride = self.rows.stride();
        let weights = groups.len() * self.group * stride;
        let each = |part: Range<usize>, sums: &mut [f32]| {
            let work = Part {
                matrix: self,
                groups: &groups[part],
                kept,
                x,
                sums,
            };
            // SAFETY: the weights are those of the matrix.
            unsafe { kernel::compute(self.rows.format(), work) };
        };
        sum_parts(
            team,
            y,
            (self.outputs, stride),
            (groups.len(), weights),
            &each,
        );
    }

    /// [`multiply`](Self::multiply) for many tokens, on all threads of the current rayon pool.
    /// Rounds weights and inputs to a precision.
    ///
    /// # Panics
    /// If the lengths or the kept groups are those of another shape.
    pub fn multiply_many(&self, y: &mut [f32], x: &[f32], kept: &KeptGroups, precision: Precision) {
        self.check(y, x, kept);
        let (group, outputs) = (self.group, self.outputs);
        let pack = |index: usize| {
            let mut weights = scratch(group * outputs);
            for (place, weights) in weights.chunks_exact_mut(outputs).enumerate() {
                self.rows.widen(index * group + place, 0, weights);
            }
            Packed::new(View::new(&weights, group, outputs, outputs), precision)
        };
        y.copy_from_slice(&forward_packed(x, kept, group, outputs, pack));
    }
}

/// The sums of some groups.
struct Part<'a> {
    matrix: &'a Columns,
    groups: &'a [usize],
    kept: &'a KeptGroups,
    x: &'a [f32],
    sums: &'a mut [f32],
}

impl Work for Part<'_> {
    #[inline(always)]
    unsafe fn run<L: Lanes, W: Weight>(self) {
        let Self {
            matrix,
            groups,
            kept,
            x,
            sums,
        } = self;
        let (group, stride) = (matrix.group, matrix.rows.stride());
        assert_eq!(sums.len(), kept.tokens() * stride, "sums");
        let sums = sums.as_mut_ptr();
        let mut values = scratch(INPUTS * group);
        for &index in groups {
            let block = WeightBlock {
                start: matrix.rows.address_of(index * group, group),
                rows: group,
                stride,
            };
            let mut factors = kept.factors_of(index);
            for tokens in kept.tokens_of(index).chunks(INPUTS) {
                let mut outputs = [std::ptr::null_mut(); INPUTS];
                for (place, &token) in tokens.iter().enumerate() {
                    let start = token as usize * matrix.inputs + index * group;
                    values[place * group..][..group].copy_from_slice(&x[start..start + group]);
                    outputs[place] = sums.wrapping_add(token as usize * stride);
                }
                let values = &mut values[..tokens.len() * group];
                if let Some(factors) = &mut factors {
                    let ours = factors.split_off(..tokens.len()).unwrap_or_default();
                    scale_groups(values, ours, group);
                }
                // SAFETY: the caller guarantees the instructions and the format; the block lies in
                // the rows of the group; the outputs belong to different tokens and are as long as
                // a row.
                unsafe { add_rows::<L, W>(block, values, &outputs[..tokens.len()]) };
            }
        }
    }
}
