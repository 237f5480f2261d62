//! JSON lines: one object per line, with the text under one key.

use std::fmt;
use std::io::{BufRead, Read};

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::SourceError;
use super::input_stream::{InputStream, read_error};
use super::left_out::Reason;
use super::pipeline::{Emit, Halt, RawDocument};

/// The longest line that is read; without a limit, a file without line breaks would fill the memory.
const LINE_LIMIT: u64 = 64 * 1024 * 1024;

/// Reads one document from each line. Blank lines and null texts are skipped.
pub(super) fn read(
    mut stream: InputStream<'_>,
    column: &str,
    emit: &mut Emit<'_>,
) -> Result<(), Halt> {
    let mut line = Vec::new();
    for number in 1u64.. {
        line.clear();
        let read = (&mut stream.reader)
            .take(LINE_LIMIT + 1)
            .read_until(b'\n', &mut line)
            .map_err(|error| read_error(&stream.path, &error))?;
        if read == 0 {
            break;
        }
        if read as u64 > LINE_LIMIT {
            let what = format!("line {number}");
            return Err(SourceError::TooLarge {
                path: stream.path,
                what,
                limit: LINE_LIMIT,
            }
            .into());
        }
        let content = if number == 1 {
            line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&line)
        } else {
            &line
        };
        if content.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let text = text_of(content, column).map_err(|reason| SourceError::JsonLine {
            path: stream.path.clone(),
            line: number,
            reason,
        })?;
        emit(match text {
            Some(text) => RawDocument::Text {
                text,
                continues: false,
            },
            None => RawDocument::LeftOut {
                reason: Reason::NoText,
                example: format!("{}:{number}", stream.path.display()),
            },
        })?;
    }
    Ok(())
}

/// The text under `column` of the object in `line`.
fn text_of(line: &[u8], column: &str) -> Result<Option<String>, String> {
    let text = std::str::from_utf8(line).map_err(|error| {
        format!(
            "byte {} of the line is not valid UTF-8",
            error.valid_up_to()
        )
    })?;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let found = ColumnSeed { column }
        .deserialize(&mut deserializer)
        .and_then(|found| deserializer.end().map(|()| found))
        .map_err(|error| format!("not a JSON object with a text '{column}': {error}"))?;
    match found {
        Found::Text(text) => Ok(text),
        Found::Missing(keys) => Err(format!(
            "no text column '{column}'; the keys are: {}",
            keys.join(", ")
        )),
    }
}

/// Deserializes one key of an object and ignores the rest.
struct ColumnSeed<'a> {
    column: &'a str,
}

enum Found {
    Text(Option<String>),
    Missing(Vec<String>),
}

impl<'de> DeserializeSeed<'de> for ColumnSeed<'_> {
    type Value = Found;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Found, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for ColumnSeed<'_> {
    type Value = Found;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Found, A::Error> {
        const KEYS_NAMED: usize = 20;
        let mut text = None;
        let mut keys = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            if key == self.column {
                text = Some(map.next_value::<Option<String>>()?);
            } else {
                map.next_value::<IgnoredAny>()?;
                if keys.len() < KEYS_NAMED {
                    keys.push(key);
                }
            }
        }
        Ok(text.map_or(Found::Missing(keys), Found::Text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn picks_the_column() {
        assert_eq!(
            text_of(br#"{"id": 3, "text": "a\nb", "m": {"text": 1}}"#, "text"),
            Ok(Some("a\nb".to_owned()))
        );
        assert_eq!(text_of(br#"{"text": null}"#, "text"), Ok(None));
        assert!(
            text_of(br#"{"body": "a"}"#, "text")
                .unwrap_err()
                .contains("body")
        );
        assert!(text_of(br#"{"text": 3}"#, "text").is_err());
        assert!(text_of(br#"["text"]"#, "text").is_err());
        assert!(text_of(br#"{"text": "a"} x"#, "text").is_err());
    }
}
