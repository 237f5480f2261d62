//! What can be wrong with a configuration value, and the checks that find it.
//!
//! Every table of a configuration, here and in other crates, has a function `check` beside its
//! fields that tells a [`Checks`] which values are possible. Crates that check by attribute were
//! tried. `garde` says "lower than 1", but neither what was found nor what would be accepted, so all
//! messages would be written by hand after all. It knows no range without its end, such as "above 0",
//! and calls a key of a table with a kind `feed_forward[0].hidden`, which no file has.

use std::fmt::{self, Display};
use std::ops::{Bound, Range, RangeBounds, RangeFrom, RangeInclusive};

/// A configuration value that no model can be made from and no training done with.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("`{key}` is {found}: {expected}")]
pub struct ConfigProblem {
    /// The key, with dots between the tables that it stands in.
    pub key: String,
    /// What was found, as it would be written.
    pub found: String,
    /// What would be accepted, and where it matters what to do.
    pub expected: String,
}

impl ConfigProblem {
    /// A problem with the value of `key`.
    pub fn new(key: impl Into<String>, found: impl Display, expected: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            found: found.to_string(),
            expected: expected.into(),
        }
    }
}

/// The largest value that any one dimension may have.
///
/// It is far above every real model. It stops a damaged or hostile configuration from asking for
/// more memory than a machine has.
pub const LARGEST_DIMENSION: usize = 1 << 24;

/// The most experts of a layer.
pub(crate) const MOST_EXPERTS: usize = 4096;

/// Gathers everything that is wrong with the values of a configuration.
///
/// ```
/// use learned_dropout_model::problem::{Checks, above};
/// let mut checks = Checks::default();
/// checks.range("steps", 0_u64, 1..=100);
/// checks.table("optimizer", |checks| {
///     checks.range("epsilon", 0.0, above(0.0));
///     checks.range("weight_decay", f64::NAN, 0.0..);
/// });
/// let problems: Vec<String> = checks.problems().iter().map(ToString::to_string).collect();
/// assert_eq!(problems, [
///     "`steps` is 0: expected a whole number from 1 to 100",
///     "`optimizer.epsilon` is 0: expected a number above 0",
///     "`optimizer.weight_decay` is NaN: expected a finite number of at least 0",
/// ]);
/// ```
#[derive(Debug, Default)]
pub struct Checks {
    /// Keys of the tables around the one that is checked, each with a dot behind it.
    tables: String,
    problems: Vec<ConfigProblem>,
}

impl Checks {
    /// Checks the value of a key against what it may be. A key without a value is right.
    pub fn range<T: Number>(
        &mut self,
        key: &str,
        value: impl Into<Option<T>>,
        allowed: impl Into<Allowed<T>>,
    ) {
        let mut allowed = allowed.into();
        if let Some(value) = value.into().filter(|&value| !allowed.contains(value)) {
            if !value.is_finite() && allowed.noun == T::NOUN {
                allowed.noun = "a finite number";
            }
            self.wrong(key, value, allowed.to_string());
        }
    }

    /// Records the value of a key as wrong, with what is expected in its place.
    pub fn wrong(&mut self, key: &str, found: impl Display, expected: impl Into<String>) {
        let key = format!("{}{key}", self.tables);
        self.problems.push(ConfigProblem::new(key, found, expected));
    }

    /// Records the value of a key as wrong unless `right` is true.
    pub fn ensure(
        &mut self,
        right: bool,
        key: &str,
        found: impl Display,
        expected: impl Into<String>,
    ) {
        if !right {
            self.wrong(key, found, expected);
        }
    }

    /// Checks the values of a table in this one.
    pub fn table(&mut self, key: &str, check: impl FnOnce(&mut Self)) {
        let length = self.tables.len();
        self.tables += key;
        self.tables.push('.');
        check(self);
        self.tables.truncate(length);
    }

    /// What is wrong so far.
    pub fn problems(&self) -> &[ConfigProblem] {
        &self.problems
    }

    /// Nothing, if nothing is wrong.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub fn finish(self) -> Result<(), Vec<ConfigProblem>> {
        if self.problems.is_empty() {
            Ok(())
        } else {
            Err(self.problems)
        }
    }
}

/// The values that a key may have, and the words for them.
///
/// Made from a range (`1..=8`, `0.0..1.0`, `0.0..`) or by [`above`].
///
/// ```
/// use learned_dropout_model::problem::{Allowed, above};
/// let share = above(0.0).up_to(1.0).called("a share").advice("leave it out for none");
/// assert_eq!(
///     share.to_string(),
///     "expected a share above 0 and at most 1; leave it out for none"
/// );
/// let rate = Allowed::from(0.0..1.0).called("a rate");
/// assert_eq!(rate.to_string(), "expected a rate of at least 0 and below 1");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Allowed<T> {
    least: Bound<T>,
    most: Bound<T>,
    noun: &'static str,
    advice: &'static str,
}

/// Numbers above a bound, without the bound itself.
pub fn above(bound: f64) -> Allowed<f64> {
    Allowed::new(Bound::Excluded(bound), Bound::Unbounded)
}

impl<T: Number> Allowed<T> {
    fn new(least: Bound<T>, most: Bound<T>) -> Self {
        Self {
            least,
            most,
            noun: T::NOUN,
            advice: "",
        }
    }

    /// Only those of at most `most`.
    pub fn up_to(mut self, most: T) -> Self {
        self.most = Bound::Included(most);
        self
    }

    /// Only those below `bound`.
    pub fn below(mut self, bound: T) -> Self {
        self.most = Bound::Excluded(bound);
        self
    }

    /// What messages call such a value, with its article, in place of "a number".
    pub fn called(mut self, noun: &'static str) -> Self {
        self.noun = noun;
        self
    }

    /// What messages say at their end: what to do, or what is usual.
    pub fn advice(mut self, advice: &'static str) -> Self {
        self.advice = advice;
        self
    }

    fn contains(&self, value: T) -> bool {
        value.is_finite() && (self.least, self.most).contains(&value)
    }
}

impl<T: Number> From<RangeInclusive<T>> for Allowed<T> {
    fn from(range: RangeInclusive<T>) -> Self {
        let (least, most) = range.into_inner();
        Self::new(Bound::Included(least), Bound::Included(most))
    }
}

impl<T: Number> From<Range<T>> for Allowed<T> {
    fn from(range: Range<T>) -> Self {
        Self::new(Bound::Included(range.start), Bound::Excluded(range.end))
    }
}

impl<T: Number> From<RangeFrom<T>> for Allowed<T> {
    fn from(range: RangeFrom<T>) -> Self {
        Self::new(Bound::Included(range.start), Bound::Unbounded)
    }
}

impl<T: Number> Display for Allowed<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "expected {}", self.noun)?;
        let least = match (self.least, self.most) {
            (Bound::Included(least), Bound::Included(most)) => {
                Some(format!("from {} to {}", least.words(), most.words()))
            }
            (Bound::Included(least), _) => Some(format!("of at least {}", least.words())),
            (Bound::Excluded(bound), _) => Some(format!("above {}", bound.words())),
            (Bound::Unbounded, _) => None,
        };
        let most = match (self.least, self.most) {
            (Bound::Included(_), Bound::Included(_)) | (_, Bound::Unbounded) => None,
            (_, Bound::Included(most)) => Some(format!("at most {}", most.words())),
            (_, Bound::Excluded(bound)) => Some(format!("below {}", bound.words())),
        };
        let bounds: Vec<String> = least.into_iter().chain(most).collect();
        write!(formatter, " {}", bounds.join(" and "))?;
        match self.advice {
            "" => Ok(()),
            advice => write!(formatter, "; {advice}"),
        }
    }
}

/// A type of numbers in a configuration.
pub trait Number: Copy + Display + PartialOrd {
    /// What messages call such a value.
    const NOUN: &'static str;

    /// Whether it is a number that can be calculated with.
    fn is_finite(self) -> bool {
        true
    }

    /// What messages call this value as a bound.
    fn words(self) -> String {
        self.to_string()
    }
}

macro_rules! whole_numbers {
    ($($type:ty),*) => {
        $(impl Number for $type {
            const NOUN: &'static str = "a whole number";
        })*
    };
}

whole_numbers!(u16, u32, u64, usize);

impl Number for f64 {
    const NOUN: &'static str = "a number";

    fn is_finite(self) -> bool {
        self.is_finite()
    }

    fn words(self) -> String {
        if self == std::f64::consts::PI {
            "π (3.14159…)".into()
        } else {
            self.to_string()
        }
    }
}
