//! The outline of an experiment's report, stored in the experiment's folder.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::data_choice::A_FOLDER;
use super::measurements::{MaskPlan, Plans, SpeedPlan, ThresholdPlan};
use super::outline_check::check;

/// File name of the outline in an experiment's folder.
pub const OUTLINE_FILE: &str = "experiment.json";

/// The largest outline that is read, in bytes: a limit far above real files.
const LARGEST_OUTLINE: u64 = 16 << 20;

/// Why an outline cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum OutlineError {
    /// The operating system refused.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The file is not an outline.
    #[error("{path}: not the outline of an experiment ({reason}); run `ldrop experiment` again")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The damage.
        reason: String,
    },
}

/// The subject and the layout of an experiment's report.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Outline {
    /// The title of the experiment.
    pub title: String,
    /// Its description in plain text; an empty line separates paragraphs.
    pub description: String,
    /// The path of the experiment file, as it was given.
    pub file: PathBuf,
    /// The preparation of the data, in words; empty if it is not part of the experiment.
    pub preparation: String,
    /// The seeds of every arm.
    pub seeds: Vec<u64>,
    /// The arms, in the order of the file.
    pub arms: Vec<ArmOutline>,
    /// The charts; the default ones if empty.
    pub charts: Vec<Chart>,
    /// The tables; one with all columns if empty.
    pub tables: Vec<Table>,
    /// Measurements of speed; none if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub speed: Option<SpeedPlan>,
    /// Measurements with small inputs taken as 0; none if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<ThresholdPlan>,
    /// Analyses of masks; none if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub masks: Option<MaskPlan>,
    /// Whether settings are searched for before the runs; [`SearchRecord`](super::SearchRecord) has the
    /// outcome.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub search: bool,
}

/// An arm of an experiment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ArmOutline {
    /// Its short name, which is also the name of its folder.
    pub name: String,
    /// Its name in tables and charts.
    pub label: String,
    /// Published numbers of the same arm.
    pub published: Published,
}

/// Published numbers to compare with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Published {
    /// Training loss, in nats per token.
    pub train: Option<f64>,
    /// Validation loss, in nats per token.
    pub validation: Option<f64>,
    /// Share of ones in the rounded masks, from 0 to 1.
    pub kept: Option<f64>,
}

/// A chart of the report.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Chart {
    /// Its kind.
    pub kind: ChartKind,
    /// Its heading; that of its kind if absent.
    pub title: Option<String>,
    /// Names of the arms that it shows; all if empty.
    pub arms: Vec<String>,
}

/// The kinds of charts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChartKind {
    /// Validation and training loss of the evaluations against steps.
    Loss,
    /// Validation loss of the evaluations against steps.
    #[default]
    ValidationLoss,
    /// Training loss of the evaluations against steps.
    TrainLoss,
    /// Loss of the batches of training steps against steps.
    StepLoss,
    /// Learning rate against steps.
    LearningRate,
    /// Norm of the gradient against steps.
    GradientNorm,
    /// Speed of training against steps.
    Throughput,
    /// Share of ones in the rounded masks against steps, on the validation split.
    Kept,
    /// Share of ones at the end of training, layer by layer.
    KeptByLayer,
    /// Share of ones of the trained model at each position of a window.
    KeptByPosition,
    /// Validation loss at the end of training against executed FLOPs of the forward pass per token.
    LossAgainstFlops,
    /// Validation loss at the end of training against training speed.
    LossAgainstSpeed,
    /// Validation loss at the end of training against the speed of decoding.
    LossAgainstDecodeSpeed,
    /// Validation loss at the end of training against the speed of reading a prompt.
    LossAgainstPrefillSpeed,
    /// The settings that were searched. The page of a report has it without being asked for.
    Search,
}

impl ChartKind {
    /// All kinds.
    pub const ALL: [Self; 15] = [
        Self::Loss,
        Self::ValidationLoss,
        Self::TrainLoss,
        Self::StepLoss,
        Self::LearningRate,
        Self::GradientNorm,
        Self::Throughput,
        Self::Kept,
        Self::KeptByLayer,
        Self::KeptByPosition,
        Self::LossAgainstFlops,
        Self::LossAgainstSpeed,
        Self::LossAgainstDecodeSpeed,
        Self::LossAgainstPrefillSpeed,
        Self::Search,
    ];

    /// Its name in experiment files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Loss => "loss",
            Self::ValidationLoss => "validation-loss",
            Self::TrainLoss => "train-loss",
            Self::StepLoss => "step-loss",
            Self::LearningRate => "learning-rate",
            Self::GradientNorm => "gradient-norm",
            Self::Throughput => "throughput",
            Self::Kept => "kept",
            Self::KeptByLayer => "kept-by-layer",
            Self::KeptByPosition => "kept-by-position",
            Self::LossAgainstFlops => "loss-against-flops",
            Self::LossAgainstSpeed => "loss-against-speed",
            Self::LossAgainstDecodeSpeed => "loss-against-decode-speed",
            Self::LossAgainstPrefillSpeed => "loss-against-prefill-speed",
            Self::Search => "search",
        }
    }
}

/// A table of the report, with a row for each arm.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Table {
    /// Its heading; "Results" if absent.
    pub title: Option<String>,
    /// Names of the arms that it shows; all if empty.
    pub arms: Vec<String>,
    /// Its columns; if empty, all columns with known values.
    pub columns: Vec<Column>,
    /// The target of [`Column::StepsToTarget`]: a validation loss in nats per token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<f64>,
}

/// A column of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Column {
    /// Number of finished runs, and of all.
    Runs,
    /// Training loss of the last evaluation.
    TrainLoss,
    /// The published training loss.
    PublishedTrainLoss,
    /// Validation loss of the last evaluation.
    ValidationLoss,
    /// The published validation loss.
    PublishedValidationLoss,
    /// Difference of the validation loss from that of the first arm with the same seed, the mean over
    /// the seeds.
    ValidationLossDifference,
    /// Lowest validation loss of all evaluations.
    LowestValidationLoss,
    /// The first evaluated step with a validation loss of at most the table's target.
    StepsToTarget,
    /// Share of ones in the rounded masks at the last evaluation.
    Kept,
    /// Share of hidden units that masks keep at the last evaluation, the mean over all units.
    KeptHiddenUnits,
    /// Share of attention heads that masks keep at the last evaluation.
    KeptHeads,
    /// Share of the kept hidden units that are not 0 at the last evaluation.
    NonzeroUnits,
    /// The published share.
    PublishedKept,
    /// Parameters without the positional embedding.
    Parameters,
    /// Operations of the forward pass per token, if everything is computed.
    ForwardFlops,
    /// Operations of the forward pass per token without those that the last evaluation did not use.
    ExecutedFlops,
    /// Operations of the forward pass per token that compute the masks.
    MaskFlops,
    /// Tokens trained on.
    Tokens,
    /// Training speed.
    TokensPerSecond,
    /// Speed of decoding without dropped values.
    DecodeSpeed,
    /// Speed of decoding if everything is computed.
    DenseDecodeSpeed,
    /// Ratio of the two speeds of decoding.
    DecodeSpeedUp,
    /// Ratio of the speed of decoding to that of the first arm's model with the same seed.
    DecodeSpeedUpOverFirst,
    /// Speed of reading a prompt without dropped values.
    PrefillSpeed,
    /// Speed of reading a prompt if everything is computed.
    DensePrefillSpeed,
    /// Ratio of the two speeds of reading a prompt.
    PrefillSpeedUp,
    /// Ratio of the speed of reading a prompt to that of the first arm's model with the same seed.
    PrefillSpeedUpOverFirst,
}

impl Column {
    /// All columns, in their usual order.
    pub const ALL: [Self; 27] = [
        Self::Runs,
        Self::TrainLoss,
        Self::PublishedTrainLoss,
        Self::ValidationLoss,
        Self::PublishedValidationLoss,
        Self::ValidationLossDifference,
        Self::LowestValidationLoss,
        Self::StepsToTarget,
        Self::Kept,
        Self::KeptHiddenUnits,
        Self::KeptHeads,
        Self::NonzeroUnits,
        Self::PublishedKept,
        Self::Parameters,
        Self::ForwardFlops,
        Self::ExecutedFlops,
        Self::MaskFlops,
        Self::Tokens,
        Self::TokensPerSecond,
        Self::DecodeSpeed,
        Self::DenseDecodeSpeed,
        Self::DecodeSpeedUp,
        Self::DecodeSpeedUpOverFirst,
        Self::PrefillSpeed,
        Self::DensePrefillSpeed,
        Self::PrefillSpeedUp,
        Self::PrefillSpeedUpOverFirst,
    ];
}

impl Outline {
    /// Writes the outline into an experiment's folder, whole or not at all.
    ///
    /// # Errors
    /// What the operating system reports.
    pub fn write(&self, folder: &Path) -> Result<(), OutlineError> {
        let path = folder.join(OUTLINE_FILE);
        let text = serde_json::to_string_pretty(self).expect("strings and numbers serialize");
        model::files::write_atomically(&path, (text + "\n").as_bytes())
            .map_err(|source| OutlineError::File { path, source })
    }

    /// Reads the outline of an experiment's folder; none if there is no such file.
    ///
    /// # Errors
    /// The file cannot be read or is damaged.
    pub fn read(folder: &Path) -> Result<Option<Self>, OutlineError> {
        let path = folder.join(OUTLINE_FILE);
        match model::files::read_at_most(&path, LARGEST_OUTLINE) {
            Ok(bytes) => {
                let outline = serde_json::from_slice(&bytes).map_err(|error| error.to_string());
                match outline.and_then(|outline| check(&outline).map(|()| outline)) {
                    Ok(outline) => Ok(Some(outline)),
                    Err(reason) => Err(OutlineError::Damaged { path, reason }),
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(OutlineError::File { path, source }),
        }
    }

    /// The planned measurements of the trained models.
    pub fn plans(&self) -> Plans<'_> {
        Plans {
            speed: self.speed.as_ref(),
            threshold: self.threshold.as_ref(),
            masks: self.masks.as_ref(),
        }
    }

    /// Whether all runs read the text that the experiment prepares in its own folder.
    pub(crate) fn prepares_text(&self) -> bool {
        !self.preparation.is_empty() && !self.preparation.starts_with(A_FOLDER)
    }

    /// The arm with this name.
    pub fn arm(&self, name: &str) -> Option<&ArmOutline> {
        self.arms.iter().find(|arm| arm.name == name)
    }
}
