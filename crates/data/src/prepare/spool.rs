//! The text of all documents in a file, so that it can be read twice without being held in memory.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::error::DataError;
use crate::tokenizer::pieces;

/// The longest text that is encoded at once, in bytes. A longer document is cut where that does not
/// change its tokens: before white space that follows another character.
const LONGEST_SEGMENT: usize = 1 << 20;

const BUFFER: usize = 1 << 20;

/// Writes documents one after another.
#[derive(Debug)]
pub(crate) struct SpoolWriter {
    text: BufWriter<File>,
    text_path: PathBuf,
    /// Eight bytes for each document: its length.
    lengths: BufWriter<File>,
    lengths_path: PathBuf,
    documents: u64,
    bytes: u64,
    /// Bytes so far of the document that is being written.
    open_document: u64,
    /// Whether each document begins on a new line, because there is no end-of-text token.
    own_line: bool,
    ends_line: bool,
}

impl SpoolWriter {
    /// Creates the two files.
    pub fn create(text: PathBuf, lengths: PathBuf, own_line: bool) -> Result<Self, DataError> {
        let create = |path: &Path| File::create(path).map_err(DataError::write(path));
        Ok(Self {
            text: BufWriter::with_capacity(BUFFER, create(&text)?),
            lengths: BufWriter::new(create(&lengths)?),
            text_path: text,
            lengths_path: lengths,
            documents: 0,
            bytes: 0,
            open_document: 0,
            own_line,
            ends_line: true,
        })
    }

    /// Writes a document, or a piece of one that `continues`.
    pub fn push(&mut self, text: &str, continues: bool) -> Result<(), DataError> {
        if self.own_line && self.open_document == 0 && !self.ends_line && !text.is_empty() {
            self.write("\n")?;
        }
        self.write(text)?;
        if continues {
            Ok(())
        } else {
            self.end_document()
        }
    }

    fn write(&mut self, text: &str) -> Result<(), DataError> {
        self.text
            .write_all(text.as_bytes())
            .map_err(DataError::write(&self.text_path))?;
        self.bytes += text.len() as u64;
        self.open_document += text.len() as u64;
        if let Some(&last) = text.as_bytes().last() {
            self.ends_line = last == b'\n';
        }
        Ok(())
    }

    fn end_document(&mut self) -> Result<(), DataError> {
        let length = std::mem::take(&mut self.open_document);
        if length > 0 {
            self.documents += 1;
            self.lengths
                .write_all(&length.to_le_bytes())
                .map_err(DataError::write(&self.lengths_path))?;
        }
        Ok(())
    }

    /// Ends the last document, and gives the spool for reading.
    pub fn finish(mut self) -> Result<Spool, DataError> {
        self.end_document()?;
        self.text
            .flush()
            .map_err(DataError::write(&self.text_path))?;
        self.lengths
            .flush()
            .map_err(DataError::write(&self.lengths_path))?;
        Ok(Spool {
            text: self.text_path,
            lengths: self.lengths_path,
            documents: self.documents,
            bytes: self.bytes,
            ends_line: self.ends_line,
        })
    }
}

/// All documents, on disk.
#[derive(Debug)]
pub(crate) struct Spool {
    text: PathBuf,
    lengths: PathBuf,
    /// The number of documents; none is empty.
    pub documents: u64,
    /// Bytes of text in all of them.
    pub bytes: u64,
    /// Whether a document that follows begins on a new line.
    pub ends_line: bool,
}

/// The length of the training part of a text of `bytes` bytes, before it is rounded down to a character
/// boundary.
pub(crate) fn training_bytes(bytes: u64, validation: f64) -> u64 {
    ((bytes as f64 * (1.0 - validation)) as u64).min(bytes)
}

impl Spool {
    /// The length of the first part if it has the share `1 - validation` of the bytes, rounded down to
    /// a character boundary.
    pub fn division(&self, validation: f64) -> Result<u64, DataError> {
        self.character_boundary(training_bytes(self.bytes, validation))
    }

    /// The start of the character that the byte at `at` belongs to.
    pub fn character_boundary(&self, at: u64) -> Result<u64, DataError> {
        let start = at.saturating_sub(3);
        let length = (self.bytes - start).min(4) as usize;
        let around = self.block(start, length)?;
        let mut at = at;
        while at > start
            && around
                .get((at - start) as usize)
                .is_some_and(|byte| byte & 0xC0 == 0x80)
        {
            at -= 1;
        }
        Ok(at)
    }

    /// All text in order, the first `first_part` bytes first.
    pub fn segments(&self, first_part: u64) -> Result<Segments, DataError> {
        let open = |path: &Path, buffer| {
            let file = File::open(path).map_err(DataError::read(path))?;
            Ok::<_, DataError>(BufReader::with_capacity(buffer, file))
        };
        Ok(Segments {
            text: open(&self.text, BUFFER)?,
            text_path: self.text.clone(),
            lengths: open(&self.lengths, 1 << 16)?,
            lengths_path: self.lengths.clone(),
            documents_left: self.documents,
            document: 0,
            left_in_document: 0,
            left_in_part: first_part,
            left_afterwards: self.bytes - first_part,
            read: Vec::new(),
        })
    }

    /// About `limit` bytes of the first `first_part` bytes of text: all of it, or blocks of 64
    /// KiB at even distances.
    pub fn sample(&self, first_part: u64, limit: u64) -> Result<Vec<String>, DataError> {
        const BLOCK: u64 = 1 << 16;
        if first_part <= limit.max(BLOCK) {
            let mut segments = self.segments(first_part)?;
            let mut texts = Vec::new();
            while let Some(segment) = segments.next()? {
                texts.push(segment.text);
            }
            return Ok(texts);
        }
        let blocks = (limit / BLOCK).max(2);
        let last = u128::from(first_part - BLOCK);
        let mut texts = Vec::new();
        for block in 0..blocks {
            let start = last * u128::from(block) / u128::from(blocks - 1);
            let bytes = self.block(start as u64, BLOCK as usize)?;
            // A block may begin and end inside a character.
            let begin = bytes.iter().take_while(|&byte| byte & 0xC0 == 0x80).count();
            let whole = match std::str::from_utf8(&bytes[begin..]) {
                Ok(text) => text,
                Err(error) => std::str::from_utf8(&bytes[begin..begin + error.valid_up_to()])
                    .expect("valid up to there"),
            };
            texts.push(whole.to_owned());
        }
        Ok(texts)
    }

    fn block(&self, start: u64, length: usize) -> Result<Vec<u8>, DataError> {
        let failed = DataError::read(&self.text);
        let mut file = File::open(&self.text).map_err(&failed)?;
        file.seek(SeekFrom::Start(start)).map_err(&failed)?;
        let mut bytes = vec![0; length];
        file.read_exact(&mut bytes).map_err(&failed)?;
        Ok(bytes)
    }
}

/// A document, or a piece of a long one, that is encoded on its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    /// Its text.
    pub text: String,
    /// Whether a document ends here and another one follows.
    pub separates: bool,
    /// If a document ends here, its length in bytes.
    pub ended: Option<u64>,
}

/// Reads a [`Spool`] from its beginning.
#[derive(Debug)]
pub(crate) struct Segments {
    text: BufReader<File>,
    text_path: PathBuf,
    lengths: BufReader<File>,
    lengths_path: PathBuf,
    documents_left: u64,
    /// The length of the document that is being read.
    document: u64,
    left_in_document: u64,
    left_in_part: u64,
    left_afterwards: u64,
    /// Text that was read and not yet returned.
    read: Vec<u8>,
}

impl Segments {
    /// The next segment of this part; none at its end.
    pub fn next(&mut self) -> Result<Option<Segment>, DataError> {
        if self.read.is_empty() {
            if self.left_in_part == 0 {
                return Ok(None);
            }
            if self.left_in_document == 0 {
                let mut length = [0; 8];
                self.lengths
                    .read_exact(&mut length)
                    .map_err(DataError::read(&self.lengths_path))?;
                self.document = u64::from_le_bytes(length);
                self.left_in_document = self.document;
                self.documents_left = self.documents_left.saturating_sub(1);
            }
        }
        let wanted = (LONGEST_SEGMENT - self.read.len()) as u64;
        let wanted = wanted.min(self.left_in_document).min(self.left_in_part);
        let before = self.read.len();
        self.read.resize(before + wanted as usize, 0);
        self.text
            .read_exact(&mut self.read[before..])
            .map_err(DataError::read(&self.text_path))?;
        self.left_in_document -= wanted;
        self.left_in_part -= wanted;
        let whole = self.left_in_document == 0 || self.left_in_part == 0;
        let text = self.take(whole)?;
        let ended = (self.read.is_empty() && self.left_in_document == 0).then_some(self.document);
        Ok(Some(Segment {
            text,
            separates: ended.is_some() && self.documents_left > 0,
            ended,
        }))
    }

    /// Takes the text that was read, all of it or up to a place where it may be cut.
    fn take(&mut self, whole: bool) -> Result<String, DataError> {
        let valid = match std::str::from_utf8(&self.read) {
            Ok(text) => text,
            // The last character is only partly read.
            Err(error) if !whole && error.error_len().is_none() => {
                std::str::from_utf8(&self.read[..error.valid_up_to()]).expect("valid up to there")
            }
            Err(error) => {
                return Err(DataError::Damaged {
                    path: self.text_path.clone(),
                    expected: "the UTF-8 text that was written there".into(),
                    found: error.to_string(),
                });
            }
        };
        let length = if whole {
            valid.len()
        } else {
            pieces::cut(valid, valid.len() - 1)
        };
        let rest = self.read.split_off(length);
        let taken = std::mem::replace(&mut self.read, rest);
        Ok(String::from_utf8(taken).expect("it was valid a moment ago"))
    }

    /// Continues with the second part, after the end of the first.
    pub fn second_part(&mut self) {
        self.left_in_part += std::mem::take(&mut self.left_afterwards);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spool(folder: &Path, documents: &[&str], own_line: bool) -> Spool {
        let mut writer =
            SpoolWriter::create(folder.join("text"), folder.join("lengths"), own_line).unwrap();
        for document in documents {
            writer.push(document, false).unwrap();
        }
        writer.finish().unwrap()
    }

    fn rest(segments: &mut Segments) -> Vec<(String, bool)> {
        let mut all = Vec::new();
        while let Some(segment) = segments.next().unwrap() {
            all.push((segment.text, segment.separates));
        }
        all
    }

    #[test]
    fn the_division_may_fall_into_a_document() {
        let folder = tempfile::tempdir().unwrap();
        let spool = spool(folder.path(), &["one", "", "two", "three"], false);
        assert_eq!((spool.documents, spool.bytes), (3, 11));
        let mut segments = spool.segments(5).unwrap();
        let text = |text: &str, separates| (text.to_owned(), separates);
        assert_eq!(rest(&mut segments), [text("one", true), text("tw", false)]);
        segments.second_part();
        assert_eq!(rest(&mut segments), [text("o", true), text("three", false)]);
        // At a boundary between documents, the separator belongs to the first part.
        let mut segments = spool.segments(3).unwrap();
        assert_eq!(rest(&mut segments), [text("one", true)]);
    }

    #[test]
    fn the_division_never_cuts_a_character() {
        let folder = tempfile::tempdir().unwrap();
        let spool = spool(folder.path(), &["a😀€é"], false);
        let found: Vec<u64> = (0..=10)
            .map(|kept| spool.division(1.0 - f64::from(kept) / 10.0 - 1e-9).unwrap())
            .collect();
        assert_eq!(found, [0, 1, 1, 1, 1, 5, 5, 5, 8, 8, 10]);
    }

    #[test]
    fn without_a_separator_documents_begin_on_their_own_line() {
        let folder = tempfile::tempdir().unwrap();
        let spool = spool(folder.path(), &["one\n", "two", "three"], true);
        assert_eq!(spool.bytes, 13);
        let texts: String = rest(&mut spool.segments(13).unwrap())
            .into_iter()
            .map(|(text, _)| text)
            .collect();
        assert_eq!(texts, "one\ntwo\nthree");
    }

    #[test]
    fn pieces_of_a_document_are_joined_again() {
        let folder = tempfile::tempdir().unwrap();
        let (text, lengths) = (folder.path().join("text"), folder.path().join("lengths"));
        let mut writer = SpoolWriter::create(text, lengths, true).unwrap();
        writer.push("one ", true).unwrap();
        writer.push("two", false).unwrap();
        writer.push("thr", true).unwrap();
        writer.push("ee", true).unwrap();
        let spool = writer.finish().unwrap();
        let all = rest(&mut spool.segments(spool.bytes).unwrap());
        assert_eq!(all, [("one two".into(), true), ("\nthree".into(), false)]);
    }

    #[test]
    fn long_documents_are_cut_before_white_space() {
        let folder = tempfile::tempdir().unwrap();
        let long = "wörter ohne Zahl ".repeat(200_000);
        let unbroken = "ü".repeat(LONGEST_SEGMENT);
        let spool = spool(folder.path(), &[&long, &unbroken], false);
        let all = rest(&mut spool.segments(spool.bytes).unwrap());
        assert!(all.iter().all(|(text, _)| text.len() <= LONGEST_SEGMENT));
        assert_eq!(all.iter().filter(|(_, separates)| *separates).count(), 1);
        let cuts = all.iter().take_while(|(_, separates)| !separates).count();
        assert!(cuts >= 3);
        assert!(all[1..=cuts].iter().all(|(text, _)| text.starts_with(' ')));
        let together: String = all.into_iter().map(|(text, _)| text).collect();
        assert!(together == long + &unbroken);
    }

    #[test]
    fn a_sample_is_spread_over_the_text() {
        let folder = tempfile::tempdir().unwrap();
        let text: String = (0..100_000).map(|number| format!("{number} é\n")).collect();
        let spool = spool(folder.path(), &[&text], false);
        let sample = spool.sample(spool.bytes, 200_000).unwrap();
        assert_eq!(sample.len(), 3);
        assert!(text.starts_with(&sample[0]) && text.ends_with(&sample[2]));
        assert!(text.contains(&sample[1]) && !text.starts_with(&sample[1]));
        let all = spool.sample(spool.bytes, spool.bytes).unwrap();
        assert_eq!(all.concat(), text);
    }
}
