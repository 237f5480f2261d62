//! Preparation of an experiment: its data, and the settings that its runs decide when they begin.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use data::error::DataError;
use data::progress::Progress;
use data::sources::Source;
use data::{DataFolder, PrepareOptions, Prepared, prepare};

use super::{
    Changed, DATA_FOLDER, DataChoice, Experiment, Outline, OutlineError, PlannedRun, SearchError,
};
use crate::config::ConfigError;
use crate::precision::{PrecisionChoice, PrecisionError};

/// Why the runs of an experiment cannot begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExperimentError {
    /// The outline of an earlier time cannot be read.
    #[error(transparent)]
    Outline(#[from] OutlineError),
    /// The experiment's folder has text that was prepared in another way.
    #[error(
        "{}: the text was prepared in another way than the experiment file says now:\n    was \
         {before}\n    is {now}\n  Undo the change of the file, or choose another folder with --out",
        folder.display()
    )]
    PreparedOtherwise {
        /// The folder of prepared data.
        folder: PathBuf,
        /// How the text was prepared.
        before: String,
        /// How the experiment file prepares it now.
        now: String,
    },
    /// A file or folder that the experiment file names as a source of text does not exist.
    #[error(
        "{}: `{key}`: there is no {}; paths are relative to the experiment file",
        file.display(),
        source_path.display()
    )]
    NoSource {
        /// The experiment file.
        file: PathBuf,
        /// The key that names the source.
        key: &'static str,
        /// The source.
        source_path: PathBuf,
    },
    /// The data cannot be prepared or read.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The data, or a model to begin with, does not fit the configurations of arms.
    #[error("{}: arms do not fit their data:{}", file.display(), list(problems))]
    Unfit {
        /// The experiment file.
        file: PathBuf,
        /// What does not fit, each with the arms.
        problems: Vec<String>,
    },
    /// The record of the search cannot be read or written.
    #[error(transparent)]
    Search(#[from] SearchError),
    /// The stored configuration of a run cannot be read.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Runs were begun with another configuration than the experiment has for them now.
    #[error("{}", changes(.0))]
    Changed(Vec<Changed>),
    /// The device does not have the precision.
    #[error(transparent)]
    Precision(#[from] PrecisionError),
}

/// The most changed runs, or problems of arms, that a message lists.
const MOST_LISTED: usize = 10;

fn list(problems: &[String]) -> String {
    let listed = problems.iter().take(MOST_LISTED);
    let listed: String = listed.map(|problem| format!("\n  {problem}")).collect();
    match problems.len().saturating_sub(MOST_LISTED) {
        0 => listed,
        more => format!("{listed}\n  and {more} more problems"),
    }
}

fn changes(runs: &[Changed]) -> String {
    let listed = runs.iter().take(MOST_LISTED).map(ToString::to_string);
    let more = runs.len().saturating_sub(MOST_LISTED);
    let more = (more > 0).then(|| format!("and {more} more runs"));
    listed.chain(more).collect::<Vec<_>>().join("\n")
}

impl Experiment {
    /// Refuses text in the experiment's folder `out` that was prepared in another way than the
    /// experiment file says now.
    ///
    /// # Errors
    /// It was prepared in another way, or the outline in the folder cannot be read.
    pub fn check_preparation(&self, out: &Path) -> Result<(), ExperimentError> {
        let folder = out.join(DATA_FOLDER);
        let is_prepared = matches!(self.data, Some(DataChoice::Prepare(_))) && folder.exists();
        let before = Outline::read(out)?.map(|outline| outline.preparation);
        match before {
            Some(before) if is_prepared && before != self.outline.preparation => {
                Err(ExperimentError::PreparedOtherwise {
                    folder,
                    before,
                    now: self.outline.preparation.clone(),
                })
            }
            _ => Ok(()),
        }
    }

    /// Prepares the experiment's text in its folder `out`, unless that was done before or the
    /// experiment reads data that is prepared elsewhere; none then.
    ///
    /// # Errors
    /// A source does not exist or cannot be read, or the data cannot be written.
    pub fn prepare_data(
        &self,
        out: &Path,
        threads: usize,
        progress: &dyn Progress,
    ) -> Result<Option<Prepared>, ExperimentError> {
        let folder = out.join(DATA_FOLDER);
        let Some(DataChoice::Prepare(preparation)) = &self.data else {
            return Ok(None);
        };
        if folder.exists() {
            return Ok(None);
        }
        for (key, sources) in [
            ("data.sources", &preparation.sources),
            ("data.validation_sources", &preparation.validation_sources),
        ] {
            let missing = sources.iter().find_map(|source| match source {
                Source::Path(path) if !path.exists() => Some(path.clone()),
                _ => None,
            });
            if let Some(source_path) = missing {
                return Err(ExperimentError::NoSource {
                    file: self.outline.file.clone(),
                    key,
                    source_path,
                });
            }
        }
        let options = PrepareOptions {
            tokenizer: preparation.tokenizer.clone(),
            validation: preparation.validation,
            validation_sources: preparation.validation_sources.clone(),
            max_text_bytes: preparation.max_text_bytes,
            threads,
            ..PrepareOptions::new(preparation.sources.clone(), folder)
        };
        Ok(Some(prepare(&options, progress)?))
    }

    /// All runs in the experiment's folder `out`, with the vocabulary of their data and the
    /// precision of the device, as [`PlannedRun::set_up`] stores them. `precision` replaces that of
    /// the configurations.
    ///
    /// # Errors
    /// The data cannot be read, a run was begun with another configuration, or the device does not
    /// have the precision.
    pub fn decided_runs(
        &self,
        out: &Path,
        device: &Device,
        precision: Option<PrecisionChoice>,
    ) -> Result<Vec<PlannedRun>, ExperimentError> {
        decided(self.runs(out), device, precision)
    }
}

/// Runs with what they decide when they begin; see [`Experiment::decided_runs`].
pub(super) fn decided(
    mut runs: Vec<PlannedRun>,
    device: &Device,
    precision: Option<PrecisionChoice>,
) -> Result<Vec<PlannedRun>, ExperimentError> {
    let mut vocabularies: BTreeMap<PathBuf, u64> = BTreeMap::new();
    for run in &mut runs {
        let config = &mut run.config;
        let path = config.data.path.clone();
        let vocabulary = match vocabularies.get(&path) {
            Some(&vocabulary) => vocabulary,
            None => DataFolder::open(&path)?.meta().vocabulary,
        };
        vocabularies.insert(path, vocabulary);
        // Where the file names another vocabulary, the run itself reports that it does not fit.
        config.model.vocabulary.get_or_insert(vocabulary as usize);
        config.train.shorten_warmup();
        if let Some(precision) = precision {
            config.train.precision = precision;
        }
    }
    let mut changed = Vec::new();
    for run in &runs {
        changed.extend(run.changed()?);
    }
    if !changed.is_empty() {
        return Err(ExperimentError::Changed(changed));
    }
    for run in &mut runs {
        run.config.train.precision = run.config.train.precision.on(device)?.into();
    }
    Ok(runs)
}
