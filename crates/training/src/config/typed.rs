//! What was typed → what will run: defaults, missing keys and ranges.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use model::feed_forward::{MixtureOfExperts, Relu, ReluRoutedExperts};
use model::function::Fourier;
use model::{ConfigProblem, FeedForwardConfig, MaskConfig, MaskFunction, MaskGradient, Penalty};
use serde::Deserialize;

use super::document::Node;
use super::problem::Problem;
use super::{
    CheckpointConfig, DataConfig, EvaluateConfig, ModelConfig, OptimizerConfig, RunConfig,
    SampleConfig, ScheduleConfig, TrainConfig,
};
use crate::precision::PrecisionChoice;

/// Seed of the published runs.
pub(crate) const DEFAULT_SEED: u64 = 1337;
/// The published runs' learning rate.
const DEFAULT_LEARNING_RATE: f64 = 9e-4;
/// The published runs' warm-up, where the run is long enough for it.
const DEFAULT_WARMUP: u64 = 300;
/// Length of the text sample.
const DEFAULT_SAMPLE_TOKENS: usize = 64;

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct TypedRun {
    seed: Option<u64>,
    data: TypedData,
    model: TypedModel,
    train: TypedTrain,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct TypedData {
    path: Option<PathBuf>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct TypedModel {
    vocabulary: Option<usize>,
    context: Option<usize>,
    width: Option<usize>,
    heads: Option<usize>,
    layers: Option<usize>,
    dropout: f64,
    feed_forward: FeedForwardConfig,
    learned_dropout: Option<MaskConfig>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct TypedTrain {
    from: Option<PathBuf>,
    steps: Option<u64>,
    batch: Option<usize>,
    accumulate: Option<usize>,
    clip: Option<f64>,
    log_every: Option<u64>,
    precision: PrecisionChoice,
    optimizer: TypedOptimizer,
    schedule: TypedSchedule,
    evaluate: TypedEvaluate,
    checkpoint: TypedCheckpoint,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct TypedOptimizer {
    learning_rate: Option<f64>,
    minimum_learning_rate: Option<f64>,
    betas: Option<[f64; 2]>,
    weight_decay: Option<f64>,
    epsilon: Option<f64>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct TypedSchedule {
    warmup: Option<u64>,
    decay_steps: Option<u64>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct TypedEvaluate {
    every: Option<u64>,
    batches: Option<u64>,
    sample: TypedSample,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct TypedSample {
    prompt: String,
    tokens: Option<usize>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct TypedCheckpoint {
    every: Option<u64>,
    keep: Option<usize>,
}

/// Reads and checks a document, adding to `problems`.
///
/// Returns nothing if a problem makes the rest unreadable.
pub(crate) fn read(root: &Node, problems: &mut Vec<Problem>) -> Option<RunConfig> {
    let (typed, found) = super::deserialize::read::<TypedRun>(root, &every_key());
    problems.extend(found);
    let config = resolve(typed?, problems);
    for problem in super::ranges::check(&config) {
        report(root, problem, problems);
    }
    Some(config)
}

/// Adds a problem of a value, with its place, unless something is already known about the key.
fn report(root: &Node, problem: ConfigProblem, problems: &mut Vec<Problem>) {
    let known = |known: &Problem| {
        !known.key.is_empty()
            && (known.key == problem.key || problem.key.starts_with(&format!("{}.", known.key)))
    };
    if problems.iter().any(known) {
        return;
    }
    let parts: Vec<&str> = problem.key.split('.').collect();
    let origin = root
        .get(&parts)
        .map(|node| node.origin.clone())
        .unwrap_or_default();
    problems.push(Problem {
        message: problem.to_string(),
        key: problem.key,
        origin,
    });
}

fn resolve(typed: TypedRun, problems: &mut Vec<Problem>) -> RunConfig {
    let mut required = |key: &str, value: Option<u64>| {
        value.unwrap_or_else(|| {
            missing(key, problems);
            1
        })
    };
    let (model, train) = (typed.model, typed.train);
    let size = |value: Option<usize>| value.map(|value| value as u64);
    let model = ModelConfig {
        vocabulary: model.vocabulary,
        context: required("model.context", size(model.context)) as usize,
        width: required("model.width", size(model.width)) as usize,
        heads: required("model.heads", size(model.heads)) as usize,
        layers: required("model.layers", size(model.layers)) as usize,
        dropout: model.dropout,
        feed_forward: model.feed_forward,
        learned_dropout: model.learned_dropout,
    };
    let steps = required("train.steps", train.steps);
    let batch = required("train.batch", size(train.batch)) as usize;
    if typed.data.path.is_none() {
        missing("data.path", problems);
    }
    RunConfig {
        seed: typed.seed.unwrap_or(DEFAULT_SEED),
        data: DataConfig {
            path: typed.data.path.unwrap_or_default(),
        },
        model,
        train: resolve_train(train, steps, batch),
    }
}

fn resolve_train(train: TypedTrain, steps: u64, batch: usize) -> TrainConfig {
    let learning_rate = train
        .optimizer
        .learning_rate
        .unwrap_or(DEFAULT_LEARNING_RATE);
    let evaluate_every = train.evaluate.every.unwrap_or(500);
    TrainConfig {
        from: train.from,
        steps,
        batch,
        accumulate: train.accumulate.unwrap_or(1),
        clip: train.clip,
        log_every: train.log_every.unwrap_or(10),
        precision: train.precision,
        optimizer: OptimizerConfig {
            learning_rate,
            minimum_learning_rate: train
                .optimizer
                .minimum_learning_rate
                .unwrap_or(learning_rate / 10.0),
            betas: train.optimizer.betas.unwrap_or([0.9, 0.95]),
            weight_decay: train.optimizer.weight_decay.unwrap_or(0.1),
            epsilon: train.optimizer.epsilon.unwrap_or(1e-8),
        },
        schedule: ScheduleConfig {
            warmup: train
                .schedule
                .warmup
                .unwrap_or_else(|| DEFAULT_WARMUP.min(steps / 10)),
            decay_steps: train.schedule.decay_steps.unwrap_or(steps),
        },
        evaluate: EvaluateConfig {
            every: evaluate_every,
            batches: train.evaluate.batches.unwrap_or(200),
            sample: SampleConfig {
                prompt: train.evaluate.sample.prompt,
                tokens: train
                    .evaluate
                    .sample
                    .tokens
                    .unwrap_or(DEFAULT_SAMPLE_TOKENS),
            },
        },
        checkpoint: CheckpointConfig {
            every: train.checkpoint.every.unwrap_or(evaluate_every),
            keep: train.checkpoint.keep.unwrap_or(2),
        },
    }
}

/// Reports a missing key, unless it was there and is already reported as wrong.
fn missing(key: &str, problems: &mut Vec<Problem>) {
    let wrong = |problem: &Problem| {
        problem.key == key
            || (!problem.key.is_empty() && key.starts_with(&format!("{}.", problem.key)))
    };
    if !problems.iter().any(wrong) {
        problems.push(Problem {
            key: key.into(),
            origin: Default::default(),
            message: format!("`{key}` is missing"),
        });
    }
}

/// Every kind of feed-forward, with a value for every key.
fn feed_forwards() -> [FeedForwardConfig; 3] {
    let hidden = Some(1);
    [
        FeedForwardConfig::MixtureOfExperts(MixtureOfExperts {
            hidden,
            ..Default::default()
        }),
        FeedForwardConfig::ReluRoutedExperts(ReluRoutedExperts {
            hidden,
            ..Default::default()
        }),
        FeedForwardConfig::Relu(Relu {
            hidden,
            ..Default::default()
        }),
    ]
}

/// A configuration in which every key that goes with this feed-forward has a value.
fn complete(feed_forward: FeedForwardConfig) -> RunConfig {
    let penalty = Penalty {
        exponential_rate: Some(1.0),
        minimum: Some(0.0),
        warmup: Some(1),
        target_kept: Some(0.5),
        target_steps: Some(1),
        floor: Some(0.1),
        floor_coefficient: Some(1.0),
        ..Penalty::default()
    };
    RunConfig {
        seed: 0,
        data: DataConfig {
            path: PathBuf::from("data"),
        },
        model: ModelConfig {
            vocabulary: Some(1),
            context: 1,
            width: 1,
            heads: 1,
            layers: 1,
            dropout: 0.0,
            feed_forward,
            learned_dropout: Some(MaskConfig {
                heads: Some(1),
                rank: Some(1),
                group: 2,
                noise_steps: Some(1),
                gradient: MaskGradient::KeptOnly,
                function: MaskFunction::Fourier(Fourier::default()),
                penalty: Some(penalty),
                ..MaskConfig::default()
            }),
        },
        train: TrainConfig {
            from: Some(PathBuf::from("model")),
            clip: Some(1.0),
            ..resolve_train(TypedTrain::default(), 1, 1)
        },
    }
}

/// The full paths of all keys of a run configuration.
pub(crate) fn every_key() -> Vec<String> {
    let keys = feed_forwards().map(|feed_forward| flat(&complete(feed_forward)).into_keys());
    let keys: BTreeSet<String> = keys.into_iter().flatten().collect();
    keys.into_iter().collect()
}

/// The values of a configuration by their full paths.
pub(super) fn flat(config: &RunConfig) -> BTreeMap<String, toml::Value> {
    fn walk(prefix: &str, value: toml::Value, into: &mut BTreeMap<String, toml::Value>) {
        match value {
            toml::Value::Table(table) => {
                for (key, value) in table {
                    let path = if prefix.is_empty() {
                        key
                    } else {
                        format!("{prefix}.{key}")
                    };
                    walk(&path, value, into);
                }
            }
            value => {
                into.insert(prefix.into(), value);
            }
        }
    }
    let mut values = BTreeMap::new();
    // Only a path that is not Unicode has no TOML form; such a one equals nothing.
    if let Ok(value) = toml::Value::try_from(config) {
        walk("", value, &mut values);
    }
    values
}
