//! The feed-forward `activation(x · upᵀ) · downᵀ` of groups of hidden units, for few tokens.

use std::ops::Range;

use super::format::{Format, Rows, SourceRow};
use super::kernel::{self, INPUTS, Weight, WeightBlock, Work, add_listed_rows, add_rows, dots};
use super::lanes::Lanes;
use super::padded::padded;
use super::sum_parts::sum_parts;
use crate::activation::Activation;
use crate::group_product::scale_groups;
use crate::kept_groups::KeptGroups;
use crate::scratch::{Scratch, scratch};
use crate::team::Team;

/// The weights of a feed-forward, stored group by group. The weights of a group of hidden units are
/// contiguous, and are not read if no token keeps the group.
pub struct FeedForward {
    /// The up rows of the units of each group, then their down rows.
    rows: Rows,
    width: usize,
    hidden: usize,
    group: usize,
    activation: Activation,
}

impl FeedForward {
    /// Stores weights in a format: `up`, `[hidden, width]`, and `down`, `[width, hidden]`, in
    /// groups of `group` hidden units.
    ///
    /// # Panics
    /// If the lengths do not fit, one is 0, or `group` does not divide the hidden units.
    pub fn new(
        up: &[f32],
        down: &[f32],
        width: usize,
        group: usize,
        activation: Activation,
        format: Format,
    ) -> Self {
        assert!(
            width > 0 && group > 0 && !up.is_empty(),
            "an empty feed-forward"
        );
        let hidden = up.len() / width;
        assert_eq!(up.len(), hidden * width, "up weight");
        assert_eq!(down.len(), up.len(), "down weight");
        assert!(
            hidden.is_multiple_of(group),
            "groups do not divide the hidden units"
        );
        let row = |index: usize| {
            let (piece, place) = (index / group, index % group);
            let unit = piece / 2 * group + place;
            if piece.is_multiple_of(2) {
                SourceRow {
                    values: &up[unit * width..][..width],
                    step: 1,
                }
            } else {
                SourceRow {
                    values: &down[unit..],
                    step: hidden,
                }
            }
        };
        Self {
            rows: Rows::new(2 * hidden, width, format, row),
            width,
            hidden,
            group,
            activation,
        }
    }

    pub(super) fn rows(&self) -> &Rows {
        &self.rows
    }

    /// The number of the row with the up weights of a hidden unit.
    pub(super) fn up_row(&self, unit: usize) -> usize {
        unit / self.group * 2 * self.group + unit % self.group
    }

    /// The number of the row with the down weights of a hidden unit.
    pub(super) fn down_row(&self, unit: usize) -> usize {
        self.up_row(unit) + self.group
    }

    /// Hidden units.
    pub fn hidden(&self) -> usize {
        self.hidden
    }

    /// Channels of the input and the output.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Groups of hidden units.
    pub fn groups(&self) -> usize {
        self.hidden / self.group
    }

    /// The activation function of the hidden units.
    pub fn activation(&self) -> Activation {
        self.activation
    }

    /// The format of the weights.
    pub fn format(&self) -> Format {
        self.rows.format()
    }

    /// Bytes of the weights, including padding.
    pub fn bytes(&self) -> usize {
        self.rows.bytes().len()
    }

    /// `y = activation(x · upᵀ) · downᵀ` for the groups that each token keeps, whose hidden units are
    /// multiplied by the factor of the token. Overwrites `y`.
    ///
    /// `x` and `y` are `[tokens, width]`. A group is read from memory once for all its tokens. With
    /// an activation function that [gives zeros](Activation::gives_zeros), the down weights of a
    /// unit are not read if it is 0 for these tokens. The result depends on which tokens keep which
    /// groups, but not on the team.
    ///
    /// # Panics
    /// If the lengths or the kept groups are those of another shape.
    pub fn forward(&self, team: &Team, y: &mut [f32], x: &[f32], kept: &KeptGroups) {
        let tokens = kept.tokens();
        assert_eq!(x.len(), tokens * self.width, "input");
        assert_eq!(y.len(), x.len(), "output");
        assert_eq!(kept.groups(), self.groups(), "groups");
        let mut buffer = None;
        let x = padded(x, self.width, &mut buffer);
        let stride = self.rows.stride();
        let groups: Vec<u32> = (0..self.groups())
            .filter(|&group| !kept.tokens_of(group).is_empty())
            .map(|group| group as u32)
            .collect();
        let weights = 2 * groups.len() * self.group * stride;
        let each = |part: Range<usize>, sums: &mut [f32]| {
            let work = Part {
                layer: self,
                groups: &groups[part],
                kept,
                x,
                sums,
            };
            // SAFETY: the weights are those of the layer.
            unsafe { kernel::compute(self.format(), work) };
        };
        sum_parts(
            team,
            y,
            (self.width, stride),
            (groups.len(), weights),
            &each,
        );
    }
}

/// The sums of some groups.
struct Part<'a> {
    layer: &'a FeedForward,
    groups: &'a [u32],
    kept: &'a KeptGroups,
    x: &'a [f32],
    sums: &'a mut [f32],
}

impl Work for Part<'_> {
    #[inline(always)]
    unsafe fn run<L: Lanes, W: Weight>(self) {
        let Self {
            layer,
            groups,
            kept,
            x,
            sums,
        } = self;
        let (group, stride) = (layer.group, layer.rows.stride());
        assert!(x.len() == kept.tokens() * stride && sums.len() == x.len());
        let sums = sums.as_mut_ptr();
        let mut units = scratch(INPUTS * group);
        let gives_zeros = layer.activation.gives_zeros();
        let mut used = gives_zeros.then(|| UsedUnits::new(group));
        for &index in groups {
            let up = WeightBlock {
                start: layer.rows.address_of(2 * index as usize * group, 2 * group),
                rows: group,
                stride,
            };
            let down = WeightBlock {
                start: up.start.wrapping_add(group * stride * W::BYTES),
                ..up
            };
            let mut factors = kept.factors_of(index as usize);
            for tokens in kept.tokens_of(index as usize).chunks(INPUTS) {
                let mut inputs = [std::ptr::null(); INPUTS];
                let mut outputs = [std::ptr::null_mut(); INPUTS];
                for (place, &token) in tokens.iter().enumerate() {
                    let row = token as usize * stride;
                    inputs[place] = x[row..].as_ptr();
                    outputs[place] = sums.wrapping_add(row);
                }
                let units = &mut units[..tokens.len() * group];
                let put = |unit: usize, token: usize, product| {
                    units[token * group + unit] = product;
                };
                let outputs = &outputs[..tokens.len()];
                // SAFETY: the caller guarantees the instructions and the format; the block lies in
                // the rows of the group; the inputs are as long as a row.
                unsafe { dots::<L, W>(up, &inputs[..tokens.len()], put) };
                layer.activation.in_place(units);
                if let Some(used) = &mut used {
                    used.list(units);
                }
                if let Some(factors) = &mut factors {
                    let ours = factors.split_off(..tokens.len()).unwrap_or_default();
                    scale_groups(units, ours, group);
                }
                // SAFETY: as above; the outputs belong to different tokens.
                unsafe {
                    match &mut used {
                        Some(used) => {
                            let (listed, coefficients) = used.coefficients(units);
                            add_listed_rows::<L, W>(down, listed, coefficients, outputs);
                        }
                        None => add_rows::<L, W>(down, units, outputs),
                    }
                }
            }
        }
    }
}

/// The hidden units of a group that are not 0 for each of a few tokens.
struct UsedUnits {
    /// The numbers of the units in the group; the first `count` are those of the tokens at hand.
    listed: Vec<u32>,
    count: usize,
    /// For how many of the tokens at hand each unit of the group is not 0.
    tokens: Vec<u32>,
    coefficients: Scratch,
}

impl UsedUnits {
    fn new(group: usize) -> Self {
        Self {
            listed: vec![0; group],
            count: 0,
            tokens: vec![0; group],
            coefficients: scratch(INPUTS * group),
        }
    }

    /// Lists the units that are not 0 for one of the tokens, of units `[tokens, group]`.
    #[inline(always)]
    fn list(&mut self, units: &[f32]) {
        let group = self.listed.len();
        self.tokens.fill(0);
        for units in units.chunks_exact(group) {
            for (tokens, &unit) in self.tokens.iter_mut().zip(units) {
                *tokens += u32::from(unit != 0.0);
            }
        }
        self.count = 0;
        for (unit, &tokens) in self.tokens.iter().enumerate() {
            // Without a branch, which would often be predicted wrong.
            self.listed[self.count] = unit as u32;
            self.count += usize::from(tokens > 0);
        }
    }

    /// The listed units, and their values for each token out of units `[tokens, group]`.
    #[inline(always)]
    fn coefficients(&mut self, units: &[f32]) -> (&[u32], &[f32]) {
        let listed = &self.listed[..self.count];
        let group = self.listed.len();
        let count = units.len() / group * listed.len();
        let rows = self.coefficients.chunks_exact_mut(listed.len().max(1));
        for (row, units) in rows.zip(units.chunks_exact(group)) {
            for (coefficient, &unit) in row.iter_mut().zip(listed) {
                *coefficient = units[unit as usize];
            }
        }
        (listed, &self.coefficients[..count])
    }
}
