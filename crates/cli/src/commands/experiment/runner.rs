//! Makes the runs of an experiment: each in a process of its own, so that one that fails, or is
//! killed for the memory that it takes, does not end the others.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use training::experiments::{FAILURE_FILE, PlannedRun, Status, status};
use training::report::RunRecord;
use training::run_folder::{METRICS_FILE, RunFolder, RunFolderError};

use crate::arguments::Common;
use crate::failure::Failure;
use crate::stop;
use crate::terminal::{bar, grouped, tell};

/// File name, in a run folder, of what the run's process said.
const LOG_FILE: &str = "log.txt";
/// How often the processes are looked after.
const TICK: Duration = Duration::from_millis(50);
/// How much of the end of a file of metrics or of a log is read: several lines.
const TAIL: u64 = 64 << 10;

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
            self.progress.show(&self.working);
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
            let process = self.start(&run)?;
            self.say(&format!("{}: started", self.name(&run)));
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
                learned_dropout::files::write_atomically(&path, error.as_bytes())?;
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

/// The end of a text file.
fn tail(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
    let mut bytes = Vec::new();
    file.take(TAIL).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Tokens that a run has trained on, as the last lines of its metrics tell.
fn tokens(folder: &Path) -> u64 {
    let lines = tail(&folder.join(METRICS_FILE)).unwrap_or_default();
    let tokens =
        |line: &str| serde_json::from_str::<serde_json::Value>(line).ok()?["tokens"].as_u64();
    lines.lines().rev().find_map(tokens).unwrap_or(0)
}

/// The one line of progress.
struct Progress {
    bar: ProgressBar,
    /// Tokens of each run: done, and all.
    tokens: BTreeMap<PathBuf, (u64, u64)>,
    ended: usize,
    /// Tokens that were done when this process began.
    before: u64,
    began: Instant,
    shown: Option<Instant>,
}

impl Progress {
    fn new(runs: &[PlannedRun], quiet: bool) -> Self {
        let bar = bar(None, "{wide_bar} {msg}", quiet);
        let of_run = |run: &PlannedRun| {
            let all = run.tokens();
            (run.folder.clone(), (tokens(&run.folder).min(all), all))
        };
        let tokens: BTreeMap<PathBuf, (u64, u64)> = runs.iter().map(of_run).collect();
        bar.set_length(tokens.values().map(|(_, all)| all).sum());
        Self {
            bar,
            ended: 0,
            before: tokens.values().map(|(done, _)| done).sum(),
            tokens,
            began: Instant::now(),
            shown: None,
        }
    }

    /// Counts a run that has ended; one that failed takes no more time, so it counts whole.
    fn ended(&mut self, run: &PlannedRun) {
        self.ended += 1;
        if let Some((done, all)) = self.tokens.get_mut(&run.folder) {
            // What was not computed must not count as speed.
            self.before += *all - (*done).max(tokens(&run.folder)).min(*all);
            *done = *all;
        }
        self.shown = None;
    }

    fn show(&mut self, working: &[Working]) {
        if self
            .shown
            .is_some_and(|shown| shown.elapsed() < Duration::from_secs(1))
        {
            return;
        }
        self.shown = Some(Instant::now());
        for working in working {
            let run = &working.run;
            let all = run.tokens();
            self.tokens
                .insert(run.folder.clone(), (tokens(&run.folder).min(all), all));
        }
        let done: u64 = self.tokens.values().map(|(done, _)| done).sum();
        let all: u64 = self.tokens.values().map(|(_, all)| all).sum();
        let seconds = self.began.elapsed().as_secs_f64();
        let speed = done.saturating_sub(self.before) as f64 / seconds.max(1e-9);
        let left = match speed {
            0.0 => String::new(),
            speed => format!(", {} left", duration((all - done) as f64 / speed)),
        };
        self.bar.set_position(done);
        self.bar.set_message(format!(
            "{}/{} runs, {}/{} tokens, {} tokens/s{left}",
            self.ended,
            self.tokens.len(),
            grouped(done),
            grouped(all),
            grouped(speed as u64),
        ));
    }
}

/// Seconds as hours, minutes and seconds: 1:02:03.
fn duration(seconds: f64) -> String {
    let seconds = seconds.min(1e9) as u64;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes}:{seconds:02}"),
        hours => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

#[cfg(test)]
mod tests {
    use super::duration;

    #[test]
    fn durations_are_read_as_clocks() {
        assert_eq!(duration(59.9), "0:59");
        assert_eq!(duration(754.0), "12:34");
        assert_eq!(duration(3723.0), "1:02:03");
        assert_eq!(duration(f64::INFINITY), "277777:46:40");
    }
}
