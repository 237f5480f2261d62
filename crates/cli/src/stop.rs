//! Signals: requests to save and end, or to give up.

use std::io::{IsTerminal, Read};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use crate::failure::Failure;
use crate::terminal::print_message;

/// Becomes true when the work is to be saved and ended.
pub static STOP: AtomicBool = AtomicBool::new(false);

/// Whether the work is to be saved and ended.
pub fn stopped() -> bool {
    STOP.load(Ordering::Relaxed)
}

/// What shells add to the number of a signal that ended a process.
const SIGNAL_STATUS: u8 = 128;

/// The number of the signal that asked to save and end; 0 if none did.
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
pub fn on_signals() -> Result<(), Failure> {
    watch(ask)
}

/// Makes Ctrl-C, SIGTERM and SIGHUP remove the data folder that is being made, and end the process.
pub fn give_up_on_signals() -> Result<(), Failure> {
    watch(give_up)
}

/// Calls `act` with the number of each signal, on a thread of its own.
#[cfg(unix)]
fn watch(act: fn(u8)) -> Result<(), Failure> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let mut wanted = vec![SIGINT, SIGTERM];
    if !is_ignored(SIGHUP) {
        wanted.push(SIGHUP);
    }
    let mut signals = signal_hook::iterator::Signals::new(wanted)?;
    let wait = move || signals.forever().for_each(|signal| act(signal as u8));
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

/// Calls `act` at each Ctrl-C, on a thread of its own.
#[cfg(not(unix))]
fn watch(act: fn(u8)) -> Result<(), Failure> {
    const INTERRUPT: u8 = 2;
    ctrlc::set_handler(move || act(INTERRUPT))?;
    Ok(())
}

/// Ends the process without the data folder that is being made.
fn give_up(signal: u8) {
    data::give_up_folders(|| {
        // A progress bar may stand on the last line.
        let start = if std::io::stderr().is_terminal() {
            "\n"
        } else {
            ""
        };
        print_message(&format!("{start}stopped by a signal: nothing was made"));
        std::process::exit((SIGNAL_STATUS + signal).into());
    });
}

/// Takes a signal.
fn ask(signal: u8) {
    if SIGNAL.swap(signal, Ordering::Relaxed) != 0 {
        std::process::exit((SIGNAL_STATUS + signal).into());
    }
    STOP.store(true, Ordering::Relaxed);
    print_message("\nsaving a checkpoint and stopping; press Ctrl-C once more to stop at once");
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
