//! A matrix of weights, times few inputs.

use super::format::{Format, Rows, SourceRow};
use super::kernel::{self, INPUTS, Weight, WeightBlock, Work, dots};
use super::lanes::Lanes;
use super::padded::padded;
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
                first,
                count: of_task.min(self.outputs - first),
                x,
                y,
            };
            // SAFETY: the weights are those of the matrix.
            unsafe { kernel::compute(self.format(), work) };
        });
    }
}

/// The products of some rows.
struct Part<'a> {
    matrix: &'a Matrix,
    first: usize,
    count: usize,
    x: &'a [f32],
    y: Shared<'a>,
}

impl Work for Part<'_> {
    #[inline(always)]
    unsafe fn run<L: Lanes, W: Weight>(self) {
        let Self {
            matrix,
            first,
            count,
            x,
            y,
        } = self;
        let stride = matrix.rows.stride();
        let block = WeightBlock {
            start: matrix.rows.address_of(first, count),
            rows: count,
            stride,
        };
        for (index, x) in x.chunks(INPUTS * stride).enumerate() {
            let mut inputs = [std::ptr::null(); INPUTS];
            let mut outputs = [const { None }; INPUTS];
            let tokens = x.len() / stride;
            for (token, x) in x.chunks_exact(stride).enumerate() {
                inputs[token] = x.as_ptr();
                let row = (index * INPUTS + token) * matrix.outputs;
                // SAFETY: each task has its own rows, and each token its own outputs.
                outputs[token] = Some(unsafe { y.slice(row + first, count) });
            }
            let put = |row: usize, token: usize, product| {
                if let Some(output) = &mut outputs[token] {
                    output[row] = product;
                }
            };
            // SAFETY: the caller guarantees the instructions and the format; the block holds
            // `count` rows, and each input is as long as a row.
            unsafe { dots::<L, W>(block, &inputs[..tokens], put) };
        }
    }
}
