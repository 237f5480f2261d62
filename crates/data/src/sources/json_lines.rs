//! JSON lines: one object on each line, with the text under one key.

use std::io::{BufRead, Read};
use std::sync::Arc;

use super::input_stream::{InputStream, read_error};
use super::pipeline::{Emit, Halt, RawDocument};
use super::records::{RECORD_LIMIT, Records};
use super::{ReadOptions, SourceError};

/// Bytes of lines that a worker reads at once.
const BLOCK_BYTES: usize = 256 * 1024;

/// Reads one document from each line. Blank lines and null texts are skipped.
pub(super) fn read(
    mut stream: InputStream<'_>,
    options: &ReadOptions,
    emit: &mut Emit<'_>,
) -> Result<(), Halt> {
    let records = Arc::new(Records {
        path: stream.path.clone(),
        column: options.text_column.clone(),
        on_error: options.on_error,
    });
    let mut block = Block::new(1);
    for number in 1u64.. {
        let before = block.lines.len();
        let read = (&mut stream.reader)
            .take(RECORD_LIMIT as u64 + 1)
            .read_until(b'\n', &mut block.lines);
        let read = match read {
            Ok(read) => read,
            Err(error) => {
                // The line that cannot be read to its end is no line.
                block.lines.truncate(before);
                block.pass_on(&records, number, emit)?;
                return Err(read_error(&stream.path, &error).into());
            }
        };
        if read > RECORD_LIMIT {
            let ended = block.lines.last() == Some(&b'\n');
            block.lines.truncate(before);
            block.pass_on(&records, number + 1, emit)?;
            records.too_large(number, emit)?;
            if !ended {
                skip_line(&mut stream)?;
            }
        } else if read == 0 {
            block.pass_on(&records, number, emit)?;
            break;
        } else if block.lines.len() >= BLOCK_BYTES {
            block.pass_on(&records, number + 1, emit)?;
        }
    }
    Ok(())
}

/// Some lines of a file.
struct Block {
    lines: Vec<u8>,
    /// The number of the first one.
    first: u64,
}

impl Block {
    fn new(first: u64) -> Self {
        Self {
            lines: Vec::new(),
            first,
        }
    }

    /// Gives the lines to a worker, and goes on with the line `next`.
    fn pass_on(
        &mut self,
        records: &Arc<Records>,
        next: u64,
        emit: &mut Emit<'_>,
    ) -> Result<(), Halt> {
        let block = std::mem::replace(self, Self::new(next));
        if block.lines.is_empty() {
            return Ok(());
        }
        let records = Arc::clone(records);
        emit(RawDocument::Deferred {
            bytes: block.lines.len(),
            convert: Box::new(move |emit| block.read(&records, emit)),
        })
    }

    fn read(&self, records: &Records, emit: &mut Emit<'_>) -> Result<(), Halt> {
        for (line, number) in self
            .lines
            .split_inclusive(|&byte| byte == b'\n')
            .zip(self.first..)
        {
            let content = if number == 1 {
                line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line)
            } else {
                line
            };
            // The end of the line is no part of the record, so that no message shows it.
            let content = content.strip_suffix(b"\n").unwrap_or(content);
            let content = content.strip_suffix(b"\r").unwrap_or(content);
            if !content.iter().all(u8::is_ascii_whitespace) {
                records.json(content, number, emit)?;
            }
        }
        Ok(())
    }
}

/// Reads to the end of a line without keeping it.
fn skip_line(stream: &mut InputStream<'_>) -> Result<(), SourceError> {
    loop {
        let bytes = match stream.reader.fill_buf() {
            Ok(bytes) => bytes,
            Err(error) => return Err(read_error(&stream.path, &error)),
        };
        let end = bytes.iter().position(|&byte| byte == b'\n');
        let length = bytes.len();
        stream.reader.consume(end.map_or(length, |end| end + 1));
        if end.is_some() || length == 0 {
            return Ok(());
        }
    }
}
