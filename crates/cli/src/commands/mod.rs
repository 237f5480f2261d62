//! The commands, one file each.

pub mod bench;
pub mod data;
pub mod eval;
pub mod experiment;
pub mod export;
pub mod generate;
pub mod import;
pub mod info;
pub mod inspect;
pub mod report;
pub mod train;
