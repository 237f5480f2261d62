//! `bench decode` and `bench prefill`: sets up a dense and a sparse engine, times rounds of both in
//! alternation, and reports. The two commands differ in their [`Workload`] only.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Instant;

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
use training::median::median;
use training::stored_model::{StoredModel, model_of_run};

use super::inference_report::{Limit, Measured, Report, Speed};
use crate::arguments::{BenchInferenceArguments, Common, PrecisionName};
use crate::commands::eval::threshold_failure;
use crate::failure::Failure;
use crate::quickstart;
use crate::terminal::progress_bar;

/// A way of reading tokens: what `bench decode` and `bench prefill` differ in.
pub trait Workload {
    /// The name of the command in messages.
    const COMMAND: &'static str;
    /// Tokens of a sequence without --tokens; fewer if the context is shorter.
    const DEFAULT_TOKENS: usize;

    /// Sequences that are read together.
    fn batch(&self) -> usize {
        1
    }

    /// Tokens of a sequence, if --tokens is given.
    fn tokens(&self) -> Option<NonZeroU32>;

    /// The arguments that both commands take.
    fn arguments(&self) -> &BenchInferenceArguments;

    /// Reorders the tokens of sequences, given one sequence after the other, as they are read.
    fn in_reading_order(&self, sequences: Vec<u32>) -> Vec<u32> {
        sequences
    }

    /// Reads tokens from an empty context on; the part that is timed. Gives the statistics of the
    /// masks.
    fn read(
        &self,
        engine: &Engine,
        rule: MaskRule,
        ids: &[u32],
    ) -> Result<Option<MaskStatistics>, Failure>;

    /// The share of the tokens that logits are computed for.
    fn outputs_per_token(&self, tokens: usize) -> f64;

    /// The part of the work that limits the speed: bytes or operations.
    fn limiting_work(&self, work: &Work) -> f64;

    /// Measures how fast this machine can do that part. `work` is the amount of the dense engine.
    fn limit(&self, dense: &Engine, work: f64, threads: usize) -> Limit;
}

/// Measures a workload with both engines and prints the report.
pub fn run(workload: &impl Workload, common: &Common) -> Result<(), Failure> {
    measure(workload, common)?.print(common.json)
}

fn measure<W: Workload>(workload: &W, common: &Common) -> Result<Report, Failure> {
    common.on_cpu(W::COMMAND)?;
    let engines = Engines::new(workload.arguments(), common)?;
    let context = engines.dense.config().context;
    let tokens = sequence_length(workload.tokens(), W::DEFAULT_TOKENS, context)?;
    let batch = workload.batch();
    let ids = workload.in_reading_order(engines.sequences(batch, tokens)?);
    let timed = engines.alternate(batch * tokens, common.quiet, &|engine| {
        workload.read(engine, engines.rule, &ids)
    })?;
    let seen = (tokens + 1) as f64 / 2.0;
    let outputs = workload.outputs_per_token(tokens);
    let [dense, sparse] = engines
        .work(timed.masks.as_ref(), seen, batch, outputs)
        .map(|work| workload.limiting_work(&work));
    let limit = workload.limit(&engines.dense, dense, common.threads());
    Ok(Report::new(
        limit,
        (timed.dense, dense),
        (timed.sparse, sparse),
        Measured {
            kept: timed.masks.map(|masks| masks.kept),
            format: engines.dense.options().format,
            threads: common.threads(),
            batch,
            tokens,
            source: engines.source(),
        },
    ))
}

/// Two engines of one model: with and without the values that its masks drop.
struct Engines {
    dense: Engine,
    /// None where there is nothing to leave out.
    sparse: Option<Engine>,
    rule: MaskRule,
    seed: u64,
    rounds: u32,
    text: Option<DataFolder>,
}

/// The speeds of both engines.
struct Timed {
    dense: Speed,
    sparse: Speed,
    /// Statistics of the sparse engine's masks.
    masks: Option<MaskStatistics>,
}

impl Engines {
    /// The engines of the model that the arguments name.
    fn new(arguments: &BenchInferenceArguments, common: &Common) -> Result<Self, Failure> {
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
            rounds: arguments.rounds.get(),
            text,
        })
    }

    /// What is read: `text`, or `random` tokens.
    fn source(&self) -> &'static str {
        self.text.as_ref().map_or("random", |_| "text")
    }

    /// Sequences of `tokens` tokens, one after the other: windows of the validation part at random
    /// places, or random tokens of the model's vocabulary.
    fn sequences(&self, count: usize, tokens: usize) -> Result<Vec<u32>, Failure> {
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

    /// Times rounds of both engines in alternation, after a first round that does not count. `round`
    /// reads `tokens` tokens and gives the statistics of the masks.
    fn alternate(
        &self,
        tokens: usize,
        quiet: bool,
        round: &dyn Fn(&Engine) -> Result<Option<MaskStatistics>, Failure>,
    ) -> Result<Timed, Failure> {
        let bar = progress_bar(
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
                // With nothing to leave out, both engines are the same.
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
        Ok(Timed {
            dense: speed(dense),
            sparse: speed(sparse),
            masks,
        })
    }

    /// The work per token of both engines, the dense one first. See [`Engine::work`].
    fn work(
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
fn text(arguments: &BenchInferenceArguments) -> Result<Option<DataFolder>, Failure> {
    if let Some(path) = &arguments.data {
        return Ok(Some(DataFolder::open(path)?));
    }
    let training_data = |path: &PathBuf| StoredModel::find(path).ok()?.training_data().ok()?;
    Ok(arguments.model.as_ref().and_then(training_data))
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

/// The length of a sequence, which must fit into the context.
fn sequence_length(
    wanted: Option<NonZeroU32>,
    default: usize,
    context: usize,
) -> Result<usize, Failure> {
    let tokens = wanted.map_or(default.min(context), |tokens| tokens.get() as usize);
    if tokens <= context {
        return Ok(tokens);
    }
    Err(Failure::Usage(format!(
        "--tokens {tokens}: expected at most {context}, the model's context"
    )))
}
