//! Joins documents that are tokens already to the two parts of a data folder.

use crate::error::DataError;
use crate::folder::{Part, Tokens};
use crate::prepare::encode::{Encoding, TokenFile};
use crate::prepare::spool::{Spool, SpoolWriter};
use crate::prepare::staging::Staging;
use crate::progress::{Progress, Silent};

/// Tokens that are read at once.
const BLOCK: u64 = 1 << 16;
/// Bytes of text between two reports of progress.
const REPORTED: u64 = 1 << 20;

/// The tokens of a document in a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub file: &'a Tokens,
    /// The first token.
    pub start: u64,
    /// The number of tokens.
    pub tokens: u64,
    /// Bytes of text that they stand for.
    pub text_bytes: u64,
}

/// Takes documents one after another and writes each to its part.
pub(super) struct Join<'a> {
    encoding: &'a Encoding<'a>,
    /// Training and validation.
    files: [TokenFile; 2],
    /// The length of the training part, which may end inside a document.
    train_bytes: u64,
    /// Bytes of text so far.
    position: u64,
    documents_left: u64,
    staging: &'a Staging,
    pool: rayon::ThreadPool,
    progress: &'a dyn Progress,
    unreported: u64,
}

impl<'a> Join<'a> {
    pub fn new(
        encoding: &'a Encoding<'a>,
        files: [TokenFile; 2],
        train_bytes: u64,
        documents: u64,
        staging: &'a Staging,
        pool: rayon::ThreadPool,
        progress: &'a dyn Progress,
    ) -> Self {
        Self {
            encoding,
            files,
            train_bytes,
            position: 0,
            documents_left: documents,
            staging,
            pool,
            progress,
            unreported: 0,
        }
    }

    /// Takes a document that this program encoded. `line_feed` puts a line feed before its text.
    /// Its tokens are copied, unless the text is changed or divided.
    pub fn text(&mut self, place: Place<'_>, line_feed: bool) -> Result<(), DataError> {
        let text_bytes = place.text_bytes + u64::from(line_feed);
        let left_in_training = self.train_bytes.saturating_sub(self.position);
        let part = if left_in_training >= text_bytes { 0 } else { 1 };
        if line_feed || (part == 1 && left_in_training > 0) {
            let spool = self.decode(place, line_feed)?;
            let first = spool.character_boundary(left_in_training.min(text_bytes))?;
            let mut segments = spool.segments(first)?;
            for (file, first) in self.files.iter_mut().zip([true, false]) {
                if !first {
                    segments.second_part();
                }
                let ended = &mut |_, _| Ok(());
                let encoding = self.encoding;
                encoding.write(&mut segments, file, &self.pool, &Silent, ended)?;
            }
        } else {
            let bytes = place.file.raw(place.start, place.tokens)?;
            self.files[part].write(bytes, text_bytes)?;
        }
        self.end_document(part, text_bytes)
    }

    /// Takes a document that another program encoded. `length` gives the bytes of text of a token.
    /// Its tokens stay as they are.
    pub fn tokens(
        &mut self,
        place: Place<'_>,
        length: &dyn Fn(u32) -> u64,
    ) -> Result<(), DataError> {
        let end = self.position + place.text_bytes;
        let mut part = usize::from(self.train_bytes < end && self.position >= self.train_bytes);
        let mut position = self.position;
        let mut ids = Vec::new();
        let mut bytes = Vec::new();
        let mut done = 0;
        while done < place.tokens {
            ids.resize((place.tokens - done).min(BLOCK) as usize, 0);
            place.file.window((place.start + done) as usize, &mut ids)?;
            done += ids.len() as u64;
            let mut rest = ids.as_slice();
            if part == 0 && position + total(rest, length) > self.train_bytes {
                let mut fits = |id: u32| {
                    let fits = position + length(id) <= self.train_bytes;
                    position += if fits { length(id) } else { 0 };
                    fits
                };
                let first = rest.iter().take_while(|&&id| fits(id)).count();
                self.append(0, &rest[..first], &mut bytes, length)?;
                rest = &rest[first..];
                part = 1;
            }
            position += total(rest, length);
            self.append(part, rest, &mut bytes, length)?;
        }
        self.end_document(part, place.text_bytes)
    }

    fn append(
        &mut self,
        part: usize,
        ids: &[u32],
        bytes: &mut Vec<u8>,
        length: &dyn Fn(u32) -> u64,
    ) -> Result<(), DataError> {
        bytes.clear();
        self.encoding.append(ids, bytes);
        self.files[part].write(bytes, total(ids, length))
    }

    /// Puts end-of-text behind a document that another one follows.
    fn end_document(&mut self, part: usize, text_bytes: u64) -> Result<(), DataError> {
        self.position += text_bytes;
        self.documents_left = self.documents_left.saturating_sub(1);
        if let Some(separator) = self.encoding.separator
            && self.documents_left > 0
        {
            let mut bytes = Vec::with_capacity(4);
            self.encoding.append(&[separator], &mut bytes);
            self.files[part].write(&bytes, 0)?;
        }
        self.unreported += text_bytes;
        if self.unreported >= REPORTED || self.documents_left == 0 {
            self.progress.advance(std::mem::take(&mut self.unreported));
        }
        Ok(())
    }

    /// The text of a document, in a temporary file.
    fn decode(&self, place: Place<'_>, line_feed: bool) -> Result<Spool, DataError> {
        let damaged = |found: String| DataError::Damaged {
            path: place.file.path().into(),
            expected: format!(
                "UTF-8 text of {} bytes in the {} tokens from token {} on",
                place.text_bytes, place.tokens, place.start
            ),
            found,
        };
        let mut spool = SpoolWriter::create(
            self.staging.temporary("text"),
            self.staging.temporary("lengths"),
            false,
        )?;
        if line_feed {
            spool.push("\n", true)?;
        }
        let mut ids = Vec::new();
        let mut bytes = Vec::new();
        let mut done = 0;
        while done < place.tokens {
            ids.resize((place.tokens - done).min(BLOCK) as usize, 0);
            place.file.window((place.start + done) as usize, &mut ids)?;
            done += ids.len() as u64;
            bytes.extend(self.encoding.tokenizer.decode_bytes(&ids));
            let text = match std::str::from_utf8(&bytes) {
                Ok(text) => text,
                // The next block completes the last character.
                Err(error) if error.error_len().is_none() && done < place.tokens => {
                    std::str::from_utf8(&bytes[..error.valid_up_to()]).expect("valid up to there")
                }
                Err(error) => return Err(damaged(error.to_string())),
            };
            spool.push(text, true)?;
            let taken = text.len();
            bytes.drain(..taken);
        }
        let spool = spool.finish()?;
        let found = spool.bytes - u64::from(line_feed);
        if found != place.text_bytes {
            return Err(damaged(format!("{found} bytes")));
        }
        Ok(spool)
    }

    /// Flushes both parts and describes them.
    pub fn finish(self) -> Result<[Part; 2], DataError> {
        let [train, validation] = self.files;
        Ok([train.finish()?, validation.finish()?])
    }
}

/// Bytes of text of all these tokens.
pub(super) fn total(ids: &[u32], length: &dyn Fn(u32) -> u64) -> u64 {
    ids.iter().map(|&id| length(id)).sum()
}
