//! Cleans a block of text: removes leftover markup, and gaps where markup was.

/// Brackets that are left over from broken nesting.
const LEFT_BRACKETS: [&str; 6] = ["{{", "}}", "[[", "]]", "{|", "|}"];

/// Cleans a heading, a paragraph, a list or (with `preformatted`) lines whose spaces count.
pub(super) fn clean(text: &str, preformatted: bool) -> String {
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        let line = if preformatted {
            plain_spaces(line).trim_end().to_owned()
        } else {
            clean_line(line)
        };
        if !line.trim().is_empty() && !is_markup_line(&line) {
            lines.push(line);
        }
    }
    lines.join("\n")
}

fn clean_line(line: &str) -> String {
    let mut line = plain_spaces(line);
    while let Some(left) = LEFT_BRACKETS.iter().find(|left| line.contains(**left)) {
        line = line.replace(left, "");
    }
    if line.contains("__") {
        line = without_magic_words(&line);
    }
    // Each repair can make another one necessary, as in `(, ())`.
    for _ in 0..3 {
        let repaired = close_gaps(&line);
        if repaired == line {
            break;
        }
        line = repaired;
    }
    line.trim().to_owned()
}

/// Replaces all kinds of spaces by the usual one, and removes invisible characters.
fn plain_spaces(line: &str) -> String {
    let visible = line.chars().filter(|c| {
        !matches!(
            c,
            '\u{AD}' | '\u{200B}' | '\u{200E}' | '\u{200F}' | '\u{FEFF}'
        )
    });
    visible
        .map(|c| {
            if matches!(c, '\u{A0}' | '\u{2009}' | '\u{202F}' | '\t') {
                ' '
            } else {
                c
            }
        })
        .collect()
}

/// Removes magic words such as `__NOTOC__`.
fn without_magic_words(line: &str) -> String {
    let mut kept = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("__") {
        kept.push_str(before);
        let word = after.bytes().take_while(u8::is_ascii_uppercase).count();
        rest = match after[word..].strip_prefix("__") {
            Some(after_word) if word > 0 => after_word,
            _ => {
                kept.push_str("__");
                after
            }
        };
    }
    kept + rest
}

/// Removes empty parentheses, doubled spaces and commas, and spaces before punctuation.
fn close_gaps(line: &str) -> String {
    let mut closed = String::with_capacity(line.len());
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        let before = closed.chars().next_back();
        let next = characters.peek().copied();
        let ends_word =
            next.is_none_or(|next| next.is_whitespace() || matches!(next, ')' | '"' | '\''));
        match character {
            ' ' if matches!(before, Some(' ' | '(') | None) => {}
            ',' | ';' if matches!(before, Some('(' | ',' | ';')) => {}
            ',' | ';' | ')' if before == Some(' ') => {
                closed.pop();
                close(&mut closed, character);
            }
            '.' | ':' | '!' | '?' if before == Some(' ') && ends_word => {
                closed.pop();
                close(&mut closed, character);
            }
            ')' | '.' => close(&mut closed, character),
            _ => closed.push(character),
        }
    }
    closed
}

/// Pushes a punctuation mark, and removes marks before it that then end nothing.
fn close(closed: &mut String, mark: char) {
    match (closed.chars().next_back(), mark) {
        (Some('('), ')') => {
            closed.pop();
        }
        (Some(',' | ';'), ')' | '.') => {
            closed.pop();
            close(closed, mark);
        }
        (Some('('), ',' | ';') => {}
        _ => closed.push(mark),
    }
}

/// Whether a line is left over from a broken table or gallery: a cell, a row, or a picture's name.
fn is_markup_line(line: &str) -> bool {
    let line = line.trim();
    let picture = ["File:", "Image:"]
        .iter()
        .any(|start| line.starts_with(start));
    picture
        || line.starts_with('|')
        || line.starts_with("!!")
        || !line.chars().any(char::is_alphanumeric)
}
