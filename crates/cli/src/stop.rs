//! Requests to save and end.

use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::failure::Failure;
use crate::terminal::print_message;

/// Becomes true when the work is to be saved and ended.
pub static STOP: AtomicBool = AtomicBool::new(false);

/// Whether the work is to be saved and ended.
pub fn stopped() -> bool {
    STOP.load(Ordering::Relaxed)
}

/// Makes the first Ctrl-C or SIGTERM a request to save and end; the second one ends the process at
/// once.
pub fn on_signals() -> Result<(), Failure> {
    static ASKED: AtomicBool = AtomicBool::new(false);
    ctrlc::set_handler(|| {
        if ASKED.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        STOP.store(true, Ordering::Relaxed);
        print_message("\nsaving a checkpoint and stopping; press Ctrl-C once more to stop at once");
    })?;
    Ok(())
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
