//! Inputs to begin with: small files as this program writes them, files made by hand, and forged ones.
//!
//! They are the same in every run. `cargo run -p learned-dropout-fuzz-targets --example seeds` writes them
//! into `fuzz/corpus`.

pub(crate) mod configurations;
pub(crate) mod folders;
pub(crate) mod models;
pub(crate) mod tables;
pub(crate) mod texts;
