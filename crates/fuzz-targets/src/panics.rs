//! Which panics are a finding.

use std::panic::{set_hook, take_hook};

/// Lets panics of foreign crates unwind; every other panic stays what the current hook makes of it.
///
/// libFuzzer's hook ends the process at any panic. But some readers call a foreign decoder that may panic
/// on damaged input, catch that and report an error. Panics of this workspace and of the standard library
/// called by it are findings even where something catches them. A foreign panic that nothing catches still
/// ends the process, when it leaves the target.
pub fn allow_caught() {
    let hook = take_hook();
    set_hook(Box::new(move |panic| {
        let foreign = panic
            .location()
            .is_some_and(|location| location.file().contains("/registry/src/"));
        if !foreign {
            hook(panic);
        }
    }));
}
