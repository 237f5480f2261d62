//! Begins a run: a new one, or from a checkpoint.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use burn::tensor::Device;
use data::folder::{DataFolder, Split};
use learned_dropout::ops::Precision;
use learned_dropout::transformer::Transformer;
use model::TransformerConfig;
use model::layout::layout;
use model::model_folder;
use model::weights::{self, Weights};

use super::changeable::{fingerprint, fingerprints, is_changeable, is_harmless};
use super::error::TrainError;
use super::evaluation_sets::{self, EvaluationSet};
use super::origin;
use super::windows::Windows;
use super::{Spent, Trainer};
use crate::checkpoints::{
    CheckpointError, Checkpoints, DataFingerprint, Newest, OPTIMIZER_FILE, TrainerState,
};
use crate::config::{Change, ConfigError, RunConfig, ScheduleKind, TrainConfig, changes};
use crate::metrics::{EndMetrics, MetricsLog};
use crate::optimizer::AdamW;
use crate::precision::PrecisionChoice;
use crate::run_data;
use crate::run_folder::{CONFIG_FILE, RunFolder, RunFolderError};
use crate::schedule::Schedule;

/// The key of the lowest learning rate, which belongs to the schedule.
const MINIMUM: &str = "train.optimizer.minimum_learning_rate";

/// The key of the kind of schedule.
const SCHEDULE_KIND: &str = "train.schedule.kind";

/// The parts that a run begins with.
pub struct Setup<'a> {
    /// The configuration.
    pub config: RunConfig,
    /// The data, opened at the path in the configuration.
    pub data: &'a DataFolder,
    /// The device to compute on, without autodiff.
    pub device: Device,
    /// The processor's peak in floating-point operations per second, if it is known.
    pub peak_flops: &'a dyn Fn(Precision) -> Option<f64>,
}

impl Setup<'_> {
    /// The stored configuration of a run, with overrides, for resuming it. A relative path of its data
    /// is replaced by one that holds in the working folder. Where the overrides choose a kind of
    /// schedule, stored values that it does not use are left out.
    ///
    /// # Errors
    /// There is no run, or its configuration or the overrides are invalid; all problems are reported.
    pub fn stored_config(run: &Path, overrides: &[String]) -> Result<RunConfig, TrainError> {
        let path = run.join(CONFIG_FILE);
        if !path.exists() {
            return Err(RunFolderError::Empty { path: run.into() }.into());
        }
        let mut all = unused_by_new_schedule(overrides);
        all.extend_from_slice(overrides);
        let mut config = RunConfig::read_stored(&path, &all)?;
        if !is_typed("data.path", overrides) {
            config.data.path = run_data::find(run, &config.data.path);
        }
        for (name, path) in &mut config.train.evaluate.sets {
            if !is_typed(&format!("train.evaluate.sets.{name}"), overrides) {
                *path = run_data::find(run, path);
            }
        }
        Ok(config)
    }

    /// The configuration in `file`, with overrides, for resuming a run.
    ///
    /// Keys of the schedule that neither `file` nor the overrides name, whose defaults follow from the
    /// number of steps, stay those of the run: so the steps may be raised. The lowest rate then stays too,
    /// unless they name it or give another learning rate. Where they ask for another kind of schedule, all of
    /// it is theirs. Where they do not name the windows of evaluations, these stay as well.
    ///
    /// # Errors
    /// There is no run, or the configuration or the overrides are invalid; all problems are reported.
    pub fn resumed_config(
        run: &Path,
        file: &Path,
        overrides: &[String],
    ) -> Result<RunConfig, TrainError> {
        let stored = Self::stored_config(run, &[])?;
        let windows = stored.train.evaluate.windows;
        let config = RunConfig::read_with_windows(file, overrides, windows)?;
        // Not by its value: what was asked for may be the default.
        let is_named = |key: &str| -> Result<bool, ConfigError> {
            Ok(is_typed(key, overrides) || RunConfig::is_given(file, &[], key)?)
        };
        let kind = |config: &RunConfig| config.train.schedule.kind;
        if is_named(SCHEDULE_KIND)? && kind(&config) != kind(&stored) {
            return Ok(config);
        }
        let has_same_rate =
            config.train.optimizer.learning_rate == stored.train.optimizer.learning_rate;
        // As overrides, so that the other defaults follow from them, and all is checked together.
        let mut merged = overrides.to_vec();
        for (key, typed) in overrides_of("train.schedule.", &stored) {
            if !is_named(&key)? {
                merged.push(typed);
            }
        }
        if has_same_rate && !is_named(MINIMUM)? {
            merged.extend(overrides_of(MINIMUM, &stored).map(|(_, typed)| typed));
        }
        let config = RunConfig::read_with_windows(file, &merged, windows)?;
        Ok(config)
    }
}

/// What a run begins or goes on with, besides its setup.
#[derive(Default)]
struct Beginning {
    newest: Newest,
    /// The weights of `train.from`.
    origin: Option<Weights>,
    /// All changes of the configuration since the run began.
    changes: Vec<Change>,
    notes: Vec<String>,
}

impl<'a> Trainer<'a> {
    /// Begins a new run, and writes its configuration into its folder.
    ///
    /// # Errors
    /// The folder has a run already, the model does not fit the data, the device does not have
    /// the precision, or a file cannot be written.
    pub fn new(mut setup: Setup<'a>, run: &Path) -> Result<Self, TrainError> {
        let model_config = fit(&mut setup.config, setup.data)?;
        let sets = evaluation_sets::open(&setup.config, setup.data, model_config.context)?;
        setup.config.train.precision = setup.config.train.precision.on(&setup.device)?.into();
        let beginning = Beginning {
            origin: origin::weights(&setup.config, &model_config, setup.data)?,
            notes: setup.config.train.shorten_warmup().into_iter().collect(),
            ..Beginning::default()
        };
        let folder = RunFolder::create(run)?;
        setup.config.data.path =
            run_data::to_store(run, &setup.config.data.path, setup.data.path());
        for (set, path) in sets
            .iter()
            .zip(setup.config.train.evaluate.sets.values_mut())
        {
            *path = run_data::to_store(run, path, set.data.path());
        }
        setup.config.write(&folder.config())?;
        Self::begin(setup, model_config, sets, folder, beginning)
    }

    /// Resumes a run from its newest intact checkpoint, or from its beginning if it has no checkpoint
    /// yet. It ends with the same bits as if it had never stopped.
    ///
    /// The configuration may differ from the stored one in `train.steps`, `train.log_every`,
    /// `train.evaluate`, `train.checkpoint`, `train.stop` and `data.path`; it becomes the stored one. The
    /// precision "auto" then means that of the run.
    ///
    /// A run that ended early goes on only if its steps or `train.stop` have changed since.
    ///
    /// # Errors
    /// There is no run, all its checkpoints are damaged, the configuration or the data is another
    /// one, the device does not have the run's precision, or a file cannot be written.
    pub fn resume(setup: Setup<'a>, run: &Path) -> Result<Self, TrainError> {
        Self::resume_if(setup, run, |_| false)
    }

    /// Resumes a run as [`resume`](Self::resume) does, but the configuration may also differ in the keys of
    /// [`CHANGEABLE`](super::CHANGEABLE). The state of the optimizer is kept. The change is recorded in
    /// `config.toml` and in the metrics.
    ///
    /// # Errors
    /// As for [`resume`](Self::resume), or a key differs that may not change.
    pub fn resume_changed(setup: Setup<'a>, run: &Path) -> Result<Self, TrainError> {
        Self::resume_if(setup, run, is_changeable)
    }

    fn resume_if(
        mut setup: Setup<'a>,
        run: &Path,
        may_change: impl Fn(&str) -> bool,
    ) -> Result<Self, TrainError> {
        let model_config = fit(&mut setup.config, setup.data)?;
        let sets = evaluation_sets::open(&setup.config, setup.data, model_config.context)?;
        let folder = RunFolder::open(run)?;
        let mut stored = RunConfig::read_stored(&folder.config(), &[])?;
        let mut changes = changes::read(&folder.config())?;
        if stored.train.precision == PrecisionChoice::Auto {
            // A run stores the precision that it decided on; this one is older than the key.
            stored.train.precision = PrecisionChoice::F32;
        }
        if setup.config.train.precision == PrecisionChoice::Auto {
            setup.config.train.precision = stored.train.precision;
        }
        let mut notes = Vec::new();
        if setup.config.train.schedule != stored.train.schedule {
            notes.extend(setup.config.train.shorten_warmup());
        }
        let path_to_store = |stored: Option<&PathBuf>, path: &Path, data: &DataFolder| match stored
        {
            Some(stored) if run_data::is_same(run, stored, data.path()) => stored.clone(),
            _ => run_data::to_store(run, path, data.path()),
        };
        setup.config.data.path =
            path_to_store(Some(&stored.data.path), &setup.config.data.path, setup.data);
        for (set, path) in sets
            .iter()
            .zip(setup.config.train.evaluate.sets.values_mut())
        {
            let stored = stored.train.evaluate.sets.get(&set.name);
            *path = path_to_store(stored, path, &set.data);
        }
        let mut keys = stored.differing_keys(&setup.config);
        let differs = !keys.is_empty();
        keys.retain(|key| !is_harmless(key));
        if keys.iter().any(|key| !may_change(key)) {
            keys.retain(|key| !may_change(key));
            return Err(TrainError::ConfigChanged {
                path: run.into(),
                keys,
            });
        }
        let mut newest = Checkpoints::open(run)?.newest()?;
        if newest.intact.is_none() && !newest.damaged.is_empty() {
            return Err(TrainError::AllDamaged {
                newest: newest.damaged.remove(0).error,
            });
        }
        let done = newest.intact.as_ref().map_or(0, |(_, state)| state.step);
        let steps = setup.config.train.steps;
        if done > steps {
            return Err(TrainError::StepsDone { done, steps });
        }
        if done < steps {
            notes.extend(steps_without_effect(&setup.config.train));
        }
        let state = newest.intact.as_ref().map(|(_, state)| state);
        if let Some((end, advice)) = state.and_then(|state| finish(state, &setup.config.train)) {
            if !keys.is_empty() {
                return Err(TrainError::NothingLeft {
                    path: run.into(),
                    end,
                    keys,
                    advice,
                });
            }
            notes.push(format!("the run is finished: {end}; to go on, {advice}"));
        }
        if !keys.is_empty() {
            let change = Change::new(done, &keys, &stored, &setup.config);
            notes.push(format!("changed after step {done}: {change}"));
            changes.push(change);
        }
        let origin = match &newest.intact {
            Some((checkpoint, state)) => {
                setup.check(checkpoint, state, &changes)?;
                None
            }
            None => origin::weights(&setup.config, &model_config, setup.data)?,
        };
        if differs {
            // With this the change is made. What else tells of it follows from this file.
            changes::write(&folder.config(), &setup.config, changes.clone())?;
        }
        let beginning = Beginning {
            newest,
            origin,
            changes,
            notes,
        };
        Self::begin(setup, model_config, sets, folder, beginning)
    }

    fn begin(
        setup: Setup<'a>,
        model_config: TransformerConfig,
        sets: Vec<EvaluationSet>,
        folder: RunFolder,
        beginning: Beginning,
    ) -> Result<Self, TrainError> {
        let Beginning {
            newest,
            origin,
            changes,
            notes,
        } = beginning;
        let tokenizer = setup.data.tokenizer()?.to_json();
        let checkpoints = Checkpoints::open(folder.path())?;
        let Setup {
            config,
            data,
            device,
            peak_flops,
        } = setup;
        let precision = config.train.precision.on(&device)?;
        let autodiff = device.clone().autodiff();
        let (model, optimizer, mut state) = match &newest.intact {
            None => (
                match origin {
                    Some(weights) => Transformer::from_weights(&model_config, &weights, &autodiff),
                    None => Transformer::new(&model_config, config.seed, &autodiff),
                },
                AdamW::new(&config.train.optimizer),
                initial_state(&config, data),
            ),
            Some((checkpoint, state)) => {
                // A killed process may not have done this.
                checkpoints.point_and_prune(state, config.train.checkpoint.keep)?;
                let path = checkpoint.join(model_folder::WEIGHTS_FILE);
                let weights = weights::read(&path, &model_config).map_err(CheckpointError::from)?;
                let optimizer = AdamW::read(
                    &config.train.optimizer,
                    &checkpoint.join(OPTIMIZER_FILE),
                    layout(&model_config),
                    &device,
                )
                .map_err(CheckpointError::from)?;
                let model = Transformer::from_weights(&model_config, &weights, &autodiff);
                (model, optimizer, state.clone())
            }
        };
        state.config = fingerprint(&config);
        state.stop.resume(&config.train);
        let mask = model_config.learned_dropout.as_ref();
        let penalty = mask.and_then(|mask| mask.penalty.as_ref());
        if penalty.is_none_or(|penalty| penalty.target_kept.is_none()) {
            // The adaptation to a target that was taken away.
            state.control = None;
        }
        let mut metrics = MetricsLog::open(&folder.metrics(), &folder.tensorboard(), state.step)?;
        metrics.write_changes(&changes, state.step)?;
        let (last_checkpoint, saved) = newest.intact.unzip();
        Ok(Self {
            windows: Windows {
                data,
                seed: config.seed,
                batch: config.train.batch,
                context: model_config.context,
            },
            sets,
            spent: Spent::default(),
            end_of_text: data.meta().end_of_text,
            since_logged: (Duration::ZERO, 0),
            clock: (0.0, Instant::now()),
            notes,
            damaged: newest.damaged,
            config,
            model_config,
            device,
            model: model.with_precision(precision),
            precision,
            optimizer,
            state,
            tokenizer,
            peak_flops: peak_flops(precision),
            checkpoints,
            metrics,
            last_checkpoint,
            saved,
            folder,
        })
    }
}

/// The configuration of a run's model. Sets the vocabulary in the run's configuration to that of the data.
///
/// # Errors
/// The data has another vocabulary than the configuration, or a split is too short for a window.
pub(crate) fn fit(
    config: &mut RunConfig,
    data: &DataFolder,
) -> Result<TransformerConfig, TrainError> {
    let vocabulary = usize::try_from(data.meta().vocabulary).unwrap_or(usize::MAX);
    let model = config
        .model
        .transformer(Some(vocabulary))
        .map_err(TrainError::Model)?;
    config.model.vocabulary = Some(model.vocabulary);
    let windows = Windows {
        data,
        seed: 0,
        batch: 1,
        context: model.context,
    };
    windows.check()?;
    Ok(model)
}

impl Setup<'_> {
    /// Fails if a checkpoint was trained with another configuration, which these changes do not explain,
    /// or on other data.
    fn check(
        &self,
        checkpoint: &Path,
        state: &TrainerState,
        changes: &[Change],
    ) -> Result<(), TrainError> {
        let fresh = initial_state(&self.config, self.data);
        if !fingerprints(&self.config, changes).contains(&state.config) {
            return Err(TrainError::ConfigEdited {
                checkpoint: checkpoint.into(),
            });
        }
        if state.data != fresh.data {
            return Err(TrainError::DataChanged {
                path: self.data.path().into(),
                checkpoint: checkpoint.into(),
            });
        }
        Ok(())
    }
}

/// The state of a run before its first step.
fn initial_state(config: &RunConfig, data: &DataFolder) -> TrainerState {
    TrainerState {
        seed: config.seed,
        data: DataFingerprint {
            train: data.split(Split::Train).fingerprint(),
            validation: data.split(Split::Validation).fingerprint(),
        },
        config: fingerprint(config),
        ..TrainerState::default()
    }
}

/// Whether overrides set a key or a table around it.
fn is_typed(key: &str, overrides: &[String]) -> bool {
    overrides.iter().any(|typed| {
        let (typed, _) = typed.split_once('=').unwrap_or((typed, ""));
        let mut typed = typed.split('.').map(str::trim);
        let mut parts = key.split('.');
        typed.all(|part| parts.next() == Some(part))
    })
}

/// How a run with this state is finished, and what lets it go on; none if steps are left.
fn finish(state: &TrainerState, train: &TrainConfig) -> Option<(String, &'static str)> {
    let end = state.stop.ended.as_ref().filter(|end| end.holds(train));
    if let Some(end) = end {
        let end = EndMetrics::new(state.step, end);
        return Some((end.to_string(), "change train.stop or raise train.steps"));
    }
    (state.step >= train.steps).then(|| {
        let end = format!("all {} steps are done", train.steps);
        (end, "raise train.steps")
    })
}

/// A note about steps at the end of a run that have a learning rate of 0; none if there are none.
fn steps_without_effect(train: &TrainConfig) -> Option<String> {
    let decay = Schedule::new(train).decay?;
    let steps = train
        .steps
        .checked_sub(decay.end)
        .filter(|&steps| steps > 0)?;
    (decay.lowest == 0.0).then(|| {
        format!(
            "the schedule ends at step {} with a learning rate of 0, so the {steps} steps after it \
             change nothing; to train longer, move train.schedule.decay_start and \
             train.schedule.decay_steps with --allow-changes",
            decay.end
        )
    })
}

/// The keys that begin so, with overrides that give each the value, or the lack of a value, of a configuration.
fn overrides_of<'a>(
    keys: &'a str,
    config: &RunConfig,
) -> impl Iterator<Item = (String, String)> + use<'a> {
    let values = config.values();
    let all = RunConfig::keys().into_iter();
    all.filter(move |key| key.starts_with(keys))
        .map(move |key| {
            let value = values.get(&key).map(ToString::to_string);
            let typed = format!("{key}={}", value.unwrap_or_default());
            (key, typed)
        })
}

/// Overrides that remove what a kind of schedule does not use, if these overrides choose one.
fn unused_by_new_schedule(overrides: &[String]) -> Vec<String> {
    let chosen = |typed: &String| {
        let (key, value) = typed.split_once('=')?;
        let value = value.trim().trim_matches(['"', '\'']);
        let mut kinds = ScheduleKind::ALL.into_iter();
        kinds.find(|kind| key.trim() == SCHEDULE_KIND && kind.name() == value)
    };
    let kind = overrides.iter().rev().find_map(chosen);
    let unused = kind.map_or(&[][..], ScheduleKind::unused_keys);
    unused.iter().map(|key| format!("train.{key}=")).collect()
}
