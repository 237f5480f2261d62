//! A matrix of weights, times few inputs.

use std::ops::Range;

use super::format::{Format, Rows, SourceRow};
use super::kernel::{self, INPUTS, Weight, WeightBlock, Work, dots};
use super::lanes::Lanes;
use super::padded::padded;
use crate::kept_groups::KeptGroups;
use crate::shared::Shared;
use crate::team::Team;

/// Bytes of weights that one task reads.
const TASK: usize = 1 << 16;

/// A matrix `[outputs, inputs]` for products `y = W x`.
pub struct Matrix {
    rows: Rows,
    outputs: usize,
    inputs: usize,
}

impl Matrix {
    /// Stores `weight`, `[outputs, inputs]`, in a format.
    ///
    /// # Panics
    /// If the length does not fit, or there are no inputs.
    pub fn new(weight: &[f32], outputs: usize, inputs: usize, format: Format) -> Self {
        assert!(inputs > 0, "a matrix without columns");
        assert_eq!(Some(weight.len()), outputs.checked_mul(inputs), "weight");
        let row = |index: usize| SourceRow {
            values: &weight[index * inputs..][..inputs],
            step: 1,
        };
        Self {
            rows: Rows::new(outputs, inputs, format, row),
            outputs,
            inputs,
        }
    }

    pub(super) fn rows(&self) -> &Rows {
        &self.rows
    }

    /// Rows of the matrix: values of an output.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Columns of the matrix: values of an input.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Writes a row of the stored weights.
    ///
    /// # Panics
    /// If there is no such row, or `output` has another length.
    pub fn row(&self, row: usize, output: &mut [f32]) {
        assert!(row < self.outputs, "no such row");
        assert_eq!(output.len(), self.inputs, "output");
        self.rows.widen(row, 0, output);
    }

    /// The format of the weights.
    pub fn format(&self) -> Format {
        self.rows.format()
    }

    /// Bytes of the weights, including padding.
    pub fn bytes(&self) -> usize {
        self.rows.bytes().len()
    }

    /// `y = x · Wᵀ` for tokens `x`, `[tokens, inputs]`. Overwrites `y`, `[tokens, outputs]`.
    ///
    /// For few tokens: weights are read from memory once for all tokens, but from the cache once
    /// for every four. The sums of a token depend neither on the other tokens nor on the team.
    ///
    /// # Panics
    /// If the lengths do not fit the matrix and one number of tokens.
    pub fn multiply(&self, team: &Team, y: &mut [f32], x: &[f32]) {
        let tokens = x.len() / self.inputs;
        assert_eq!(x.len(), tokens * self.inputs, "input");
        assert_eq!(y.len(), tokens * self.outputs, "output");
        let mut buffer = None;
        let x = padded(x, self.inputs, &mut buffer);
        let row = self.rows.stride() * self.format().bytes();
        let of_task = (TASK / row).max(1).next_multiple_of(4);
        let y = Shared::new(y);
        team.run(self.outputs.div_ceil(of_task), &|task| {
            let first = task * of_task;
            let work = Part {
                matrix: self,
                rows: first..self.outputs.min(first + of_task),
                tokens: Tokens::All(tokens),
                x,
                y,
            };
            // SAFETY: the weights are those of the matrix.
            unsafe { kernel::compute(self.format(), work) };
        });
    }

    /// [`multiply`](Self::multiply) without the outputs that tokens drop. The first outputs, in groups of
    /// `group`, are computed for the tokens that keep their group; the outputs behind the groups are
    /// computed for all tokens. The weights of a group that no token keeps are not read. What is not
    /// computed is left in `y` as it is; the rest has the bits of [`multiply`](Self::multiply).
    ///
    /// # Panics
    /// If the lengths or the groups do not fit the matrix and one number of tokens.
    pub fn multiply_kept(
        &self,
        team: &Team,
        y: &mut [f32],
        x: &[f32],
        kept: &KeptGroups,
        group: usize,
    ) {
        let grouped = self.check_kept(y, x, kept, group);
        let mut buffer = None;
        let x = padded(x, self.inputs, &mut buffer);
        let row = self.rows.stride() * self.format().bytes();
        let of_task = (TASK / row).max(1).next_multiple_of(4);
        let groups = (0..kept.groups()).map(|index| {
            let tokens = Tokens::These(kept.tokens_of(index));
            (index * group..(index + 1) * group, tokens)
        });
        let rest = (grouped..self.outputs, Tokens::All(kept.tokens()));
        let mut tasks = Vec::new();
        for (rows, tokens) in groups.chain([rest]).filter(|(_, tokens)| tokens.len() > 0) {
            for first in rows.clone().step_by(of_task) {
                tasks.push((first..rows.end.min(first + of_task), tokens));
            }
        }
        let y = Shared::new(y);
        team.run(tasks.len(), &|task| {
            let (rows, tokens) = tasks[task].clone();
            let work = Part {
                matrix: self,
                rows,
                tokens,
                x,
                y,
            };
            // SAFETY: the weights are those of the matrix.
            unsafe { kernel::compute(self.format(), work) };
        });
    }

    /// Checks that outputs are in kept groups. Gives the number of outputs that are.
    pub(super) fn check_kept(
        &self,
        y: &[f32],
        x: &[f32],
        kept: &KeptGroups,
        group: usize,
    ) -> usize {
        assert_eq!(x.len(), kept.tokens() * self.inputs, "input");
        assert_eq!(y.len(), kept.tokens() * self.outputs, "output");
        let grouped = kept.groups().checked_mul(group);
        match grouped.filter(|&grouped| grouped <= self.outputs) {
            Some(grouped) => grouped,
            None => panic!("more groups than outputs"),
        }
    }
}

/// Tokens, by their rows.
#[derive(Clone, Copy)]
enum Tokens<'a> {
    All(usize),
    These(&'a [u32]),
}

impl Tokens<'_> {
    fn len(&self) -> usize {
        match self {
            Self::All(count) => *count,
            Self::These(tokens) => tokens.len(),
        }
    }

    fn at(&self, index: usize) -> usize {
        match self {
            Self::All(_) => index,
            Self::These(tokens) => tokens[index] as usize,
        }
    }
}

/// The products of some rows and some tokens.
struct Part<'a> {
    matrix: &'a Matrix,
    rows: Range<usize>,
    tokens: Tokens<'a>,
    /// Of all tokens.
    x: &'a [f32],
    y: Shared<'a>,
}

impl Work for Part<'_> {
    #[inline(always)]
    unsafe fn run<L: Lanes, W: Weight>(self) {
        let Self {
            matrix,
            rows,
            tokens,
            x,
            y,
        } = self;
        let (first, count) = (rows.start, rows.len());
        let stride = matrix.rows.stride();
        let block = WeightBlock {
            start: matrix.rows.address_of(first, count),
            rows: count,
            stride,
        };
        for begin in (0..tokens.len()).step_by(INPUTS) {
            let together = INPUTS.min(tokens.len() - begin);
            let mut inputs = [std::ptr::null(); INPUTS];
            let mut outputs = [const { None }; INPUTS];
            for place in 0..together {
                let token = tokens.at(begin + place);
                inputs[place] = x[token * stride..][..stride].as_ptr();
                let row = token * matrix.outputs;
                // SAFETY: each task has its own rows, and each token its own outputs.
                outputs[place] = Some(unsafe { y.slice(row + first, count) });
            }
            let put = |row: usize, token: usize, product| {
                if let Some(output) = &mut outputs[token] {
                    output[row] = product;
                }
            };
            // SAFETY: the caller guarantees the instructions and the format; the block holds
            // `count` rows, and each input is as long as a row.
            unsafe { dots::<L, W>(block, &inputs[..together], put) };
        }
    }
}
