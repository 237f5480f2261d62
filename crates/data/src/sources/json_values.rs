//! JSON files that are not lines: an array of objects, or objects one after another, on as many lines
//! as they take. Memory holds one object at a time.

use std::io::BufRead;

use super::input_stream::{InputStream, read_error};
use super::json_record::escaped;
use super::pipeline::{Emit, Halt};
use super::records::{RECORD_LIMIT, Records};
use super::{ReadOptions, SourceError};

/// Bytes of a file that a message shows.
const SHOWN_BYTES: usize = 12;

/// Reads one document from each object.
///
/// An object that cannot be read can be left out, because its end is found by its brackets. A file that is no
/// list of objects is an error in any case.
pub(super) fn read(
    stream: InputStream<'_>,
    options: &ReadOptions,
    emit: &mut Emit<'_>,
) -> Result<(), Halt> {
    let records = Records {
        path: stream.path.clone(),
        column: options.text_column.clone(),
        on_error: options.on_error,
    };
    let mut bytes = Bytes {
        stream,
        line: 1,
        position: 0,
    };
    for mark in [0xEF, 0xBB, 0xBF] {
        if bytes.peek()? == Some(mark) {
            bytes.next();
        }
    }
    let in_array = bytes.next_visible()? == Some(b'[');
    if in_array {
        bytes.next();
    }
    for number in 1u64.. {
        let mut byte = bytes.next_visible()?;
        if in_array && byte == Some(b']') {
            bytes.next();
            return match bytes.next_visible()? {
                None => Ok(()),
                Some(_) => Err(bytes
                    .unexpected("the end of the file after the array")?
                    .into()),
            };
        }
        if !in_array && byte.is_none() {
            return Ok(());
        }
        if in_array && number > 1 && byte.is_some() {
            if byte != Some(b',') {
                let expected = format!("',' or ']' after object {}", number - 1);
                return Err(bytes.unexpected(&expected)?.into());
            }
            bytes.next();
            byte = bytes.next_visible()?;
        }
        match byte {
            Some(b'{') => bytes.object(&records, emit)?,
            Some(_) => {
                let expected = format!("object {number}, which begins with '{{'");
                return Err(bytes.unexpected(&expected)?.into());
            }
            None => {
                return Err(bytes
                    .wrong("the file ends inside of the array, it is cut off")
                    .into());
            }
        }
    }
    Ok(())
}

struct Bytes<'a> {
    stream: InputStream<'a>,
    line: u64,
    /// Bytes that have been consumed.
    position: u64,
}

impl Bytes<'_> {
    fn fill(&mut self) -> Result<&[u8], SourceError> {
        match self.stream.reader.fill_buf() {
            Ok(bytes) => Ok(bytes),
            Err(error) => Err(read_error(&self.stream.path, &error)),
        }
    }

    fn peek(&mut self) -> Result<Option<u8>, SourceError> {
        Ok(self.fill()?.first().copied())
    }

    /// Consumes the byte that was peeked.
    fn next(&mut self) {
        self.consume(1);
    }

    fn consume(&mut self, count: usize) {
        self.stream.reader.consume(count);
        self.position += count as u64;
    }

    /// The next byte that is no white space; it stays.
    fn next_visible(&mut self) -> Result<Option<u8>, SourceError> {
        loop {
            let byte = self.peek()?;
            match byte {
                Some(b' ' | b'\t' | b'\r' | b'\n') => {
                    self.line += u64::from(byte == Some(b'\n'));
                    self.next();
                }
                other => return Ok(other),
            }
        }
    }

    /// Reads an object up to its closing bracket.
    fn object(&mut self, records: &Records, emit: &mut Emit<'_>) -> Result<(), Halt> {
        let begin = self.line;
        let mut record = Vec::new();
        let mut is_too_large = false;
        let mut end = ObjectEnd::default();
        loop {
            let bytes = self.fill()?;
            if bytes.is_empty() {
                let reason = format!("the file ends inside of the object of line {begin}");
                return Err(self.wrong(&reason).into());
            }
            let found = end.find(bytes);
            let taken = &bytes[..found.unwrap_or(bytes.len())];
            let lines = taken.iter().filter(|&&byte| byte == b'\n').count() as u64;
            is_too_large |= record.len() + taken.len() > RECORD_LIMIT;
            if is_too_large {
                record.clear();
            } else {
                record.extend_from_slice(taken);
            }
            let taken = taken.len();
            self.line += lines;
            self.consume(taken);
            if found.is_some() {
                return if is_too_large {
                    records.too_large(begin, emit)
                } else {
                    records.json(&record, begin, emit)
                };
            }
        }
    }

    /// The error that the next bytes are not what was expected.
    fn unexpected(&mut self, expected: &str) -> Result<SourceError, SourceError> {
        let bytes = self.fill()?;
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN_BYTES)]);
        let shown = escaped(shown.trim_end_matches(char::REPLACEMENT_CHARACTER));
        let position = self.position;
        Ok(self.wrong(&format!(
            "byte {position} of the file: expected {expected}, found '{shown}'"
        )))
    }

    fn wrong(&self, reason: &str) -> SourceError {
        SourceError::JsonLine {
            path: self.stream.path.clone(),
            line: self.line,
            reason: reason.to_owned(),
        }
    }
}

/// Finds the bracket that closes an object, by counting brackets outside of strings.
#[derive(Default)]
struct ObjectEnd {
    depth: u64,
    in_string: bool,
    escaped: bool,
}

impl ObjectEnd {
    /// Takes the next bytes; gives the length of the object's part of them if it ends there.
    fn find(&mut self, bytes: &[u8]) -> Option<usize> {
        for (index, &byte) in bytes.iter().enumerate() {
            if self.in_string {
                match byte {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => self.in_string = false,
                    _ => {}
                }
                continue;
            }
            match byte {
                b'"' => self.in_string = true,
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == 0 {
                        return Some(index + 1);
                    }
                }
                _ => {}
            }
        }
        None
    }
}
