//! Attention against its definition in f64, with bounds that follow from the rounding of operands.

use learned_dropout_kernels::attention::{self, Shape};
use learned_dropout_kernels::dropout::{self, Dropout};
use learned_dropout_kernels::product::Precision;
use learned_dropout_kernels::random::Philox;
use proptest::prelude::*;

mod common;
use common::bounded::{BF16, Bounded, assert_bounded, product, softmax, sum};
use common::{at_every_level, cases, mask, on_any_threads, scaled_values};

/// One head of one sequence.
struct Head {
    queries: Vec<Vec<Bounded>>,
    keys: Vec<Vec<Bounded>>,
    values: Vec<Vec<Bounded>>,
    gradients: Vec<Vec<Bounded>>,
    scale: f64,
    /// The factors of dropout for the probabilities, `[time, time]`.
    factors: Vec<f32>,
    /// The largest relative error of rounding an operand: 2⁻⁸ in bf16.
    relative: f64,
}

impl Head {
    fn new(
        packed: &[f32],
        gradient: &[f32],
        shape: Shape,
        place: [usize; 2],
        (factors, relative): (&[f32], f64),
    ) -> Self {
        let [sequence, head] = place;
        let Shape {
            time, heads, size, ..
        } = shape;
        let part = |values: &[f32], parts: usize, part: usize| {
            (0..time)
                .map(|t| {
                    let row = (sequence * time + t) * parts + part;
                    let row = &values[(row * heads + head) * size..][..size];
                    row.iter()
                        .map(|&value| Bounded::new(f64::from(value), 0.0).rounded(relative))
                        .collect()
                })
                .collect()
        };
        Self {
            queries: part(packed, 3, 0),
            keys: part(packed, 3, 1),
            values: part(packed, 3, 2),
            gradients: part(gradient, 1, 0),
            scale: 1.0 / (size as f64).sqrt(),
            factors: factors[(sequence * heads + head) * time * time..][..time * time].to_vec(),
            relative,
        }
    }

    fn time(&self) -> usize {
        self.queries.len()
    }

    fn factor(&self, query: usize, key: usize) -> Bounded {
        Bounded::new(f64::from(self.factors[query * self.time() + key]), 0.0)
    }

    /// The probabilities of a query, before dropout.
    fn probabilities(&self, query: usize) -> Vec<Bounded> {
        let scores: Vec<Bounded> = self.keys[..=query]
            .iter()
            .map(|key| product(self.queries[query].iter().zip(key)))
            .collect();
        softmax(&scores, self.scale)
    }

    fn output(&self, query: usize) -> Vec<Bounded> {
        let probabilities = self.probabilities(query);
        let weights = || {
            probabilities.iter().enumerate().map(|(key, weight)| {
                let dropped = weight.times(self.factor(query, key));
                dropped.rounded(self.relative)
            })
        };
        (0..self.queries[0].len())
            .map(|c| {
                let terms = weights().zip(&self.values);
                sum(terms.map(|(weight, values)| weight.times(values[c])))
            })
            .collect()
    }

    /// The gradients of queries, keys and values.
    fn backward(&self) -> [Vec<Vec<Bounded>>; 3] {
        let size = self.queries[0].len();
        let mut gradients = [(); 3].map(|()| vec![vec![Bounded::default(); size]; self.time()]);
        let [dqueries, dkeys, dvalues] = &mut gradients;
        let add = |to: &mut Bounded, term: Bounded| {
            *to = Bounded::new(to.value + term.value, to.error + term.error);
        };
        for (query, dquery) in dqueries.iter_mut().enumerate() {
            let probabilities = self.probabilities(query);
            let dprobabilities: Vec<Bounded> = self.values[..=query]
                .iter()
                .enumerate()
                .map(|(key, values)| {
                    let gradient = product(self.gradients[query].iter().zip(values));
                    gradient.times(self.factor(query, key))
                })
                .collect();
            let mean = product(probabilities.iter().zip(&dprobabilities));
            for (key, (&weight, &dweight)) in probabilities.iter().zip(&dprobabilities).enumerate()
            {
                let scale = Bounded::new(self.scale, 0.0);
                let dscore = weight.times(dweight.minus(mean)).times(scale);
                let weight = weight.times(self.factor(query, key));
                let (dscore, weight) =
                    (dscore.rounded(self.relative), weight.rounded(self.relative));
                for c in 0..size {
                    add(&mut dquery[c], dscore.times(self.keys[key][c]));
                    add(&mut dkeys[key][c], dscore.times(self.queries[query][c]));
                    add(&mut dvalues[key][c], weight.times(self.gradients[query][c]));
                }
            }
        }
        gradients
    }
}

/// The rows of a head in values of all heads, which have `parts` parts.
fn rows_of(values: &[f32], shape: Shape, place: [usize; 2], [part, parts]: [usize; 2]) -> Vec<f32> {
    let [sequence, head] = place;
    let Shape {
        time, heads, size, ..
    } = shape;
    (0..time)
        .flat_map(|t| {
            let at = ((sequence * time + t) * parts + part) * heads + head;
            &values[at * size..][..size]
        })
        .copied()
        .collect()
}

proptest! {
    #![proptest_config(cases(16))]

    #[test]
    fn heads_forward_and_backward(
        batch in 1usize..3, time in 1usize..110, heads in 1usize..4, size in 1usize..40,
        rounds in any::<bool>(), drops in any::<bool>(),
    ) {
        let shape = Shape { batch, time, heads, size };
        let (precision, relative) = if rounds {
            (Precision::Bf16, BF16)
        } else {
            (Precision::F32, 0.0)
        };
        // Small values keep the error of scores small, and so the bounds narrow.
        let packed = scaled_values(batch * time * 3 * heads * size, 3, 0.5);
        let gradient = scaled_values(batch * time * heads * size, 4, 1.0);
        let generator = Philox::new(6, 2);
        let dropout = drops.then_some(Dropout { rate: 0.3, generator });
        let ones = vec![1.0; batch * heads * time * time];
        let factors = dropout.map_or(ones.clone(), |dropout| dropout::forward(&ones, dropout));
        let places = (0..batch * heads).map(|number| [number / heads, number % heads]);
        let expected: Vec<_> = places
            .map(|place| {
                let head = Head::new(&packed, &gradient, shape, place, (&factors, relative));
                let outputs: Vec<_> = (0..time).map(|query| head.output(query)).collect();
                (place, outputs, head.backward())
            })
            .collect();
        at_every_level(|_| {
            let output = on_any_threads(|| attention::forward(&packed, shape, dropout, precision));
            let dpacked = on_any_threads(|| {
                attention::backward(&gradient, &packed, shape, dropout, precision)
            });
            for (place, outputs, gradients) in &expected {
                let found = rows_of(&output, shape, *place, [0, 1]);
                assert_bounded(&found, outputs.iter().flatten(), 1.0, "output");
                for (part, rows) in gradients.iter().enumerate() {
                    let found = rows_of(&dpacked, shape, *place, [part, 3]);
                    let what = ["queries", "keys", "values"][part];
                    assert_bounded(&found, rows.iter().flatten(), 1.0, what);
                }
            }
        });
    }
}

proptest! {
    #![proptest_config(cases(12))]

    /// Queries and gradients of dropped pairs are NaN: they must not be read where heads have few others.
    #[test]
    fn masked_heads_forward_and_backward(
        batch in 1usize..3, time in 1usize..110, heads in 1usize..4, size in 1usize..40,
        kind in 0usize..6, rounds in any::<bool>(), drops in any::<bool>(), carries in any::<bool>(),
    ) {
        let shape = Shape { batch, time, heads, size };
        let (precision, relative) = if rounds {
            (Precision::Bf16, BF16)
        } else {
            (Precision::F32, 0.0)
        };
        let mut packed = scaled_values(batch * time * 3 * heads * size, 3, 0.5);
        let mut gradient = scaled_values(batch * time * heads * size, 4, 1.0);
        let mut factors = mask(batch * time, heads, kind);
        if carries {
            let values = scaled_values(factors.len(), 5, 1.0);
            factors.iter_mut().zip(values).for_each(|(factor, value)| *factor *= value);
        }
        let scaled: Vec<f32> = gradient
            .iter()
            .enumerate()
            .map(|(place, value)| factors[place / size] * value)
            .collect();
        let generator = Philox::new(6, 2);
        let dropout = drops.then_some(Dropout { rate: 0.3, generator });
        let ones = vec![1.0; batch * heads * time * time];
        let dropped = dropout.map_or(ones.clone(), |dropout| dropout::forward(&ones, dropout));
        let places = (0..batch * heads).map(|number| [number / heads, number % heads]);
        let expected: Vec<_> = places
            .map(|place| {
                let [sequence, head] = place;
                let factor = |query| factors[(sequence * time + query) * heads + head];
                let of_head = Head::new(&packed, &scaled, shape, place, (&dropped, relative));
                let plain = Head::new(&packed, &gradient, shape, place, (&dropped, relative));
                let (mut outputs, mut dfactors) = (Vec::new(), Vec::new());
                for query in 0..time {
                    let output = of_head.output(query);
                    let dfactor = product(output.iter().zip(&plain.gradients[query]));
                    dfactors.push(if factor(query) == 0.0 { Bounded::default() } else { dfactor });
                    let factor = Bounded::new(f64::from(factor(query)), 0.0);
                    outputs.push(output.into_iter().map(|value| value.times(factor)).collect::<Vec<_>>());
                }
                (place, outputs, of_head.backward(), dfactors)
            })
            .collect();
        for pair in (0..factors.len()).filter(|&pair| factors[pair] == 0.0) {
            let (sequence, head) = (pair / heads / time, pair % heads);
            let of_head = (0..time).map(|query| factors[(sequence * time + query) * heads + head]);
            let few = of_head.filter(|&factor| factor != 0.0).count() as f64 <= 0.7 * time as f64;
            let spoiled = if few { f32::NAN } else { 3.0 };
            let query = pair / heads * 3 * heads + head;
            packed[query * size..][..size].fill(spoiled);
            gradient[pair * size..][..size].fill(spoiled);
        }
        at_every_level(|_| {
            let output = on_any_threads(|| {
                attention::forward_masked(&packed, &factors, shape, dropout, precision)
            });
            let (dpacked, dfactors) = on_any_threads(|| {
                attention::backward_masked(&gradient, &packed, &factors, shape, dropout, precision)
            });
            for (place, outputs, gradients, of_factors) in &expected {
                let found = rows_of(&output, shape, *place, [0, 1]);
                assert_bounded(&found, outputs.iter().flatten(), 1.0, "output");
                for (part, rows) in gradients.iter().enumerate() {
                    let found = rows_of(&dpacked, shape, *place, [part, 3]);
                    let what = ["queries", "keys", "values"][part];
                    assert_bounded(&found, rows.iter().flatten(), 1.0, what);
                }
                let single = Shape { size: 1, ..shape };
                let found = rows_of(&dfactors, single, *place, [0, 1]);
                assert_bounded(&found, of_factors, 1.0, "factors");
            }
        });
    }
}

/// NaN and infinity among the values of a token reach that token and later ones, and leave those before
/// it bit by bit as they were.
#[test]
fn no_query_sees_what_later_keys_hold() {
    for precision in [Precision::F32, Precision::Bf16] {
        for (time, masked) in [1, 7, 16, 33, 70]
            .into_iter()
            .flat_map(|time| [(time, false), (time, true)])
        {
            // The masked head also has queries of all tokens, but goes through them as listed ones.
            let factors = vec![1.0; 2 * time * 2];
            let forward = |packed: &[f32], shape| match masked {
                false => attention::forward(packed, shape, None, precision),
                true => attention::forward_masked(packed, &factors, shape, None, precision),
            };
            let shape = Shape {
                batch: 2,
                time,
                heads: 2,
                size: 5,
            };
            let width = shape.heads * shape.size;
            let packed = scaled_values(shape.batch * time * 3 * width, 3, 1.0);
            let clean = forward(&packed, shape);
            for (at, part, bad) in [
                (0, 2, f32::NAN),
                (time / 2, 2, f32::INFINITY),
                (time - 1, 2, f32::NAN),
                (time / 2, 1, f32::NAN),
                (time - 1, 0, f32::NAN),
            ] {
                let mut spoiled = packed.clone();
                // Channel 6: the second one of the second head.
                spoiled[(3 * at + part) * width + 6] = bad;
                let found = forward(&spoiled, shape);
                for (index, (found, clean)) in found.iter().zip(&clean).enumerate() {
                    let (token, channel) = (index / width % time, index % width);
                    let sequence = index / width / time;
                    let seen = if part == 0 { token == at } else { token >= at };
                    let channels = if part == 2 { 6..7 } else { 5..10 };
                    if sequence == 0 && seen && channels.contains(&channel) {
                        assert!(found.is_nan(), "{precision:?} {time} {at} {part}: {found}");
                    } else {
                        assert_eq!(found, clean, "{precision:?} {time} {at} {part}");
                    }
                }
            }
        }
    }
}
