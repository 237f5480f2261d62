//! Trained models on disk, by the folder that a user names: a model folder or a run folder.

use std::path::{Path, PathBuf};

use data::error::DataError;
use data::{DataFolder, Tokenizer, TokenizerError};
use model::model_folder;
use model::model_folder::TOKENIZER_FILE;
use model::weights::{Weights, WeightsError};
use model::{ConfigProblem, TransformerConfig};

use crate::checkpoints::{FOLDER, model_folder_of};
use crate::config::{ConfigError, RunConfig};
use crate::fitting_data;
use crate::generation_config::write_generation_config;
use crate::run_data;
use crate::run_folder::CONFIG_FILE;

/// Why a stored model cannot be found, read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoredModelError {
    /// There is no model at the path.
    #[error("{}: {reason}", path.display())]
    NotFound {
        /// The path that was given.
        path: PathBuf,
        /// What is there instead.
        reason: &'static str,
    },
    /// The configuration or the weights of the model cannot be read or written.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The model has no tokenizer.
    #[error(
        "{}: the model has no {TOKENIZER_FILE}; copy the one of its data folder there",
        path.display()
    )]
    NoTokenizer {
        /// The path that was given.
        path: PathBuf,
    },
    /// The tokenizer cannot be read or written.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// The configuration of the model's run cannot be read.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A data folder cannot be read.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A data folder has more tokens than the model knows.
    #[error(
        "{}: the data has {data} tokens, the model knows {model}; prepare the text with the \
         model's tokenizer{}",
        path.display(),
        command.as_ref().map_or(String::new(), |command| format!(": `{command}`"))
    )]
    Vocabulary {
        /// The data folder.
        path: PathBuf,
        /// Tokens of the data's vocabulary.
        data: u64,
        /// Tokens of the model's vocabulary.
        model: usize,
        /// The command that does so, if the model has a tokenizer.
        command: Option<String>,
    },
    /// A data folder was prepared with another tokenizer than the model's.
    #[error(
        "{}: the data was prepared with another tokenizer than the model's; its tokens mean other \
         text to this model. Prepare the text with the model's tokenizer: `{command}`",
        path.display()
    )]
    OtherTokenizer {
        /// The data folder.
        path: PathBuf,
        /// The command that does so.
        command: String,
    },
    /// A run's configuration describes no possible model.
    #[error(
        "{}: {}",
        path.display(),
        problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    )]
    Impossible {
        /// The configuration file.
        path: PathBuf,
        /// All that is wrong with it.
        problems: Vec<ConfigProblem>,
    },
    /// A file of a model folder cannot be written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
}

/// A model folder on disk, and the path by which it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredModel {
    /// The path that was given: a model folder, or a run folder.
    path: PathBuf,
    /// The model folder.
    folder: PathBuf,
}

impl StoredModel {
    /// Finds the model that a path stands for: a model folder itself, or the best (else the latest)
    /// checkpoint of a run folder.
    ///
    /// # Errors
    /// The path is neither, or the run has no checkpoint yet.
    pub fn find(path: &Path) -> Result<Self, StoredModelError> {
        if let Some(folder) = model_folder_of(path) {
            let path = path.into();
            return Ok(Self { path, folder });
        }
        let reason = if !path.exists() {
            "there is no such folder"
        } else if path.join(FOLDER).exists() {
            "a run folder without a checkpoint yet; continue the run with --resume"
        } else {
            "neither a model folder (config.json) nor a run folder (best, latest)"
        };
        Err(StoredModelError::NotFound {
            path: path.into(),
            reason,
        })
    }

    /// The model folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Reads the configuration.
    ///
    /// # Errors
    /// The file cannot be read, or describes no possible model.
    pub fn config(&self) -> Result<TransformerConfig, StoredModelError> {
        Ok(model_folder::read_config(&self.folder)?)
    }

    /// Reads the configuration and the weights.
    ///
    /// # Errors
    /// A file is missing or damaged, or the two disagree.
    pub fn read(&self) -> Result<(TransformerConfig, Weights), StoredModelError> {
        Ok(model_folder::read(&self.folder)?)
    }

    /// Reads the model's tokenizer; none where its folder has none.
    ///
    /// # Errors
    /// The file cannot be read or is damaged.
    pub fn tokenizer(&self) -> Result<Option<Tokenizer>, StoredModelError> {
        let file = self.folder.join(TOKENIZER_FILE);
        if file.exists() {
            Ok(Some(Tokenizer::from_file(&file)?))
        } else {
            Ok(None)
        }
    }

    /// Reads the tokenizer of a model that has to have one.
    ///
    /// # Errors
    /// There is none, or the file cannot be read or is damaged.
    pub fn required_tokenizer(&self) -> Result<Tokenizer, StoredModelError> {
        let path = self.path.clone();
        self.tokenizer()?
            .ok_or(StoredModelError::NoTokenizer { path })
    }

    /// Reads the tokenizer of data that the model, whose configuration is `config`, is to read.
    ///
    /// # Errors
    /// The data has more tokens than the model knows, was prepared with another tokenizer than the
    /// model's, or a file cannot be read.
    pub fn tokenizer_for(
        &self,
        config: &TransformerConfig,
        data: &DataFolder,
    ) -> Result<Tokenizer, StoredModelError> {
        let vocabulary = data.meta().vocabulary;
        let own = self.tokenizer()?;
        let command = || fitting_data::command(data, &self.path);
        if vocabulary > config.vocabulary as u64 {
            return Err(StoredModelError::Vocabulary {
                path: data.path().into(),
                data: vocabulary,
                model: config.vocabulary,
                command: own.is_some().then(command),
            });
        }
        let tokenizer = data.tokenizer()?;
        if own.is_some_and(|own| own.to_json() != tokenizer.to_json()) {
            return Err(StoredModelError::OtherTokenizer {
                path: data.path().into(),
                command: command(),
            });
        }
        Ok(tokenizer)
    }

    /// Opens the data that the model was trained on; none where the model is not part of a run.
    ///
    /// # Errors
    /// The run's configuration or its data cannot be read.
    pub fn training_data(&self) -> Result<Option<DataFolder>, StoredModelError> {
        // The path itself, or the run folder two levels above a checkpoint.
        let path = std::path::absolute(&self.path).unwrap_or_else(|_| self.path.clone());
        let mut folders = path.ancestors().take(3);
        let run = folders.find(|folder| folder.join(CONFIG_FILE).is_file());
        run.map(|run| {
            let config = RunConfig::read_stored(&run.join(CONFIG_FILE), &[])?;
            Ok(DataFolder::open(run_data::find(run, &config.data.path))?)
        })
        .transpose()
    }
}

/// The configuration of the model that a run trains. Where it names no vocabulary, that of the
/// run's data is taken, if the data is there. Errors call the configuration `path`.
///
/// # Errors
/// The data cannot be read, or the configuration describes no possible model.
pub fn model_of_run(
    config: &RunConfig,
    path: &Path,
) -> Result<TransformerConfig, StoredModelError> {
    let vocabulary = match config.model.vocabulary {
        Some(_) => None,
        None if config.data.path.join(data::folder::META_FILE).exists() => {
            Some(DataFolder::open(&config.data.path)?.meta().vocabulary as usize)
        }
        None => None,
    };
    config
        .model
        .transformer(vocabulary)
        .map_err(|problems| StoredModelError::Impossible {
            path: path.into(),
            problems,
        })
}

/// Writes a model folder with everything that generating text needs. The folder must exist.
///
/// Without a tokenizer, one that another model has left in the folder is removed: it would give its
/// texts to this model's tokens.
///
/// # Errors
/// A file cannot be written or removed.
pub fn write_model(
    folder: &Path,
    config: &TransformerConfig,
    weights: &Weights,
    tokenizer: Option<&Tokenizer>,
) -> Result<(), StoredModelError> {
    model_folder::write(folder, config, weights)?;
    let end_of_text = tokenizer.and_then(Tokenizer::end_of_text);
    write_generation_config(folder, config, end_of_text)
        .map_err(|(path, source)| StoredModelError::File { path, source })?;
    let path = folder.join(TOKENIZER_FILE);
    match tokenizer {
        Some(tokenizer) => tokenizer.save(path)?,
        None if path.exists() => {
            std::fs::remove_file(&path).map_err(|source| StoredModelError::File { path, source })?
        }
        None => {}
    }
    Ok(())
}
