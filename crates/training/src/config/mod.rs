//! The configuration of a run: a TOML file, overrides of it, and what they resolve to.
//!
//! Every problem is reported, not just the first, with the line that it stands on; an unknown
//! key is a problem that names the nearest known one. The resolved configuration has a value for
//! every key; it is written to the run folder as `config.toml` and reads back as itself.

pub(crate) mod deserialize;
pub(crate) mod document;
pub(crate) mod problem;
mod ranges;
pub(crate) mod typed;

use std::path::{Path, PathBuf};

use model::{ConfigProblem, FeedForwardConfig, MaskConfig, TransformerConfig};
use serde::{Deserialize, Serialize};

use crate::precision::PrecisionChoice;

pub use problem::{ConfigError, Origin, Problem};

/// Everything that decides a training run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunConfig {
    /// Seed of the initial weights, the batches and all noise, up to 2⁶³ − 1.
    pub seed: u64,
    /// What is trained on.
    pub data: DataConfig,
    /// What is trained.
    pub model: ModelConfig,
    /// How it is trained.
    pub train: TrainConfig,
}

/// What is trained on.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DataConfig {
    /// The data folder, as `ldrop data prepare` writes it.
    pub path: PathBuf,
}

/// The model, as [`TransformerConfig`] but for the vocabulary, which the data may decide.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ModelConfig {
    /// Number of tokens that the model knows; the data's vocabulary where left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vocabulary: Option<usize>,
    /// Longest sequence, in tokens; also the length of the training windows.
    pub context: usize,
    /// Channels of the residual stream.
    pub width: usize,
    /// Attention heads per block.
    pub heads: usize,
    /// Number of blocks.
    pub layers: usize,
    /// Rate of the ordinary dropout, in [0, 1).
    pub dropout: f64,
    /// What stands in the second half of a block; the dense feed-forward where left out.
    #[serde(skip_serializing_if = "FeedForwardConfig::is_default")]
    pub feed_forward: FeedForwardConfig,
    /// The learned masks; the plain baseline where left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub learned_dropout: Option<MaskConfig>,
}

/// How a model is trained.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TrainConfig {
    /// A model or run folder whose weights the run begins with, and only those; masks that it lacks
    /// begin by keeping everything. Random weights where left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<PathBuf>,
    /// Number of optimizer steps.
    pub steps: u64,
    /// Windows per micro-batch.
    pub batch: usize,
    /// Micro-batches per optimizer step.
    pub accumulate: usize,
    /// Largest norm of all gradients together; larger gradients are scaled down to it. No
    /// clipping where left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip: Option<f64>,
    /// Steps from one line of metrics to the next.
    pub log_every: u64,
    /// What the operands of matrix products are rounded to.
    pub precision: PrecisionChoice,
    /// The optimizer.
    pub optimizer: OptimizerConfig,
    /// The course of the learning rate.
    pub schedule: ScheduleConfig,
    /// Evaluation during training.
    pub evaluate: EvaluateConfig,
    /// Checkpoints.
    pub checkpoint: CheckpointConfig,
}

/// AdamW.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OptimizerConfig {
    /// The highest learning rate, after the warm-up.
    pub learning_rate: f64,
    /// The learning rate at the end of the cosine.
    pub minimum_learning_rate: f64,
    /// Decay of the first and the second moment, each in [0, 1).
    pub betas: [f64; 2],
    /// Decoupled weight decay of parameters with two or more dimensions.
    pub weight_decay: f64,
    /// Added to the root of the second moment.
    pub epsilon: f64,
}

/// The course of the learning rate; see [`crate::schedule`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ScheduleConfig {
    /// Steps of the linear warm-up.
    pub warmup: u64,
    /// The step at which the cosine reaches the minimum.
    pub decay_steps: u64,
}

/// Evaluation during training.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EvaluateConfig {
    /// Steps from one evaluation to the next; the last step is always evaluated.
    pub every: u64,
    /// Random batches of each split.
    pub batches: u64,
    /// The text sample written after each evaluation.
    pub sample: SampleConfig,
}

/// The text sample written after each evaluation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SampleConfig {
    /// Text that the model continues; where empty, the model starts from nothing.
    pub prompt: String,
    /// Number of tokens to write; 0 for no sample.
    pub tokens: usize,
}

/// When checkpoints are written and how many are kept.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CheckpointConfig {
    /// Steps from one checkpoint to the next; the last step and the best evaluations always get
    /// one.
    pub every: u64,
    /// How many of the latest checkpoints are kept besides the best one.
    pub keep: usize,
}

impl RunConfig {
    /// Reads a configuration file, applies overrides (`key=value`) in order and checks it.
    ///
    /// # Errors
    /// The file cannot be read, or all that is wrong with it and with the overrides.
    pub fn read(path: &Path, overrides: &[String]) -> Result<Self, ConfigError> {
        Self::parse(&read_text(path)?, path, overrides)
    }

    /// Reads a configuration from text; `path` is what errors call it.
    ///
    /// # Errors
    /// All that is wrong with the text and with the overrides.
    pub fn parse(text: &str, path: &Path, overrides: &[String]) -> Result<Self, ConfigError> {
        let mut root =
            document::parse(text).map_err(|problems| ConfigError::invalid(path, problems))?;
        let mut problems: Vec<Problem> = overrides
            .iter()
            .filter_map(|typed| document::set(&mut root, typed).err())
            .collect();
        let config = typed::read(&root, &mut problems);
        match config {
            Some(config) if problems.is_empty() => Ok(config),
            _ => Err(ConfigError::invalid(path, problems)),
        }
    }

    /// The configuration as TOML, with every key.
    ///
    /// # Errors
    /// The data path is not Unicode.
    pub fn to_toml(&self) -> Result<String, String> {
        toml::to_string(self).map_err(|error| error.to_string())
    }

    /// Writes the configuration as TOML, whole or not at all.
    ///
    /// # Errors
    /// The file cannot be written, or the data path is not Unicode.
    pub fn write(&self, path: &Path) -> Result<(), ConfigError> {
        let text = self.to_toml().map_err(|reason| ConfigError::Unwritable {
            path: path.into(),
            reason,
        })?;
        model::files::write_atomically(path, text.as_bytes()).map_err(|source| ConfigError::File {
            path: path.into(),
            source,
        })
    }

    /// Tokens that one optimizer step sees.
    pub fn tokens_per_step(&self) -> u64 {
        self.train.batch as u64 * self.train.accumulate as u64 * self.model.context as u64
    }

    /// All values by their keys, with dots between tables.
    pub fn values(&self) -> std::collections::BTreeMap<String, toml::Value> {
        typed::flat(self)
    }

    /// The keys whose values differ, with dots between tables, in alphabetical order.
    pub fn differing_keys(&self, other: &Self) -> Vec<String> {
        let (mine, theirs) = (self.values(), other.values());
        let keys: std::collections::BTreeSet<&String> = mine.keys().chain(theirs.keys()).collect();
        keys.into_iter()
            .filter(|key| mine.get(*key) != theirs.get(*key))
            .cloned()
            .collect()
    }
}

/// Reads a file that should be UTF-8 text.
pub(crate) fn read_text(path: &Path) -> Result<String, ConfigError> {
    let bytes = std::fs::read(path).map_err(|source| ConfigError::File {
        path: path.into(),
        source,
    })?;
    String::from_utf8(bytes).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + good.iter().filter(|&&byte| byte == b'\n').count();
        let problem = Problem::new("", &Origin::Line(line), "not UTF-8 text");
        ConfigError::invalid(path, vec![problem])
    })
}

impl From<TransformerConfig> for ModelConfig {
    fn from(config: TransformerConfig) -> Self {
        Self {
            vocabulary: Some(config.vocabulary),
            context: config.context,
            width: config.width,
            heads: config.heads,
            layers: config.layers,
            dropout: config.dropout,
            feed_forward: config.feed_forward,
            learned_dropout: config.learned_dropout,
        }
    }
}

impl ModelConfig {
    /// The model's configuration for data with this vocabulary.
    ///
    /// # Errors
    /// The configured vocabulary is another one, none is known at all, or the model is
    /// impossible; keys are relative to the whole configuration.
    pub fn transformer(
        &self,
        data_vocabulary: Option<usize>,
    ) -> Result<TransformerConfig, Vec<ConfigProblem>> {
        let key = "model.vocabulary";
        let vocabulary = match (self.vocabulary, data_vocabulary) {
            (Some(own), Some(data)) if own != data => {
                return Err(vec![ConfigProblem::new(
                    key,
                    own,
                    format!("the data's vocabulary is {data}; leave the key out to take that"),
                )]);
            }
            (Some(vocabulary), _) | (None, Some(vocabulary)) => vocabulary,
            (None, None) => {
                return Err(vec![ConfigProblem::new(
                    key,
                    "missing",
                    "expected the number of tokens, as no data is there to take it from",
                )]);
            }
        };
        let config = self.with_vocabulary(vocabulary);
        config.validate().map_err(|mut problems| {
            problems
                .iter_mut()
                .for_each(|problem| problem.key.insert_str(0, "model."));
            problems
        })?;
        Ok(config)
    }

    fn with_vocabulary(&self, vocabulary: usize) -> TransformerConfig {
        TransformerConfig {
            vocabulary,
            context: self.context,
            width: self.width,
            heads: self.heads,
            layers: self.layers,
            dropout: self.dropout,
            feed_forward: self.feed_forward.clone(),
            learned_dropout: self.learned_dropout.clone(),
        }
    }
}
