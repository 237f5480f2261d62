//! `ldrop generate`.

use std::io::{IsTerminal, Read, Write};
use std::ops::ControlFlow;
use std::time::Instant;

use data::Tokenizer;
use inference::{GenerateOptions, MaskRule, MaskSampling, SamplingOptions, StopReason};
use serde::Serialize;
use training::stored_model::StoredModel;

use crate::arguments::{Common, GenerateArguments, PrecisionName};
use crate::engine::engine_of;
use crate::failure::Failure;
use crate::terminal::{print_json, print_message, printable};
use crate::text_generation::{prompt_ids, stream_text};

#[derive(Serialize)]
struct Report {
    text: String,
    tokens: usize,
    tokens_per_second: f64,
    kept: Option<f64>,
    stop: &'static str,
}

/// Runs `generate`.
pub fn run(arguments: GenerateArguments, common: &Common) -> Result<(), Failure> {
    common.on_cpu("generate")?;
    let tokenizer = StoredModel::find(&arguments.model)?.required_tokenizer()?;
    let engine = engine_of(
        &arguments.model,
        common,
        PrecisionName::Auto,
        arguments.dense,
    )?;
    let text = prompt_text(&arguments.prompt)?;
    let prompt = prompt_ids(&text, &tokenizer)?;
    note_unknown(&prompt, &tokenizer);
    let options = options(&arguments, &tokenizer);
    // Refused before anything is shown.
    options
        .check()
        .map_err(|error| Failure::Usage(error.to_string()))?;
    let began = Instant::now();
    let mut output = Output {
        text: String::new(),
        shown: !common.json,
        failure: None,
    };
    output.write(if common.json { "" } else { &text });
    let generated = stream_text(&engine, &tokenizer, &prompt, &options, &mut |piece| {
        output.write(piece);
        if output.failure.is_some() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    })?;
    let seconds = began.elapsed().as_secs_f64();
    output.finish()?;
    if generated.dropped > 0 {
        print_message(&format!(
            "note: the first {} tokens of the prompt do not fit into the context of {}",
            generated.dropped,
            engine.config().context
        ));
    }
    let speed = generated.tokens as f64 / seconds;
    let kept = generated.masks.as_ref().map(|masks| masks.kept);
    if common.json {
        return print_json(&Report {
            text: output.text,
            tokens: generated.tokens,
            tokens_per_second: speed,
            kept,
            stop: stop_name(generated.stop),
        });
    }
    if !common.quiet {
        let kept = kept.map_or(String::new(), |kept| format!(", kept {:.1}%", kept * 100.0));
        print_message(&format!(
            "{} tokens, {speed:.1} tokens/s{kept}",
            generated.tokens
        ));
    }
    Ok(())
}

/// Says that the model does not know some characters of the prompt.
fn note_unknown(prompt: &[u32], tokenizer: &Tokenizer) {
    let unknown = prompt.iter().filter(|&&id| Some(id) == tokenizer.unknown());
    let count = unknown.count();
    if count > 0 {
        print_message(&format!(
            "note: the model's tokenizer does not know {count} characters of the prompt; the model reads \
             each as <unk>"
        ));
    }
}

fn options(arguments: &GenerateArguments, tokenizer: &Tokenizer) -> GenerateOptions {
    GenerateOptions {
        max_tokens: arguments.max_tokens,
        sampling: SamplingOptions {
            temperature: arguments.temperature,
            top_k: arguments.top_k,
            top_p: arguments.top_p,
            seed: arguments.seed,
        },
        end_of_text: tokenizer
            .end_of_text()
            .filter(|_| !arguments.ignore_end_of_text),
        mask_rule: match arguments.mask_temperature {
            None => MaskRule::Model,
            Some(temperature) => MaskRule::Sampled(MaskSampling {
                temperature,
                seed: arguments.seed,
            }),
        },
    }
}

fn prompt_text(argument: &str) -> Result<String, Failure> {
    if argument != "-" {
        return Ok(argument.into());
    }
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .map_err(|error| {
            Failure::work(format!(
                "standard input: {error}; expected the prompt as UTF-8 text"
            ))
        })?;
    Ok(text)
}

fn stop_name(stop: StopReason) -> &'static str {
    match stop {
        StopReason::EndOfText => "end-of-text",
        StopReason::MaxTokens => "max-tokens",
        StopReason::Caller => "interrupted",
    }
}

/// Collects generated text, and prints it as it comes if it is to be `shown`.
struct Output {
    text: String,
    shown: bool,
    failure: Option<std::io::Error>,
}

impl Output {
    fn write(&mut self, piece: &str) {
        self.text.push_str(piece);
        if self.shown {
            let mut stdout = std::io::stdout().lock();
            let piece = if stdout.is_terminal() {
                printable(piece)
            } else {
                piece.into()
            };
            let written = stdout
                .write_all(piece.as_bytes())
                .and_then(|()| stdout.flush());
            self.failure = self.failure.take().or(written.err());
        }
    }

    fn finish(&mut self) -> Result<(), Failure> {
        if self.shown {
            self.write("\n");
        }
        self.failure
            .take()
            .map_or(Ok(()), |error| Err(Failure::output(error)))
    }
}
