//! Text that is prepared for one evaluation and then removed.

use super::staging::Staging;
use super::text::Text;
use super::{PrepareOptions, Prepared, encode, pool};
use crate::error::DataError;
use crate::folder::DataFolder;
use crate::progress::Progress;
use crate::sources::Source;
use crate::tokenizer::Tokenizer;

/// Text that was prepared for an evaluation. Its temporary files are removed when this is dropped.
#[derive(Debug)]
pub struct EvaluationData {
    // Closed before its files are removed.
    folder: DataFolder,
    prepared: Prepared,
    tokenizer: Tokenizer,
    _staging: Staging,
}

impl EvaluationData {
    /// The data folder: all text is its validation part, and its training part is empty.
    pub fn folder(&self) -> &DataFolder {
        &self.folder
    }

    /// What was prepared.
    pub fn prepared(&self) -> &Prepared {
        &self.prepared
    }

    /// The tokenizer of the text.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }
}

/// Prepares the text of some sources with a tokenizer, among the system's temporary files.
///
/// [`give_up_folders`](super::give_up_folders) removes them too, for a program that a signal stops.
///
/// # Errors
/// A source cannot be read or holds no text, or a file cannot be written.
pub fn prepare_for_evaluation(
    sources: Vec<Source>,
    tokenizer: Tokenizer,
    threads: usize,
    progress: &dyn Progress,
) -> Result<EvaluationData, DataError> {
    let own_line = tokenizer.end_of_text().is_none();
    let staging = Staging::temporary_folder()?;
    let options = PrepareOptions {
        validation_sources: sources,
        threads,
        ..PrepareOptions::new(Vec::new(), staging.new_folder())
    };
    let text = Text::read(&options, own_line, &staging, progress)?;
    let pool = pool(threads)?;
    let prepared = encode(&options, &tokenizer, (&staging, &pool), text, progress)?;
    Ok(EvaluationData {
        folder: DataFolder::open(staging.new_folder())?,
        prepared,
        tokenizer,
        _staging: staging,
    })
}
