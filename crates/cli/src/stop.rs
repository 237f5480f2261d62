//! Requests to save and end.

use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::failure::Failure;
use crate::terminal::tell;

/// Becomes true when work is to be saved and ended.
pub static STOP: AtomicBool = AtomicBool::new(false);

/// Whether work is to be saved and ended.
pub fn stopped() -> bool {
    STOP.load(Ordering::Relaxed)
}

/// The first Ctrl-C or SIGTERM asks to save and end; the second ends the process at once.
pub fn on_signals() -> Result<(), Failure> {
    static ASKED: AtomicBool = AtomicBool::new(false);
    ctrlc::set_handler(|| {
        if ASKED.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        STOP.store(true, Ordering::Relaxed);
        tell("\nsaving a checkpoint and stopping; once more to stop at once");
    })?;
    Ok(())
}

/// The end of standard input asks to save and end.
///
/// A process that starts this one holds the other end of the pipe: it closes it to stop this
/// one, and the system closes it if that process is killed.
pub fn at_end_of_input() {
    std::thread::spawn(|| {
        let mut input = std::io::stdin().lock();
        while !matches!(input.read(&mut [0; 64]), Ok(0) | Err(_)) {}
        STOP.store(true, Ordering::Relaxed);
    });
}
