//! `ldrop eval`.

use std::io::{ErrorKind, Write};

use data::Split;
use learned_dropout::Transformer;
use model::files::write_in_parts;
use training::evaluation::thresholds::{ThresholdError, calibrate, executed_share};
use training::evaluation::{
    Evaluation, EvaluationError, EvaluationOptions, TokenResult, evaluate, evaluate_tokens,
};
use training::stored_model::StoredModel;

use crate::arguments::{Common, EvalArguments, PrecisionName};
use crate::evaluation_data::Evaluated;
use crate::failure::Failure;
use crate::stop;
use crate::terminal::{print, print_json, progress_bar, thousands};

/// Runs `eval`.
pub fn run(arguments: EvalArguments, common: &Common) -> Result<(), Failure> {
    let device = common.device()?;
    let precision = common.precision(PrecisionName::F32)?;
    let stored = StoredModel::find(&arguments.model)?;
    let (config, weights) = stored.read()?;
    let data = Evaluated::find(&arguments, &stored, &config, common)?;
    let tokens = data.tokens();
    let tokenizer = data.tokenizer();
    let mut model = Transformer::from_weights(&config, &weights, &device).with_precision(precision);
    let cut = arguments.threshold.cut();
    if let Some((inputs, sparsity)) = cut {
        let other = data.calibration(&stored)?;
        let folder = other.as_ref().unwrap_or(data.folder());
        calibrate(&mut model, folder.split(Split::Train), inputs, sparsity)
            .map_err(threshold_failure)?;
    }
    let options = EvaluationOptions {
        batch: arguments.batch.into(),
        max_tokens: arguments.max_tokens.unwrap_or(u64::MAX),
    };
    let bar = progress_bar(
        Some(
            (tokens.len() as u64)
                .saturating_sub(1)
                .min(options.max_tokens),
        ),
        "{wide_bar} {pos}/{len} tokens, {per_sec}, {eta} left",
        common.quiet,
    );
    let mut progress = |done| bar.set_position(done);
    if arguments.per_token.is_some() {
        // The file that is being written is as large as the text.
        stop::end_on_signals()?;
    }
    let evaluation = match &arguments.per_token {
        None => evaluate(&model, tokens, tokenizer, options, &mut progress),
        Some(path) => write_in_parts(path, |file| {
            let mut write = |result: &TokenResult<'_>| {
                if stop::stopped() {
                    return Err(ErrorKind::Interrupted.into());
                }
                serde_json::to_writer(&mut *file, result)?;
                file.write_all(b"\n")
            };
            evaluate_tokens(
                &model,
                tokens,
                tokenizer,
                options,
                &mut progress,
                &mut write,
            )
        }),
    };
    bar.finish_and_clear();
    Failure::if_signalled(stop::stopped() && evaluation.is_err())?;
    let mut evaluation = evaluation.map_err(|error| match (error, &arguments.per_token) {
        (EvaluationError::Receiver(error), Some(path)) => {
            Failure::work(format!("{}: {error}", path.display()))
        }
        (error, _) => error.into(),
    })?;
    if cut.is_some() {
        evaluation.executed = Some(executed_share(&mut model));
    }
    if common.json {
        print_json(&evaluation)
    } else {
        print_evaluation(&evaluation)
    }
}

/// Says which option causes a problem with thresholds.
pub fn threshold_failure(error: ThresholdError) -> Failure {
    match error {
        ThresholdError::NotDense(problem) => {
            Failure::Usage(format!("--threshold-sparsity: {problem}"))
        }
        error => error.into(),
    }
}

fn print_evaluation(evaluation: &Evaluation) -> Result<(), Failure> {
    print(&format!("loss           {:.4}", evaluation.loss))?;
    print(&format!("perplexity     {:.2}", evaluation.perplexity))?;
    if let Some(bits) = evaluation.bits_per_byte {
        print(&format!("bits per byte  {bits:.4}"))?;
    }
    if evaluation.unknown_tokens > 0 {
        print(&format!(
            "unknown        {} tokens are characters that the tokenizer does not know, so there are no \
             bits per byte",
            thousands(evaluation.unknown_tokens)
        ))?;
    }
    if let Some(kept) = evaluation.kept {
        print(&format!("kept           {:.2}%", kept * 100.0))?;
    }
    if let Some(executed) = &evaluation.executed {
        let operations = &executed.forward_flops_per_token;
        print(&format!("used           {:.2}%", executed.density * 100.0))?;
        print(&format!(
            "FLOPs a token  {} executed of {}",
            thousands(operations.executed),
            thousands(operations.dense)
        ))?;
    }
    print(&format!("tokens         {}", thousands(evaluation.tokens)))
}
