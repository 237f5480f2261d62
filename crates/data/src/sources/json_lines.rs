//! JSON lines: one object on each line, with the text under one key.

use std::io::{BufRead, Read};

use super::input_stream::{InputStream, read_error};
use super::pipeline::{Emit, Halt};
use super::records::{RECORD_LIMIT, Records};
use super::{ReadOptions, SourceError};

/// Reads one document from each line. Blank lines and null texts are skipped.
pub(super) fn read(
    mut stream: InputStream<'_>,
    options: &ReadOptions,
    emit: &mut Emit<'_>,
) -> Result<(), Halt> {
    let records = Records {
        path: stream.path.clone(),
        column: &options.text_column,
        on_error: options.on_error,
    };
    let mut line = Vec::new();
    for number in 1u64.. {
        line.clear();
        let read = (&mut stream.reader)
            .take(RECORD_LIMIT as u64 + 1)
            .read_until(b'\n', &mut line)
            .map_err(|error| read_error(&stream.path, &error))?;
        if read == 0 {
            break;
        }
        if read > RECORD_LIMIT {
            records.too_large(number, emit)?;
            if line.last() != Some(&b'\n') {
                skip_line(&mut stream)?;
            }
            continue;
        }
        let content = if number == 1 {
            line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&line)
        } else {
            &line
        };
        if !content.iter().all(u8::is_ascii_whitespace) {
            records.json(content, number, emit)?;
        }
    }
    Ok(())
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
