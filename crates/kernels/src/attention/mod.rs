//! Causal multi-head attention on packed queries, keys and values, forward and backward.
//!
//! One task computes one head of one sequence. It goes through blocks of queries. The scores of a block
//! against all visible keys stay in the cache and are never stored; the backward pass computes them
//! again.
//!
//! With factors of the heads, a token whose factor is 0 has no query where a head has few others: the rows
//! of the others are gathered, and nothing is computed for it. Its key and its value remain, which later
//! tokens attend to.

use rayon::prelude::*;

use crate::dropout::Dropout;
use crate::kept_groups::KeptGroups;
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
use query_blocks::Queries;
pub use shape::Shape;

/// The largest share of a head's queries for which gathering them is faster than attending with all.
///
/// Rounded down from measurements with AVX-512, in f32 and bf16, of the forward and the backward pass
/// together: 0.9 for heads of 32 and 64 channels, 0.8 for 16 and 0.7 for 8.
const FEW_QUERIES: f64 = 0.75;

/// Attention that is the same for every head.
#[derive(Clone, Copy)]
struct Attention<'a> {
    packed: &'a [f32],
    shape: Shape,
    dropout: Option<Dropout>,
    precision: Precision,
    factors: Option<Factors<'a>>,
}

/// Factors of the heads.
#[derive(Clone, Copy)]
struct Factors<'a> {
    values: &'a [f32],
    kept: &'a KeptGroups,
}

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
    Attention::new(packed, shape, dropout, precision).forward()
}

/// [`forward()`] times a factor for each token and head, `factors` of `[batch, time, heads]`. The queries of
/// pairs whose factor is 0 are left out where that is faster.
///
/// # Panics
/// If the lengths do not fit the shape, or there are 2³² tokens or more.
pub fn forward_masked(
    packed: &[f32],
    factors: &[f32],
    shape: Shape,
    dropout: Option<Dropout>,
    precision: Precision,
) -> Vec<f32> {
    let kept = KeptGroups::new(factors, shape.batch * shape.time, shape.heads);
    let attention = Attention::new(packed, shape, dropout, precision);
    attention.masked(factors, &kept).forward()
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
    Attention::new(packed, shape, dropout, precision).backward(gradient, &mut [])
}

/// The gradients of [`forward_masked`] with respect to `packed` and to the factors. The gradient of a
/// factor of 0 is 0, and so is that of its query.
///
/// - `gradient`: `[batch, time, heads · size]`; where the factor is 0, any finite value
///
/// # Panics
/// If the lengths do not fit the shape, or there are 2³² tokens or more.
pub fn backward_masked(
    gradient: &[f32],
    packed: &[f32],
    factors: &[f32],
    shape: Shape,
    dropout: Option<Dropout>,
    precision: Precision,
) -> (Vec<f32>, Vec<f32>) {
    let kept = KeptGroups::new(factors, shape.batch * shape.time, shape.heads);
    let attention = Attention::new(packed, shape, dropout, precision);
    let mut dfactors = vec![0.0; factors.len()];
    let dpacked = attention
        .masked(factors, &kept)
        .backward(gradient, &mut dfactors);
    (dpacked, dfactors)
}

impl<'a> Attention<'a> {
    /// Attention without factors.
    fn new(
        packed: &'a [f32],
        shape: Shape,
        dropout: Option<Dropout>,
        precision: Precision,
    ) -> Self {
        Self {
            packed,
            shape,
            dropout,
            precision,
            factors: None,
        }
    }

    /// The attention times factors.
    fn masked(self, values: &'a [f32], kept: &'a KeptGroups) -> Self {
        Self {
            factors: Some(Factors { values, kept }),
            ..self
        }
    }

    fn forward(&self) -> Vec<f32> {
        self.shape.check(self.packed, None);
        let mut output = uninitialized(self.packed.len() / 3);
        let shared = Shared::new(&mut output);
        let buffers = |engine| forward::Buffers::new(self.shape, engine);
        self.for_each_head(buffers, |head, buffers| head.forward(shared, buffers));
        // SAFETY: each head has written its channels of all tokens.
        unsafe { initialized(output) }
    }

    /// Gives the gradient of `packed`, and writes those of the factors, if there are any.
    fn backward(&self, gradient: &[f32], dfactors: &mut [f32]) -> Vec<f32> {
        self.shape.check(self.packed, Some(gradient));
        let mut dpacked = uninitialized(self.packed.len());
        let (shared, dfactors) = (Shared::new(&mut dpacked), Shared::new(dfactors));
        let buffers = |engine| backward::Buffers::new(self.shape, engine);
        self.for_each_head(buffers, |head, buffers| {
            head.backward(gradient, shared, dfactors, buffers);
        });
        // SAFETY: each head has written its channels of queries, keys and values of all tokens.
        unsafe { initialized(dpacked) }
    }

    /// Goes through the heads of all sequences on all threads. Heads that one task goes through share
    /// their buffers. With debug assertions each head gets new ones, filled with NaN, which shows values
    /// that are used before they are written.
    fn for_each_head<B>(
        &self,
        new_buffers: impl Fn(NarrowEngine) -> B + Sync + Send,
        work: impl Fn(Head<'_>, &mut B) + Sync + Send,
    ) {
        let shape = self.shape;
        let engine = NarrowEngine::for_precision(self.precision);
        (0..shape.batch * shape.heads)
            .into_par_iter()
            .for_each_init(
                || new_buffers(engine),
                |buffers, number| {
                    let head = Head {
                        shape,
                        number,
                        packed: self.packed,
                        dropout: self.dropout,
                        engine,
                        queries: self.queries(number),
                        factors: self.factors.map(|factors| factors.values),
                    };
                    if cfg!(debug_assertions) {
                        *buffers = new_buffers(engine);
                    }
                    work(head, buffers);
                },
            );
    }

    /// The queries that attend of a head, by its number among the heads of all sequences.
    fn queries(&self, number: usize) -> Queries<'a> {
        let Shape { time, heads, .. } = self.shape;
        let Some(factors) = self.factors else {
            return Queries::All(time);
        };
        let first = number / heads * time;
        let tokens = factors.kept.tokens_of(number % heads);
        let before = |end: usize| tokens.partition_point(|&token| (token as usize) < end);
        let tokens = &tokens[before(first)..before(first + time)];
        if tokens.len() as f64 > FEW_QUERIES * time as f64 {
            return Queries::All(time);
        }
        Queries::These { tokens, first }
    }
}
