//! `ldrop train`.

mod summary;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use data::{DataFolder, Tokenizer};
use indicatif::ProgressBar;
use inference::{Engine, GenerateOptions, SamplingOptions};
use training::config::RunConfig;
use training::metrics::EvaluationMetrics;
use training::report::{Format, REPORT_FILE, Report};
use training::run_folder::RunFolder;
use training::trainer::{Hooks, Observer, SampleRequest, Saved, Setup, Started, Stepped, Trainer};

use crate::arguments::{Common, TrainArguments};
use crate::failure::Failure;
use crate::terminal::{print_message, printable, progress_bar, thousands};
use crate::text_generation::{prompt_ids, stream_text};
use crate::{machine, quickstart, stop};

/// The folder of runs without --out.
const RUNS: &str = "runs";

/// Runs `train`.
pub fn run(arguments: TrainArguments, common: &Common) -> Result<(), Failure> {
    let is_of_experiment = arguments.stop_at_end_of_input;
    let result = train(arguments, common);
    result.map_err(|failure| match is_of_experiment {
        true => failure.of_run(),
        false => failure,
    })
}

fn train(arguments: TrainArguments, common: &Common) -> Result<(), Failure> {
    let device = common.device()?;
    let folder = run_folder(&arguments)?;
    let config = configuration(&arguments, &folder, common)?;
    if !arguments.resume {
        // Before the quick start prepares its text for nothing.
        RunFolder::check_free(&folder)?;
    }
    if is_quickstart(&arguments, &config) && !arguments.resume {
        stop::give_up_on_signals()?;
        quickstart::prepare_text(&config.data.path, common)?;
    }
    let data = DataFolder::open(&config.data.path)?;
    let tokenizer = data.tokenizer()?;
    let setup = Setup {
        config,
        data: &data,
        device,
        peak_flops: &|precision| machine::peak_flops(common, precision),
    };
    stop::on_signals()?;
    if arguments.stop_at_end_of_input {
        stop::at_end_of_input();
    }
    let mut trainer = match (arguments.resume, arguments.allow_changes) {
        (false, _) => Trainer::new(setup, &folder)?,
        (true, false) => Trainer::resume(setup, &folder)?,
        (true, true) => Trainer::resume_changed(setup, &folder)?,
    };
    trainer.record_environment(machine::environment(common))?;
    let mut view = View::new(common.quiet);
    let threads = common.threads();
    let begin = beginning(&data);
    let mut sampler = |request: &SampleRequest<'_>| sample(request, begin, &tokenizer, threads);
    let outcome = trainer.run(&mut Hooks {
        observer: &mut view,
        sampler: Some(&mut sampler),
        stop: &stop::STOP,
    });
    view.finish();
    let outcome = outcome?;
    if !outcome.stopped {
        let report = Report::read(std::slice::from_ref(&folder));
        let saved = report.and_then(|report| report.save(&folder.join(REPORT_FILE), Format::Html));
        // A run that is complete does not fail because its report cannot be written.
        if let Err(error) = saved {
            print_message(&format!("warning: no report: {error}"));
        }
    }
    summary::print_end(&outcome, &view, &folder, common)?;
    Failure::if_signalled(outcome.stopped)
}

/// Whether the run reads the quick start's own text, and not one that the user names.
fn is_quickstart(arguments: &TrainArguments, config: &RunConfig) -> bool {
    arguments.config.is_none() && config.data.path == Path::new(quickstart::DATA)
}

/// The name of the folder of a run without --out.
fn default_name(arguments: &TrainArguments) -> String {
    let stem = arguments.config.as_deref().and_then(Path::file_stem);
    stem.map_or(quickstart::RUN_NAME.into(), |stem| {
        stem.to_string_lossy().into_owned()
    })
}

/// The run folder: that of --out; else the first of `runs/NAME`, `runs/NAME-2`, … that does not
/// exist, or for a resumed run the last one that does.
fn run_folder(arguments: &TrainArguments) -> Result<PathBuf, Failure> {
    if let Some(folder) = &arguments.out {
        return Ok(folder.clone());
    }
    let name = default_name(arguments);
    let folder = |number: u32| match number {
        1 => Path::new(RUNS).join(&name),
        number => Path::new(RUNS).join(format!("{name}-{number}")),
    };
    let free = (1..).find(|&number| !folder(number).exists()).unwrap_or(1);
    match (arguments.resume, free) {
        (false, free) => Ok(folder(free)),
        (true, 1) => Err(Failure::Usage(format!(
            "{}: there is no run to resume; name it with --out",
            folder(1).display()
        ))),
        (true, free) => Ok(folder(free - 1)),
    }
}

fn configuration(
    arguments: &TrainArguments,
    folder: &Path,
    common: &Common,
) -> Result<RunConfig, Failure> {
    let mut overrides = arguments.overrides.clone();
    for (key, path) in [
        ("data.path", &arguments.data),
        ("train.from", &arguments.from),
    ] {
        let Some(path) = path else { continue };
        let Some(path) = path.to_str() else {
            return Err(Failure::Usage(format!(
                "{}: not a Unicode path",
                path.display()
            )));
        };
        overrides.push(format!("{key}={path:?}"));
    }
    if let Some(seed) = arguments.seed {
        overrides.push(format!("seed={seed}"));
    }
    overrides.extend(common.precision_override());
    Ok(match (&arguments.config, arguments.resume) {
        (Some(file), true) => Setup::resumed_config(folder, file, &overrides)?,
        (Some(file), false) => RunConfig::read(file, &overrides)?,
        (None, true) => Setup::stored_config(folder, &overrides)?,
        (None, false) => quickstart::config(&overrides)?,
    })
}

/// What a sample without a prompt begins with: nothing, so after end-of-text, or a line feed where the data
/// has no end-of-text. The model has never seen a token then that it should go on from.
fn beginning(data: &DataFolder) -> &'static str {
    let meta = data.meta();
    match meta.separated && meta.documents > 1 {
        true => "",
        false => "\n",
    }
}

/// Generates the text sample of an evaluation; it begins with `begin` where it has no prompt.
fn sample(
    request: &SampleRequest<'_>,
    begin: &str,
    tokenizer: &Tokenizer,
    threads: usize,
) -> Result<String, String> {
    let generated = || -> Result<String, Failure> {
        let engine = Engine::new(request.model.clone(), request.weights.clone(), threads)?;
        let prompt = match request.prompt {
            "" => begin,
            prompt => prompt,
        };
        let prompt = prompt_ids(prompt, tokenizer)?;
        let options = GenerateOptions {
            max_tokens: request.tokens,
            sampling: SamplingOptions {
                temperature: 0.8,
                top_k: Some(50),
                seed: request.seed,
                ..SamplingOptions::default()
            },
            ..GenerateOptions::default()
        };
        let mut text = request.prompt.to_string();
        stream_text(&engine, tokenizer, &prompt, &options, &mut |piece| {
            text.push_str(piece);
            ControlFlow::Continue(())
        })?;
        Ok(text)
    };
    generated().map_err(|failure| failure.to_string())
}

/// Shows the progress of a run on standard error.
struct View {
    quiet: bool,
    bar: ProgressBar,
    tokens_per_step: u64,
    /// Smoothed speed, in tokens per second.
    speed: Option<f64>,
    last: Option<EvaluationMetrics>,
    sample: Option<String>,
    notes: Vec<String>,
}

impl View {
    fn new(quiet: bool) -> Self {
        let bar = progress_bar(None, "{wide_bar} {msg}, {eta} left", quiet);
        Self {
            quiet,
            bar,
            tokens_per_step: 0,
            speed: None,
            last: None,
            sample: None,
            notes: Vec::new(),
        }
    }

    fn show_message(&self, line: &str) {
        if !self.quiet {
            self.show_always(line);
        }
    }

    /// Shows what --quiet does not hide.
    fn show_always(&self, line: &str) {
        self.bar.suspend(|| print_message(line));
    }

    fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

impl Observer for View {
    fn started(&mut self, started: &Started<'_>) {
        for damaged in started.damaged {
            self.show_always(&format!("warning: not used: {}", damaged.error));
        }
        if let Some(folder) = started.resumed_from {
            self.show_message(&format!("resumed from {}", folder.display()));
        }
        for note in started.notes {
            self.show_always(&format!("note: {note}"));
        }
        self.notes = started.notes.to_vec();
        self.show_message(&format!(
            "{} parameters, {} tokens per step, {} steps",
            thousands(started.model.parameters() as u64),
            thousands(started.tokens_per_step),
            thousands(started.steps)
        ));
        self.tokens_per_step = started.tokens_per_step;
        self.bar.set_length(started.steps);
        self.bar.set_position(started.step);
        self.bar.reset_eta();
    }

    fn stepped(&mut self, step: &Stepped) {
        let speed = self.speed.map_or(step.tokens_per_second, |speed| {
            0.9 * speed + 0.1 * step.tokens_per_second
        });
        self.speed = Some(speed);
        self.bar.set_message(format!(
            "step {}/{}, loss {:.3}, {} tokens/s",
            step.step,
            step.steps,
            step.loss,
            thousands(speed as u64)
        ));
        self.bar.set_position(step.step);
    }

    fn evaluated(&mut self, metrics: &EvaluationMetrics) {
        let sets = metrics.sets.iter();
        let sets: String = sets
            .map(|(name, loss)| format!(", {name} {loss:.4}"))
            .collect();
        let kept = metrics.mask.as_ref();
        let kept = kept.map_or(String::new(), |mask| {
            format!(", kept {:.1}%", mask.mean.kept * 100.0)
        });
        let used = metrics.feed_forward.as_ref();
        let used = used.map_or(String::new(), |used| {
            format!(", used {:.1}%", used.density * 100.0)
        });
        self.show_message(&format!(
            "step {}: training loss {:.4}, validation loss {:.4}{sets}{kept}{used}{}",
            metrics.step,
            metrics.train_loss,
            metrics.validation_loss,
            if metrics.best { ", best so far" } else { "" }
        ));
        self.last = Some(metrics.clone());
    }

    fn sampled(&mut self, _step: u64, sample: Result<&str, &str>) {
        match sample {
            Ok(text) => {
                self.show_message(&format!("{}\n", indented(text)));
                self.sample = Some(text.into());
            }
            Err(reason) => self.show_message(&format!("no text sample: {reason}")),
        }
    }

    fn saved(&mut self, saved: &Saved) {
        tracing::info!("checkpoint {}", saved.folder.display());
    }
}

fn indented(text: &str) -> String {
    printable(text)
        .lines()
        .map(|line| format!("  │ {line}"))
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use data::progress::Silent;
    use data::sources::Source;
    use data::{PrepareOptions, prepare};

    use super::*;

    #[test]
    fn a_sample_begins_with_a_token_that_the_data_has() {
        let place = tempfile::tempdir().expect("a folder");
        let begin = |name: &str, lines: &str| {
            let file = place.path().join(name);
            std::fs::write(&file, lines).expect("written");
            let out = place.path().join(format!("{name}-data"));
            let options = PrepareOptions::new(vec![Source::Path(file)], &out);
            prepare(&options, &Silent).expect("prepared");
            beginning(&DataFolder::open(&out).expect("opened"))
        };
        let documents = "{\"text\":\"a document\"}\n{\"text\":\"and another\"}\n";
        assert_eq!(begin("several.jsonl", documents), "");
        assert_eq!(begin("one.txt", "a document and nothing more"), "\n");
    }
}
