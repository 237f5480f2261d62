//! Overlap of the values that two tokens keep: their Jaccard index, |A ∩ B| / |A ∪ B|.

use serde::Serialize;

use super::bits::BitRows;
use super::mean::mean;
use super::token::Placed;
use super::token_class::TokenClass;

/// The most tokens of which all pairs are compared; longer texts are sampled at even distances.
const MOST_COMPARED: usize = 512;

/// Mean Jaccard indices of pairs of tokens. Pairs that keep nothing do not count; an index is none if
/// no pair counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Overlap {
    /// Of any two tokens.
    pub any: Option<f64>,
    /// Of tokens that follow each other.
    pub neighbours: Option<f64>,
    /// Of the same token at two places.
    pub same_token: Option<f64>,
    /// The expected overlap if each token kept every value independently, with the value's own share p:
    /// Σ p² / Σ (2 p − p²).
    pub chance: Option<f64>,
}

impl Overlap {
    pub(super) fn mean(all: impl Iterator<Item = Self> + Clone) -> Self {
        let over = |part: fn(Self) -> Option<f64>| {
            let known = all.clone().filter_map(part);
            (known.clone().count() > 0).then(|| mean(known))
        };
        Self {
            any: over(|overlap| overlap.any),
            neighbours: over(|overlap| overlap.neighbours),
            same_token: over(|overlap| overlap.same_token),
            chance: over(|overlap| overlap.chance),
        }
    }
}

/// A running mean.
#[derive(Clone, Copy, Default)]
struct Mean {
    sum: f64,
    count: usize,
}

impl Mean {
    fn add(&mut self, value: f64) {
        self.sum += value;
        self.count += 1;
    }

    fn get(self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / self.count as f64)
    }
}

/// The overlaps of one mask, and the mean overlap of two tokens for each pair of classes.
pub(super) fn between_tokens(
    kept: &BitRows,
    tokens: &[Placed],
    classes: &[TokenClass],
    shares: &[f64],
) -> (Overlap, Vec<Vec<Option<f64>>>) {
    let step = tokens.len().div_ceil(MOST_COMPARED).max(1);
    let compared: Vec<usize> = (0..tokens.len()).step_by(step).collect();
    let class_of = |row: usize| {
        let same = |class: &TokenClass| *class == tokens[row].class;
        classes.iter().position(same)
    };
    let (mut any, mut same) = (Mean::default(), Mean::default());
    let mut table = vec![vec![Mean::default(); classes.len()]; classes.len()];
    for (index, &left) in compared.iter().enumerate() {
        for &right in &compared[..index] {
            let Some(jaccard) = kept.jaccard(left, right) else {
                continue;
            };
            any.add(jaccard);
            if tokens[left].token.id == tokens[right].token.id {
                same.add(jaccard);
            }
            if let (Some(left), Some(right)) = (class_of(left), class_of(right)) {
                table[left.max(right)][left.min(right)].add(jaccard);
            }
        }
    }
    let mut neighbours = Mean::default();
    for right in 1..tokens.len() {
        let follows = tokens[right].position == tokens[right - 1].position + 1;
        if let Some(jaccard) = kept.jaccard(right - 1, right).filter(|_| follows) {
            neighbours.add(jaccard);
        }
    }
    let (common, all) = shares.iter().fold((0.0, 0.0), |(common, all), p| {
        (common + p * p, all + 2.0 * p - p * p)
    });
    let overlap = Overlap {
        any: any.get(),
        neighbours: neighbours.get(),
        same_token: same.get(),
        chance: (all > 0.0).then(|| common / all),
    };
    let cell = |row: usize, column: usize| table[row.max(column)][row.min(column)].get();
    let row = |row: usize| (0..classes.len()).map(|column| cell(row, column)).collect();
    (overlap, (0..classes.len()).map(row).collect())
}

/// The mean of tables, cell by cell, over the known cells.
pub(super) fn mean_of_tables<'a>(
    tables: impl Iterator<Item = &'a Vec<Vec<Option<f64>>>> + Clone,
) -> Vec<Vec<Option<f64>>> {
    let size = tables.clone().next().map_or(0, Vec::len);
    let cell = |row: usize, column: usize| {
        let mut mean = Mean::default();
        let known = tables.clone().filter_map(|table| table[row][column]);
        known.for_each(|value| mean.add(value));
        mean.get()
    };
    let row = |row: usize| (0..size).map(|column| cell(row, column)).collect();
    (0..size).map(row).collect()
}
