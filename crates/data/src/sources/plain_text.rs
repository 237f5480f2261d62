//! Plain UTF-8 text; large files are read in pieces.

use std::io::Read;

use super::SourceError;
use super::content::HEAD_BYTES;
use super::input_stream::{InputStream, read_error};
use super::pipeline::{Emit, Halt, RawDocument};

/// The largest piece of a file.
const PIECE_BYTES: usize = 4 * 1024 * 1024;

/// Reads a file as one document. Only a few pieces of it are in memory at a time.
pub(super) fn read(mut stream: InputStream<'_>, emit: &mut Emit<'_>) -> Result<(), Halt> {
    let mut bytes = Vec::new();
    let mut position = 0u64;
    let mut first = true;
    loop {
        let wanted = PIECE_BYTES.saturating_sub(bytes.len()).max(1);
        let read = (&mut stream.reader)
            .take(wanted as u64)
            .read_to_end(&mut bytes)
            .map_err(|error| read_error(&stream.path, &error))?;
        if first {
            if bytes.starts_with(b"\xEF\xBB\xBF") {
                bytes.drain(..3);
                position += 3;
            }
            first = false;
        }
        let at_end = read < wanted;
        let text = valid_prefix(&bytes, at_end);
        let path = || stream.path.clone();
        // Of two faults, the first one is named.
        let valid = text.map_or_else(|offset| offset as usize, str::len);
        if bytes[..valid].contains(&0) {
            let zero = bytes.iter().take_while(|&&byte| byte != 0).count() as u64;
            return Err(Halt::from(SourceError::Binary {
                path: path(),
                position: position + zero,
            }));
        }
        let text = text.map_err(|offset| SourceError::InvalidUtf8 {
            path: path(),
            position: position + offset,
        })?;
        let cut = if at_end { text.len() } else { piece_end(text) };
        let piece = text[..cut].to_owned();
        position += cut as u64;
        bytes.drain(..cut);
        emit(RawDocument::Text {
            text: piece,
            continues: !at_end,
        })?;
        if at_end {
            return Ok(());
        }
    }
}

/// Whether the first bytes of a file, at most [`HEAD_BYTES`], look like text.
pub(super) fn looks_like_text(head: &[u8]) -> bool {
    !head.contains(&0) && valid_prefix(head, head.len() < HEAD_BYTES).is_ok()
}

/// The valid text at the start of `bytes`. A character that is cut off at the end belongs to the next
/// piece. The error is the offset of the first invalid byte.
fn valid_prefix(bytes: &[u8], at_end: bool) -> Result<&str, u64> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text),
        Err(error) => {
            let valid = error.valid_up_to();
            if error.error_len().is_none() && !at_end {
                Ok(std::str::from_utf8(&bytes[..valid])
                    .expect("valid_up_to is the length of the valid part"))
            } else {
                Err(valid as u64)
            }
        }
    }
}

/// The place to cut a piece: after the last line break before a character other than white space, so
/// that a tokenizer which splits words finds the same words; else before the last single space; else at
/// the end.
fn piece_end(text: &str) -> usize {
    let bytes = text.as_bytes();
    let line = (1..bytes.len())
        .rev()
        .find(|&at| bytes[at - 1] == b'\n' && !is_space(text, at));
    let word = || {
        (1..bytes.len())
            .rev()
            .find(|&at| bytes[at] == b' ' && !is_space_before(text, at))
    };
    line.or_else(word).unwrap_or(text.len())
}

fn is_space(text: &str, at: usize) -> bool {
    text.get(at..)
        .and_then(|rest| rest.chars().next())
        .is_none_or(char::is_whitespace)
}

fn is_space_before(text: &str, at: usize) -> bool {
    text.get(..at)
        .and_then(|rest| rest.chars().next_back())
        .is_none_or(char::is_whitespace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_end_where_words_do() {
        assert_eq!(piece_end("one\ntwo\n"), 4);
        assert_eq!(piece_end("one\n\n  two\nthree"), 11);
        assert_eq!(piece_end("one two three"), 7);
        assert_eq!(piece_end("onetwo"), 6);
    }

    #[test]
    fn a_cut_character_waits_for_the_next_piece() {
        let bytes = "aé".as_bytes();
        assert_eq!(valid_prefix(&bytes[..2], false), Ok("a"));
        assert_eq!(valid_prefix(&bytes[..2], true), Err(1));
        assert_eq!(valid_prefix(b"a\xFFb", false), Err(1));
    }
}
