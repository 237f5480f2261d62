//! What can be wrong with a configuration value, and the checks that find it.

use std::fmt::Display;

/// A configuration value that no model can be made from.
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

/// Checks of values under one key.
pub(crate) struct Checks<'a> {
    key: &'a str,
    problems: &'a mut Vec<ConfigProblem>,
}

impl<'a> Checks<'a> {
    pub(crate) fn new(key: &'a str, problems: &'a mut Vec<ConfigProblem>) -> Self {
        Self { key, problems }
    }

    pub(crate) fn whole(&mut self, name: &str, value: usize, least: usize, most: usize) {
        if !(least..=most).contains(&value) {
            let expected = format!("expected a whole number from {least} to {most}");
            self.wrong(name, value, expected);
        }
    }

    pub(crate) fn not_negative(&mut self, name: &str, value: f64) {
        if !(value >= 0.0 && value.is_finite()) {
            self.wrong(name, value, "expected a finite number of at least 0");
        }
    }

    pub(crate) fn positive(&mut self, name: &str, value: f64) {
        if !(value > 0.0 && value.is_finite()) {
            self.wrong(name, value, "expected a finite number above 0");
        }
    }

    pub(crate) fn wrong(&mut self, name: &str, value: impl Display, expected: impl Into<String>) {
        let key = format!("{}.{name}", self.key);
        self.problems.push(ConfigProblem::new(key, value, expected));
    }
}
