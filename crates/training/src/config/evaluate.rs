//! The table `[train.evaluate]`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use model::problem::Checks;
use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::RunConfig;
use super::train::{MOST_PER_STEP, MOST_STEPS};

/// Names that the run's own splits have in metrics and charts.
const OWN_NAMES: [&str; 3] = ["train", "validation", "evaluation"];

/// Evaluation during training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EvaluateConfig {
    /// Steps from one evaluation to the next; the last step is always evaluated.
    pub every: u64,
    /// How many batches of each split an evaluation reads.
    pub batches: EvaluationBatches,
    /// Which windows of a split it reads.
    pub windows: EvaluationWindows,
    /// Further data folders by their names. The validation split of each is evaluated like that of the
    /// training data.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub sets: BTreeMap<String, PathBuf>,
    /// The text sample written after each evaluation.
    pub sample: SampleConfig,
}

impl Default for EvaluateConfig {
    /// 200 batches of each split after every 500 steps, always the same ones.
    fn default() -> Self {
        Self {
            every: 500,
            batches: EvaluationBatches::Number(200),
            windows: EvaluationWindows::Fixed,
            sets: BTreeMap::new(),
            sample: SampleConfig::default(),
        }
    }
}

impl EvaluateConfig {
    pub(super) fn check(&self, checks: &mut Checks) {
        checks.range("every", self.every, 1..=MOST_STEPS);
        if let EvaluationBatches::Number(batches) = self.batches {
            checks.range("batches", batches, 1..=MOST_STEPS);
        }
        let is_random = self.windows == EvaluationWindows::Random;
        checks.ensure(
            !is_random || self.batches != EvaluationBatches::All,
            "windows",
            "random",
            "expected \"fixed\" where `batches` is \"all\": all windows are no random ones",
        );
        for name in self.sets.keys() {
            let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_".contains(letter);
            checks.ensure(
                !name.is_empty() && name.chars().all(is_plain),
                "sets",
                format!("the name {name:?}"),
                "expected names of letters, digits, `-` and `_`",
            );
            checks.ensure(
                !OWN_NAMES.contains(&name.as_str()),
                "sets",
                format!("the name {name:?}"),
                "expected another name: the run's own splits have that one in metrics and charts",
            );
        }
        let tokens = self.sample.tokens;
        checks.range("sample.tokens", tokens, 0..=MOST_PER_STEP);
    }
}

/// How much of a text evaluations read. Losses are measured alike where it is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EvaluatedPart {
    /// So many windows of a length, or all where the text has fewer.
    Windows {
        /// How many.
        count: u64,
        /// Their length in tokens.
        length: usize,
        /// Which ones.
        choice: EvaluationWindows,
    },
    /// All of it.
    All,
}

impl EvaluatedPart {
    /// What the evaluations of a run read.
    pub(crate) fn of(config: &RunConfig) -> Self {
        let evaluate = &config.train.evaluate;
        match evaluate.batches {
            EvaluationBatches::Number(batches) => Self::Windows {
                count: batches.saturating_mul(config.train.batch as u64),
                length: config.model.context,
                choice: evaluate.windows,
            },
            EvaluationBatches::All => Self::All,
        }
    }

    /// The same for a text of so many tokens, if that is known: fixed windows read all of a text that has
    /// fewer.
    pub(crate) fn of_text(config: &RunConfig, tokens: Option<u64>) -> Self {
        match (Self::of(config), tokens) {
            (
                Self::Windows {
                    count,
                    length,
                    choice: EvaluationWindows::Fixed,
                },
                Some(tokens),
            ) if count > whole_windows(tokens, length) => Self::All,
            (part, _) => part,
        }
    }
}

/// The windows of a length that a text of so many tokens has. The first token is not predicted.
pub(crate) fn whole_windows(tokens: u64, length: usize) -> u64 {
    tokens.saturating_sub(1) / length.max(1) as u64
}

impl fmt::Display for EvaluatedPart {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Windows {
                count,
                length,
                choice,
            } => {
                let choice = match choice {
                    EvaluationWindows::Fixed => "fixed",
                    EvaluationWindows::Random => "random",
                };
                write!(formatter, "{count} {choice} windows of {length} tokens")
            }
            Self::All => formatter.write_str("the whole text"),
        }
    }
}

/// How many batches of each split an evaluation reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EvaluationBatches {
    /// This many; all of a split that has fewer windows.
    Number(u64),
    /// The whole validation split, and as many windows of the training split as it has.
    All,
}

/// The word for [`EvaluationBatches::All`].
const ALL: &str = "all";

impl Serialize for EvaluationBatches {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Number(number) => serializer.serialize_u64(*number),
            Self::All => serializer.serialize_str(ALL),
        }
    }
}

impl<'de> Deserialize<'de> for EvaluationBatches {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumberOrAll;
        impl Visitor<'_> for NumberOrAll {
            type Value = EvaluationBatches;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a whole number of at least 1, or \"all\"")
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<EvaluationBatches, E> {
                Ok(EvaluationBatches::Number(number))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<EvaluationBatches, E> {
                let unsigned = u64::try_from(number);
                let wrong = |_| Error::invalid_value(Unexpected::Signed(number), &self);
                Ok(EvaluationBatches::Number(unsigned.map_err(wrong)?))
            }

            fn visit_str<E: Error>(self, word: &str) -> Result<EvaluationBatches, E> {
                match word {
                    ALL => Ok(EvaluationBatches::All),
                    _ => Err(Error::invalid_value(Unexpected::Str(word), &self)),
                }
            }
        }
        deserializer.deserialize_any(NumberOrAll)
    }
}

/// Which windows of a split an evaluation reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EvaluationWindows {
    /// The same ones at every step, in every run on the data: spread evenly over the split.
    #[default]
    Fixed,
    /// Random ones, other ones at each step and for each seed, as in the published runs.
    Random,
}

/// The text sample written after each evaluation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SampleConfig {
    /// Text that the model continues; if empty, the model starts without a prompt.
    pub prompt: String,
    /// Number of tokens to write; 0 for no sample.
    pub tokens: usize,
}

impl Default for SampleConfig {
    /// 64 tokens without a prompt.
    fn default() -> Self {
        Self {
            prompt: String::new(),
            tokens: 64,
        }
    }
}
