//! The engines of a model that `bench decode` and `bench prefill` time: a dense and a sparse one.

use std::path::Path;

use burn::tensor::Device;
use data::{DataFolder, Split};
use inference::{Engine, MaskRule, MaskStatistics, Thresholds, Work};
use kernels::random::Philox;
use learned_dropout::Transformer;
use model::initialization::initial_weights;
use model::weights::Weights;
use model::{CutInputs, TransformerConfig};
use training::config::RunConfig;
use training::evaluation::thresholds::calibrate;
use training::stored_model::{StoredModel, model_of_run};

use crate::arguments::{BenchInferenceArguments, Common, PrecisionName};
use crate::commands::eval::threshold_failure;
use crate::failure::Failure;
use crate::quickstart;

/// Two engines of one model: with and without the values that its masks drop.
pub struct Engines {
    /// Computes everything.
    pub dense: Engine,
    /// None where there is nothing to leave out.
    pub sparse: Option<Engine>,
    /// What the masks keep.
    pub rule: MaskRule,
    seed: u64,
    text: Option<DataFolder>,
}

/// A model that is measured, and the text that it reads.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// None for the one of the configuration, with random weights.
    pub model: Option<&'a Path>,
    /// None for the text that the model was trained on.
    pub data: Option<&'a Path>,
}

impl Engines {
    /// The engines of a model that the arguments name.
    pub fn new(
        subject: Subject<'_>,
        arguments: &BenchInferenceArguments,
        common: &Common,
    ) -> Result<Self, Failure> {
        let (config, weights) = model(subject.model, arguments)?;
        let masked = config.learned_dropout.is_some();
        let text = text(subject)?;
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
                let (config, weights) = (config.clone(), weights.clone());
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

    /// The work per token of both engines, the dense one first. See [`Engine::work`].
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
fn model(
    folder: Option<&Path>,
    arguments: &BenchInferenceArguments,
) -> Result<(TransformerConfig, Weights), Failure> {
    if let Some(folder) = folder {
        return Ok(StoredModel::find(folder)?.read()?);
    }
    let overrides = &arguments.overrides;
    let (config, name) = match &arguments.config {
        Some(file) => (RunConfig::read(file, overrides)?, file.as_path()),
        None => (
            quickstart::config_without_data(overrides)?,
            quickstart::CONFIG_NAME.as_ref(),
        ),
    };
    let config = model_of_run(&config, name)?;
    let weights = initial_weights(&config, arguments.seed);
    Ok((config, weights))
}

/// The text that is read: that of --data, else the one that the model was trained on, if it still
/// exists. Random tokens are the last choice: masks keep other shares of them than of text.
fn text(subject: Subject<'_>) -> Result<Option<DataFolder>, Failure> {
    if let Some(path) = subject.data {
        return Ok(Some(DataFolder::open(path)?));
    }
    let training_data = |path: &Path| StoredModel::find(path).ok()?.training_data().ok()?;
    Ok(subject.model.and_then(training_data))
}

/// Thresholds of a model, so that a share of the inputs of its layers lies below.
fn thresholds(
    (config, weights): (&TransformerConfig, &Weights),
    text: Option<&DataFolder>,
    (inputs, sparsity): (CutInputs, f64),
) -> Result<Thresholds, Failure> {
    let Some(text) = text else {
        return Err(Failure::Usage(
            "--threshold-sparsity: no text to calibrate on; give --model and, unless the data of its \
             run still exists, --data"
                .into(),
        ));
    };
    let mut transformer = Transformer::from_weights(config, weights, &Device::flex());
    let tokens = text.split(Split::Train);
    calibrate(&mut transformer, tokens, inputs, sparsity).map_err(threshold_failure)?;
    let layers = transformer.cut_layers();
    Ok(Thresholds {
        inputs,
        sparsity,
        values: layers.iter().map(|layer| layer.threshold).collect(),
    })
}
