//! What an experiment's report needs to know beside its runs; kept in the experiment's folder.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::measurements::{MaskPlan, Plans, SpeedPlan, ThresholdPlan};

/// File name of the outline in an experiment's folder.
pub const OUTLINE_FILE: &str = "experiment.json";

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
    /// It is not an outline.
    #[error("{path}: not the outline of an experiment ({reason}); run `ldrop experiment` again")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

/// What an experiment's report is about, and how it shows it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Outline {
    /// What the experiment is called.
    pub title: String,
    /// What it is for, in plain text; an empty line divides paragraphs.
    pub description: String,
    /// The experiment file, as it was named.
    pub file: PathBuf,
    /// How the data is prepared, in words; empty if it is not part of the experiment.
    pub preparation: String,
    /// The seeds of every arm.
    pub seeds: Vec<u64>,
    /// The arms, in the order of the file.
    pub arms: Vec<ArmOutline>,
    /// The charts; where there are none, the report's default ones.
    pub charts: Vec<Chart>,
    /// The tables; where there are none, one of everything.
    pub tables: Vec<Table>,
    /// How fast the trained models run; not measured where left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub speed: Option<SpeedPlan>,
    /// Small inputs of trained models that are taken as 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<ThresholdPlan>,
    /// What the masks of the trained models do; not looked at where left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub masks: Option<MaskPlan>,
}

/// An arm of an experiment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ArmOutline {
    /// Its short name, which is also that of its folder.
    pub name: String,
    /// What tables and charts call it.
    pub label: String,
    /// Numbers that were published about the same arm elsewhere.
    pub published: Published,
}

/// Numbers that were published elsewhere, to compare with.
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
    /// What it shows.
    pub kind: ChartKind,
    /// Its heading; that of its kind where left out.
    pub title: Option<String>,
    /// Names of the arms that it shows; all where empty.
    pub arms: Vec<String>,
}

/// What a chart shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChartKind {
    /// Validation loss of the evaluations against steps.
    #[default]
    ValidationLoss,
    /// Training loss of the evaluations against steps.
    TrainLoss,
    /// Loss of the training steps' own batches against steps.
    StepLoss,
    /// Share of ones in the rounded masks against steps, on the validation split.
    Kept,
    /// The same at the end of training, layer by layer.
    KeptByLayer,
    /// The same of the trained model at each place of a window.
    KeptByPosition,
    /// Validation loss at the end of training against executed FLOPs of the forward pass per token.
    LossAgainstFlops,
    /// Validation loss at the end of training against training speed.
    LossAgainstSpeed,
    /// Validation loss at the end of training against the speed of writing token by token.
    LossAgainstDecodeSpeed,
    /// Validation loss at the end of training against the speed of reading a prompt.
    LossAgainstPrefillSpeed,
}

impl ChartKind {
    /// All kinds.
    pub const ALL: [Self; 10] = [
        Self::ValidationLoss,
        Self::TrainLoss,
        Self::StepLoss,
        Self::Kept,
        Self::KeptByLayer,
        Self::KeptByPosition,
        Self::LossAgainstFlops,
        Self::LossAgainstSpeed,
        Self::LossAgainstDecodeSpeed,
        Self::LossAgainstPrefillSpeed,
    ];

    /// Its name in experiment files.
    pub fn name(self) -> &'static str {
        match self {
            Self::ValidationLoss => "validation-loss",
            Self::TrainLoss => "train-loss",
            Self::StepLoss => "step-loss",
            Self::Kept => "kept",
            Self::KeptByLayer => "kept-by-layer",
            Self::KeptByPosition => "kept-by-position",
            Self::LossAgainstFlops => "loss-against-flops",
            Self::LossAgainstSpeed => "loss-against-speed",
            Self::LossAgainstDecodeSpeed => "loss-against-decode-speed",
            Self::LossAgainstPrefillSpeed => "loss-against-prefill-speed",
        }
    }
}

/// A table of the report, with a row for each arm.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Table {
    /// Its heading; "Results" where left out.
    pub title: Option<String>,
    /// Names of the arms that it shows; all where empty.
    pub arms: Vec<String>,
    /// Its columns; where empty, all of which something is known.
    pub columns: Vec<Column>,
    /// The validation loss that [`Column::StepsToTarget`] waits for, in nats per token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<f64>,
}

/// A column of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Column {
    /// Finished runs, of all.
    Runs,
    /// Training loss of the last evaluation.
    TrainLoss,
    /// The published training loss.
    PublishedTrainLoss,
    /// Validation loss of the last evaluation.
    ValidationLoss,
    /// The published validation loss.
    PublishedValidationLoss,
    /// The mean over the seeds of its difference from that of the first arm with the same seed.
    ValidationLossDifference,
    /// Lowest validation loss of all evaluations.
    LowestValidationLoss,
    /// The first evaluated step with a validation loss of at most the table's target.
    StepsToTarget,
    /// Share of ones in the rounded masks at the last evaluation.
    Kept,
    /// The published share.
    PublishedKept,
    /// Parameters without the positional embedding.
    Parameters,
    /// Operations of the forward pass per token, if everything is computed.
    ForwardFlops,
    /// Those that are left when what was not used at the last evaluation is not computed.
    ExecutedFlops,
    /// Those that make the masks.
    MaskFlops,
    /// Tokens trained on.
    Tokens,
    /// Training speed.
    TokensPerSecond,
    /// Speed of writing token by token, without what is dropped.
    DecodeSpeed,
    /// The same where everything is computed.
    DenseDecodeSpeed,
    /// The ratio of the two.
    DecodeSpeedUp,
    /// Speed of reading a prompt, without what is dropped.
    PrefillSpeed,
    /// The same where everything is computed.
    DensePrefillSpeed,
    /// The ratio of the two.
    PrefillSpeedUp,
}

impl Column {
    /// All columns, in their usual order.
    pub const ALL: [Self; 22] = [
        Self::Runs,
        Self::TrainLoss,
        Self::PublishedTrainLoss,
        Self::ValidationLoss,
        Self::PublishedValidationLoss,
        Self::ValidationLossDifference,
        Self::LowestValidationLoss,
        Self::StepsToTarget,
        Self::Kept,
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
        Self::PrefillSpeed,
        Self::DensePrefillSpeed,
        Self::PrefillSpeedUp,
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
        match std::fs::read(&path) {
            Ok(bytes) => match serde_json::from_slice(&bytes) {
                Ok(outline) => Ok(Some(outline)),
                Err(error) => Err(OutlineError::Damaged {
                    path,
                    reason: error.to_string(),
                }),
            },
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(OutlineError::File { path, source }),
        }
    }

    /// What is to be measured of the trained models.
    pub fn plans(&self) -> Plans<'_> {
        Plans {
            speed: self.speed.as_ref(),
            threshold: self.threshold.as_ref(),
            masks: self.masks.as_ref(),
        }
    }

    /// The arm with this name.
    pub fn arm(&self, name: &str) -> Option<&ArmOutline> {
        self.arms.iter().find(|arm| arm.name == name)
    }
}
