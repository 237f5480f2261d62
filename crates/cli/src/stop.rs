//! Requests to save and end.

use std::io::Read;
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
#[cfg(unix)]
pub fn on_signals() -> Result<(), Failure> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    let wait = move || signals.forever().for_each(|signal| ask(signal as u8));
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(wait)?;
    Ok(())
}

/// Makes the first Ctrl-C a request to save and end; the second one ends the process at once.
#[cfg(not(unix))]
pub fn on_signals() -> Result<(), Failure> {
    const INTERRUPT: u8 = 2;
    ctrlc::set_handler(|| ask(INTERRUPT))?;
    Ok(())
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
