//! A matrix of weights, times inputs of which many are 0.

use super::format::{Format, LANES, Rows, SourceRow};
use super::kernel::{self, Weight, Work};
use super::lanes::Lanes;
use crate::scratch::scratch;
use crate::shared::Shared;
use crate::team::Team;

/// The fewest weights of a part of the inputs: the sums of each part are written to memory.
const PART: usize = 1 << 16;

/// The most parts of the inputs of a token.
const PARTS: usize = 8;

/// Rows that are read at once.
const ROWS: usize = 4;

/// A matrix `[outputs, inputs]` for products `y = W x`, stored input by input. The weights of an
/// input are contiguous, and are not read if the input is 0.
pub struct ByInput {
    rows: Rows,
    outputs: usize,
    inputs: usize,
}

impl ByInput {
    /// Stores `weight`, `[outputs, inputs]`, in a format.
    ///
    /// # Panics
    /// If the length does not fit, or there are no inputs or no outputs.
    pub fn new(weight: &[f32], outputs: usize, inputs: usize, format: Format) -> Self {
        assert!(outputs > 0 && inputs > 0, "an empty matrix");
        assert_eq!(Some(weight.len()), outputs.checked_mul(inputs), "weight");
        let row = |index: usize| SourceRow {
            values: &weight[index..],
            step: inputs,
        };
        Self {
            rows: Rows::new(inputs, outputs, format, row),
            outputs,
            inputs,
        }
    }

    pub(super) fn rows(&self) -> &Rows {
        &self.rows
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

    /// `y = x · Wᵀ` for tokens `x`, `[tokens, inputs]`. Overwrites `y`, `[tokens, outputs]`. For
    /// few tokens. The sums of a token depend neither on the other tokens nor on the team.
    ///
    /// # Panics
    /// If the lengths do not fit the matrix and one number of tokens.
    pub fn multiply(&self, team: &Team, y: &mut [f32], x: &[f32]) {
        let tokens = x.len() / self.inputs;
        assert_eq!(x.len(), tokens * self.inputs, "input");
        assert_eq!(y.len(), tokens * self.outputs, "output");
        let stride = self.rows.stride();
        let mut used: Vec<(u32, f32)> = Vec::new();
        // The token of each part, and its range in `used`.
        let mut parts = Vec::new();
        for (token, x) in x.chunks_exact(self.inputs).enumerate() {
            let first = used.len();
            let inputs = x.iter().enumerate().filter(|(_, value)| **value != 0.0);
            used.extend(inputs.map(|(index, &value)| (index as u32, value)));
            let count = used.len() - first;
            let wanted = (count * stride / PART).clamp(1, PARTS);
            let of_part = count.div_ceil(wanted).max(1);
            for start in (0..count.max(1)).step_by(of_part) {
                let end = count.min(start + of_part);
                parts.push((token, first + start..first + end));
            }
        }
        let mut sums = scratch(parts.len() * stride);
        let shared = Shared::new(&mut sums);
        team.run(parts.len(), &|part| {
            // SAFETY: each part has its own sums.
            let sums = unsafe { shared.slice(part * stride, stride) };
            sums.fill(0.0);
            let inputs = &used[parts[part].1.clone()];
            let layer = self;
            let work = Part {
                layer,
                inputs,
                sums,
            };
            // SAFETY: the weights are those of the layer.
            unsafe { kernel::compute(self.rows.format(), work) };
        });
        y.fill(0.0);
        for ((token, _), sums) in parts.iter().zip(sums.chunks_exact(stride)) {
            let y = &mut y[token * self.outputs..][..self.outputs];
            y.iter_mut().zip(sums).for_each(|(y, sum)| *y += sum);
        }
    }
}

/// The products of some inputs of a token.
struct Part<'a> {
    layer: &'a ByInput,
    inputs: &'a [(u32, f32)],
    sums: &'a mut [f32],
}

impl Work for Part<'_> {
    #[inline(always)]
    unsafe fn run<L: Lanes, W: Weight>(self) {
        let Self {
            layer,
            inputs,
            sums,
        } = self;
        assert_eq!(sums.len(), layer.rows.stride());
        let (whole, rest) = inputs.as_chunks::<ROWS>();
        for inputs in whole {
            // SAFETY: the caller guarantees the instructions and the format.
            unsafe { add::<L, W, ROWS>(layer, *inputs, sums) };
        }
        for input in rest {
            // SAFETY: as above.
            unsafe { add::<L, W, 1>(layer, [*input], sums) };
        }
    }
}

/// Adds the weights of some inputs times their values, in their order.
///
/// # Safety
/// The processor has the instructions of `L`, and the weights are of the format `W`.
#[inline(always)]
unsafe fn add<L: Lanes, W: Weight, const U: usize>(
    layer: &ByInput,
    inputs: [(u32, f32); U],
    sums: &mut [f32],
) {
    let rows = inputs.map(|(index, _)| layer.rows.address_of(index as usize, 1));
    let values = inputs.map(|(_, value)| value);
    let (sums, _) = sums.as_chunks_mut::<{ LANES }>();
    for (index, sums) in sums.iter_mut().enumerate() {
        let place = index * LANES * W::BYTES;
        // SAFETY: the caller guarantees the instructions and the format; a row holds as many
        // weights as there are sums.
        unsafe {
            let mut sum = L::load(sums.as_ptr());
            for (row, value) in rows.iter().zip(&values) {
                sum = sum.multiply_add(L::splat(value), W::load::<L>(row.wrapping_add(place)));
            }
            sum.store(sums.as_mut_ptr());
        }
    }
}
