//! Measures the trained models of an experiment, one after the other, when nothing trains any more:
//! each measurement is another command of this program.

use std::io::Read;
use std::process::{Command, Output, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use training::experiments::{
    Experiment, Measurement, Measurements, PlannedRun, Status, Trained, planned_measurements,
    status,
};

use crate::arguments::Common;
use crate::failure::Failure;
use crate::stop;
use crate::terminal::{bar, tell};

/// How often a process is looked after.
const TICK: Duration = Duration::from_millis(20);

/// Makes all measurements that are not made yet, and tells of those that fail.
pub fn measure(
    experiment: &Experiment,
    runs: &[PlannedRun],
    common: &Common,
) -> Result<(), Failure> {
    let outline = &experiment.outline;
    let mut failed = 0;
    let mut waiting = Vec::new();
    for run in runs {
        let arm = outline.arms[run.arm].name.as_str();
        let seed = outline.seeds.iter().position(|&seed| seed == run.seed);
        let trained = Trained {
            arm,
            seed: seed.unwrap_or(usize::MAX),
            masked: run.config.model.learned_dropout.is_some(),
        };
        if status(&run.folder, run.config.train.steps) == Status::Finished {
            let planned = planned_measurements(outline.plans(), trained);
            // What is planned no longer must not stay in the report.
            let mut made = Measurements::read(&run.folder);
            let before = made.0.len();
            made.0.retain(|of| {
                planned
                    .iter()
                    .any(|(arguments, _)| *arguments == of.arguments)
            });
            if made.0.len() < before {
                write(&made, run)?;
            }
            let missing = planned
                .into_iter()
                .filter(|(words, _)| made.of(words).is_none());
            waiting.extend(missing.map(|planned| (run, planned)));
        }
    }
    let bar = bar(
        Some(waiting.len() as u64),
        "{wide_bar} {pos}/{len} measurements, {eta} left",
        common.quiet,
    );
    for (run, (arguments, sparsity)) in waiting {
        if stop::stopped() {
            break;
        }
        match result(run, &arguments) {
            Ok(result) => {
                let mut made = Measurements::read(&run.folder);
                made.0.push(Measurement {
                    arguments,
                    sparsity,
                    result,
                });
                write(&made, run)?;
            }
            Err(_) if stop::stopped() => break,
            Err(error) => {
                failed += 1;
                let (folder, command) = (run.folder.display(), arguments.join(" "));
                bar.suspend(|| tell(&format!("{folder}: `ldrop {command}` failed: {error}")));
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

fn write(measurements: &Measurements, run: &PlannedRun) -> Result<(), Failure> {
    measurements
        .write(&run.folder)
        .map_err(|(path, error)| Failure::work(format!("{}: {error}", path.display())))
}

/// What the program prints with these arguments about a run, or why it prints nothing.
fn result(run: &PlannedRun, arguments: &[String]) -> Result<serde_json::Value, String> {
    let output = output(run, arguments).map_err(|error| error.to_string())?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let error = said
            .rsplit_once("error: ")
            .map_or(&*said, |(_, error)| error);
        return Err(format!("{} ({})", error.trim(), output.status));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())
}

/// Runs the program to its end, or to a stop.
fn output(run: &PlannedRun, arguments: &[String]) -> std::io::Result<Output> {
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
    // Both pipes are emptied all the while: what it says may be more than they hold.
    let (stdout, stderr) = (reader(process.stdout.take()), reader(process.stderr.take()));
    let status = loop {
        if let Some(status) = process.try_wait()? {
            break status;
        }
        if stop::stopped() {
            process.kill()?;
        }
        std::thread::sleep(TICK);
    };
    let read = |reader: Reader| reader.join().unwrap_or_default();
    Ok(Output {
        status,
        stdout: read(stdout),
        stderr: read(stderr),
    })
}

/// What a pipe brings until it is closed.
type Reader = JoinHandle<Vec<u8>>;

fn reader(pipe: Option<impl Read + Send + 'static>) -> Reader {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            // What came before an error is all there is to tell of.
            let _ = pipe.read_to_end(&mut bytes);
        }
        bytes
    })
}
