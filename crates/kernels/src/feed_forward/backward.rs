//! The gradients of a feed-forward.

use super::{Factors, Shape, Weights};
use crate::activation::Activation;
use crate::group_product::{dot_groups, scale_groups, zero_dropped};
use crate::layer_norm::{backward_rows, normalized};
use crate::linear::weight_gradient::{Places, WeightGradient};
use crate::linear::{self, Norm};
use crate::matrix::View;
use crate::partial_sums::add_partial_sums;
use crate::product::{Packed, Precision, multiply, multiply_into};
use crate::scratch::{Scratch, scratch};
use crate::shared::Shared;
use crate::tiling::tile_rows;
use crate::uninitialized::{Uninit, from_chunks_with, initialized, uninitialized};
use crate::unit_sum::{add_to_all, add_to_kept};

/// The gradients of what a forward pass gives.
#[derive(Clone, Copy, Debug)]
pub struct OutputGradients<'a> {
    /// With respect to the output, `[tokens, width]`.
    pub y: &'a [f32],
    /// With respect to the [sum](crate::unit_sum::UnitSum::sum) of the hidden units; 0 if nothing
    /// depends on it.
    pub sum: f32,
}

/// The gradients of a feed-forward.
pub struct Gradients {
    /// With respect to the input, `[tokens, width]`.
    pub x: Vec<f32>,
    /// With respect to the norm's weight, `[width]`; empty without a norm.
    pub norm: Vec<f32>,
    /// With respect to the up weight, `[hidden, width]`.
    pub up: Vec<f32>,
    /// With respect to the down weight, `[width, hidden]`.
    pub down: Vec<f32>,
    /// With respect to the factors, `[tokens, hidden / group]`; empty without factors.
    pub factors: Vec<f32>,
}

/// The gradients of [`forward`](super::forward()) for the gradient of its output, `[tokens, width]`.
///
/// # Panics
/// If the lengths do not fit the shape.
pub fn backward(
    gradient: &[f32],
    x: &[f32],
    weights: &Weights<'_>,
    shape: Shape,
    precision: Precision,
) -> Gradients {
    backward_masked(gradient, x, weights, None, shape, precision)
}

/// The gradients of [`forward_masked`](super::forward_masked) for the gradient of its output,
/// `[tokens, width]`.
///
/// # Panics
/// If the lengths do not fit the shape.
pub fn backward_masked(
    gradient: &[f32],
    x: &[f32],
    weights: &Weights<'_>,
    factors: Option<Factors<'_>>,
    shape: Shape,
    precision: Precision,
) -> Gradients {
    let gradients = OutputGradients {
        y: gradient,
        sum: 0.0,
    };
    backward_with(gradients, x, weights, factors, &[], shape, precision)
}

/// The gradients of [`forward_with`](super::forward_with) for those of its output and its sum.
///
/// - `before`: the input of the activation function that the forward pass saved; if it is empty, it
///   is computed again
///
/// # Panics
/// If the lengths do not fit the shape.
pub fn backward_with(
    gradients: OutputGradients<'_>,
    x: &[f32],
    weights: &Weights<'_>,
    factors: Option<Factors<'_>>,
    before: &[f32],
    shape: Shape,
    precision: Precision,
) -> Gradients {
    shape.check(x, weights);
    let Shape {
        tokens,
        width,
        hidden,
    } = shape;
    let gradient = gradients.y;
    assert_eq!(gradient.len(), x.len(), "gradient");
    assert!(
        before.is_empty() || before.len() == tokens * hidden,
        "hidden units"
    );
    let mut buffers = BackwardBuffers::new(shape, factors, precision);
    let mut backward = Backward::new(&mut buffers, weights, factors, before, shape, precision);
    backward.dsum = gradients.sum;
    let tile = tile_rows(tokens, precision);
    let (dx, partial) = from_chunks_with(tokens * width, tile * width, |index, dx| {
        let first = index * tile;
        let [x, gradient] = [x, gradient].map(|values| &values[first * width..][..dx.len()]);
        backward.tile(dx, x, gradient, first)
    });
    let mut dnorm = vec![0.0; weights.norm.map_or(0, |_| width)];
    add_partial_sums(&mut dnorm, &partial);
    Gradients {
        x: dx,
        norm: dnorm,
        up: buffers.dup.product(&buffers.dunits),
        down: buffers.ddown.product(gradient),
        // SAFETY: the tiles have written the rows of all tokens.
        factors: unsafe { initialized(buffers.dfactors) },
    }
}

/// What the tiles of a backward pass write besides the gradient of the input.
struct BackwardBuffers {
    /// The operands of the gradients of the weights.
    dup: WeightGradient,
    ddown: WeightGradient,
    /// The gradients of the hidden units, if the operands do not hold them.
    dunits: Scratch,
    dfactors: Box<[Uninit]>,
}

impl BackwardBuffers {
    fn new(shape: Shape, factors: Option<Factors<'_>>, precision: Precision) -> Self {
        let Shape {
            tokens,
            width,
            hidden,
        } = shape;
        let layer = |inputs, outputs| linear::Shape {
            tokens,
            inputs,
            outputs,
        };
        let dup = WeightGradient::new(layer(width, hidden), precision);
        let room = if dup.packs_gradients() {
            0
        } else {
            tokens * hidden
        };
        Self {
            dup,
            ddown: WeightGradient::new(layer(hidden, width), precision),
            dunits: scratch(room),
            dfactors: uninitialized(tokens * shape.values(factors)),
        }
    }
}

/// What all tiles of a backward pass read, and where they write.
struct Backward<'a> {
    shape: Shape,
    norm: Option<Norm<'a>>,
    activation: Activation,
    factors: Option<Factors<'a>>,
    /// The gradient of the sum of the hidden units.
    dsum: f32,
    /// The input of the activation function, or nothing if it is computed again.
    saved: &'a [f32],
    up_transposed: Option<Packed>,
    up: Packed,
    down: Packed,
    /// Where the operands of the gradients of the weights go.
    dup: Places<'a>,
    ddown: Places<'a>,
    /// Room for the gradients of the hidden units of all tokens, if the operands do not hold them.
    dunits: Option<Shared<'a>>,
    dfactors: Shared<'a, Uninit>,
}

impl<'a> Backward<'a> {
    fn new(
        buffers: &'a mut BackwardBuffers,
        weights: &Weights<'a>,
        factors: Option<Factors<'a>>,
        saved: &'a [f32],
        shape: Shape,
        precision: Precision,
    ) -> Self {
        let Shape { width, hidden, .. } = shape;
        let up = View::new(weights.up, hidden, width, width);
        let down = View::new(weights.down, width, hidden, hidden);
        let transposed = || Packed::in_parallel(up.transposed(), precision);
        let stores = !buffers.dup.packs_gradients();
        Self {
            shape,
            norm: weights.norm,
            activation: weights.activation,
            factors,
            dsum: 0.0,
            saved,
            up_transposed: saved.is_empty().then(transposed),
            up: Packed::in_parallel(up, precision),
            down: Packed::in_parallel(down, precision),
            dup: buffers.dup.places(),
            ddown: buffers.ddown.places(),
            dunits: stores.then(|| Shared::new(&mut buffers.dunits)),
            dfactors: Shared::new(&mut buffers.dfactors),
        }
    }

    /// Computes the tile of the tokens from `first` on. Writes the gradient of the input to `dx`,
    /// and gives it and the gradient of the norm.
    fn tile<'b>(
        &self,
        dx: &'b mut [Uninit],
        x: &[f32],
        gradient: &[f32],
        first: usize,
    ) -> (&'b mut [f32], Vec<f32>) {
        let Shape { width, hidden, .. } = self.shape;
        let rows = x.len() / width;
        let mut buffer = None;
        let normal = normalized(x, self.norm, &mut buffer);
        let mut own = scratch(if self.dunits.is_some() {
            0
        } else {
            rows * hidden
        });
        let dunits = match &self.dunits {
            // SAFETY: each tile has its own rows.
            Some(all) => unsafe { all.slice(first * hidden, rows * hidden) },
            None => &mut own[..],
        };
        // SAFETY: each tile has its own tokens.
        unsafe {
            self.dup.put_x(first, normal);
            self.ddown.put_gradient(first, gradient);
        }
        let left = View::new(gradient, rows, width, width);
        multiply(dunits, hidden, left, &self.down, false);
        let mut units = scratch(rows * hidden);
        self.hidden_units(&mut units, dunits, normal, first);
        // SAFETY: as above.
        unsafe {
            self.ddown.put_x(first, &units);
            self.dup.put_gradient(first, dunits);
        }
        let left = View::new(dunits, rows, hidden, hidden);
        let Some(norm) = self.norm else {
            return (multiply_into(dx, left, &self.up), Vec::new());
        };
        let mut dnormal = scratch(x.len());
        multiply(&mut dnormal, width, left, &self.up, false);
        let mut dnorm = vec![0.0; width];
        let dx = backward_rows(dx, &mut dnorm, &dnormal, x, norm.weight, norm.epsilon);
        (dx, dnorm)
    }

    /// Computes the hidden units of a tile, and replaces their gradients by those of the input of
    /// the activation function.
    fn hidden_units(&self, units: &mut [f32], dunits: &mut [f32], normal: &[f32], first: usize) {
        let Shape { width, hidden, .. } = self.shape;
        let rows = units.len() / hidden;
        let mut recomputed = scratch(if self.up_transposed.is_some() {
            rows * hidden
        } else {
            0
        });
        let before = match &self.up_transposed {
            Some(up) => {
                let left = View::new(normal, rows, width, width);
                multiply(&mut recomputed, hidden, left, up, false);
                &recomputed[..]
            }
            None => &self.saved[first * hidden..][..rows * hidden],
        };
        let (activation, dsum) = (self.activation, self.dsum);
        let Some(factors) = self.factors else {
            if dsum != 0.0 {
                add_to_all(dunits, dsum);
            }
            return activation.value_and_gradient(units, dunits, before);
        };
        let (values, group) = (self.shape.values(self.factors), factors.group);
        let ours = &factors.values[first * values..][..rows * values];
        // SAFETY: each tile has its own rows.
        let dfactors = unsafe { self.dfactors.slice(first * values, rows * values) };
        activation.copy(units, before);
        let dfactors = dot_groups(dfactors, units, dunits, group);
        if factors.kept_only {
            zero_dropped(dfactors, ours);
        }
        scale_groups(dunits, ours, group);
        if dsum != 0.0 {
            add_to_kept(dunits, ours, group, dsum);
        }
        activation.value_and_gradient(units, dunits, before);
        scale_groups(units, ours, group);
    }
}
