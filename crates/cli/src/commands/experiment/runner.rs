//! Makes the runs of an experiment: each in a process of its own, so that one that fails, or is
//! killed for the memory that it takes, does not end the others.

use std::collections::VecDeque;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use training::checkpoints::LATEST;
use training::experiments::{FAILURE_FILE, PlannedRun, Status, status};
use training::report::RunRecord;
use training::run_folder::{RunFolder, RunFolderError};

use super::progress::{Progress, tail};
use crate::arguments::Common;
use crate::failure::Failure;
use crate::stop;
use crate::terminal::tell;

/// File name, in a run folder, of what the run's process said.
const LOG_FILE: &str = "log.txt";
/// How often the processes are looked after.
const TICK: Duration = Duration::from_millis(50);

/// A run that is done or has failed.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Which arm it belongs to.
    pub arm: usize,
    /// Its seed.
    pub seed: u64,
    /// Its folder.
    pub folder: PathBuf,
    /// What it failed with.
    pub error: Option<String>,
}

/// A process that makes a run.
struct Working {
    run: PlannedRun,
    process: Child,
}

/// Makes runs.
pub struct Runner<'a> {
    common: &'a Common,
    labels: Vec<String>,
    jobs: usize,
    threads: usize,
    waiting: VecDeque<PlannedRun>,
    finished: Vec<PlannedRun>,
    working: Vec<Working>,
    is_told_of_busy: bool,
    progress: Progress,
}

impl<'a> Runner<'a> {
    /// Prepares to make `runs`, `jobs` at a time; `labels` are the arms' names for people.
    pub fn new(
        runs: Vec<PlannedRun>,
        labels: Vec<String>,
        jobs: u16,
        common: &'a Common,
    ) -> Result<Self, Failure> {
        let jobs = usize::from(jobs);
        let progress = Progress::new(&runs, common.quiet);
        let is_done = |run: &PlannedRun| {
            matches!(
                status(&run.folder, run.config.train.steps),
                Status::Finished
            )
        };
        let (finished, waiting): (Vec<_>, Vec<_>) = runs.into_iter().partition(is_done);
        Ok(Self {
            threads: match common.threads {
                Some(threads) => threads.into(),
                None => (common.threads() / jobs).max(1),
            },
            common,
            labels,
            jobs,
            waiting: waiting.into(),
            finished,
            working: Vec::new(),
            is_told_of_busy: false,
            progress,
        })
    }

    /// Makes all runs that are not done, until all have ended or a stop is asked for; `ended`
    /// hears of each that ends, and first of those that were done before.
    pub fn run(
        &mut self,
        ended: &mut dyn FnMut(&Ended) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        for run in std::mem::take(&mut self.finished) {
            self.progress.ended(&run);
            ended(&of(&run, None))?;
        }
        let result = self.work(ended);
        // Also after a failure of ours: a closed input asks the processes to save and end.
        for working in &mut self.working {
            drop(working.process.stdin.take());
        }
        for working in &mut self.working {
            working.process.wait()?;
        }
        self.progress.bar.finish_and_clear();
        result
    }

    fn work(
        &mut self,
        ended: &mut dyn FnMut(&Ended) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        while !stop::stopped() && (!self.working.is_empty() || !self.waiting.is_empty()) {
            self.start_more()?;
            for run in self.reap()? {
                ended(&run)?;
            }
            self.progress
                .show(self.working.iter().map(|working| &working.run));
            std::thread::sleep(TICK);
        }
        Ok(())
    }

    fn start_more(&mut self) -> Result<(), Failure> {
        let mut looked_at = 0;
        while self.working.len() < self.jobs && looked_at < self.waiting.len() {
            let Some(run) = self.waiting.pop_front() else {
                break;
            };
            run.set_up()?;
            // A process that outlived a killed experiment may still be saving.
            if let Err(RunFolderError::Busy { .. }) = RunFolder::open(&run.folder) {
                if !self.is_told_of_busy {
                    self.is_told_of_busy = true;
                    self.say(&format!(
                        "{}: waiting for another process to leave it",
                        self.name(&run)
                    ));
                }
                self.waiting.push_back(run);
                looked_at += 1;
                continue;
            }
            let begun = run.folder.join(LATEST).is_file();
            let process = self.start(&run)?;
            let how = if begun {
                "goes on from its last checkpoint"
            } else {
                "started"
            };
            self.say(&format!("{}: {how}", self.name(&run)));
            self.working.push(Working { run, process });
        }
        Ok(())
    }

    fn start(&self, run: &PlannedRun) -> Result<Child, Failure> {
        let failure = run.folder.join(FAILURE_FILE);
        if failure.exists() {
            std::fs::remove_file(failure)?;
        }
        let log = File::create(run.folder.join(LOG_FILE))?;
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args(["train", "--resume", "--quiet", "--stop-at-end-of-input"])
            .args(["--threads", &self.threads.to_string()])
            .args(["--device", &self.common.device.to_string()])
            .arg("--out")
            .arg(&run.folder)
            // The data may have been moved since the run began.
            .arg("--data")
            .arg(&run.config.data.path)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log);
        Ok(command.spawn()?)
    }

    /// Takes in the processes that have ended.
    fn reap(&mut self) -> Result<Vec<Ended>, Failure> {
        let mut ended = Vec::new();
        let mut index = 0;
        while index < self.working.len() {
            let Some(exit) = self.working[index].process.try_wait()? else {
                index += 1;
                continue;
            };
            let run = self.working.remove(index).run;
            let done = status(&run.folder, run.config.train.steps) == Status::Finished;
            if exit.success() && done {
                self.say(&format!("{}: {}", self.name(&run), result(&run)));
                ended.push(of(&run, None));
            } else if !stop::stopped() {
                let error = match exit.success() {
                    true => "the process was told to stop before the run's last step".into(),
                    false => error(&run.folder, &exit.to_string()),
                };
                if is_busy(&run, &error) {
                    self.waiting.push_back(run);
                    continue;
                }
                let path = run.folder.join(FAILURE_FILE);
                model::files::write_atomically(&path, error.as_bytes())?;
                self.say(&format!("{}: failed: {error}", self.name(&run)));
                ended.push(of(&run, Some(error)));
            }
            self.progress.ended(&run);
        }
        Ok(ended)
    }

    fn name(&self, run: &PlannedRun) -> String {
        format!("{}, seed {}", self.labels[run.arm], run.seed)
    }

    fn say(&self, line: &str) {
        if !self.common.quiet {
            self.progress.bar.suspend(|| tell(line));
        }
    }
}

fn of(run: &PlannedRun, error: Option<String>) -> Ended {
    Ended {
        arm: run.arm,
        seed: run.seed,
        folder: run.folder.clone(),
        error,
    }
}

/// Whether a process failed because another one had the folder: one that was started just before
/// the experiment was killed may take the folder after it was looked at.
fn is_busy(run: &PlannedRun, error: &str) -> bool {
    let path = run.folder.clone();
    error == RunFolderError::Busy { path }.to_string()
}

/// How a finished run came out.
fn result(run: &PlannedRun) -> String {
    let record = RunRecord::read(&run.folder).ok();
    let last = record.as_ref().and_then(|record| record.evaluations.last());
    let loss = last.and_then(|last| last.validation_loss);
    let kept = last.and_then(|last| last.kept);
    let loss = loss.map_or(String::new(), |loss| format!(", validation loss {loss:.4}"));
    let kept = kept.map_or(String::new(), |kept| format!(", kept {:.1}%", kept * 100.0));
    format!("finished{loss}{kept}")
}

/// What a process said last, or else how it ended.
fn error(folder: &Path, exit: &str) -> String {
    let log = tail(&folder.join(LOG_FILE)).unwrap_or_default();
    match log.rsplit_once("error: ") {
        Some((_, error)) => error.trim().into(),
        None if log.trim().is_empty() => format!("the process ended with {exit}"),
        None => format!("the process ended with {exit}: {}", log.trim()),
    }
}
