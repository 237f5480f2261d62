//! The text of one JSON object.
//!
//! Values under other keys are checked and skipped, but not kept. What Python's `json` module writes
//! beyond the standard is read: `NaN`, `Infinity`, `-Infinity`, and halves of surrogate pairs. The parser
//! does not recurse, so nesting takes memory in proportion to the record's length and no stack.

/// The number of keys that an error names.
const KEYS_NAMED: usize = 20;

/// What an object holds under the key of the text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    Text {
        text: String,
        /// Whether half of a surrogate pair became U+FFFD.
        lone_surrogate: bool,
    },
    Null,
    /// The object has no such key.
    Missing(Vec<String>),
}

/// The text under `column` of the object that `record` consists of. If the key occurs several times, the
/// last one counts.
pub(super) fn text_of(record: &[u8], column: &str) -> Result<Found, String> {
    let source = std::str::from_utf8(record).map_err(|error| {
        format!(
            "byte {} is not valid UTF-8: convert the file to UTF-8, or leave out such records with \
             --on-error skip",
            error.valid_up_to()
        )
    })?;
    let mut parser = Parser::new(source);
    parser.record(column).map_err(|problem| match problem {
        Problem::Value(message) => message,
        Problem::Syntax(expected) => {
            let found = match parser.source.get(parser.at..).unwrap_or_default() {
                "" if record.is_empty() => "the end".to_owned(),
                // The end of an object of several lines is found by its brackets.
                "" => "the end of the line; if objects take several lines, read the file with --format \
                       json"
                    .to_owned(),
                rest => format!("'{}'", escaped(&rest[..rest.floor_char_boundary(12)])),
            };
            format!(
                "not a JSON object with a text '{column}': byte {}: expected {expected}, found {found}",
                parser.at
            )
        }
    })
}

/// Text of a file as a message shows it: with control characters, which a terminal would obey, as escapes.
pub(super) fn escaped(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        // Marks that turn the direction of writing count as control characters here.
        let turns = matches!(character, '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}');
        if character.is_control() || turns {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// Whether `bytes` are one JSON value, and nothing else.
pub(super) fn is_value(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|source| {
        let mut parser = Parser::new(source);
        parser.skip_value().is_ok() && parser.end().is_ok()
    })
}

enum Problem {
    /// Not JSON: what was expected at the parser's place.
    Syntax(&'static str),
    /// JSON, but not what is wanted.
    Value(String),
}

struct Parser<'a> {
    source: &'a str,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Parser<'a> {
    fn new(source: &'a str) -> Self {
        Self {
            source,
            bytes: source.as_bytes(),
            at: 0,
        }
    }

    fn record(&mut self, column: &str) -> Result<Found, Problem> {
        let mut found = None;
        let mut keys = Vec::new();
        self.expect(b'{', "an object")?;
        let mut more = !self.take(b'}');
        while more {
            self.space();
            let (key, _) = self.string("a key")?;
            self.expect(b':', "':'")?;
            if key == column {
                // A later text under the same key makes up for what is none.
                found = Some(match self.text(column) {
                    Err(Problem::Value(message)) => Err(message),
                    found => Ok(found?),
                });
            } else {
                self.skip_value()?;
                if keys.len() < KEYS_NAMED {
                    keys.push(key);
                }
            }
            more = self.take(b',');
            if !more {
                self.expect(b'}', "',' or '}'")?;
            }
        }
        self.end()?;
        found
            .unwrap_or(Ok(Found::Missing(keys)))
            .map_err(Problem::Value)
    }

    /// The value under the key of the text.
    fn text(&mut self, column: &str) -> Result<Found, Problem> {
        self.space();
        let kind = match self.bytes.get(self.at) {
            Some(b'"') => {
                let (text, lone_surrogate) = self.string("a text")?;
                return Ok(Found::Text {
                    text,
                    lone_surrogate,
                });
            }
            Some(b'{') => "an object",
            Some(b'[') => "a list",
            Some(b't' | b'f') => "true or false",
            _ => "a number",
        };
        let start = self.at;
        self.skip_value()?;
        if self.bytes[start..self.at] == *b"null" {
            return Ok(Found::Null);
        }
        Err(Problem::Value(format!(
            "'{column}' is {kind}: expected a text or null"
        )))
    }

    fn space(&mut self) {
        while matches!(self.bytes.get(self.at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Takes a byte after white space, if it is the next one.
    fn take(&mut self, byte: u8) -> bool {
        self.space();
        let is_next = self.bytes.get(self.at) == Some(&byte);
        self.at += usize::from(is_next);
        is_next
    }

    fn expect(&mut self, byte: u8, name: &'static str) -> Result<(), Problem> {
        if self.take(byte) {
            Ok(())
        } else {
            Err(Problem::Syntax(name))
        }
    }

    fn end(&mut self) -> Result<(), Problem> {
        self.space();
        if self.at == self.bytes.len() {
            Ok(())
        } else {
            Err(Problem::Syntax("the end of the record"))
        }
    }

    /// Skips a value of any kind and depth.
    fn skip_value(&mut self) -> Result<(), Problem> {
        // The closing brackets that are still to come.
        let mut open = Vec::new();
        loop {
            self.space();
            let opens = match self.bytes.get(self.at) {
                Some(b'{') => Some(b'}'),
                Some(b'[') => Some(b']'),
                Some(b'"') => {
                    self.skip_string()?;
                    None
                }
                _ => {
                    self.skip_scalar()?;
                    None
                }
            };
            if let Some(close) = opens {
                self.at += 1;
                if !self.take(close) {
                    open.push(close);
                    if close == b'}' {
                        self.skip_key()?;
                    }
                    continue;
                }
            }
            // A value has ended.
            loop {
                let Some(&close) = open.last() else {
                    return Ok(());
                };
                if self.take(b',') {
                    if close == b'}' {
                        self.skip_key()?;
                    }
                    break;
                }
                self.expect(close, "',' or a closing bracket")?;
                open.pop();
            }
        }
    }

    fn skip_key(&mut self) -> Result<(), Problem> {
        self.space();
        self.skip_string()?;
        self.expect(b':', "':'")
    }

    fn skip_scalar(&mut self) -> Result<(), Problem> {
        const WORDS: [&[u8]; 6] = [
            b"null",
            b"true",
            b"false",
            b"NaN",
            b"Infinity",
            b"-Infinity",
        ];
        let rest = &self.bytes[self.at..];
        let length = WORDS
            .into_iter()
            .find(|word| rest.starts_with(word))
            .map(<[u8]>::len)
            .or_else(|| number_length(rest))
            .ok_or(Problem::Syntax("a value"))?;
        self.at += length;
        Ok(())
    }

    /// Moves behind the next byte that ends a plain part of a string, and gives that byte.
    fn next_special(&mut self) -> Result<u8, Problem> {
        self.at += plain_length(&self.bytes[self.at..]);
        match self.bytes.get(self.at) {
            Some(&byte @ (b'"' | b'\\')) => {
                self.at += 1;
                Ok(byte)
            }
            Some(_) => Err(Problem::Syntax("a text without control characters")),
            None => Err(Problem::Syntax("'\"'")),
        }
    }

    fn skip_string(&mut self) -> Result<(), Problem> {
        if self.bytes.get(self.at) != Some(&b'"') {
            return Err(Problem::Syntax("a text in '\"'"));
        }
        self.at += 1;
        while self.next_special()? == b'\\' {
            self.escape()?;
        }
        Ok(())
    }

    /// Reads a string, and says whether it has half of a surrogate pair.
    fn string(&mut self, name: &'static str) -> Result<(String, bool), Problem> {
        if self.bytes.get(self.at) != Some(&b'"') {
            return Err(Problem::Syntax(name));
        }
        self.at += 1;
        let mut text = String::new();
        let mut lone = false;
        loop {
            let start = self.at;
            let special = self.next_special()?;
            text.push_str(&self.source[start..self.at - 1]);
            if special == b'"' {
                return Ok((text, lone));
            }
            match self.escape()? {
                Escape::Character(character) => text.push(character),
                Escape::Half => {
                    lone = true;
                    text.push(char::REPLACEMENT_CHARACTER);
                }
            }
        }
    }

    /// Reads what follows a backslash.
    fn escape(&mut self) -> Result<Escape, Problem> {
        let character = match self.bytes.get(self.at) {
            Some(b'u') => {
                self.at += 1;
                return self.unicode_escape();
            }
            Some(&byte @ (b'"' | b'\\' | b'/')) => char::from(byte),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{C}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            _ => return Err(Problem::Syntax("an escape sequence of JSON")),
        };
        self.at += 1;
        Ok(Escape::Character(character))
    }

    fn unicode_escape(&mut self) -> Result<Escape, Problem> {
        let unit = self.four_digits()?;
        if let Some(character) = char::from_u32(unit) {
            return Ok(Escape::Character(character));
        }
        let rest = &self.bytes[self.at..];
        if (0xD800..0xDC00).contains(&unit) && rest.starts_with(b"\\u") {
            let before = self.at;
            self.at += 2;
            let low = self.four_digits()?;
            if (0xDC00..0xE000).contains(&low) {
                let code = 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
                let character = char::from_u32(code).ok_or(Problem::Syntax("a character"))?;
                return Ok(Escape::Character(character));
            }
            // The second one stands for itself.
            self.at = before;
        }
        Ok(Escape::Half)
    }

    fn four_digits(&mut self) -> Result<u32, Problem> {
        let digits = self.bytes.get(self.at..self.at + 4);
        let digits = digits.ok_or(Problem::Syntax("four hexadecimal digits"))?;
        let mut unit = 0;
        for &digit in digits {
            let digit = char::from(digit).to_digit(16);
            unit = unit * 16 + digit.ok_or(Problem::Syntax("four hexadecimal digits"))?;
        }
        self.at += 4;
        Ok(unit)
    }
}

enum Escape {
    Character(char),
    /// Half of a surrogate pair.
    Half,
}

/// The length of the part of a string before the next quotation mark, backslash or control character.
fn plain_length(bytes: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let chunks = bytes.chunks_exact(8);
    let rest = bytes.len() - chunks.remainder().len();
    for (index, chunk) in chunks.enumerate() {
        let word = u64::from_le_bytes(chunk.try_into().expect("chunks of eight bytes"));
        // The high bit of each byte that is below a limit or zero. A borrow can set it wrongly only in
        // bytes after the first one that is set rightly.
        let below = |word: u64, limit: u64| word.wrapping_sub(ONES * limit) & !word & HIGH;
        let zero = |word: u64| below(word, 1);
        let special = below(word, 0x20)
            | zero(word ^ (ONES * u64::from(b'"')))
            | zero(word ^ (ONES * u64::from(b'\\')));
        if special != 0 {
            return index * 8 + special.trailing_zeros() as usize / 8;
        }
    }
    let is_special = |&byte: &u8| byte < 0x20 || byte == b'"' || byte == b'\\';
    let tail = &bytes[rest..];
    rest + tail.iter().position(is_special).unwrap_or(tail.len())
}

/// The length of the number that `bytes` begin with.
fn number_length(bytes: &[u8]) -> Option<usize> {
    let digits = |from: usize| {
        let digits = bytes.get(from..).unwrap_or_default().iter();
        digits.take_while(|byte| byte.is_ascii_digit()).count()
    };
    let mut at = usize::from(bytes.first() == Some(&b'-'));
    at += match (bytes.get(at), digits(at)) {
        (_, 0) => return None,
        (Some(b'0'), _) => 1,
        (_, count) => count,
    };
    if bytes.get(at) == Some(&b'.') {
        let fraction = digits(at + 1);
        if fraction == 0 {
            return None;
        }
        at += 1 + fraction;
    }
    if matches!(bytes.get(at), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
        let exponent = digits(at + 1 + sign);
        if exponent == 0 {
            return None;
        }
        at += 1 + sign + exponent;
    }
    Some(at)
}

#[cfg(test)]
#[path = "json_record_tests.rs"]
mod tests;
