//! Output: results on standard output; messages, log lines and progress bars on standard error.

use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::time::Duration;

use data::progress::Progress;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use tracing_subscriber::EnvFilter;

use crate::failure::Failure;

/// Starts logging to standard error; `RUST_LOG` takes precedence over the flags.
pub fn start_logging(verbose: u8, quiet: bool) {
    let level = match (quiet, verbose) {
        (true, _) => "error",
        (false, 0) => "warn",
        (false, 1) => "info",
        (false, _) => "debug",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let colors = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colors)
        .with_target(false)
        .without_time()
        .log_internal_errors(false)
        .init();
}

/// Prints a line to standard error. A failure to do so is ignored: it is no reason to stop the work.
pub fn print_message(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Replaces the control characters that would change the state of a terminal.
pub fn printable(text: &str) -> String {
    let shown = |c: char| {
        if c.is_control() && c != '\n' && c != '\t' {
            '\u{FFFD}'
        } else {
            c
        }
    };
    text.chars().map(shown).collect()
}

/// Prints a line to standard output.
pub fn print(text: &str) -> Result<(), Failure> {
    writeln!(std::io::stdout().lock(), "{text}").map_err(Failure::output)
}

/// Prints a value to standard output as one line of JSON.
pub fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    print(&serde_json::to_string(value)?)
}

/// A progress bar on standard error; hidden if that is not a terminal, or if `quiet`.
pub fn progress_bar(length: Option<u64>, template: &str, quiet: bool) -> ProgressBar {
    let target = if quiet {
        ProgressDrawTarget::hidden()
    } else {
        ProgressDrawTarget::stderr_with_hz(5)
    };
    let bar = ProgressBar::with_draw_target(length, target);
    let style = ProgressStyle::with_template(template).expect("templates are written in the code");
    bar.set_style(style.progress_chars("━╸─"));
    bar
}

/// Shows a progress bar for each stage of work that is measured in bytes.
pub struct Stages {
    quiet: bool,
    current: Mutex<Option<ProgressBar>>,
}

impl Stages {
    /// Shows nothing if `quiet`.
    pub fn new(quiet: bool) -> Self {
        Self {
            quiet,
            current: Mutex::new(None),
        }
    }

    fn with_current(&self, action: impl FnOnce(&mut Option<ProgressBar>)) {
        let mut guard = self
            .current
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        action(&mut guard);
    }
}

impl Progress for Stages {
    fn begin(&self, stage: &str, total: Option<u64>) {
        let template = match total {
            Some(_) => {
                "{prefix:.bold} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec}, {eta} left"
            }
            None => "{prefix:.bold} {spinner} {bytes} {bytes_per_sec}",
        };
        let bar = progress_bar(total, template, self.quiet);
        bar.set_prefix(stage.to_string());
        bar.enable_steady_tick(Duration::from_millis(200));
        self.with_current(|current| *current = Some(bar));
    }

    fn advance(&self, amount: u64) {
        self.with_current(|current| {
            if let Some(bar) = current {
                bar.inc(amount);
            }
        });
    }

    fn end(&self) {
        self.with_current(|current| {
            if let Some(bar) = current.take() {
                bar.finish_and_clear();
            }
        });
    }
}

/// A length of time in seconds, minutes or hours, with one digit after the point.
pub fn length_of_time(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    match seconds {
        ..100.0 => format!("{seconds:.1} s"),
        ..6000.0 => format!("{:.1} min", seconds / 60.0),
        _ => format!("{:.1} h", seconds / 3600.0),
    }
}

/// A whole number with separators between thousands: 15,335,424.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{length_of_time, printable, thousands};

    #[test]
    fn control_characters_are_not_shown() {
        assert_eq!(printable("a\n\tb\u{1b}[2Jé"), "a\n\tb\u{FFFD}[2Jé");
    }

    #[test]
    fn times_have_the_unit_that_suits_them() {
        let shown = |seconds: f64| length_of_time(Duration::from_secs_f64(seconds));
        assert_eq!(shown(0.04), "0.0 s");
        assert_eq!(shown(99.5), "99.5 s");
        assert_eq!(shown(150.0), "2.5 min");
        assert_eq!(shown(9000.0), "2.5 h");
    }

    #[test]
    fn digits_are_grouped_by_three() {
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(1000), "1,000");
        assert_eq!(thousands(15_335_424), "15,335,424");
    }
}
