//! What is taken letter by letter before anything else is read: comments, `nowiki`, `pre`, code,
//! formulas, references.
//!
//! Hidden contents leave a gap mark. Shown contents leave a number between two marks, and come back when
//! all markup is gone, so that brackets and quotes in them stay. MediaWiki does the same with its strip
//! markers. The marks are noncharacters of Unicode; a page that holds some loses them.

use super::tags::{self, Tag};

/// Stands where markup was removed, so that the space around it can be closed.
pub(super) const GAP: char = '\u{FDD0}';
/// Before and after the number of an opaque text.
pub(super) const OPAQUE: char = '\u{FDD1}';
/// Before and after the number of a template without a known text.
pub(super) const UNKNOWN: char = '\u{FDD2}';
/// Keeps the quotes on its two sides apart, and vanishes.
pub(super) const APART: char = '\u{FDD3}';
/// Becomes a space after a digit, and vanishes elsewhere.
pub(super) const AFTER_DIGIT: char = '\u{FDDF}';
/// The digit 0 of such a number. The digits are marks too, so that no number is taken for text.
const ZERO: u32 = 0xFDD4;

/// Whether a character is one of the marks.
pub(super) fn is_mark(character: char) -> bool {
    matches!(character, '\u{FDD0}'..='\u{FDEF}')
}

/// A numbered mark.
pub(super) fn numbered(mark: char, number: usize) -> String {
    let digits = number.to_string();
    let digits = digits
        .bytes()
        .filter_map(|digit| char::from_u32(ZERO + u32::from(digit - b'0')));
    std::iter::once(mark).chain(digits).chain([mark]).collect()
}

/// `text` with what `shown` gives in place of each numbered mark of this kind. A mark without a partner
/// vanishes.
pub(super) fn replace_numbered(
    text: &str,
    mark: char,
    mut shown: impl FnMut(usize, &mut String),
) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(mark) {
        out.push_str(before);
        let digits: Vec<u32> = after
            .chars()
            .map(u32::from)
            .take_while(|code| (ZERO..ZERO + 10).contains(code))
            .collect();
        // Every digit takes three bytes of UTF-8.
        let end = after[3 * digits.len()..].strip_prefix(mark);
        rest = match end {
            Some(end) if !digits.is_empty() && digits.len() < 10 => {
                let number = digits
                    .iter()
                    .fold(0, |number, code| 10 * number + (code - ZERO) as usize);
                shown(number, &mut out);
                end
            }
            _ => after,
        };
    }
    out.push_str(rest);
    out
}

/// Tags whose contents are hidden: not running text.
const HIDDEN: [&str; 19] = [
    "categorytree",
    "charinsert",
    "gallery",
    "graph",
    "hiero",
    "imagemap",
    "includeonly",
    "indicator",
    "inputbox",
    "mapframe",
    "maplink",
    "ref",
    "references",
    "score",
    "script",
    "style",
    "templatedata",
    "templatestyles",
    "timeline",
];

/// Tags whose contents are shown letter by letter.
const LITERAL_TAGS: [&str; 7] = [
    "ce",
    "chem",
    "math",
    "nowiki",
    "pre",
    "source",
    "syntaxhighlight",
];

/// An opaque text.
#[derive(Debug)]
pub(super) struct Opaque {
    pub(super) text: String,
    /// Whether it stands on lines of its own.
    pub(super) is_block: bool,
}

/// A page without opaque texts, and these.
pub(super) struct Stripped {
    pub(super) wikitext: String,
    pub(super) opaque: Vec<Opaque>,
}

/// Takes opaque texts out of a page.
pub(super) fn strip(page: &str) -> Stripped {
    let mut stripper = Stripper {
        page,
        at: 0,
        out: String::with_capacity(page.len()),
        opaque: Vec::new(),
        never_closed: Vec::new(),
        comments_end: true,
    };
    while let Some(offset) = page[stripper.at..].find('<') {
        let start = stripper.at + offset;
        stripper.push(&page[stripper.at..start]);
        stripper.at = start;
        stripper.tag();
    }
    stripper.push(&page[stripper.at..]);
    Stripped {
        wikitext: stripper.out,
        opaque: stripper.opaque,
    }
}

struct Stripper<'a> {
    page: &'a str,
    at: usize,
    out: String,
    opaque: Vec<Opaque>,
    /// Names of tags known to have no end tag from here on.
    never_closed: Vec<String>,
    /// Whether a comment may still be closed.
    comments_end: bool,
}

impl Stripper<'_> {
    fn push(&mut self, text: &str) {
        if text.contains(is_mark) {
            self.out.extend(text.chars().filter(|&c| !is_mark(c)));
        } else {
            self.out.push_str(text);
        }
    }

    /// Takes the tag or comment, or the single letter `<`, at the current place.
    fn tag(&mut self) {
        let rest = &self.page[self.at..];
        if rest.starts_with("<!--") {
            self.comment(rest);
            return;
        }
        let tag = tags::parse_extension(rest)
            .filter(|tag| HIDDEN.contains(&&*tag.name) || LITERAL_TAGS.contains(&&*tag.name));
        let Some(tag) = tag else {
            self.out.push('<');
            self.at += 1;
            return;
        };
        self.at += tag.length;
        let literal = LITERAL_TAGS.contains(&&*tag.name);
        if tag.is_end || tag.is_empty {
            // `<nowiki/>` parts quotes, or the tag's other half is gone.
            self.out.push(if literal { APART } else { GAP });
            return;
        }
        let contents = &rest[tag.length..];
        let ends = if self.never_closed.contains(&tag.name) {
            None
        } else {
            end(contents, &tag.name)
        };
        let Some((length, whole)) = ends else {
            if !self.never_closed.contains(&tag.name) {
                self.never_closed.push(tag.name);
            }
            if !literal {
                self.out.push(GAP);
            }
            return;
        };
        self.at += whole;
        if literal {
            self.show(&tag, rest, &contents[..length]);
        } else {
            self.out.push(GAP);
        }
    }

    /// Keeps the contents of a tag for later.
    fn show(&mut self, tag: &Tag, rest: &str, contents: &str) {
        let attributes = &rest[..tag.length];
        let is_code = matches!(&*tag.name, "source" | "syntaxhighlight");
        let is_block = match &*tag.name {
            "pre" => true,
            "nowiki" | "math" | "ce" | "chem" => false,
            _ => !attributes.split_whitespace().any(|word| {
                word.trim_end_matches(['>', '/']) == "inline" || word.starts_with("inline=")
            }),
        };
        let mut text: String = contents.chars().filter(|&c| !is_mark(c)).collect();
        if tag.name == "pre" {
            // A `nowiki` within `pre` has no effect of its own.
            for inner in ["<nowiki>", "</nowiki>", "<nowiki/>", "<nowiki />"] {
                text = text.replace(inner, "");
            }
        }
        if !is_code {
            // Character references are shown as characters; in code they are shown as they stand.
            text = html_escape::decode_html_entities(&text).into_owned();
            text.retain(|c| !is_mark(c));
        }
        if is_block {
            text = text.trim_end().trim_start_matches(['\r', '\n']).to_owned();
        }
        if matches!(&*tag.name, "math" | "ce" | "chem") {
            // A formula is one line of LaTeX.
            let words: Vec<&str> = text.split_whitespace().collect();
            text = words.join(" ");
            if text.is_empty() {
                self.out.push(GAP);
                return;
            }
            if tag.name == "math" {
                text = format!("${text}$");
            }
        }
        let mark = numbered(OPAQUE, self.opaque.len());
        self.opaque.push(Opaque { text, is_block });
        if is_block {
            self.out.push_str("\n\n");
            self.out.push_str(&mark);
            self.out.push_str("\n\n");
        } else {
            self.out.push_str(&mark);
        }
    }

    /// Takes a comment. One that has its line for itself takes the line's end with it, as in MediaWiki.
    fn comment(&mut self, rest: &str) {
        let end = if self.comments_end {
            rest.find("-->")
        } else {
            None
        };
        self.comments_end = end.is_some();
        let Some(end) = end else {
            // MediaWiki takes the rest of the page for a comment; here only its opening vanishes.
            self.at += 4;
            return;
        };
        self.at += end + 3;
        // A comment behind more spaces does not stand alone: the limit keeps many comments on a line linear.
        const SPACES: usize = 100;
        let mut before = self.out.bytes().rev().take(SPACES);
        let before = before.find(|byte| !matches!(byte, b' ' | b'\t'));
        let is_blank = before.map_or(self.out.len() < SPACES, |byte| byte == b'\n');
        let after = rest[end + 3..].trim_start_matches([' ', '\t']);
        if is_blank && after.starts_with('\n') {
            self.at = self.page.len() - after.len() + 1;
        }
    }
}

/// The end of the contents of the element `name`, and the length up to the end of its end tag. In a
/// hidden element, comments and `nowiki` may hold an end tag that does not count.
fn end(contents: &str, name: &str) -> Option<(usize, usize)> {
    if LITERAL_TAGS.contains(&name) {
        return tags::end_tag(contents, name);
    }
    let mut from = 0;
    loop {
        let (length, whole) = tags::end_tag(&contents[from..], name)?;
        let within = &contents[from..from + length];
        match skipped(within) {
            None => return Some((from + length, from + whole)),
            // The end tag stands in a comment: go on after it, if it ends.
            Some((start, close)) => match contents[from + start..].find(close) {
                Some(offset) => from += start + offset + close.len(),
                None => return Some((from + length, from + whole)),
            },
        }
    }
}

/// The start of a comment or `nowiki` that `text` leaves open, and what closes it.
fn skipped(text: &str) -> Option<(usize, &'static str)> {
    let mut at = 0;
    while let Some(offset) = text[at..].find('<') {
        let start = at + offset;
        let rest = &text[start..];
        let close = if rest.starts_with("<!--") {
            "-->"
        } else if rest.starts_with("<nowiki>") {
            "</nowiki>"
        } else {
            at = start + 1;
            continue;
        };
        match rest.find(close) {
            Some(offset) => at = start + offset + close.len(),
            None => return Some((start, close)),
        }
    }
    None
}
