//! Measures the trained models of an experiment when all runs have ended. Each measurement is a process of
//! its own: another command of this program. One process times the models of all arms in alternation.

use std::io::Read;
use std::process::{Command, Output, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;
use training::experiments::{Experiment, Measuring, PlannedRun};

use crate::arguments::Common;
use crate::failure::Failure;
use crate::stop;
use crate::terminal::{print_message, progress_bar};

/// How often it is checked whether a process has ended.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Makes all measurements that are still to be made, and reports those that fail.
pub fn measure(
    experiment: &Experiment,
    runs: &[PlannedRun],
    common: &Common,
) -> Result<(), Failure> {
    let waiting = experiment.remaining_measurements(runs)?;
    let bar = progress_bar(
        Some(waiting.len() as u64),
        "{wide_bar} {pos}/{len} measurements, {eta} left",
        common.quiet,
    );
    let mut failed = 0;
    for measuring in waiting {
        if stop::stopped() {
            break;
        }
        match results(&measuring, common) {
            Ok(results) => measuring.keep(results)?,
            Err(_) if stop::stopped() => break,
            Err(error) => {
                failed += 1;
                let folders = measuring.runs.iter().map(|run| run.folder.display());
                let folders: Vec<String> = folders.map(|of| of.to_string()).collect();
                let (folders, command) =
                    (folders.join(", "), measuring.planned.arguments.join(" "));
                bar.suspend(|| {
                    print_message(&format!("{folders}: `ldrop {command}` failed: {error}"))
                });
            }
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    match failed {
        0 => Ok(()),
        failed => Err(Failure::work(format!(
            "{failed} measurements of trained models failed; the same command tries them again"
        ))),
    }
}

/// Measures, and gives a result for each run; or the error that the program prints.
fn results(measuring: &Measuring<'_>, common: &Common) -> Result<Vec<Value>, String> {
    let output = run_program(measuring, common).map_err(|error| error.to_string())?;
    if !output.status.success() {
        let messages = String::from_utf8_lossy(&output.stderr);
        let error = messages
            .rsplit_once("error: ")
            .map_or(&*messages, |(_, error)| error);
        return Err(format!("{} ({})", error.trim(), output.status));
    }
    let mut printed: Value =
        serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())?;
    if measuring.runs.len() == 1 {
        return Ok(vec![printed]);
    }
    let Value::Array(mut results) = printed["models"].take() else {
        return Err("it printed no list of models".into());
    };
    for result in results.iter_mut().filter_map(Value::as_object_mut) {
        // The experiment may be moved.
        result.remove("model");
    }
    Ok(results)
}

/// Runs the program until it ends; kills it when a stop is asked for.
fn run_program(measuring: &Measuring<'_>, common: &Common) -> std::io::Result<Output> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(&measuring.planned.arguments);
    command.args(["--json", "--quiet"]);
    for run in &measuring.runs {
        command.arg("--model").arg(&run.folder);
        // The data may have been moved since the run began.
        command.arg("--data").arg(&run.config.data.path);
    }
    let threads = "--threads".to_string();
    if let Some(number) = common
        .threads
        .filter(|_| !measuring.planned.arguments.contains(&threads))
    {
        command.args([threads, number.to_string()]);
    }
    let mut process = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    // Both pipes are read while the program runs: it would wait forever on a full one.
    let (stdout, stderr) = (reader(process.stdout.take()), reader(process.stderr.take()));
    let status = loop {
        if let Some(status) = process.try_wait()? {
            break status;
        }
        if stop::stopped() {
            process.kill()?;
        }
        std::thread::sleep(POLL_INTERVAL);
    };
    let read = |reader: Reader| reader.join().unwrap_or_default();
    Ok(Output {
        status,
        stdout: read(stdout),
        stderr: read(stderr),
    })
}

/// A thread that reads a pipe until it is closed.
type Reader = JoinHandle<Vec<u8>>;

fn reader(pipe: Option<impl Read + Send + 'static>) -> Reader {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            // After an error, what came before it is all there is.
            let _ = pipe.read_to_end(&mut bytes);
        }
        bytes
    })
}
