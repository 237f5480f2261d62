//! Problems with configuration values, and the checks that find them.
//!
//! Every table of a configuration, here and in other crates, has a function `check` beside its
//! fields that tells a [`Checks`] which values are possible. Crates with check attributes do not fit.
//! `garde`, for example, reports "lower than 1", but neither the value found nor the accepted values, so
//! all messages would still have to be written by hand. It has no open ranges such as "above 0", and it
//! calls a key of a table with a kind `feed_forward[0].hidden`, which appears in no file.

use std::fmt::{self, Display};
use std::ops::{Bound, Range, RangeBounds, RangeFrom, RangeInclusive};

/// A configuration value that is not valid.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("`{key}` is {found}: {expected}")]
pub struct ConfigProblem {
    /// The path of the key: tables and key, separated by dots.
    pub key: String,
    /// The value found, as written in a configuration.
    pub found: String,
    /// The accepted values and, where useful, what to do.
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

/// The largest allowed value of a dimension.
///
/// It is far above the dimensions of real models. It prevents a damaged or malicious configuration from
/// allocating more memory than a machine has.
pub const LARGEST_DIMENSION: usize = 1 << 24;

/// The most experts of a layer.
pub(crate) const MOST_EXPERTS: usize = 4096;

/// Checks the values of a configuration and collects all problems.
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
    /// The path of the table that is being checked, with a dot after each key.
    tables: String,
    problems: Vec<ConfigProblem>,
}

impl Checks {
    /// Records a problem if the value of a key is not allowed. A missing value is allowed.
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

    /// Records a problem with the value of a key; `expected` says which values are accepted.
    pub fn wrong(&mut self, key: &str, found: impl Display, expected: impl Into<String>) {
        let key = format!("{}{key}", self.tables);
        self.problems.push(ConfigProblem::new(key, found, expected));
    }

    /// Records a problem with the value of a key unless the same one was recorded.
    pub(crate) fn wrong_once(&mut self, key: &str, found: &str, expected: &str) {
        let problem = ConfigProblem::new(format!("{}{key}", self.tables), found, expected);
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    /// Records a problem with the value of a key unless `right` is true.
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

    /// Checks the values of an inner table.
    pub fn table(&mut self, key: &str, check: impl FnOnce(&mut Self)) {
        let length = self.tables.len();
        self.tables += key;
        self.tables.push('.');
        check(self);
        self.tables.truncate(length);
    }

    /// The problems found so far.
    pub fn problems(&self) -> &[ConfigProblem] {
        &self.problems
    }

    /// Ends the checks.
    ///
    /// # Errors
    /// All problems, if there are any.
    pub fn finish(self) -> Result<(), Vec<ConfigProblem>> {
        if self.problems.is_empty() {
            Ok(())
        } else {
            Err(self.problems)
        }
    }
}

/// The values that a key may have, and how messages describe them.
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

/// Numbers above a bound, excluding the bound.
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

    /// Adds an upper bound, including the bound.
    pub fn up_to(mut self, most: T) -> Self {
        self.most = Bound::Included(most);
        self
    }

    /// Adds an upper bound, excluding the bound.
    pub fn below(mut self, bound: T) -> Self {
        self.most = Bound::Excluded(bound);
        self
    }

    /// Sets what messages call such a value, with its article, instead of "a number".
    pub fn called(mut self, noun: &'static str) -> Self {
        self.noun = noun;
        self
    }

    /// Sets advice for the end of messages: what to do, or a usual value.
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

    /// Whether it is neither infinite nor NaN.
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
