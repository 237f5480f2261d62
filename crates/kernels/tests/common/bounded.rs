//! Values with bounds on their errors, carried through a computation whose operands are rounded.

use super::{TOLERANCE, assert_within, largest};

/// The largest relative error of rounding to bf16, with its 8 bits of precision.
pub const BF16: f64 = 1.0 / 256.0;

/// A value, and a bound on its absolute error.
#[derive(Clone, Copy, Default)]
pub struct Bounded {
    pub value: f64,
    pub error: f64,
}

impl Bounded {
    pub fn new(value: f64, error: f64) -> Self {
        Self { value, error }
    }

    /// The value after rounding with a relative error of at most `relative`.
    pub fn rounded(self, relative: f64) -> Self {
        let error = (self.value.abs() + self.error) * (1.0 + relative) - self.value.abs();
        Self { error, ..self }
    }

    pub fn times(self, other: Self) -> Self {
        let most = (self.value.abs() + self.error) * (other.value.abs() + other.error);
        let value = self.value * other.value;
        Self::new(value, most - value.abs())
    }

    pub fn minus(self, other: Self) -> Self {
        Self::new(self.value - other.value, self.error + other.error)
    }
}

/// The sum of all terms.
pub fn sum(terms: impl Iterator<Item = Bounded>) -> Bounded {
    terms.fold(Bounded::default(), |sum, term| {
        Bounded::new(sum.value + term.value, sum.error + term.error)
    })
}

/// A row of one operand times a column of the other.
pub fn product<'a>(pairs: impl Iterator<Item = (&'a Bounded, &'a Bounded)>) -> Bounded {
    sum(pairs.map(|(&left, &right)| left.times(right)))
}

/// The softmax of `scale` times the scores. The error of an exponent changes an exponential and the sum
/// by a factor.
pub fn softmax(scores: &[Bounded], scale: f64) -> Vec<Bounded> {
    let most = |value: fn(&Bounded) -> f64| scores.iter().map(value).fold(f64::MIN, f64::max);
    let (largest, worst) = (most(|score| score.value), most(|score| score.error));
    let factor = (2.0 * scale * worst).exp();
    let weights = scores
        .iter()
        .map(|score| (scale * (score.value - largest)).exp());
    let total: f64 = weights.clone().sum();
    weights
        .map(|weight| Bounded::new(weight / total, weight / total * (factor - 1.0)))
        .collect()
}

/// Asserts that values lie within their bounds, widened by a multiple of the tolerance for sums in f32.
#[track_caller]
pub fn assert_bounded<'a>(
    found: &[f32],
    expected: impl IntoIterator<Item = &'a Bounded> + Clone,
    multiple: f64,
    what: &str,
) {
    let values = expected.clone().into_iter().map(|bounded| bounded.value);
    let tolerance = multiple * TOLERANCE * largest(values);
    let expected = expected
        .into_iter()
        .map(|bounded| (bounded.value, bounded.error + tolerance));
    assert_within(found, expected, what);
}
