//! `bench decode` and `bench prefill`: time rounds of one or several models in alternation, each dense and
//! sparse, and report. The two commands differ in their [`Workload`] only.

use std::num::NonZeroU32;
use std::path::PathBuf;

use inference::{Engine, MaskRule, MaskStatistics, Work};

use super::alternation::{Timed, alternate};
use super::comparison::Comparison;
use super::engines::{Engines, Subject};
use super::inference_report::{Limit, Measured, Report, Speed};
use crate::arguments::{BenchInferenceArguments, Common};
use crate::failure::Failure;

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

/// Measures a workload with the engines of all models and prints the report.
pub fn run(workload: &impl Workload, common: &Common) -> Result<(), Failure> {
    let mut reports = measure(workload, common)?;
    match workload.arguments().model.as_slice() {
        [] | [_] => reports.remove(0).print(common.json),
        models => Comparison::new(models, reports).print(common.json),
    }
}

/// A report for each model.
fn measure<W: Workload>(workload: &W, common: &Common) -> Result<Vec<Report>, Failure> {
    common.on_cpu(W::COMMAND)?;
    let arguments = workload.arguments();
    let engines = subjects(arguments)?.into_iter();
    let engines = engines.map(|subject| Engines::new(subject, arguments, common));
    let all: Vec<Engines> = engines.collect::<Result<_, _>>()?;
    let contexts = all.iter().map(|engines| engines.dense.config().context);
    let shortest = contexts.min().unwrap_or(0);
    let tokens = sequence_length(workload.tokens(), W::DEFAULT_TOKENS, shortest)?;
    let batch = workload.batch();
    let read = |engines: &Engines| -> Result<Vec<u32>, Failure> {
        Ok(workload.in_reading_order(engines.sequences(batch, tokens)?))
    };
    let ids: Vec<Vec<u32>> = all.iter().map(read).collect::<Result<_, _>>()?;
    let rounds = arguments.rounds.get();
    let timed = alternate(&all, rounds, common.quiet, &|model, engine| {
        workload.read(engine, all[model].rule, &ids[model])
    })?;
    let seen = (tokens + 1) as f64 / 2.0;
    let outputs = workload.outputs_per_token(tokens);
    let report = |(engines, timed): (&Engines, Timed)| {
        let [dense, sparse] = engines
            .work(timed.masks.as_ref(), seen, batch, outputs)
            .map(|work| workload.limiting_work(&work));
        let limit = workload.limit(&engines.dense, dense, common.threads());
        let speed = |seconds| Speed::new(batch * tokens, seconds);
        Report::new(
            limit,
            (speed(timed.dense), dense),
            timed.sparse.map(|seconds| (speed(seconds), sparse)),
            Measured {
                kept: timed.masks.map(|masks| masks.kept),
                format: engines.dense.options().format,
                threads: common.threads(),
                batch,
                tokens,
                source: engines.source(),
            },
        )
    };
    Ok(all.iter().zip(timed).map(report).collect())
}

/// The models and the text that each reads: its own, the one that is given for all, or one given for each.
fn subjects(arguments: &BenchInferenceArguments) -> Result<Vec<Subject<'_>>, Failure> {
    let (models, data) = (&arguments.model, &arguments.data);
    if data.len() > 1 && data.len() != models.len() {
        return Err(Failure::Usage(format!(
            "--data: given {} times with {} models: expected once for all models, or once for each in the \
             same order",
            data.len(),
            models.len()
        )));
    }
    let data = |index: usize| data.get(index).or(data.first()).map(PathBuf::as_path);
    if models.is_empty() {
        let (model, data) = (None, data(0));
        return Ok(vec![Subject { model, data }]);
    }
    let models = models.iter().map(PathBuf::as_path).enumerate();
    let subjects = models.map(|(index, model)| Subject {
        model: Some(model),
        data: data(index),
    });
    Ok(subjects.collect())
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
