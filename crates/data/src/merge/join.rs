//! Joins documents that are tokens already to the two parts of a data folder.

use std::cmp::Ordering;

use crate::error::DataError;
use crate::folder::{Part, Tokens};
use crate::prepare::encode::{Encoding, TokenFile};
use crate::prepare::spool::{Spool, SpoolWriter};
use crate::prepare::staging::Staging;
use crate::progress::{Progress, Silent};

/// Tokens that are read at once.
const BLOCK: u64 = 1 << 16;
/// Bytes of decoded text that are held, but for the last token.
const LONGEST_TEXT: usize = 1 << 20;
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
}

impl Place<'_> {
    /// Bytes of text of all tokens; checks every id. `length` gives the bytes of text of a token.
    pub fn text_bytes(&self, length: &dyn Fn(u32) -> u64) -> Result<u64, DataError> {
        let mut bytes = 0;
        self.blocks(&mut |ids| {
            bytes += total(ids, length);
            Ok(())
        })?;
        Ok(bytes)
    }

    /// Calls `take` with the tokens, block by block; checks every id.
    fn blocks(
        &self,
        take: &mut dyn FnMut(&[u32]) -> Result<(), DataError>,
    ) -> Result<(), DataError> {
        let mut ids = Vec::new();
        let mut done = 0;
        while done < self.tokens {
            ids.resize((self.tokens - done).min(BLOCK) as usize, 0);
            self.file.window((self.start + done) as usize, &mut ids)?;
            done += ids.len() as u64;
            take(&ids)?;
        }
        Ok(())
    }
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
    /// Unknown tokens of each part.
    unknown: [u64; 2],
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
            unknown: [0; 2],
        }
    }

    /// Takes a document of `text_bytes` bytes that this program encoded. `line_feed` puts a line feed before
    /// its text. Its tokens are copied, unless the text is changed or divided.
    pub fn text(
        &mut self,
        place: Place<'_>,
        text_bytes: u64,
        line_feed: bool,
    ) -> Result<(), DataError> {
        let own_bytes = text_bytes;
        let text_bytes = own_bytes + u64::from(line_feed);
        let left_in_training = self.train_bytes.saturating_sub(self.position);
        let part = if left_in_training >= text_bytes { 0 } else { 1 };
        if line_feed || (part == 1 && left_in_training > 0) {
            let spool = self.decode(place, own_bytes, line_feed)?;
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
        let mut part = match self.position.cmp(&self.train_bytes) {
            Ordering::Less => 0,
            // A document without text belongs to what is before it.
            Ordering::Equal => usize::from(place.text_bytes(length)? > 0),
            Ordering::Greater => 1,
        };
        let begin = self.position;
        let mut position = begin;
        let mut bytes = Vec::new();
        place.blocks(&mut |ids| {
            let mut in_training = 0;
            let before = position;
            while part == 0
                && let Some(&id) = ids.get(in_training)
            {
                if position + length(id) > self.train_bytes {
                    part = 1;
                } else {
                    position += length(id);
                    in_training += 1;
                }
            }
            let (train, validation) = ids.split_at(in_training);
            self.append(0, train, position - before, &mut bytes)?;
            let text_bytes = total(validation, length);
            self.append(1, validation, text_bytes, &mut bytes)?;
            position += text_bytes;
            Ok(())
        })?;
        self.end_document(part, position - begin)
    }

    /// Appends tokens of so many bytes of text to a part. `bytes` is room for theirs.
    fn append(
        &mut self,
        part: usize,
        ids: &[u32],
        text_bytes: u64,
        bytes: &mut Vec<u8>,
    ) -> Result<(), DataError> {
        bytes.clear();
        self.encoding.append(ids, bytes);
        if let Some(unknown) = self.encoding.tokenizer.unknown() {
            self.unknown[part] += ids.iter().filter(|&&id| id == unknown).count() as u64;
        }
        self.files[part].write(bytes, text_bytes)
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

    /// The text of a document of `text_bytes` bytes, in a temporary file.
    fn decode(
        &self,
        place: Place<'_>,
        text_bytes: u64,
        line_feed: bool,
    ) -> Result<Spool, DataError> {
        let damaged = |found: String| DataError::Damaged {
            path: place.file.path().into(),
            expected: format!(
                "UTF-8 text of {text_bytes} bytes in the {} tokens from token {} on",
                place.tokens, place.start
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
        let mut found = 0;
        let mut bytes = Vec::new();
        place.blocks(&mut |ids| {
            // Token by token: of a damaged file, a block may stand for any amount of text.
            for &id in ids {
                let token = self.encoding.tokenizer.token_bytes(id).unwrap_or_default();
                found += token.len() as u64;
                if found > text_bytes {
                    return Err(damaged("more of it".into()));
                }
                bytes.extend_from_slice(token);
                if bytes.len() >= LONGEST_TEXT {
                    push_characters(&mut bytes, &mut spool, &damaged)?;
                }
            }
            Ok(())
        })?;
        push_characters(&mut bytes, &mut spool, &damaged)?;
        if !bytes.is_empty() {
            return Err(damaged("a character that does not end".into()));
        }
        if found < text_bytes {
            return Err(damaged(format!("{found} bytes")));
        }
        spool.finish()
    }

    /// Flushes both parts and describes them; also gives the number of unknown tokens of each.
    pub fn finish(self) -> Result<([Part; 2], [u64; 2]), DataError> {
        let [train, validation] = self.files;
        Ok(([train.finish()?, validation.finish()?], self.unknown))
    }
}

/// Moves all whole characters of `bytes` into a spool. The tokens that follow complete the last one.
fn push_characters(
    bytes: &mut Vec<u8>,
    spool: &mut SpoolWriter,
    damaged: &dyn Fn(String) -> DataError,
) -> Result<(), DataError> {
    let whole = match std::str::from_utf8(bytes) {
        Ok(text) => text.len(),
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        Err(error) => return Err(damaged(error.to_string())),
    };
    let text = std::str::from_utf8(&bytes[..whole]).expect("valid up to there");
    spool.push(text, true)?;
    bytes.drain(..whole);
    Ok(())
}

/// Bytes of text of all these tokens.
fn total(ids: &[u32], length: &dyn Fn(u32) -> u64) -> u64 {
    ids.iter().map(|&id| length(id)).sum()
}
