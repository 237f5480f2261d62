//! Cleans a line of text: removes leftover markup, and closes the gaps where markup was.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::{Captures, Regex};

use super::opaque::{AFTER_DIGIT, GAP, OPAQUE, is_mark};

/// Brackets that are left over from broken nesting.
const LEFT_BRACKETS: [&str; 6] = ["{{", "}}", "[[", "]]", "{|", "|}"];

/// What is written as switches such as `__NOTOC__` and `__KEIN_INHALTSVERZEICHNIS__` are. Which words are
/// switches is a list, so names in programs such as `__init__` stay.
static SWITCH: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"__(\p{L}+(?:_\p{L}+)*)__").expect("the pattern is valid"));

/// Parentheses and quotation marks with nothing but gaps, spaces and commas.
static EMPTY_PAIR: LazyLock<Regex> = LazyLock::new(|| {
    let inside = "[\\s,;:、，；،؛/–-]*\u{FDD0}[\\s,;:、，；،؛/–\u{FDD0}-]*";
    let pairs = [
        ["[(（]", "[)）]"],
        ["\\[", "\\]"],
        ["「", "」"],
        ["『", "』"],
        ["《", "》"],
        ["«", "»"],
        ["“", "”"],
        ["„", "[“”]"],
        ["\"", "\""],
    ];
    let patterns = pairs.map(|[open, close]| format!("{open}{inside}{close}"));
    Regex::new(&patterns.join("|")).expect("the pattern is valid")
});

/// A gap after an opening parenthesis, with the commas around it.
static AFTER_PARENTHESIS: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new("([(（])[\\s,;:、，；،؛]*\u{FDD0}[\\s,;:、，；،؛\u{FDD0}]*")
        .expect("the pattern is valid")
});

/// A gap before a closing parenthesis.
static BEFORE_PARENTHESIS: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new("[\\s,;、，；،؛]*\u{FDD0}[\\s,;、，；،؛\u{FDD0}]*([)）])")
        .expect("the pattern is valid")
});

/// Gaps between commas, or between a comma and a full stop: the last mark stays.
static BETWEEN_MARKS: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new("(?:[,;،؛、，；]\\s*\u{FDD0}[\\s\u{FDD0}]*)+([,;.،؛、，；。])")
        .expect("the pattern is valid")
});

/// A gap between two full stops.
static BETWEEN_STOPS: LazyLock<Regex> =
    LazyLock::new(|| Regex::new("。\u{FDD0}+。").expect("the pattern is valid"));

/// A mixed number such as `5{{frac|1|2}}`.
static SPACE_AFTER_DIGIT: LazyLock<Regex> =
    LazyLock::new(|| Regex::new("([0-9])\u{FDDF}").expect("the pattern is valid"));

/// Any other gap, with the spaces around it and the next character.
static GAPS: LazyLock<Regex> =
    LazyLock::new(|| Regex::new("([ \t]*)\u{FDD0}([ \t\u{FDD0}]*)").expect("the pattern is valid"));

/// Cleans a line. Marks of opaque texts stay.
pub(super) fn clean(line: &str) -> String {
    let mut line = without_left_brackets(line);
    if line.contains("__") {
        line = without_switches(&line);
    }
    if line.contains(AFTER_DIGIT) {
        line = SPACE_AFTER_DIGIT.replace_all(&line, "$1 ").into_owned();
    }
    let line = plain_spaces(&decoded(&line));
    let line = if line.contains(GAP) {
        close_gaps(&line)
    } else {
        line
    };
    let mut text = String::with_capacity(line.len());
    for character in line.chars() {
        if character != ' ' || !text.ends_with(' ') {
            text.push(character);
        }
    }
    text.trim().to_owned()
}

/// Removes brackets, and those that come together when others are gone, in one pass.
fn without_left_brackets(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    for character in line.chars() {
        out.push(character);
        if LEFT_BRACKETS.iter().any(|left| out.ends_with(left)) {
            out.truncate(out.len() - 2);
        }
    }
    out
}

/// The words of switches, in all languages that a dump may use: they are kept in capitals.
const SWITCHES: &str = include_str!("switches.txt");

fn without_switches(line: &str) -> String {
    let replaced = SWITCH.replace_all(line, |found: &Captures<'_>| {
        let word = found[1].to_uppercase();
        if SWITCHES.split_whitespace().any(|switch| switch == word) {
            GAP.to_string()
        } else {
            found[0].to_owned()
        }
    });
    replaced.into_owned()
}

/// Character references become characters, except where they would become marks.
fn decoded(line: &str) -> Cow<'_, str> {
    if !line.contains('&') {
        return line.into();
    }
    let mut out = String::with_capacity(line.len());
    let mut from = 0;
    let marks = line.char_indices().filter(|&(_, c)| is_mark(c));
    for (at, mark) in marks.chain([(line.len(), GAP)]) {
        let text = html_escape::decode_html_entities(&line[from..at]);
        out.extend(text.chars().filter(|&c| !is_mark(c)));
        if at < line.len() {
            out.push(mark);
            from = at + mark.len_utf8();
        }
    }
    out.into()
}

/// Replaces spaces of all widths by the usual one, and removes invisible characters.
fn plain_spaces(line: &str) -> String {
    let visible = line.chars().filter(|c| {
        !matches!(
            c,
            '\u{AD}' | '\u{200B}' | '\u{200E}' | '\u{200F}' | '\u{FEFF}' | '\u{2060}'
                | '\u{202A}'..='\u{202E}'
                | '\u{2066}'..='\u{2069}'
        )
    });
    visible
        .map(|c| {
            if matches!(
                c,
                '\u{A0}' | '\u{2002}'..='\u{200A}' | '\u{202F}' | '\t' | '\r' | '\n'
            ) {
                ' '
            } else {
                c
            }
        })
        .collect()
}

/// Closes the gaps, and removes the punctuation that then separates nothing. Text that has no gap stays as it
/// stands, whatever its language's typography is.
fn close_gaps(line: &str) -> String {
    let gap = GAP.to_string();
    let mut line = line.to_owned();
    // Removing inner parentheses can empty the outer ones.
    for _ in 0..3 {
        let emptied = EMPTY_PAIR.replace_all(&line, gap.as_str());
        let Cow::Owned(emptied) = emptied else { break };
        line = emptied;
    }
    let line = AFTER_PARENTHESIS.replace_all(&line, "$1");
    let line = BEFORE_PARENTHESIS.replace_all(&line, "$1");
    let line = BETWEEN_MARKS.replace_all(&line, "$1");
    let line = BETWEEN_STOPS.replace_all(&line, "。");
    let mut out = String::with_capacity(line.len());
    let mut from = 0;
    for found in GAPS.captures_iter(&line) {
        let (Some(whole), Some(before), Some(after)) = (found.get(0), found.get(1), found.get(2))
        else {
            continue;
        };
        out.push_str(&line[from..whole.start()]);
        from = whole.end();
        let space_before = !before.is_empty();
        let space_after = after.as_str().contains([' ', '\t']);
        let next = line[from..].chars().next();
        let at_start = out.is_empty();
        let closes = next.is_none_or(|next| ".,;:!?)]}»”’…،؛。、，；：！？）".contains(next));
        let open = out.ends_with(['(', '[', '«', '“', '„', '（']);
        if at_start || next.is_none() || open {
            continue;
        }
        // `word {{gone}}, next`: the comma follows the word. `mot {{gone}} !`: the space before the mark is the
        // author's.
        let space = if next.is_some_and(|next| ".,)]}".contains(next)) {
            false
        } else if closes {
            space_after
        } else {
            space_before || space_after
        };
        if space {
            out.push(' ');
        }
    }
    out.push_str(&line[from..]);
    // A line that lost its beginning does not begin with a comma.
    if line.trim_start().starts_with(GAP) {
        let start = [' ', ',', ';', ':', '،', '؛', '、', '，', '；', '：'];
        out = out.trim_start_matches(start).to_owned();
    }
    let words = out.contains(|c: char| c.is_alphanumeric() || c == OPAQUE);
    if words { out } else { String::new() }
}
