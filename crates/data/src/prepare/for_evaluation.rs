//! Text that is prepared for one evaluation and then removed.

use super::staging::Staging;
use super::text::Text;
use super::{PrepareOptions, Prepared, encode, refuse_training};
use crate::error::DataError;
use crate::folder::DataFolder;
use crate::progress::Progress;
use crate::sources::Source;
use crate::tokenizer::TokenizerOrigin;

/// Text that was prepared for an evaluation. Its temporary files are removed when this is dropped.
#[derive(Debug)]
pub struct EvaluationData {
    // Closed before its files are removed.
    folder: DataFolder,
    prepared: Prepared,
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
}

/// Prepares the text of some sources, with a tokenizer that exists, among the system's temporary files.
///
/// [`give_up_folders`](super::give_up_folders) removes them too, for a program that a signal stops.
///
/// # Errors
/// The tokenizer would have to be trained or cannot be read, a source cannot be read or holds no text, or
/// a file cannot be written.
pub fn prepare_for_evaluation(
    sources: Vec<Source>,
    tokenizer: TokenizerOrigin,
    threads: usize,
    progress: &dyn Progress,
) -> Result<EvaluationData, DataError> {
    let resolved = tokenizer.resolve()?;
    let own_line = !resolved.has_end_of_text();
    let staging = Staging::temporary_folder()?;
    let options = PrepareOptions {
        tokenizer,
        validation_sources: sources,
        threads,
        ..PrepareOptions::new(Vec::new(), staging.new_folder())
    };
    refuse_training(&options, &resolved)?;
    let text = Text::read(&options, own_line, &staging, progress)?;
    let prepared = encode(&options, resolved, &staging, text, progress)?;
    Ok(EvaluationData {
        folder: DataFolder::open(staging.new_folder())?,
        prepared,
        _staging: staging,
    })
}
