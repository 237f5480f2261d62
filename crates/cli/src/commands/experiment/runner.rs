//! Does the runs of an experiment, each in a process of its own: so a run that fails, or is killed
//! because memory runs out, does not end the others.

use std::collections::VecDeque;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use training::checkpoints::LATEST;
use training::experiments::{FAILURE_FILE, PlannedRun, Status, status};
use training::report::RunRecord;
use training::run_folder::{RunFolder, RunFolderError};

use super::progress::{Progress, read_tail};
use crate::arguments::Common;
use crate::failure::Failure;
use crate::terminal::print_message;
use crate::{exit_status, stop};

/// File name, in a run folder, of the messages of the run's process.
const LOG_FILE: &str = "log.txt";
/// How often it is checked whether processes have ended.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// A run that has finished or failed.
#[derive(Clone, Debug)]
pub struct Ended {
    /// The index of its arm.
    pub arm: usize,
    /// Its seed.
    pub seed: u64,
    /// Its folder.
    pub folder: PathBuf,
    /// Why it failed; none if it finished.
    pub error: Option<String>,
    /// Whether it failed because something ended its process, and not by itself: a signal, or the system
    /// when memory ran out.
    pub is_interrupted: bool,
}

/// A process that does a run.
struct RunningProcess {
    run: PlannedRun,
    process: Child,
}

/// Does the runs of an experiment, several at a time.
pub struct Runner<'a> {
    common: &'a Common,
    jobs: usize,
    threads: usize,
    waiting: VecDeque<PlannedRun>,
    finished: Vec<PlannedRun>,
    running: Vec<RunningProcess>,
    has_reported_busy: bool,
    progress: Progress,
}

impl<'a> Runner<'a> {
    /// A runner for `runs`, `jobs` at a time; `phase` stands before the progress of several such works.
    pub fn new(
        runs: Vec<PlannedRun>,
        phase: &'static str,
        jobs: u16,
        common: &'a Common,
    ) -> Result<Self, Failure> {
        let jobs = usize::from(jobs);
        let progress = Progress::new(&runs, phase, common.quiet);
        let is_finished =
            |run: &PlannedRun| status(&run.folder, &run.config.train) == Status::Finished;
        let (finished, waiting): (Vec<_>, Vec<_>) = runs.into_iter().partition(is_finished);
        Ok(Self {
            threads: match common.threads {
                Some(threads) => threads.into(),
                None => (common.threads() / jobs).max(1),
            },
            common,
            jobs,
            waiting: waiting.into(),
            finished,
            running: Vec::new(),
            has_reported_busy: false,
            progress,
        })
    }

    /// Does all unfinished runs, until all have ended or a stop is requested. `on_end` is called for
    /// each run that ends, and first for those that were finished before.
    pub fn run(
        &mut self,
        on_end: &mut dyn FnMut(&Ended) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        for run in std::mem::take(&mut self.finished) {
            self.progress.ended(&run);
            on_end(&Ended::new(&run, None))?;
        }
        let result = self.work(on_end);
        // Also after a failure here: a closed input asks the processes to save and end.
        for running in &mut self.running {
            drop(running.process.stdin.take());
        }
        for running in &mut self.running {
            running.process.wait()?;
        }
        self.progress.bar.finish_and_clear();
        result
    }

    fn work(
        &mut self,
        on_end: &mut dyn FnMut(&Ended) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        while !stop::stopped() && (!self.running.is_empty() || !self.waiting.is_empty()) {
            self.start_more()?;
            for ended in self.collect_ended()? {
                on_end(&ended)?;
            }
            self.progress
                .show(self.running.iter().map(|running| &running.run));
            std::thread::sleep(POLL_INTERVAL);
        }
        Ok(())
    }

    fn start_more(&mut self) -> Result<(), Failure> {
        let mut busy = 0;
        while self.running.len() < self.jobs && busy < self.waiting.len() {
            let Some(run) = self.waiting.pop_front() else {
                break;
            };
            run.set_up()?;
            // A process that outlived a killed experiment may still be saving.
            if let Err(RunFolderError::Busy { .. }) = RunFolder::open(&run.folder) {
                if !self.has_reported_busy {
                    self.has_reported_busy = true;
                    self.show_message(&format!(
                        "{}: waiting for another process that uses the folder",
                        run.name
                    ));
                }
                self.waiting.push_back(run);
                busy += 1;
                continue;
            }
            let is_resumed = run.folder.join(LATEST).is_file();
            let process = self.start(&run)?;
            let how = if is_resumed {
                "resumed from its last checkpoint"
            } else {
                "started"
            };
            self.show_message(&format!("{}: {how}", run.name));
            self.running.push(RunningProcess { run, process });
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

    /// Removes the processes that have ended, and gives their runs.
    fn collect_ended(&mut self) -> Result<Vec<Ended>, Failure> {
        let mut ended = Vec::new();
        let mut index = 0;
        while index < self.running.len() {
            let Some(exit) = self.running[index].process.try_wait()? else {
                index += 1;
                continue;
            };
            let run = self.running.remove(index).run;
            if exit.code() == Some(exit_status::MACHINE_FAILED.into()) {
                return Err(storage_failure(&run));
            }
            let is_finished = status(&run.folder, &run.config.train) == Status::Finished;
            if exit.success() && is_finished {
                self.show_message(&format!("{}: {}", run.name, outcome(&run)));
                ended.push(Ended::new(&run, None));
            } else if !stop::stopped() {
                // A signal may reach the processes of a terminal before this one notices it.
                let was_told = exit.success() || exit.code().is_some_and(stop::is_signal_status);
                let error = match was_told {
                    true => "the process was told to stop before the run's last step".into(),
                    false => last_error(&run.folder, &exit.to_string()),
                };
                if is_busy(&run, &error) {
                    self.waiting.push_back(run);
                    continue;
                }
                let path = run.folder.join(FAILURE_FILE);
                model::files::write_atomically(&path, error.as_bytes())?;
                self.show_message(&format!("{}: failed: {error}", run.name));
                // A process that a signal has killed has no exit status.
                let is_interrupted = was_told || exit.code().is_none();
                ended.push(Ended {
                    is_interrupted,
                    ..Ended::new(&run, Some(error))
                });
            }
            self.progress.ended(&run);
        }
        Ok(ended)
    }

    fn show_message(&self, line: &str) {
        if !self.common.quiet {
            self.progress.bar.suspend(|| print_message(line));
        }
    }
}

impl Ended {
    /// The end of a run that nothing interrupted.
    pub fn new(run: &PlannedRun, error: Option<String>) -> Self {
        Self {
            arm: run.arm,
            seed: run.seed,
            folder: run.folder.clone(),
            error,
            is_interrupted: false,
        }
    }
}

/// Whether a process failed because another one uses the folder. That can be a process which was
/// started just before an earlier experiment was killed, and locked the folder after it was checked.
fn is_busy(run: &PlannedRun, error: &str) -> bool {
    let path = run.folder.clone();
    error == RunFolderError::Busy { path }.to_string()
}

/// The result of a finished run, in words.
fn outcome(run: &PlannedRun) -> String {
    let record = RunRecord::read(&run.folder).ok();
    let last = record.as_ref().and_then(|record| record.evaluations.last());
    let loss = last.and_then(|last| last.validation_loss);
    let kept = last.and_then(|last| last.kept);
    let loss = loss.map_or(String::new(), |loss| format!(", validation loss {loss:.4}"));
    let kept = kept.map_or(String::new(), |kept| format!(", kept {:.1}%", kept * 100.0));
    let end = record.as_ref().and_then(|record| record.early_end());
    let end = end.map_or("finished".into(), ToString::to_string);
    format!("{end}{loss}{kept}")
}

/// The failure of a run because of the machine's storage. The experiment ends with it: the next runs would fail
/// too, and settings of a search lose only by what their own runs did.
fn storage_failure(run: &PlannedRun) -> Failure {
    // The log may be on the full disk.
    let error = last_error(&run.folder, "an error of the machine's storage");
    Failure::work(format!(
        "{}: {error}\n  The disk is full or failed. Nothing else of the experiment is lost: free some space, and go \
         on with the same command",
        run.folder.display()
    ))
}

/// The last error that a process printed, or else how it ended.
fn last_error(folder: &Path, exit: &str) -> String {
    let log = read_tail(&folder.join(LOG_FILE)).unwrap_or_default();
    match log.rsplit_once("error: ") {
        Some((_, error)) => error.trim().into(),
        None if log.trim().is_empty() => format!("the process ended with {exit}"),
        None => format!("the process ended with {exit}: {}", log.trim()),
    }
}
