//! Causal multi-head attention on packed queries, keys and values, forward and backward.
//!
//! One head of one sequence is a task. It goes through blocks of queries, whose scores against all
//! keys up to them stay in the cache and are never stored; the backward pass makes them again.

use rayon::prelude::*;

use crate::dropout::Dropout;
use crate::product::{PanelEngine, Precision};
use crate::shared::Shared;
use crate::uninitialized::{initialized, uninitialized};

mod backward;
mod block;
mod forward;
mod head;
pub(crate) mod panel;

use head::Head;

/// The shape of an attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Sequences.
    pub batch: usize,
    /// Tokens of a sequence.
    pub time: usize,
    /// Heads.
    pub heads: usize,
    /// Channels of a head.
    pub size: usize,
}

impl Shape {
    fn width(&self) -> usize {
        self.heads * self.size
    }

    fn check(&self, packed: &[f32], gradient: Option<&[f32]>) {
        assert!(
            self.time > 0 && self.heads > 0 && self.size > 0,
            "an empty attention"
        );
        let elements = self.batch * self.time * self.width();
        assert_eq!(
            packed.len(),
            3 * elements,
            "packed queries, keys and values"
        );
        assert!(
            gradient.is_none_or(|gradient| gradient.len() == elements),
            "one gradient per channel"
        );
    }

    fn scale(&self) -> f32 {
        1.0 / (self.size as f32).sqrt()
    }
}

/// Attention of every head of every sequence: `[batch, time, heads · size]`.
///
/// - `packed`: `[batch, time, 3 · heads · size]`
/// - `dropout` is on the probabilities; the one at `[sequence, head, row, column]` is decided by its
///   position among all `[batch, heads, time, time]`.
/// - `precision` is that of the operands of all products, probabilities and their gradients among
///   them; exponentials and sums are f32.
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
    let room = |engine| forward::Room::new(shape, engine);
    for_each_head(packed, shape, dropout, precision, room, |head, room| {
        head.forward(shared, room);
    });
    // SAFETY: each head has written its channels of all tokens.
    unsafe { initialized(output) }
}

/// The gradient of [`forward`] with respect to `packed`, in its shape.
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
    let room = |engine| backward::Room::new(shape, engine);
    for_each_head(packed, shape, dropout, precision, room, |head, room| {
        head.backward(gradient, shared, room);
    });
    // SAFETY: each head has written its channels of all three parts of all tokens.
    unsafe { initialized(dpacked) }
}

/// Goes through the heads of all sequences on all threads. Neighbours that one task goes through share a
/// room; where the program is tested, each gets one of which it may use no value that it did not write.
fn for_each_head<R>(
    packed: &[f32],
    shape: Shape,
    dropout: Option<Dropout>,
    precision: Precision,
    new_room: impl Fn(PanelEngine) -> R + Sync + Send,
    work: impl Fn(Head<'_>, &mut R) + Sync + Send,
) {
    let engine = PanelEngine::of(precision);
    (0..shape.batch * shape.heads)
        .into_par_iter()
        .for_each_init(
            || new_room(engine),
            |room, number| {
                let head = Head {
                    shape,
                    number,
                    packed,
                    dropout,
                    engine,
                };
                if cfg!(debug_assertions) {
                    *room = new_room(engine);
                }
                work(head, room);
            },
        );
}
