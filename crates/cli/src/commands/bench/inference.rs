//! What the measurements of inference share: the two engines, and what is told of them.

use std::path::Path;
use std::time::Instant;

use burn::tensor::Device;
use data::{DataFolder, Split};
use inference::{Engine, MaskRule, MaskStatistics, Thresholds, Work};
use kernels::random::Philox;
use learned_dropout::Transformer;
use model::initialization::initial_weights;
use model::weights::Weights;
use model::{CutInputs, TransformerConfig};
use serde::Serialize;
use training::config::RunConfig;

use super::super::eval::threshold::calibrate;
use crate::arguments::{BenchInferenceArguments, Common, PrecisionName};
use crate::failure::Failure;
use crate::terminal::bar;
use crate::{named_model, quickstart};

/// A model, computed with and without what its masks drop.
pub struct Engines {
    pub dense: Engine,
    /// None where there is nothing to drop.
    pub sparse: Option<Engine>,
    pub rule: MaskRule,
    seed: u64,
    rounds: u32,
    text: Option<DataFolder>,
}

/// How fast one of the engines was.
#[derive(Serialize)]
pub struct Speed {
    pub tokens_per_second: f64,
    pub seconds_all: Vec<f64>,
}

/// What both have done.
pub struct Measured {
    pub dense: Speed,
    pub sparse: Speed,
    /// What the masks of the sparse engine did.
    pub masks: Option<MaskStatistics>,
}

impl Engines {
    /// The engines of the model that the arguments name.
    pub fn new(arguments: &BenchInferenceArguments, common: &Common) -> Result<Self, Failure> {
        let (config, weights) = model(arguments)?;
        let masked = config.learned_dropout.is_some();
        let text = text(arguments)?;
        if arguments.kept.is_some() && !masked {
            return Err(Failure::Usage(
                "--kept: the model has no learned masks whose values could be kept or dropped; \
                 leave the option out, or add the table `model.learned_dropout`"
                    .into(),
            ));
        }
        let options = |dense| common.engine_options(PrecisionName::Auto, &config, dense);
        let sparse = match arguments.threshold.cut() {
            Some(cut) => {
                let thresholds = thresholds((&config, &weights), text.as_ref(), cut)?;
                let weights = weights.clone();
                let config = config.clone();
                let options = options(false);
                Some(Engine::with_thresholds(
                    config,
                    weights,
                    options,
                    &thresholds,
                )?)
            }
            None if masked => Some(Engine::with_options(
                config.clone(),
                weights.clone(),
                options(false),
            )?),
            None => None,
        };
        let options = options(true);
        Ok(Self {
            sparse,
            dense: Engine::with_options(config, weights, options)?,
            rule: match arguments.kept {
                Some(kept) => MaskRule::Random {
                    kept: kept as f32,
                    seed: arguments.seed,
                },
                None => MaskRule::Model,
            },
            seed: arguments.seed,
            rounds: arguments.rounds.get(),
            text,
        })
    }

    /// What is read: `text`, or `random` tokens.
    pub fn source(&self) -> &'static str {
        self.text.as_ref().map_or("random", |_| "text")
    }

    /// Sequences of `tokens` tokens, one after the other: windows of the validation part at random
    /// places, or random tokens of the model's vocabulary.
    pub fn sequences(&self, count: usize, tokens: usize) -> Result<Vec<u32>, Failure> {
        let generator = Philox::new(self.seed, 1);
        if let Some(folder) = &self.text {
            let mut drawn = 0..;
            let mut below = |bound| generator.below(drawn.next().unwrap_or(0), bound);
            let split = folder.split(Split::Validation);
            return Ok(data::batches::sample(split, count, tokens, &mut below)?.inputs);
        }
        let vocabulary = self.dense.config().vocabulary as u64;
        let id = |index| generator.below(index, vocabulary) as u32;
        Ok((0..(count * tokens) as u64).map(id).collect())
    }

    /// Measures rounds in alternation, after one that is not measured. `round` handles `tokens`
    /// tokens and gives what the masks did.
    pub fn alternate(
        &self,
        tokens: usize,
        quiet: bool,
        round: &dyn Fn(&Engine) -> Result<Option<MaskStatistics>, Failure>,
    ) -> Result<Measured, Failure> {
        let bar = bar(
            Some(u64::from(self.rounds) + 1),
            "{wide_bar} {pos}/{len} rounds",
            quiet,
        );
        let timed = |engine: &Engine| -> Result<_, Failure> {
            let began = Instant::now();
            let masks = round(engine)?;
            Ok((began.elapsed().as_secs_f64().max(1e-9), masks))
        };
        let (mut dense, mut sparse, mut masks) = (Vec::new(), Vec::new(), None);
        for number in 0..=self.rounds {
            let (seconds, _) = timed(&self.dense)?;
            let of_sparse = self.sparse.as_ref().map(timed).transpose()?;
            if number > 0 {
                dense.push(seconds);
                // Without masks both are the same.
                sparse.push(of_sparse.as_ref().map_or(seconds, |(seconds, _)| *seconds));
            }
            masks = of_sparse.and_then(|(_, masks)| masks);
            bar.inc(1);
        }
        bar.finish_and_clear();
        let speed = |seconds: Vec<f64>| Speed {
            tokens_per_second: tokens as f64 / median(&seconds),
            seconds_all: seconds,
        };
        Ok(Measured {
            dense: speed(dense),
            sparse: speed(sparse),
            masks,
        })
    }

    /// The work per token of both, dense first. See [`Engine::work`].
    pub fn work(
        &self,
        masks: Option<&MaskStatistics>,
        seen: f64,
        together: usize,
        outputs: f64,
    ) -> [Work; 2] {
        let sparse = self.sparse.as_ref().unwrap_or(&self.dense);
        [&self.dense, sparse].map(|engine| engine.work(masks, seen, together, outputs))
    }
}

/// The model that is measured, and its weights.
fn model(arguments: &BenchInferenceArguments) -> Result<(TransformerConfig, Weights), Failure> {
    if let Some(folder) = &arguments.model {
        return named_model::read(folder);
    }
    let mut overrides = arguments.overrides.clone();
    let (config, name) = match &arguments.config {
        Some(file) => (RunConfig::read(file, &overrides)?, file.as_path()),
        None => {
            let name = Path::new(quickstart::CONFIG_NAME);
            // The data that would tell the vocabulary need not be there.
            overrides.insert(0, format!("model.vocabulary={}", quickstart::VOCABULARY));
            (
                RunConfig::parse(quickstart::CONFIG, name, &overrides)?,
                name,
            )
        }
    };
    let config = named_model::config_of_run(&config, name)?;
    let weights = initial_weights(&config, arguments.seed);
    Ok((config, weights))
}

/// The text that is read: the one that is named, or else the one that the model was trained on, if it
/// is still there. What masks keep of random tokens says little about what they keep of text.
fn text(arguments: &BenchInferenceArguments) -> Result<Option<DataFolder>, Failure> {
    if let Some(path) = &arguments.data {
        return Ok(Some(DataFolder::open(path)?));
    }
    let of_model = arguments.model.as_deref().map(named_model::data_of);
    Ok(of_model.and_then(Result::ok).flatten())
}

/// Thresholds of a model for this share of its inputs to be small.
fn thresholds(
    (config, weights): (&TransformerConfig, &Weights),
    text: Option<&DataFolder>,
    (inputs, sparsity): (CutInputs, f64),
) -> Result<Thresholds, Failure> {
    let Some(text) = text else {
        return Err(Failure::Usage(
            "--threshold-sparsity: no text to calibrate on; give --model and, unless the data of its \
             run is still there, --data"
                .into(),
        ));
    };
    let device = Device::flex();
    let mut transformer = Transformer::from_weights(config, weights, &device);
    calibrate(&mut transformer, text, (inputs, sparsity), &device)?;
    let layers = transformer.cut_layers();
    Ok(Thresholds {
        inputs,
        sparsity,
        values: layers.iter().map(|layer| layer.threshold).collect(),
    })
}

/// The middle one.
fn median(seconds: &[f64]) -> f64 {
    let mut seconds = seconds.to_vec();
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}

/// Refuses a number of tokens that the context has no room for.
pub fn fitting(wanted: Option<u32>, default: usize, context: usize) -> Result<usize, Failure> {
    let tokens = wanted.map_or(default.min(context), |tokens| tokens as usize);
    if tokens <= context {
        return Ok(tokens);
    }
    Err(Failure::Usage(format!(
        "--tokens {tokens}: expected at most {context}, the model's context"
    )))
}
