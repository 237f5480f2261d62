//! Causal multi-head attention on packed queries, keys and values, forward and backward.
//!
//! One task computes one head of one sequence. It goes through blocks of queries. The scores of a block
//! against all visible keys stay in the cache and are never stored; the backward pass computes them
//! again.

use rayon::prelude::*;

use crate::dropout::Dropout;
use crate::product::{NarrowEngine, Precision};
use crate::shared::Shared;
use crate::uninitialized::{initialized, uninitialized};

mod backward;
mod forward;
mod head;
mod not_finite;
mod query_blocks;
pub(crate) mod scores;
mod shape;

use head::Head;
pub use shape::Shape;

/// Attention of every head of every sequence: `[batch, time, heads · size]`.
///
/// - `packed`: `[batch, time, 3 · heads · size]`
/// - `dropout`: is applied to the probabilities. The position of a probability in `[batch, heads, time,
///   time]` is its position in the generator's stream.
/// - a query does not see later keys, even if they hold NaN. A channel whose value is infinite or NaN
///   for a key that the query sees is NaN.
/// - `precision`: of the operands of all products, including probabilities and their gradients.
///   Exponentials and sums are f32.
///
/// # Panics
/// If the length does not fit the shape.
pub fn forward(
    packed: &[f32],
    shape: Shape,
    dropout: Option<Dropout>,
    precision: Precision,
) -> Vec<f32> {
    shape.check(packed, None);
    let mut output = uninitialized(packed.len() / 3);
    let shared = Shared::new(&mut output);
    let buffers = |engine| forward::Buffers::new(shape, engine);
    for_each_head(
        packed,
        shape,
        dropout,
        precision,
        buffers,
        |head, buffers| {
            head.forward(shared, buffers);
        },
    );
    // SAFETY: each head has written its channels of all tokens.
    unsafe { initialized(output) }
}

/// The gradient of [`forward()`] with respect to `packed`, in its shape.
///
/// - `gradient`: `[batch, time, heads · size]`
///
/// # Panics
/// If the lengths do not fit the shape.
pub fn backward(
    gradient: &[f32],
    packed: &[f32],
    shape: Shape,
    dropout: Option<Dropout>,
    precision: Precision,
) -> Vec<f32> {
    shape.check(packed, Some(gradient));
    let mut dpacked = uninitialized(packed.len());
    let shared = Shared::new(&mut dpacked);
    let buffers = |engine| backward::Buffers::new(shape, engine);
    for_each_head(
        packed,
        shape,
        dropout,
        precision,
        buffers,
        |head, buffers| {
            head.backward(gradient, shared, buffers);
        },
    );
    // SAFETY: each head has written its channels of queries, keys and values of all tokens.
    unsafe { initialized(dpacked) }
}

/// Goes through the heads of all sequences on all threads. Heads that one task goes through share
/// their buffers. With debug assertions each head gets new ones, filled with NaN, which shows values that
/// are used before they are written.
fn for_each_head<B>(
    packed: &[f32],
    shape: Shape,
    dropout: Option<Dropout>,
    precision: Precision,
    new_buffers: impl Fn(NarrowEngine) -> B + Sync + Send,
    work: impl Fn(Head<'_>, &mut B) + Sync + Send,
) {
    let engine = NarrowEngine::for_precision(precision);
    (0..shape.batch * shape.heads)
        .into_par_iter()
        .for_each_init(
            || new_buffers(engine),
            |buffers, number| {
                let head = Head {
                    shape,
                    number,
                    packed,
                    dropout,
                    engine,
                };
                if cfg!(debug_assertions) {
                    *buffers = new_buffers(engine);
                }
                work(head, buffers);
            },
        );
}
