//! The feed-forward `gelu(norm(x) · upᵀ) · downᵀ`, one tile of tokens at a time.
//!
//! The input of the GELU can be saved for the backward pass, which else computes it again.

use crate::gelu;
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
use crate::uninitialized::{Uninit, from_chunks, from_chunks_with, initialized, uninitialized};

/// The shape of a feed-forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Rows of the input and the output.
    pub tokens: usize,
    /// Channels of the input and the output.
    pub width: usize,
    /// Hidden units.
    pub hidden: usize,
}

/// The weights of a feed-forward.
#[derive(Clone, Copy, Debug)]
pub struct Weights<'a> {
    /// The LayerNorm in front, if any.
    pub norm: Option<Norm<'a>>,
    /// `[hidden, width]`.
    pub up: &'a [f32],
    /// `[width, hidden]`.
    pub down: &'a [f32],
}

/// Factors of groups of neighbouring hidden units.
#[derive(Clone, Copy, Debug)]
pub struct Factors<'a> {
    /// `[tokens, hidden / group]`.
    pub values: &'a [f32],
    /// Hidden units that share a factor. It divides the number of hidden units.
    pub group: usize,
    /// Whether the gradient of a factor of 0 is 0.
    pub kept_only: bool,
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

impl Shape {
    pub(crate) fn check(&self, x: &[f32], weights: &Weights<'_>) {
        let Self {
            tokens,
            width,
            hidden,
        } = *self;
        assert!(width > 0 && hidden > 0, "an empty feed-forward");
        assert_eq!(x.len(), tokens * width, "input");
        assert_eq!(weights.up.len(), hidden * width, "up weight");
        assert_eq!(weights.down.len(), hidden * width, "down weight");
        assert!(
            weights.norm.is_none_or(|norm| norm.weight.len() == width),
            "norm"
        );
    }

    /// Factors of each token; 0 without factors.
    fn values(&self, factors: Option<Factors<'_>>) -> usize {
        factors.map_or(0, |factors| {
            let values = self.hidden / factors.group;
            assert_eq!(values * factors.group, self.hidden, "whole groups");
            assert_eq!(factors.values.len(), self.tokens * values, "factors");
            values
        })
    }
}

/// The output, `[tokens, width]`.
///
/// # Panics
/// If the lengths do not fit the shape.
pub fn forward(x: &[f32], weights: &Weights<'_>, shape: Shape, precision: Precision) -> Vec<f32> {
    forward_masked(x, weights, None, shape, precision)
}

/// [`forward`] that multiplies the hidden units by factors after the GELU, if there are any.
///
/// # Panics
/// If the lengths do not fit the shape.
pub fn forward_masked(
    x: &[f32],
    weights: &Weights<'_>,
    factors: Option<Factors<'_>>,
    shape: Shape,
    precision: Precision,
) -> Vec<f32> {
    compute_forward(x, weights, factors, shape, precision, None)
}

/// [`forward`] that also gives the input of the GELU to save, `[tokens, hidden]`.
///
/// # Panics
/// If the lengths do not fit the shape.
pub fn forward_saving(
    x: &[f32],
    weights: &Weights<'_>,
    shape: Shape,
    precision: Precision,
) -> (Vec<f32>, Vec<f32>) {
    let mut before = uninitialized(shape.tokens * shape.hidden);
    let shared = Shared::new(&mut before);
    let y = compute_forward(x, weights, None, shape, precision, Some(shared));
    // SAFETY: the tiles have written all rows.
    (y, unsafe { initialized(before) })
}

/// The output. Writes the input of the GELU to all of `before`, if it is given.
fn compute_forward(
    x: &[f32],
    weights: &Weights<'_>,
    factors: Option<Factors<'_>>,
    shape: Shape,
    precision: Precision,
    before: Option<Shared<'_, Uninit>>,
) -> Vec<f32> {
    shape.check(x, weights);
    let values = shape.values(factors);
    let Shape {
        tokens,
        width,
        hidden,
    } = shape;
    let up = View::new(weights.up, hidden, width, width).transposed();
    let down = View::new(weights.down, width, hidden, hidden).transposed();
    let [up, down] = [up, down].map(|weight| Packed::in_parallel(weight, precision));
    let tile = tile_rows(tokens, precision);
    from_chunks(tokens * width, tile * width, |index, y| {
        let (first, rows) = (index * tile, y.len() / width);
        let mut buffer = None;
        let x = normalized(&x[first * width..][..y.len()], weights.norm, &mut buffer);
        let mut units = scratch(rows * hidden);
        let left = View::new(x, rows, width, width);
        match before {
            Some(before) => {
                // SAFETY: each tile has its own rows.
                let before = unsafe { before.slice(first * hidden, rows * hidden) };
                gelu::copy(&mut units, multiply_into(before, left, &up));
            }
            None => {
                multiply(&mut units, hidden, left, &up, false);
                gelu::in_place(&mut units);
            }
        }
        if let Some(factors) = factors {
            let ours = &factors.values[first * values..][..rows * values];
            scale_groups(&mut units, ours, factors.group);
        }
        multiply_into(y, View::new(&units, rows, hidden, hidden), &down)
    })
}

/// The gradients of [`forward`] for the gradient of its output, `[tokens, width]`.
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

/// [`backward`] from the values that [`forward_saving`] saved.
///
/// # Panics
/// If the lengths do not fit the shape.
pub fn backward_saved(
    gradient: &[f32],
    x: &[f32],
    weights: &Weights<'_>,
    before: &[f32],
    shape: Shape,
    precision: Precision,
) -> Gradients {
    assert_eq!(before.len(), shape.tokens * shape.hidden, "hidden units");
    compute_backward(gradient, x, weights, None, before, shape, precision)
}

/// The gradients of [`forward_masked`] for the gradient of its output, `[tokens, width]`.
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
    compute_backward(gradient, x, weights, factors, &[], shape, precision)
}

/// The gradients from the saved input of the GELU, or if that is empty from one that is computed
/// again.
fn compute_backward(
    gradient: &[f32],
    x: &[f32],
    weights: &Weights<'_>,
    factors: Option<Factors<'_>>,
    saved: &[f32],
    shape: Shape,
    precision: Precision,
) -> Gradients {
    shape.check(x, weights);
    let Shape { tokens, width, .. } = shape;
    assert_eq!(gradient.len(), x.len(), "gradient");
    let mut buffers = BackwardBuffers::new(shape, factors, precision);
    let backward = Backward::new(&mut buffers, weights, factors, saved, shape, precision);
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
    factors: Option<Factors<'a>>,
    /// The input of the GELU, or nothing if it is computed again.
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
            factors,
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
    /// the GELU.
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
        let Some(factors) = self.factors else {
            return gelu::value_and_gradient(units, dunits, before);
        };
        let (values, group) = (self.shape.values(self.factors), factors.group);
        let ours = &factors.values[first * values..][..rows * values];
        // SAFETY: each tile has its own rows.
        let dfactors = unsafe { self.dfactors.slice(first * values, rows * values) };
        gelu::copy(units, before);
        let dfactors = dot_groups(dfactors, units, dunits, group);
        if factors.kept_only {
            zero_dropped(dfactors, ours);
        }
        scale_groups(dunits, ours, group);
        gelu::value_and_gradient(units, dunits, before);
        scale_groups(units, ours, group);
    }
}
