//! What losses were measured on. Losses per token can be compared only if they are of the same tokens: another
//! text is harder or easier, another tokenizer cuts it into other tokens, and other windows show other parts of
//! it, with more or less before each token.

use std::path::PathBuf;

use super::arm::Arm;
use super::run_record::RunRecord;
use crate::config::EvaluatedPart;
use crate::run_data;

/// A loss of an evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Measured<'a> {
    /// On the training split.
    Train,
    /// On the batches of training steps.
    TrainingBatches,
    /// On the validation split.
    Validation,
    /// On one of `train.evaluate.sets`.
    Set(&'a str),
}

/// In what respect losses were not measured alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Difference {
    /// On different texts, or on the same one in the tokens of different tokenizers.
    Text,
    /// On different windows of the same text.
    Windows,
}

impl Difference {
    /// Why the losses cannot be compared, as the end of a sentence.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::Text => "were measured on different texts, or with different tokenizers",
            Self::Windows => "were measured on different windows of the text",
        }
    }

    /// The heading of a chart of such losses.
    pub(super) fn heading(self, title: &str) -> String {
        let what = match self {
            Self::Text => "texts",
            Self::Windows => "windows",
        };
        format!("{title} (measured on different {what}: not comparable)")
    }
}

/// What a run's loss was measured on.
#[derive(Clone, Debug)]
pub(super) struct MeasuredOn {
    /// Which part of the text.
    pub(super) part: EvaluatedPart,
    /// The data folder as the run's configuration names it.
    pub(super) named: PathBuf,
    /// The data folder, where it is found.
    folder: PathBuf,
    vocabulary: Option<usize>,
    /// That of the tokens; older runs did not record it.
    fingerprint: Option<String>,
}

impl MeasuredOn {
    /// What a loss of a run was measured on; none if the run does not measure it.
    pub(super) fn of(run: &RunRecord, loss: Measured<'_>) -> Option<Self> {
        let named = match loss {
            Measured::Train | Measured::TrainingBatches | Measured::Validation => {
                &run.config.data.path
            }
            Measured::Set(name) => run.config.train.evaluate.sets.get(name)?,
        };
        let text = run.data.as_ref().and_then(|data| match loss {
            Measured::Train | Measured::TrainingBatches => Some(&data.train),
            Measured::Validation => Some(&data.validation),
            Measured::Set(name) => data.sets.get(name),
        });
        // A run may have come from another experiment, whose folder had the same text.
        let prepared_in = run.prepared_in.clone();
        let prepared_in = prepared_in.filter(|_| !matches!(loss, Measured::Set(_)));
        let found = prepared_in.unwrap_or_else(|| run_data::find(&run.folder, named));
        Some(Self {
            part: match loss {
                Measured::TrainingBatches => EvaluatedPart::All,
                Measured::Train => EvaluatedPart::of(&run.config),
                Measured::Validation | Measured::Set(_) => {
                    EvaluatedPart::of_text(&run.config, text.map(|text| text.tokens))
                }
            },
            named: named.clone(),
            folder: found.canonicalize().unwrap_or(found),
            vocabulary: run.config.model.vocabulary,
            fingerprint: text.map(|text| text.fingerprint.clone()),
        })
    }

    /// In what respect the two differ; none if losses can be compared.
    pub(super) fn difference(&self, other: &Self) -> Option<Difference> {
        let is_same_text = match (&self.fingerprint, &other.fingerprint) {
            (Some(own), Some(other)) => own == other,
            // A folder has one tokenizer, but may have been made anew.
            _ => self.folder == other.folder && self.vocabulary == other.vocabulary,
        };
        match is_same_text {
            false => Some(Difference::Text),
            true => (self.part != other.part).then_some(Difference::Windows),
        }
    }
}

/// In what respect two losses that one of these were measured on differ most; none if all can be compared.
fn difference(all: &[MeasuredOn]) -> Option<Difference> {
    let pairs = all.iter().enumerate();
    let pairs = pairs.flat_map(|(at, left)| all[at + 1..].iter().map(move |right| (left, right)));
    let found: Vec<Difference> = pairs
        .filter_map(|(left, right)| left.difference(right))
        .collect();
    let is_text = |of: &&Difference| **of == Difference::Text;
    found.iter().find(is_text).or(found.first()).copied()
}

/// What the losses of these runs were measured on: each only once.
fn distinct<'a>(runs: impl Iterator<Item = &'a RunRecord>, loss: Measured<'_>) -> Vec<MeasuredOn> {
    let mut distinct: Vec<MeasuredOn> = Vec::new();
    for on in runs.filter_map(|run| MeasuredOn::of(run, loss)) {
        let is_same = |known: &MeasuredOn| {
            known.difference(&on).is_none() && known.fingerprint == on.fingerprint
        };
        if !distinct.iter().any(is_same) {
            distinct.push(on);
        }
    }
    distinct
}

/// In what respect the losses of these arms were not measured alike; none if they can be compared.
pub(super) fn difference_of_arms<'a>(
    arms: impl Iterator<Item = &'a Arm>,
    loss: Measured<'_>,
) -> Option<Difference> {
    difference(&distinct(arms.flat_map(Arm::shown), loss))
}

/// The arms in groups whose losses can be compared, in the order of their first arms.
pub(super) fn groups<'a>(arms: &[&'a Arm], loss: Measured<'_>) -> Vec<Vec<&'a Arm>> {
    let mut groups: Vec<(Vec<&Arm>, Vec<MeasuredOn>)> = Vec::new();
    for &arm in arms {
        let own = distinct(arm.shown(), loss);
        let is_alike = |(_, on): &&mut (Vec<&Arm>, Vec<MeasuredOn>)| {
            difference(&[on.as_slice(), &own].concat()).is_none()
        };
        match groups.iter_mut().find(is_alike) {
            Some((group, on)) => {
                group.push(arm);
                on.extend(own);
            }
            None => groups.push((vec![arm], own)),
        }
    }
    groups.into_iter().map(|(arms, _)| arms).collect()
}
