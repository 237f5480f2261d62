//! Signals: requests to save and end, or to give up.

use std::io::{IsTerminal, Read};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::failure::Failure;
use crate::terminal::print_message;

/// Becomes true when the work is to be saved, where it can be, and ended.
pub static STOP: AtomicBool = AtomicBool::new(false);

/// Whether the work is to be saved and ended.
pub fn stopped() -> bool {
    STOP.load(Ordering::Relaxed)
}

/// What shells add to the number of a signal that ended a process.
const SIGNAL_STATUS: u8 = 128;

/// The number of the signal that asked to end; 0 if none did.
static SIGNAL: AtomicU8 = AtomicU8::new(0);

/// The exit status of a process that a signal has ended, after saving: 130 for Ctrl-C, 143 for
/// SIGTERM. None if no signal came.
pub fn signal_status() -> Option<u8> {
    match SIGNAL.load(Ordering::Relaxed) {
        0 => None,
        signal => Some(SIGNAL_STATUS + signal),
    }
}

/// Whether an exit status is one of [`signal_status`], for SIGHUP, SIGINT or SIGTERM.
pub fn is_signal_status(status: i32) -> bool {
    matches!(status, 129 | 130 | 143)
}

/// Makes the first Ctrl-C, SIGTERM or SIGHUP a request to save and end; the second one ends the process
/// at once.
///
/// # Errors
/// A signal that came while [`give_up_on_signals`] held is answered now.
pub fn on_signals() -> Result<(), Failure> {
    act_on_signals(ask)
}

/// Makes the first Ctrl-C, SIGTERM or SIGHUP a request to end without a result, so that temporary files are
/// removed; the second one ends the process at once.
///
/// # Errors
/// As [`on_signals`].
pub fn end_on_signals() -> Result<(), Failure> {
    act_on_signals(ask_to_end)
}

/// Makes Ctrl-C, SIGTERM and SIGHUP remove the data folder that is being made, and end the process. Once
/// the folder is in its place, the first one lets the process report that, and the second one ends it at
/// once.
pub fn give_up_on_signals() -> Result<(), Failure> {
    act_on_signals(give_up)
}

/// What each signal calls with its number; none while nobody watches.
static ACTION: Mutex<Option<fn(u8)>> = Mutex::new(None);

/// Replaces what each signal calls, on a thread of its own that begins at the first use.
fn act_on_signals(act: fn(u8)) -> Result<(), Failure> {
    match replace_action(act)? {
        None => watch(),
        Some(_) => Ok(()),
    }
}

/// Replaces what each signal calls, and gives what it called before. Fails if a signal has come already,
/// which would be lost.
fn replace_action(act: fn(u8)) -> Result<Option<fn(u8)>, Failure> {
    // The thread holds it while it acts, so a signal comes wholly before this or after it.
    let mut action = ACTION.lock().unwrap_or_else(PoisonError::into_inner);
    match signal_status() {
        None => Ok(action.replace(act)),
        Some(status) => Err(Failure::Stopped(status)),
    }
}

/// Takes a signal as it is to be taken now.
fn take(signal: u8) {
    let action = ACTION.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(act) = *action {
        act(signal);
    }
}

/// Takes each signal, on a thread of its own.
#[cfg(unix)]
fn watch() -> Result<(), Failure> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let mut wanted = vec![SIGINT, SIGTERM];
    if !is_ignored(SIGHUP) {
        wanted.push(SIGHUP);
    }
    let mut signals = signal_hook::iterator::Signals::new(wanted)?;
    let wait = move || signals.forever().for_each(|signal| take(signal as u8));
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(wait)?;
    Ok(())
}

/// Whether the process was started with this signal ignored, as `nohup` does with SIGHUP. Known on
/// Linux only.
#[cfg(unix)]
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    ignored.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

/// Takes each Ctrl-C, on a thread of its own.
#[cfg(not(unix))]
fn watch() -> Result<(), Failure> {
    const INTERRUPT: u8 = 2;
    ctrlc::set_handler(|| take(INTERRUPT))?;
    Ok(())
}

/// Ends the process without the data folder that is being made.
fn give_up(signal: u8) {
    end_at_second(signal);
    data::give_up_folders(|| {
        // A progress bar may stand on the last line.
        let start = if std::io::stderr().is_terminal() {
            "\n"
        } else {
            ""
        };
        print_message(&format!("{start}stopped by a signal: nothing was made"));
        end(signal);
    });
}

/// Takes a signal during work that leaves nothing.
fn ask_to_end(signal: u8) {
    end_at_second(signal);
    STOP.store(true, Ordering::Relaxed);
    print_message("\nstopping without a result; press Ctrl-C once more to stop at once");
}

/// Takes a signal during work that is saved.
fn ask(signal: u8) {
    end_at_second(signal);
    STOP.store(true, Ordering::Relaxed);
    print_message("\nsaving a checkpoint and stopping; press Ctrl-C once more to stop at once");
}

/// Notes a signal; the second one ends the process.
fn end_at_second(signal: u8) {
    if SIGNAL.swap(signal, Ordering::Relaxed) != 0 {
        end(signal);
    }
}

fn end(signal: u8) -> ! {
    std::process::exit((SIGNAL_STATUS + signal).into());
}

/// Makes the end of standard input a request to save and end.
///
/// A process that starts this one holds the other end of the pipe. It closes it to stop this one;
/// the system closes it if that process is killed.
pub fn at_end_of_input() {
    std::thread::spawn(|| {
        let mut input = std::io::stdin().lock();
        while !matches!(input.read(&mut [0; 64]), Ok(0) | Err(_)) {}
        STOP.store(true, Ordering::Relaxed);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One test, because the process has one action and one signal.
    #[test]
    fn the_action_is_replaced_and_no_signal_is_lost() {
        static TAKEN: Mutex<Vec<(&str, u8)>> = Mutex::new(Vec::new());
        let taken = || std::mem::take(&mut *TAKEN.lock().unwrap());
        let preparing: fn(u8) = |signal| TAKEN.lock().unwrap().push(("preparing", signal));
        let training: fn(u8) = |signal| {
            SIGNAL.store(signal, Ordering::Relaxed);
            TAKEN.lock().unwrap().push(("training", signal));
        };
        take(1);
        assert_eq!(taken(), []);
        assert!(replace_action(preparing).unwrap().is_none());
        take(2);
        assert_eq!(taken(), [("preparing", 2)]);
        assert!(replace_action(training).unwrap().is_some());
        take(15);
        assert_eq!(taken(), [("training", 15)]);
        // What begins now must not begin, because it was asked to end.
        let replaced = replace_action(preparing);
        assert!(matches!(replaced, Err(Failure::Stopped(143))));
        take(1);
        assert_eq!(taken(), [("training", 1)]);
    }
}
