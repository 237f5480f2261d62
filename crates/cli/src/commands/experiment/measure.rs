//! Measures the trained models of an experiment, one after the other, when all runs have ended. Each
//! measurement is a process of its own: another command of this program.

use std::io::Read;
use std::process::{Command, Output, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use training::experiments::{Experiment, Measurements, PlannedRun};

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
    let mut waiting = Vec::new();
    for run in runs {
        let remaining = experiment.remaining_measurements(run)?;
        waiting.extend(remaining.into_iter().map(|planned| (run, planned)));
    }
    let bar = progress_bar(
        Some(waiting.len() as u64),
        "{wide_bar} {pos}/{len} measurements, {eta} left",
        common.quiet,
    );
    let mut failed = 0;
    for (run, planned) in waiting {
        if stop::stopped() {
            break;
        }
        match printed_json(run, &planned.arguments) {
            Ok(result) => {
                let mut made = Measurements::read(&run.folder);
                made.0.push(planned.with_result(result));
                made.write(&run.folder)?;
            }
            Err(_) if stop::stopped() => break,
            Err(error) => {
                failed += 1;
                let (folder, command) = (run.folder.display(), planned.arguments.join(" "));
                bar.suspend(|| {
                    print_message(&format!("{folder}: `ldrop {command}` failed: {error}"))
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

/// Runs the program with these arguments about a run. Gives the JSON that it prints, or its error.
fn printed_json(run: &PlannedRun, arguments: &[String]) -> Result<serde_json::Value, String> {
    let output = run_program(run, arguments).map_err(|error| error.to_string())?;
    if !output.status.success() {
        let messages = String::from_utf8_lossy(&output.stderr);
        let error = messages
            .rsplit_once("error: ")
            .map_or(&*messages, |(_, error)| error);
        return Err(format!("{} ({})", error.trim(), output.status));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())
}

/// Runs the program until it ends; kills it when a stop is asked for.
fn run_program(run: &PlannedRun, arguments: &[String]) -> std::io::Result<Output> {
    let mut process = Command::new(std::env::current_exe()?)
        .args(arguments)
        .args(["--json", "--quiet"])
        .arg("--model")
        .arg(&run.folder)
        // The data may have been moved since the run began.
        .arg("--data")
        .arg(&run.config.data.path)
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
