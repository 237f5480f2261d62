//! The output layer with its loss against its definition in f64, with bounds that follow from the
//! rounding of operands.

use learned_dropout_kernels::cross_entropy::{Shape, linear_cross_entropy, token_losses};
use learned_dropout_kernels::product::Precision;
use proptest::prelude::*;

mod common;
use common::bounded::{BF16, Bounded, assert_bounded, product, softmax};
use common::{TOLERANCE, assert_close, at_every_level, cases, on_any_threads, values};

/// A layer in f64.
struct Naive<'a> {
    hidden: &'a [f32],
    weight: &'a [f32],
    targets: &'a [u32],
    shape: Shape,
    /// The largest relative error of rounding an operand.
    relative: f64,
}

impl Naive<'_> {
    fn rows(&self, values: &[f32]) -> Vec<Vec<Bounded>> {
        let exact = |&value: &f32| Bounded::new(f64::from(value), 0.0);
        let rows = values.chunks(self.shape.width);
        rows.map(|row| row.iter().map(exact).collect()).collect()
    }

    fn rounded(&self, row: &[Bounded]) -> Vec<Bounded> {
        row.iter()
            .map(|value| value.rounded(self.relative))
            .collect()
    }

    /// The loss, and its gradients with respect to the hidden state and the weight.
    fn losses(&self) -> (Bounded, [Vec<Bounded>; 2]) {
        let Shape { tokens, width, .. } = self.shape;
        let (hidden, weight) = (self.rows(self.hidden), self.rows(self.weight));
        let rounded: Vec<_> = weight.iter().map(|row| self.rounded(row)).collect();
        let mut loss = Bounded::default();
        let mut gradients =
            [self.hidden, self.weight].map(|values| vec![Bounded::default(); values.len()]);
        let mut add = |which: usize, at: usize, term: Bounded| {
            let place: &mut Bounded = &mut gradients[which][at];
            *place = Bounded::new(place.value + term.value, place.error + term.error);
        };
        let scale = Bounded::new(1.0 / tokens as f64, 0.0);
        let minus = Bounded::new(-scale.value, 0.0);
        for (token, hidden) in hidden.iter().enumerate() {
            let target = self.targets[token] as usize;
            let operand = self.rounded(hidden);
            let logits: Vec<Bounded> = rounded
                .iter()
                .map(|row| product(row.iter().zip(&operand)))
                .collect();
            let shares = softmax(&logits, 1.0);
            let worst = logits.iter().map(|logit| logit.error).fold(0.0, f64::max);
            loss.value -= shares[target].value.ln() * scale.value;
            loss.error += 2.0 * worst * scale.value;
            for (word, share) in shares.iter().enumerate() {
                let share = share.rounded(self.relative).times(scale);
                for c in 0..width {
                    add(0, token * width + c, share.times(rounded[word][c]));
                    add(1, word * width + c, share.times(operand[c]));
                }
            }
            for c in 0..width {
                add(0, token * width + c, minus.times(weight[target][c]));
                add(1, target * width + c, minus.times(hidden[c]));
            }
        }
        (loss, gradients)
    }
}

/// Compares losses and gradients in a precision. If `rising`, the logits rise with the words.
fn assert_losses(shape: Shape, rising: bool, rounds: bool) {
    let Shape {
        tokens,
        width,
        vocabulary,
    } = shape;
    let hidden = values(tokens * width, 5);
    let mut weight = values(vocabulary * width, 6);
    if rising {
        // Larger and larger logits, so that earlier sums must be scaled down.
        for (word, row) in weight.chunks_mut(width).enumerate() {
            row.iter_mut()
                .for_each(|value| *value *= word as f32 / 100.0);
        }
    }
    let targets: Vec<u32> = (0..tokens).map(|i| (i * 31 % vocabulary) as u32).collect();
    let (precision, relative) = if rounds {
        (Precision::Bf16, BF16)
    } else {
        (Precision::F32, 0.0)
    };
    let naive = Naive {
        hidden: &hidden,
        weight: &weight,
        targets: &targets,
        shape,
        relative,
    };
    let (expected, expected_gradients) = naive.losses();
    // Logits of a few hundred have a relative error of 1e-5, and so their exponentials one of 1e-3.
    let multiple = if rising { 100.0 } else { 1.0 };
    at_every_level(|_| {
        let (loss, gradients) = on_any_threads(|| {
            let (loss, gradients) =
                linear_cross_entropy(&hidden, &weight, &targets, shape, true, precision);
            let gradients = gradients.expect("gradients were asked for");
            (loss, [gradients.hidden, gradients.weight])
        });
        let (loss_alone, none) =
            linear_cross_entropy(&hidden, &weight, &targets, shape, false, precision);
        assert!(none.is_none());
        assert_bounded(&[loss_alone], &[expected], 1.0, "loss alone");
        assert_bounded(&[loss], &[expected], 1.0, "loss");
        for ((found, expected), what) in gradients
            .iter()
            .zip(&expected_gradients)
            .zip(["hidden state", "weight"])
        {
            assert_bounded(found, expected, multiple, what);
        }
    });
}

/// Tokens in several chunks, words in several blocks, and references that change between them.
#[test]
fn many_tokens_and_many_words() {
    for rounds in [false, true] {
        let shape = Shape {
            tokens: 803,
            width: 2,
            vocabulary: 1_101,
        };
        assert_losses(shape, true, rounds);
    }
}

proptest! {
    #![proptest_config(cases(16))]

    #[test]
    fn losses_and_gradients(
        tokens in 1usize..110, width in 1usize..8, vocabulary in 1usize..1300,
        rising in any::<bool>(), many in any::<bool>(), rounds in any::<bool>(),
    ) {
        // So many tokens that they make several chunks.
        let (tokens, vocabulary) = if many {
            (900 + tokens, vocabulary % 50 + 1)
        } else {
            (tokens, vocabulary)
        };
        assert_losses(Shape { tokens, width, vocabulary }, rising, rounds);
    }
}

proptest! {
    #![proptest_config(cases(12))]

    #[test]
    fn losses_of_tokens(tokens in 1usize..300, width in 1usize..40, vocabulary in 1usize..700) {
        let shape = Shape { tokens, width, vocabulary };
        let (hidden, weight) = (values(tokens * width, 5), values(vocabulary * width, 6));
        let targets: Vec<u32> = (0..tokens).map(|i| (i * 31 % vocabulary) as u32).collect();
        let expected: Vec<f64> = hidden
            .chunks(width)
            .zip(&targets)
            .map(|(hidden, &target)| {
                let product = |row: &[f32]| -> f64 {
                    let terms = row.iter().zip(hidden);
                    terms.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
                };
                let logits: Vec<f64> = weight.chunks(width).map(product).collect();
                let sum: f64 = logits.iter().map(|logit| logit.exp()).sum();
                sum.ln() - logits[target as usize]
            })
            .collect();
        at_every_level(|_| {
            let losses = |precision| {
                on_any_threads(|| token_losses(&hidden, &weight, &targets, shape, precision))
            };
            assert_close(&losses(Precision::F32), &expected, TOLERANCE, "losses");
            for precision in [Precision::F32, Precision::Bf16] {
                let losses = losses(precision);
                assert_eq!(losses.len(), tokens);
                let sum: f64 = losses.iter().map(|&loss| f64::from(loss)).sum();
                let (mean, _) =
                    linear_cross_entropy(&hidden, &weight, &targets, shape, false, precision);
                assert_close(&[mean], &[sum / tokens as f64], 1e-6, "mean");
            }
        });
    }
}
