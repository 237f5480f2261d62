//! The text of both parts of a data folder, read from its sources into temporary files.

use super::PrepareOptions;
use super::spool::Spool;
use super::staging::Staging;
use super::{Sink, spool_text};
use crate::error::DataError;
use crate::progress::Progress;
use crate::sources::{LeftOut, ReadOptions, Source, SourceRecord, read_documents};

/// The text of both parts.
pub(super) struct Text {
    /// The training part, and the validation part behind it unless that has sources of its own.
    pub spool: Spool,
    /// Bytes of the training part.
    pub train_bytes: u64,
    /// The validation part, if it has sources of its own.
    pub validation: Option<Spool>,
    /// The files of `spool`.
    pub sources: Vec<SourceRecord>,
    /// The files of the validation part, if it has sources of its own.
    pub validation_sources: Vec<SourceRecord>,
    /// What the sources hold that did not become text.
    pub left_out: LeftOut,
}

impl Text {
    /// Reads all sources. `own_line` begins each document on a new line. Beside sources of the
    /// validation part there need not be others.
    pub fn read(
        options: &PrepareOptions,
        own_line: bool,
        staging: &Staging,
        progress: &dyn Progress,
    ) -> Result<Self, DataError> {
        let has_own = !options.validation_sources.is_empty();
        let read = |name, sources: &[Source], options: &PrepareOptions| {
            let mut read = |how: &ReadOptions, sink: &mut Sink<'_>| match sources {
                // Text to evaluate on alone.
                [] if has_own => Ok((Vec::new(), LeftOut::default())),
                sources => read_documents(sources, how, progress, sink),
            };
            spool_text(options, own_line, staging, name, &mut read)
        };
        let (spool, (sources, mut left_out)) = read("text", &options.sources, options)?;
        if !has_own {
            return Ok(Self {
                train_bytes: spool.division(options.validation)?,
                spool,
                validation: None,
                sources,
                validation_sources: Vec::new(),
                left_out,
            });
        }
        let unlimited = PrepareOptions {
            max_text_bytes: None,
            ..options.clone()
        };
        let (validation, (validation_sources, more)) =
            read("validation", &options.validation_sources, &unlimited)?;
        refuse_shared(&sources, &validation_sources)?;
        left_out.append(&more);
        Ok(Self {
            train_bytes: spool.bytes,
            spool,
            validation: Some(validation),
            sources,
            validation_sources,
            left_out,
        })
    }

    /// The number of documents of both parts.
    pub fn documents(&self) -> u64 {
        self.spool.documents + self.validation.as_ref().map_or(0, |own| own.documents)
    }

    /// Bytes of both parts.
    pub fn bytes(&self) -> u64 {
        self.spool.bytes + self.validation.as_ref().map_or(0, |own| own.bytes)
    }
}

/// Refuses a file that is in both parts, under whatever name. Their bytes are compared: a file that is
/// packed, or in another format, is another one, whatever text comes out of it.
fn refuse_shared(train: &[SourceRecord], validation: &[SourceRecord]) -> Result<(), DataError> {
    for record in validation.iter().filter(|record| record.documents > 0) {
        let is_same =
            |other: &&SourceRecord| other.hash == record.hash && other.bytes == record.bytes;
        if let Some(same) = train.iter().find(is_same) {
            return Err(DataError::Shared {
                train: same.name.clone(),
                validation: record.name.clone(),
            });
        }
    }
    Ok(())
}
