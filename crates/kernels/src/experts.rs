//! Experts: small feed-forwards `gelu(x · upᵀ) · downᵀ`, or with ReLU instead. A token uses the experts whose
//! gate is not 0, each times its gate. The other experts are not computed for it, neither forward nor backward.

use std::ops::Range;

use rayon::prelude::*;

use crate::activation::Activation;
use crate::linear::{self, weight_gradient};
use crate::matrix::View;
use crate::product::{Packed, Precision, multiply};
use crate::scratch::{Scratch, scratch};
use crate::tiling::tile_rows;
use crate::uninitialized::{Uninit, from_chunks};
use crate::unit_sum::UnitSum;

/// How experts are computed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// What is applied to the up projection.
    pub activation: Activation,
    /// The precision that operands of products are rounded to.
    pub precision: Precision,
}

/// The number of values beside the output of a token. Where many units are 0, they are the sum of the units of the
/// experts that the token uses, and the number of those units that are not 0; otherwise there are none.
pub fn measures(activation: Activation) -> usize {
    if activation.gives_zeros() { 2 } else { 0 }
}

/// Writes the measures behind the `width` values of each row of `output`, if there is room for them.
fn measure(output: &mut [f32], width: usize, units: &[f32], hidden: usize) {
    let units = units.chunks_exact(hidden);
    let stride = output.len() / units.len().max(1);
    if stride == width {
        return;
    }
    for (output, units) in output.chunks_exact_mut(stride).zip(units) {
        let UnitSum { sum, not_zero } = UnitSum::of(units);
        output[width..].copy_from_slice(&[sum, not_zero as f32]);
    }
}

/// The shape of a layer of experts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Rows of the input and the output.
    pub tokens: usize,
    /// Channels of the input and the output.
    pub width: usize,
    /// Hidden units of each expert.
    pub hidden: usize,
    /// Number of experts.
    pub experts: usize,
}

/// The weights of all experts.
#[derive(Clone, Copy, Debug)]
pub struct Weights<'a> {
    /// `[experts, hidden, width]`.
    pub up: &'a [f32],
    /// `[experts, width, hidden]`.
    pub down: &'a [f32],
}

/// The gradients of a layer of experts.
pub struct Gradients {
    /// With respect to the input, `[tokens, width]`.
    pub x: Vec<f32>,
    /// With respect to the gates, `[tokens, experts]`; 0 where the gate is 0.
    pub gates: Vec<f32>,
    /// With respect to the up weights, `[experts, hidden, width]`.
    pub up: Vec<f32>,
    /// With respect to the down weights, `[experts, width, hidden]`.
    pub down: Vec<f32>,
}

impl Shape {
    fn check(&self, x: &[f32], gates: &[f32], weights: &Weights<'_>) {
        let size = self.experts * self.hidden * self.width;
        assert!(size > 0, "experts without weights");
        assert_eq!(x.len(), self.tokens * self.width, "input");
        assert_eq!(gates.len(), self.tokens * self.experts, "gates");
        assert_eq!(weights.up.len(), size, "up weights");
        assert_eq!(weights.down.len(), size, "down weights");
    }

    fn up<'a>(&self, weights: &Weights<'a>, expert: usize) -> View<'a> {
        let size = self.hidden * self.width;
        let values = &weights.up[expert * size..][..size];
        View::new(values, self.hidden, self.width, self.width)
    }

    fn down<'a>(&self, weights: &Weights<'a>, expert: usize) -> View<'a> {
        let size = self.hidden * self.width;
        let values = &weights.down[expert * size..][..size];
        View::new(values, self.width, self.hidden, self.hidden)
    }
}

/// Which tokens use which experts. A use is a pair of a token and an expert. Uses are numbered by
/// expert, and by token within an expert.
struct Uses {
    /// The token of each use.
    tokens: Vec<usize>,
    /// The gate of each use.
    gates: Vec<f32>,
    /// The first use of each expert, and the number of uses.
    starts: Vec<usize>,
    /// The uses of each token, ordered by token, then by expert.
    of_tokens: Vec<usize>,
    /// The start of each token in `of_tokens`, and the number of uses.
    token_starts: Vec<usize>,
}

/// Uses of one expert that are computed together.
struct Task {
    expert: usize,
    uses: Range<usize>,
}

impl Uses {
    fn new(gates: &[f32], experts: usize) -> Self {
        let mut starts = vec![0; experts + 1];
        for (index, _) in used(gates) {
            starts[index % experts + 1] += 1;
        }
        for expert in 0..experts {
            starts[expert + 1] += starts[expert];
        }
        let count = starts[experts];
        let mut uses = Self {
            tokens: vec![0; count],
            gates: vec![0.0; count],
            of_tokens: Vec::with_capacity(count),
            token_starts: Vec::with_capacity(gates.len() / experts + 1),
            starts,
        };
        let mut next = uses.starts.clone();
        for (token, gates) in gates.chunks_exact(experts).enumerate() {
            uses.token_starts.push(uses.of_tokens.len());
            for (expert, &gate) in used(gates) {
                let number = next[expert];
                next[expert] += 1;
                uses.tokens[number] = token;
                uses.gates[number] = gate;
                uses.of_tokens.push(number);
            }
        }
        uses.token_starts.push(uses.of_tokens.len());
        uses
    }

    fn count(&self) -> usize {
        self.tokens.len()
    }

    fn of_expert(&self, expert: usize) -> Range<usize> {
        self.starts[expert]..self.starts[expert + 1]
    }

    fn of_token(&self, token: usize) -> &[usize] {
        &self.of_tokens[self.token_starts[token]..self.token_starts[token + 1]]
    }

    /// All uses in their order, in tiles.
    fn tasks(&self, precision: Precision) -> Vec<Task> {
        let experts = 0..self.starts.len() - 1;
        let tiles = |expert| {
            let uses = self.of_expert(expert);
            let tile = tile_rows(uses.len(), precision);
            uses.clone().step_by(tile).map(move |first| Task {
                expert,
                uses: first..(first + tile).min(uses.end),
            })
        };
        experts.flat_map(tiles).collect()
    }

    /// Packs a matrix of each expert that has a use.
    fn pack<'a>(
        &self,
        precision: Precision,
        matrix: impl Fn(usize) -> View<'a> + Sync,
    ) -> Vec<Option<Packed>> {
        let pack = |expert| {
            let used = !self.of_expert(expert).is_empty();
            used.then(|| Packed::new(matrix(expert), precision))
        };
        (0..self.starts.len() - 1)
            .into_par_iter()
            .map(pack)
            .collect()
    }

    /// Copies the first `width` values of the rows of `x` of some uses. The rows are `stride` apart.
    fn gather(
        &self,
        output: &mut [f32],
        x: &[f32],
        (width, stride): (usize, usize),
        uses: Range<usize>,
    ) {
        let tokens = &self.tokens[uses];
        for (output, &token) in output.chunks_exact_mut(width).zip(tokens) {
            output.copy_from_slice(&x[token * stride..][..width]);
        }
    }

    /// Sums the rows of the uses of each token.
    fn sum(&self, rows: &[f32], width: usize, tokens: usize) -> Vec<f32> {
        let tile = tile_rows(tokens, Precision::F32);
        from_chunks(tokens * width, tile * width, |index, sums| {
            sums.fill(Uninit::new(0.0));
            // SAFETY: all sums were written.
            let sums = unsafe { sums.assume_init_mut() };
            for (token, sums) in sums.chunks_exact_mut(width).enumerate() {
                for &number in self.of_token(index * tile + token) {
                    let row = &rows[number * width..][..width];
                    sums.iter_mut()
                        .zip(row)
                        .for_each(|(sum, value)| *sum += value);
                }
            }
            sums
        })
    }
}

/// The gates that are not 0, with their positions.
fn used(gates: &[f32]) -> impl Iterator<Item = (usize, &f32)> {
    gates.iter().enumerate().filter(|(_, gate)| **gate != 0.0)
}

/// The rows of each task.
fn split_by_task<'a>(
    mut values: &'a mut [f32],
    tasks: &[Task],
    width: usize,
) -> Vec<&'a mut [f32]> {
    let part = |task: &Task| {
        let (part, rest) = std::mem::take(&mut values).split_at_mut(task.uses.len() * width);
        values = rest;
        part
    };
    tasks.iter().map(part).collect()
}

/// Multiplies the first `width` values of each row, of which there is one for each gate.
fn scale(rows: &mut [f32], gates: &[f32], width: usize) {
    let stride = rows.len() / gates.len().max(1);
    for (row, gate) in rows.chunks_exact_mut(stride.max(1)).zip(gates) {
        row[..width].iter_mut().for_each(|value| *value *= gate);
    }
}

/// A dot product in sixteen lanes.
fn dot(left: &[f32], right: &[f32]) -> f32 {
    let mut sums = [0.0f32; 16];
    let (left, left_rest) = left.as_chunks::<16>();
    let (right, right_rest) = right.as_chunks::<16>();
    for (left, right) in left.iter().zip(right) {
        for place in 0..16 {
            sums[place] += left[place] * right[place];
        }
    }
    let rest: f32 = left_rest.iter().zip(right_rest).map(|(l, r)| l * r).sum();
    sums.iter().sum::<f32>() + rest
}

/// The output, `[tokens, width + measures]`: for each token `Σ gate · expert(x)` over the experts whose gate
/// is not 0, and what the [`measures`] beside it.
///
/// - `gates`: `[tokens, experts]`
///
/// # Panics
/// If the lengths do not fit the shape.
pub fn forward(
    x: &[f32],
    gates: &[f32],
    weights: &Weights<'_>,
    shape: Shape,
    settings: Settings,
) -> Vec<f32> {
    shape.check(x, gates, weights);
    let Settings {
        activation,
        precision,
    } = settings;
    let (width, hidden) = (shape.width, shape.hidden);
    let stride = width + measures(activation);
    let uses = Uses::new(gates, shape.experts);
    let up = uses.pack(precision, |expert| shape.up(weights, expert).transposed());
    let down = uses.pack(precision, |expert| shape.down(weights, expert).transposed());
    let tasks = uses.tasks(precision);
    let mut outputs = scratch(uses.count() * stride);
    tasks
        .par_iter()
        .zip(split_by_task(&mut outputs, &tasks, stride))
        .for_each(|(task, output)| {
            let rows = task.uses.len();
            let (mut input, mut units) = (scratch(rows * width), scratch(rows * hidden));
            uses.gather(&mut input, x, (width, width), task.uses.clone());
            let left = View::new(&input, rows, width, width);
            multiply(&mut units, hidden, left, packed(&up, task), false);
            activation.in_place(&mut units);
            let left = View::new(&units, rows, hidden, hidden);
            multiply(output, stride, left, packed(&down, task), false);
            scale(output, &uses.gates[task.uses.clone()], width);
            measure(output, width, &units, hidden);
        });
    uses.sum(&outputs, stride, shape.tokens)
}

fn packed<'a>(packed: &'a [Option<Packed>], task: &Task) -> &'a Packed {
    packed[task.expert].as_ref().expect("a used expert")
}

/// Intermediate values and gradients of every use, before those of a token or an expert are summed.
struct Uncombined {
    /// The input.
    x: Scratch,
    /// The gradient of the output times the gate.
    gradient: Scratch,
    /// The hidden units.
    units: Scratch,
    /// The gradient of the input of the activation.
    dunits: Scratch,
    /// The gradient of the input.
    dx: Scratch,
    /// The gradient of the gate.
    dgate: Vec<f32>,
}

/// The gradients of [`forward`] for the gradient of its output, `[tokens, width + measures]`. That of the number
/// of units that are not 0 is ignored.
///
/// # Panics
/// If the lengths do not fit the shape.
pub fn backward(
    gradient: &[f32],
    x: &[f32],
    gates: &[f32],
    weights: &Weights<'_>,
    shape: Shape,
    settings: Settings,
) -> Gradients {
    shape.check(x, gates, weights);
    let stride = shape.width + measures(settings.activation);
    assert_eq!(gradient.len(), shape.tokens * stride, "gradient");
    let uses = Uses::new(gates, shape.experts);
    let uncombined = Uncombined::compute(&uses, gradient, x, weights, shape, settings);
    let mut dgates = vec![0.0; gates.len()];
    for expert in 0..shape.experts {
        for number in uses.of_expert(expert) {
            dgates[uses.tokens[number] * shape.experts + expert] = uncombined.dgate[number];
        }
    }
    let (up, down) = uncombined.weight_gradients(&uses, shape, settings.precision);
    Gradients {
        x: uses.sum(&uncombined.dx, shape.width, shape.tokens),
        gates: dgates,
        up,
        down,
    }
}

impl Uncombined {
    fn compute(
        uses: &Uses,
        gradient: &[f32],
        x: &[f32],
        weights: &Weights<'_>,
        shape: Shape,
        settings: Settings,
    ) -> Self {
        let Settings {
            activation,
            precision,
        } = settings;
        let (width, hidden, count) = (shape.width, shape.hidden, uses.count());
        let stride = width + measures(activation);
        let up = uses.pack(precision, |expert| shape.up(weights, expert));
        let up_again = uses.pack(precision, |expert| shape.up(weights, expert).transposed());
        let down = uses.pack(precision, |expert| shape.down(weights, expert));
        let mut uncombined = Self {
            x: scratch(count * width),
            gradient: scratch(count * width),
            units: scratch(count * hidden),
            dunits: scratch(count * hidden),
            dx: scratch(count * width),
            dgate: vec![0.0; count],
        };
        let tasks = uses.tasks(precision);
        tasks
            .par_iter()
            .zip(split_by_task(&mut uncombined.x, &tasks, width))
            .zip(split_by_task(&mut uncombined.gradient, &tasks, width))
            .zip(split_by_task(&mut uncombined.units, &tasks, hidden))
            .zip(split_by_task(&mut uncombined.dunits, &tasks, hidden))
            .zip(split_by_task(&mut uncombined.dx, &tasks, width))
            .zip(split_by_task(&mut uncombined.dgate, &tasks, 1))
            .for_each(
                |((((((task, input), output_gradient), units), dunits), dx), dgate)| {
                    let rows = task.uses.len();
                    let gates = &uses.gates[task.uses.clone()];
                    uses.gather(input, x, (width, width), task.uses.clone());
                    let size = (width, stride);
                    uses.gather(output_gradient, gradient, size, task.uses.clone());
                    let mut before = scratch(rows * hidden);
                    let left = View::new(input, rows, width, width);
                    multiply(&mut before, hidden, left, packed(&up_again, task), false);
                    let left = View::new(output_gradient, rows, width, width);
                    multiply(dunits, hidden, left, packed(&down, task), false);
                    let mut ungated = scratch(rows * hidden);
                    ungated.copy_from_slice(dunits);
                    if stride > width {
                        // The gradient of the sum of a token's units has no gate.
                        scale(dunits, gates, hidden);
                        let tokens = &uses.tokens[task.uses.clone()];
                        for (dunits, &token) in dunits.chunks_exact_mut(hidden).zip(tokens) {
                            let of_sum = gradient[token * stride + width];
                            dunits.iter_mut().for_each(|dunit| *dunit += of_sum);
                        }
                        activation.value_and_gradient(units, dunits, &before);
                    } else {
                        activation.value_and_gradient(units, dunits, &before);
                        scale(dunits, gates, hidden);
                    }
                    // dL/dgate = gradient · output = (gradient · down) · units.
                    let pairs = ungated.chunks_exact(hidden).zip(units.chunks_exact(hidden));
                    for (dgate, (ungated, units)) in dgate.iter_mut().zip(pairs) {
                        *dgate = dot(ungated, units);
                    }
                    scale(output_gradient, gates, width);
                    let left = View::new(dunits, rows, hidden, hidden);
                    multiply(dx, width, left, packed(&up, task), false);
                },
            );
        uncombined
    }

    /// The gradients of the up and the down weights; 0 for experts without uses.
    fn weight_gradients(
        &self,
        uses: &Uses,
        shape: Shape,
        precision: Precision,
    ) -> (Vec<f32>, Vec<f32>) {
        let (width, hidden) = (shape.width, shape.hidden);
        let size = width * hidden;
        let [mut up, mut down] = [(); 2].map(|()| vec![0.0; shape.experts * size]);
        let experts = up.chunks_exact_mut(size).zip(down.chunks_exact_mut(size));
        for (expert, (up, down)) in experts.enumerate() {
            let range = uses.of_expert(expert);
            if range.is_empty() {
                continue;
            }
            let layer = |inputs, outputs| linear::Shape {
                tokens: range.len(),
                inputs,
                outputs,
            };
            let wide = range.start * width..range.end * width;
            let deep = range.start * hidden..range.end * hidden;
            let (x, gradient) = (&self.x[wide.clone()], &self.gradient[wide]);
            let (units, dunits) = (&self.units[deep.clone()], &self.dunits[deep]);
            weight_gradient::compute_whole(up, dunits, x, layer(width, hidden), precision);
            weight_gradient::compute_whole(down, gradient, units, layer(hidden, width), precision);
        }
        (up, down)
    }
}
