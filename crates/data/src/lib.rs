//! Text data for training: sources are read into documents, documents are encoded into token files,
//! and batches are drawn from these.

pub mod batches;
pub mod error;
pub mod folder;
pub mod merge;
pub mod prepare;
pub mod progress;
pub mod shards;
mod small_file;
pub mod sources;
pub mod tokenizer;

pub use batches::{Batch, Window, sample, windows};
pub use error::DataError;
pub use folder::{DataFolder, Meta, Split, Tokens};
pub use merge::{MergeOptions, merge};
pub use prepare::{
    EvaluationData, PrepareOptions, Prepared, give_up_folders, prepare, prepare_for_evaluation,
};
pub use shards::{ShardDescription, prepare_shard};
pub use tokenizer::{TextStream, Tokenizer, TokenizerChoice, TokenizerError, TokenizerOrigin};
