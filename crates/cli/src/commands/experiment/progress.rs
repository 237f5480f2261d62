//! The progress of an experiment in one line, read from the ends of its runs' files.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use training::experiments::PlannedRun;
use training::run_folder::METRICS_FILE;

use crate::terminal::{progress_bar, thousands};

/// Bytes that are read from the end of metrics and logs: several lines.
const TAIL: u64 = 64 << 10;

/// The progress of an experiment in one line.
pub struct Progress {
    /// The progress bar.
    pub bar: ProgressBar,
    phase: &'static str,
    /// Tokens of each run folder: those done, and those of the whole run.
    tokens: BTreeMap<PathBuf, (u64, u64)>,
    ended: usize,
    /// Tokens that were done when this process began.
    before: u64,
    began: Instant,
    shown: Option<Instant>,
}

impl Progress {
    /// The progress of these runs; `phase` stands before it.
    pub fn new(runs: &[PlannedRun], phase: &'static str, quiet: bool) -> Self {
        let bar = progress_bar(None, "{wide_bar} {msg}", quiet);
        let done_and_all = |run: &PlannedRun| {
            let all = run.tokens();
            (run.folder.clone(), (tokens_done(&run.folder).min(all), all))
        };
        let tokens: BTreeMap<PathBuf, (u64, u64)> = runs.iter().map(done_and_all).collect();
        bar.set_length(tokens.values().map(|(_, all)| all).sum());
        Self {
            bar,
            phase,
            ended: 0,
            before: tokens.values().map(|(done, _)| done).sum(),
            tokens,
            began: Instant::now(),
            shown: None,
        }
    }

    /// Counts a run that has ended. A failed one takes no more time, so all its tokens count as done.
    pub fn ended(&mut self, run: &PlannedRun) {
        self.ended += 1;
        if let Some((done, all)) = self.tokens.get_mut(&run.folder) {
            // Tokens that were not computed must not count as speed.
            self.before += *all - (*done).max(tokens_done(&run.folder)).min(*all);
            *done = *all;
        }
        self.shown = None;
    }

    /// Updates the line, at most once a second; `running` are the runs whose progress may have changed.
    pub fn show<'r>(&mut self, running: impl Iterator<Item = &'r PlannedRun>) {
        if self
            .shown
            .is_some_and(|shown| shown.elapsed() < Duration::from_secs(1))
        {
            return;
        }
        self.shown = Some(Instant::now());
        for run in running {
            let all = run.tokens();
            self.tokens
                .insert(run.folder.clone(), (tokens_done(&run.folder).min(all), all));
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
            "{}{}/{} runs, {}/{} tokens, {} tokens/s{left}",
            self.phase,
            self.ended,
            self.tokens.len(),
            thousands(done),
            thousands(all),
            thousands(speed as u64),
        ));
    }
}

/// Tokens that a run has trained on, from the last lines of its metrics.
fn tokens_done(folder: &Path) -> u64 {
    let lines = read_tail(&folder.join(METRICS_FILE)).unwrap_or_default();
    let tokens =
        |line: &str| serde_json::from_str::<serde_json::Value>(line).ok()?["tokens"].as_u64();
    lines.lines().rev().find_map(tokens).unwrap_or(0)
}

/// Reads the end of a text file.
pub fn read_tail(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
    let mut bytes = Vec::new();
    file.take(TAIL).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
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
