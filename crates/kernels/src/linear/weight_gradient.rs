//! The gradient of a weight, `gradientᵀ · x`.
//!
//! Its operands are packed one tile of tokens at a time, while the tile is in the cache.

use rayon::prelude::*;

use super::shape::Shape;
use crate::matrix::View;
use crate::product::{
    Engine, LeftOperand, Output, Packed, Precision, RowPlaces, multiply, multiply_into,
};
use crate::scratch::{Scratch, scratch};
use crate::shared::Shared;
use crate::uninitialized::from_chunks;

/// The packed operands of a layer.
pub(crate) struct WeightGradient {
    shape: Shape,
    engine: Engine,
    x: Packed,
    /// Pairs `[outputs, tokens]`. Empty if products take f32 values: they read gradients in place.
    gradients: Scratch,
}

impl WeightGradient {
    pub(crate) fn new(shape: Shape, precision: Precision) -> Self {
        let engine = Engine::for_precision(precision);
        let room = if engine.takes_pairs() {
            LeftOperand::packed_len(shape.outputs, shape.tokens, engine)
        } else {
            0
        };
        Self {
            shape,
            engine,
            x: Packed::for_rows(shape.tokens, shape.inputs, engine, precision),
            gradients: scratch(room),
        }
    }

    /// Whether [`Places::put_gradient`] packs gradients. If not, [`product`](Self::product) reads
    /// them.
    pub(crate) fn packs_gradients(&self) -> bool {
        self.engine.takes_pairs()
    }

    /// Where the tiles of tokens go.
    pub(crate) fn places(&mut self) -> Places<'_> {
        Places {
            shape: self.shape,
            engine: self.engine,
            x: self.x.row_places(),
            gradients: Shared::new(&mut self.gradients),
        }
    }

    /// `gradientᵀ · x`, `[outputs, inputs]`, from the packed gradients, or from `gradient`,
    /// `[tokens, outputs]`, if none are packed.
    ///
    /// # Panics
    /// If `gradient` is read and too short.
    pub(crate) fn product(&self, gradient: &[f32]) -> Vec<f32> {
        let Shape {
            tokens,
            inputs,
            outputs,
        } = self.shape;
        if tokens == 0 {
            return vec![0.0; outputs * inputs];
        }
        let rows = rows_of_task(outputs, self.engine);
        if !self.packs_gradients() {
            return from_chunks(outputs * inputs, rows * inputs, |index, dweight| {
                let part = rows_of_gradient(gradient, self.shape, index * rows, dweight.len());
                multiply_into(dweight, part, &self.x)
            });
        }
        let room = LeftOperand::packed_len(rows, tokens, self.engine);
        from_chunks(outputs * inputs, rows * inputs, |index, dweight| {
            let gradients = &self.gradients[index * room..];
            let rows = dweight.len() / inputs;
            let whole = LeftOperand::padded_rows(rows, self.engine);
            let left = LeftOperand::from_packed(gradients, whole, tokens, self.engine);
            Output::New(dweight).multiply(&left, rows, &self.x)
        })
    }
}

/// Where the tokens of a tile go.
#[derive(Clone, Copy)]
pub(crate) struct Places<'a> {
    shape: Shape,
    engine: Engine,
    x: RowPlaces<'a>,
    gradients: Shared<'a>,
}

impl Places<'_> {
    /// Packs inputs of the layer, `[tokens, inputs]`, for the tokens from `first` on.
    ///
    /// # Panics
    /// If the layer has fewer tokens, or `first` is not a multiple of the engine's rows.
    ///
    /// # Safety
    /// No other task packs inputs of these tokens.
    pub(crate) unsafe fn put_x(&self, first: usize, x: &[f32]) {
        let inputs = self.shape.inputs;
        // SAFETY: the caller guarantees it.
        unsafe {
            self.x
                .put(first, View::new(x, x.len() / inputs, inputs, inputs));
        }
    }

    /// Packs gradients of the layer's output, `[tokens, outputs]`, for the tokens from `first` on.
    /// Does nothing if products take f32 values.
    ///
    /// # Panics
    /// If the layer has fewer tokens, or `first` is not a multiple of the engine's rows.
    ///
    /// # Safety
    /// No other task packs gradients of these tokens.
    pub(crate) unsafe fn put_gradient(&self, first: usize, gradient: &[f32]) {
        if !self.engine.takes_pairs() {
            return;
        }
        let Shape {
            tokens, outputs, ..
        } = self.shape;
        let left = View::new(gradient, gradient.len() / outputs, outputs, outputs).transposed();
        // SAFETY: the caller guarantees it.
        unsafe { LeftOperand::pack_terms(self.gradients, 0, (tokens, self.engine), first, left) };
    }
}

/// Overwrites `dweight` with `gradientᵀ · x`.
pub(crate) fn compute_whole(
    dweight: &mut [f32],
    gradient: &[f32],
    x: &[f32],
    shape: Shape,
    precision: Precision,
) {
    let x = View::new(x, shape.tokens, shape.inputs, shape.inputs);
    let x = Packed::in_parallel(x, precision);
    let rows = rows_of_task(shape.outputs, Engine::for_precision(precision));
    dweight
        .par_chunks_mut(rows * shape.inputs)
        .enumerate()
        .for_each(|(index, dweight)| {
            let part = rows_of_gradient(gradient, shape, index * rows, dweight.len());
            multiply(dweight, shape.inputs, part, &x, false);
        });
}

/// The left operand `[outputs, tokens]` of `count` values of the weight's gradient from the row
/// `first` on. `gradient` is `[tokens, outputs]`.
fn rows_of_gradient(gradient: &[f32], shape: Shape, first: usize, count: usize) -> View<'_> {
    let gradient = View::new(gradient, shape.tokens, shape.outputs, shape.outputs);
    gradient
        .columns_from(first, count / shape.inputs)
        .transposed()
}

/// Rows of the weight's gradient of one task: there are a few tasks for each thread. The result
/// does not depend on it.
fn rows_of_task(rows: usize, engine: Engine) -> usize {
    let tasks = 4 * rayon::current_num_threads();
    rows.div_ceil(tasks)
        .clamp(1, 96)
        .next_multiple_of(engine.rows())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::level::Level;
    use crate::random::values;
    use crate::tiling::tile_rows;

    proptest! {
        #[test]
        fn tiles_give_what_the_whole_gives(
            tokens in 0usize..210, inputs in 1usize..80, outputs in 1usize..200, rounds in any::<bool>(),
        ) {
            let precision = if rounds { Precision::Bf16 } else { Precision::F32 };
            let shape = Shape { tokens, inputs, outputs };
            let (x, gradient) = (values(tokens * inputs, 1), values(tokens * outputs, 2));
            let compare = || {
            let mut tiled = WeightGradient::new(shape, precision);
            let places = tiled.places();
            let tile = tile_rows(tokens, precision);
            x.par_chunks(tile * inputs)
                .zip(gradient.par_chunks(tile * outputs))
                .enumerate()
                .for_each(|(index, (x, gradient))| {
                    // SAFETY: each tile has its own tokens.
                    unsafe {
                        places.put_x(index * tile, x);
                        places.put_gradient(index * tile, gradient);
                    }
                });
            let found = tiled.product(&gradient);
            let mut expected = vec![f32::NAN; outputs * inputs];
            compute_whole(&mut expected, &gradient, &x, shape, precision);
            for (found, expected) in found.iter().zip(&expected) {
                assert_eq!(found.to_bits(), expected.to_bits());
            }
            };
            Level::available().for_each(|level| level.run_on(2, compare));
        }
    }
}
