//! What happens to the records of a file: their text is passed on, and those that cannot be read stop the
//! program or are left out.

use std::path::PathBuf;

use super::json_record::{Found, escaped, text_of};
use super::left_out::Reason;
use super::pipeline::{Emit, Halt, RawDocument};
use super::{OnError, SourceError};

/// The largest record that is read; without a limit, a file without line breaks would fill the memory.
pub(super) const RECORD_LIMIT: usize = 64 * 1024 * 1024;

/// The records of one file.
#[derive(Clone)]
pub(super) struct Records {
    pub(super) path: PathBuf,
    pub(super) column: String,
    pub(super) on_error: OnError,
}

impl Records {
    /// Passes on the text of a JSON object that begins on `line`.
    pub(super) fn json(&self, record: &[u8], line: u64, emit: &mut Emit<'_>) -> Result<(), Halt> {
        let missing = |keys: Vec<String>| {
            let next = "name the key of the text with --text-column";
            match escaped(&keys.join(", ")) {
                keys if keys.is_empty() => format!("no text column '{}', and no key", self.column),
                keys => format!(
                    "no text column '{}'; the keys are: {keys}; {next}",
                    self.column
                ),
            }
        };
        match text_of(record, &self.column) {
            Ok(Found::Text {
                text,
                lone_surrogate,
            }) => {
                if lone_surrogate {
                    self.left_out(Reason::LoneSurrogate, self.place(line), emit)?;
                }
                emit(RawDocument::Text {
                    text,
                    continues: false,
                })
            }
            Ok(Found::Null) => self.left_out(Reason::NoText, self.place(line), emit),
            Ok(Found::Missing(keys)) => self.unreadable_json(line, missing(keys), emit),
            Err(reason) => self.unreadable_json(line, reason, emit),
        }
    }

    /// A record on `line` that is larger than [`RECORD_LIMIT`].
    pub(super) fn too_large(&self, line: u64, emit: &mut Emit<'_>) -> Result<(), Halt> {
        let error = SourceError::TooLarge {
            path: self.path.clone(),
            what: format!("the record on line {line}"),
            limit: RECORD_LIMIT as u64,
        };
        self.unreadable(error, emit)
    }

    fn unreadable_json(&self, line: u64, reason: String, emit: &mut Emit<'_>) -> Result<(), Halt> {
        let error = SourceError::JsonLine {
            path: self.path.clone(),
            line,
            reason,
        };
        self.unreadable(error, emit)
    }

    /// Stops with the error of a record, or leaves the record out.
    pub(super) fn unreadable(&self, error: SourceError, emit: &mut Emit<'_>) -> Result<(), Halt> {
        match self.on_error {
            OnError::Stop => Err(error.into()),
            OnError::Skip => self.left_out(Reason::UnreadableRecord, error.to_string(), emit),
        }
    }

    pub(super) fn left_out(
        &self,
        reason: Reason,
        example: String,
        emit: &mut Emit<'_>,
    ) -> Result<(), Halt> {
        emit(RawDocument::LeftOut { reason, example })
    }

    fn place(&self, line: u64) -> String {
        format!("{}:{line}", self.path.display())
    }
}
