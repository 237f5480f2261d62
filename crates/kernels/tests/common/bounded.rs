//! Values with bounds of what the rounding of operands makes of them.

/// Errors of f32 sums grow at most with their length, here up to a few hundred terms of 6e-8.
pub const TOLERANCE: f64 = 2e-5;

/// What rounding to bf16, with its 8 bits of precision, changes a value by at most, of itself.
pub const BF16: f64 = 1.0 / 256.0;

/// A value, and how far rounding may take it from there.
#[derive(Clone, Copy, Default)]
pub struct Bounded {
    pub value: f64,
    pub error: f64,
}

impl Bounded {
    pub fn new(value: f64, error: f64) -> Self {
        Self { value, error }
    }

    /// Changed by at most `relative` of itself.
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

/// What exponentials over their sum are at `scale` times the scores: the error of an exponent makes
/// both wrong by a factor.
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

/// Asserts that values lie within their bounds and a multiple of the tolerance.
#[track_caller]
pub fn assert_bounded<'a>(
    found: &[f32],
    expected: impl IntoIterator<Item = &'a Bounded> + Clone,
    multiple: f64,
) {
    let values = expected
        .clone()
        .into_iter()
        .map(|bounded| bounded.value.abs());
    let largest = values.fold(1e-2f64, f64::max);
    let mut count = 0;
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        let error = (f64::from(*found) - expected.value).abs();
        assert!(
            error <= expected.error + multiple * TOLERANCE * largest,
            "element {index}: {found}, expected {} ± {}",
            expected.value,
            expected.error
        );
        count += 1;
    }
    assert_eq!(count, found.len());
}
