//! Causal attention of the newest tokens of one sequence, whose keys and values are cached.
//!
//! A single token goes through the keys and values once, head by head. Many tokens go through query
//! blocks and matrix products, as in [`attention`](crate::attention).

use rayon::prelude::*;

use crate::attention::scores::{self, QUERIES, columns_to_rows};
use crate::kept_groups::KeptGroups;
use crate::level::levelled;
use crate::math::multiply_add;
use crate::matrix::View;
use crate::product::{NarrowEngine, multiply_narrow, rows_to_columns};
use crate::scratch::scratch;
use crate::shared::Shared;
use crate::softmax_row::{exponentials, largest_of};
use crate::team::Team;
use crate::uninitialized::as_uninit;

/// The most tokens that go through the keys and values one by one.
const FEW: usize = 4;

/// The fewest multiplications of a token that pay for a second thread.
const WORTH_A_THREAD: usize = 1 << 15;

/// The keys and values of one attention over one sequence, `[heads, context, size]` each.
pub struct Cache {
    keys: Vec<f32>,
    values: Vec<f32>,
    heads: usize,
    size: usize,
    context: usize,
}

impl Cache {
    /// Room for `context` tokens; none if there is not enough memory.
    ///
    /// # Panics
    /// If there are no heads or a head has no channels.
    pub fn new(heads: usize, size: usize, context: usize) -> Option<Self> {
        assert!(heads > 0 && size > 0, "an empty attention");
        let reserve = || {
            let count = heads.checked_mul(size)?.checked_mul(context)?;
            let mut values = Vec::new();
            values.try_reserve_exact(count).ok()?;
            values.resize(count, 0.0);
            Some(values)
        };
        Some(Self {
            keys: reserve()?,
            values: reserve()?,
            heads,
            size,
            context,
        })
    }

    /// Heads of the attention.
    pub fn heads(&self) -> usize {
        self.heads
    }

    /// Channels of all heads.
    pub fn width(&self) -> usize {
        self.heads * self.size
    }

    /// Bytes that a token reads if it sees `seen` tokens.
    pub fn bytes_read(&self, seen: usize) -> usize {
        2 * size_of::<f32>() * self.width() * seen
    }

    /// Caches the keys and values of tokens from position `start` on.
    ///
    /// - `packed`: queries, keys and values, `[tokens, 3 · width]`
    ///
    /// # Panics
    /// If the tokens do not fit into the context, or there is no whole number of them.
    pub fn write(&mut self, start: usize, packed: &[f32]) {
        let (width, size) = (self.width(), self.size);
        let tokens = self.tokens(start, packed);
        let write = |part: usize, head: usize, cached: &mut [f32]| {
            let rows = cached[start * size..][..tokens * size].chunks_exact_mut(size);
            for (cached, packed) in rows.zip(packed.chunks_exact(3 * width)) {
                cached.copy_from_slice(&packed[part * width + head * size..][..size]);
            }
        };
        for (part, cached) in [(1, &mut self.keys), (2, &mut self.values)] {
            let of_head = self.context * size;
            if tokens > FEW {
                let heads = cached.par_chunks_exact_mut(of_head).enumerate();
                heads.for_each(|(head, cached)| write(part, head, cached));
            } else {
                let heads = cached.chunks_exact_mut(of_head).enumerate();
                heads.for_each(|(head, cached)| write(part, head, cached));
            }
        }
    }

    /// The number of tokens of `packed`, which begin at `start`.
    fn tokens(&self, start: usize, packed: &[f32]) -> usize {
        let tokens = packed.len() / (3 * self.width());
        assert_eq!(packed.len(), 3 * tokens * self.width(), "whole tokens");
        assert!(
            start + tokens <= self.context,
            "more tokens than the context"
        );
        tokens
    }

    /// Attention of the tokens from position `start` on, each to itself and all before it. Scores
    /// are divided by `√size`. The keys and values of all these tokens must have been
    /// [written](Self::write).
    ///
    /// - `packed`: queries, keys and values, `[tokens, 3 · width]`
    /// - `kept`: the tokens that keep each head; the output of a head is 0 for the others. Without
    ///   it all tokens keep all heads. Nothing is multiplied by their factors.
    /// - `output`: `[tokens, width]`, overwritten
    ///
    /// # Panics
    /// If the lengths or the kept heads are those of another shape.
    pub fn attend(
        &self,
        team: &Team,
        start: usize,
        packed: &[f32],
        kept: Option<&KeptGroups>,
        output: &mut [f32],
    ) {
        let (width, tokens) = (self.width(), self.tokens(start, packed));
        assert_eq!(output.len(), tokens * width, "output");
        if let Some(kept) = kept {
            assert_eq!(
                (kept.tokens(), kept.groups()),
                (tokens, self.heads),
                "kept heads"
            );
            output.fill(0.0);
        }
        let output = Shared::new(output);
        let work = |head| {
            let head = Head {
                cache: self,
                start,
                packed,
                number: head,
            };
            match kept {
                Some(kept) => head.attend(&Rows::These(kept.tokens_of(head.number)), output),
                None => head.attend(&Rows::All(tokens), output),
            }
        };
        if tokens > FEW {
            (0..self.heads).into_par_iter().for_each(work);
        } else if tokens * (start + tokens) * width < WORTH_A_THREAD {
            (0..self.heads).for_each(work);
        } else {
            team.run(self.heads, &work);
        }
    }
}

/// Tokens, counted from the first new one.
enum Rows<'a> {
    All(usize),
    These(&'a [u32]),
}

impl Rows<'_> {
    fn len(&self) -> usize {
        match self {
            Self::All(count) => *count,
            Self::These(rows) => rows.len(),
        }
    }

    fn at(&self, index: usize) -> usize {
        match self {
            Self::All(_) => index,
            Self::These(rows) => rows[index] as usize,
        }
    }
}

/// One head.
struct Head<'a> {
    cache: &'a Cache,
    start: usize,
    packed: &'a [f32],
    number: usize,
}

impl Head<'_> {
    fn attend(&self, rows: &Rows<'_>, output: Shared<'_>) {
        if self.packed.len() / (3 * self.cache.width()) > FEW {
            return self.attend_many(rows, output);
        }
        for index in 0..rows.len() {
            let row = rows.at(index);
            let seen = self.start + row + 1;
            let mut scores = scratch(seen);
            let (keys, values) = (
                self.rows_of(&self.cache.keys, seen),
                self.rows_of(&self.cache.values, seen),
            );
            products(&mut scores, self.query(row), keys);
            let largest = largest_of(&scores);
            let reciprocal = 1.0 / exponentials(&mut scores, largest, self.scale());
            // SAFETY: these channels of this token belong to this head alone.
            let output = unsafe { output.slice(self.place(row), self.cache.size) };
            sums(output, &scores, reciprocal, values);
        }
    }

    fn attend_many(&self, rows: &Rows<'_>, output: Shared<'_>) {
        let size = self.cache.size;
        let Some(last) = rows.len().checked_sub(1) else {
            return;
        };
        let seen = self.start + rows.at(last) + 1;
        let keys = View::new(self.rows_of(&self.cache.keys, seen), seen, size, size);
        let values = View::new(self.rows_of(&self.cache.values, seen), seen, size, size);
        let (mut scores, mut columns) = (
            scratch(seen * QUERIES),
            scratch(NarrowEngine::output_len(size)),
        );
        for first in (0..rows.len()).step_by(QUERIES) {
            let block = first..rows.len().min(first + QUERIES);
            let queries = block.clone().map(|index| self.query(rows.at(index)));
            rows_to_columns(&mut columns[..size * QUERIES], queries);
            let seen = self.start + rows.at(block.end - 1) + 1;
            multiply_narrow(&mut scores, keys.rows_from(0, seen), &columns, false);
            let weights = &mut scores[..seen * QUERIES];
            for (column, index) in block.clone().enumerate() {
                scores::mask_column(weights, column, self.start + rows.at(index) + 1);
            }
            let sums = scores::exponentials(weights, self.scale());
            let turned = values.rows_from(0, seen).transposed();
            multiply_narrow(&mut columns, turned, weights, false);
            let outputs = block.map(|index| {
                // SAFETY: these channels of this token belong to this head alone. All values that are
                // written to them are initialized.
                unsafe { as_uninit(output.slice(self.place(rows.at(index)), size)) }
            });
            columns_to_rows(outputs, &mut columns, &sums.map(|sum| 1.0 / sum));
        }
    }

    /// The keys or values of the head for the first `seen` tokens.
    fn rows_of<'b>(&self, cached: &'b [f32], seen: usize) -> &'b [f32] {
        let size = self.cache.size;
        &cached[self.number * self.cache.context * size..][..seen * size]
    }

    fn query(&self, row: usize) -> &[f32] {
        let size = self.cache.size;
        &self.packed[row * 3 * self.cache.width() + self.number * size..][..size]
    }

    /// The position of the head's channels of a token in the output.
    fn place(&self, row: usize) -> usize {
        row * self.cache.width() + self.number * self.cache.size
    }

    fn scale(&self) -> f32 {
        1.0 / (self.cache.size as f32).sqrt()
    }
}

/// The sum of lanes. Lanes four apart are added first.
#[inline(always)]
fn total(lanes: [f32; 8]) -> f32 {
    let [a, b, c, d, e, f, g, h] = lanes;
    ((a + e) + (c + g)) + ((b + f) + (d + h))
}

levelled! {
    /// The dot product of a query with each key.
    fn products(scores: &mut [f32], query: &[f32], keys: &[f32]) {
        let (whole, rest) = query.as_chunks::<8>();
        for (score, key) in scores.iter_mut().zip(keys.chunks_exact(query.len())) {
            let (key_whole, key_rest) = key.as_chunks::<8>();
            let mut lanes = [0.0f32; 8];
            for (query, key) in whole.iter().zip(key_whole) {
                for ((lane, query), key) in lanes.iter_mut().zip(query).zip(key) {
                    *lane = multiply_add::<FUSED>(*query, *key, *lane);
                }
            }
            let mut sum = total(lanes);
            for (query, key) in rest.iter().zip(key_rest) {
                sum = multiply_add::<FUSED>(*query, *key, sum);
            }
            *score = sum;
        }
    }
}

levelled! {
    /// `output = reciprocal · Σ weights · values`, with one row of `values` for each weight.
    fn sums(output: &mut [f32], weights: &[f32], reciprocal: f32, values: &[f32]) {
        let size = output.len();
        output.fill(0.0);
        let (fours, rest) = weights.as_chunks::<4>();
        let rows = values.chunks_exact(4 * size);
        for (&[a, b, c, d], rows) in fours.iter().zip(rows) {
            let (first, second) = rows.split_at(2 * size);
            let ((first, second), (third, fourth)) = (first.split_at(size), second.split_at(size));
            let rows = first.iter().zip(second).zip(third.iter().zip(fourth));
            for (output, ((first, second), (third, fourth))) in output.iter_mut().zip(rows) {
                let sum = multiply_add::<FUSED>(a, *first, *output);
                let sum = multiply_add::<FUSED>(b, *second, sum);
                let sum = multiply_add::<FUSED>(c, *third, sum);
                *output = multiply_add::<FUSED>(d, *fourth, sum);
            }
        }
        let rows = values[4 * fours.len() * size..].chunks_exact(size);
        for (weight, row) in rest.iter().zip(rows) {
            for (output, value) in output.iter_mut().zip(row) {
                *output = multiply_add::<FUSED>(*weight, *value, *output);
            }
        }
        for output in output {
            *output *= reciprocal;
        }
    }
}
