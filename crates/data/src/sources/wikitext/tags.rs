//! HTML tags within wikitext.

use super::opaque::is_mark;

/// The longest tag; a longer one is a stray `<`.
const LENGTH_LIMIT: usize = 2000;

/// Tags that MediaWiki knows; the tags go, their contents stay. Other names are tags only if they are
/// closed somewhere.
const KNOWN: [&str; 77] = [
    "abbr",
    "b",
    "bdi",
    "bdo",
    "big",
    "blockquote",
    "br",
    "caption",
    "center",
    "cite",
    "code",
    "col",
    "colgroup",
    "data",
    "dd",
    "del",
    "dfn",
    "div",
    "dl",
    "dt",
    "em",
    "font",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "hr",
    "i",
    "img",
    "includeonly",
    "ins",
    "kbd",
    "li",
    "link",
    "mark",
    "meta",
    "noinclude",
    "nowiki",
    "ol",
    "onlyinclude",
    "p",
    "poem",
    "pre",
    "q",
    "rb",
    "rp",
    "rt",
    "rtc",
    "ruby",
    "s",
    "samp",
    "section",
    "small",
    "source",
    "span",
    "strike",
    "strong",
    "sub",
    "sup",
    "syntaxhighlight",
    "table",
    "tbody",
    "td",
    "tfoot",
    "th",
    "thead",
    "time",
    "tr",
    "tt",
    "u",
    "ul",
    "var",
    "wbr",
    "translate",
    "tvar",
];

pub(super) struct Tag {
    /// In lower case.
    pub(super) name: String,
    pub(super) is_end: bool,
    pub(super) is_empty: bool,
    /// From `<` to `>`.
    pub(super) length: usize,
}

/// Reads the HTML tag at the start of `text`, which starts with `<`.
pub(super) fn parse(text: &str) -> Option<Tag> {
    parse_tag(text, false)
}

/// Reads the tag of an extension at the start of `text`.
pub(super) fn parse_extension(text: &str) -> Option<Tag> {
    parse_tag(text, true)
}

fn parse_tag(text: &str, is_extension: bool) -> Option<Tag> {
    let inside = text.strip_prefix('<')?;
    let is_end = inside.starts_with('/');
    let named = inside.strip_prefix('/').unwrap_or(inside);
    let name_length = named.bytes().take_while(u8::is_ascii_alphanumeric).count();
    let name = &named[..name_length];
    if !name.starts_with(|first: char| first.is_ascii_alphabetic()) || name_length > 20 {
        return None;
    }
    let after = &named[name_length..];
    if !after.starts_with(|c: char| c.is_whitespace() || c == '/' || c == '>') {
        return None;
    }
    let end = if is_extension {
        // MediaWiki ends the start tag of an extension at the first `>`, whatever its quotes are.
        let head = &after.as_bytes()[..after.len().min(LENGTH_LIMIT)];
        head.iter().position(|&byte| byte == b'>')?
    } else {
        tag_end(after)?
    };
    let length = text.len() - after.len() + end + 1;
    let is_empty = after[..end].ends_with('/');
    Some(Tag {
        name: name.to_lowercase(),
        is_end,
        is_empty,
        length,
    })
}

/// Offset of the `>` that ends the tag, which is not within a quoted value. A quote that is not closed on its
/// line does not count.
fn tag_end(after_name: &str) -> Option<usize> {
    let mut quote = None;
    let mut first = None;
    for (at, byte) in after_name.bytes().enumerate().take(LENGTH_LIMIT) {
        match (quote, byte) {
            (Some(open), byte) if open == byte => quote = None,
            (None, b'"') => quote = Some(byte),
            (None, b'>') => return Some(at),
            (None, b'<') => return None,
            (Some(_), b'>') => first = first.or(Some(at)),
            (Some(_), b'\n') => return first,
            _ => {}
        }
    }
    first
}

/// Length of `contents` up to the end tag `</name>`, and up to the end of that tag.
pub(super) fn end_tag(contents: &str, name: &str) -> Option<(usize, usize)> {
    contents.match_indices("</").find_map(|(at, _)| {
        let tag = contents.get(at + 2..at + 2 + name.len())?;
        if !tag.eq_ignore_ascii_case(name) {
            return None;
        }
        let after = at + 2 + name.len();
        let spaces = contents[after..].len() - contents[after..].trim_start().len();
        contents[after + spaces..]
            .starts_with('>')
            .then_some((at, after + spaces + 1))
    })
}

/// `text` without tags. Breaks and blocks become line breaks.
pub(super) fn remove(text: &str) -> String {
    if !text.contains('<') {
        return text.to_owned();
    }
    let mut closed: Option<Vec<String>> = None;
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(offset) = text[at..].find('<') {
        let start = at + offset;
        out.push_str(&text[at..start]);
        let rest = &text[start..];
        let tag = parse(rest).filter(|tag| {
            KNOWN.contains(&&*tag.name)
                || tag.is_end
                || tag.is_empty
                || closed
                    .get_or_insert_with(|| closed_names(text))
                    .contains(&tag.name)
        });
        match tag {
            Some(tag) => {
                let shown = tag.shown(&out, &rest[tag.length..]);
                out.push_str(shown);
                at = start + tag.length;
                // The parentheses of `<rp>` are for browsers without `<rt>`.
                if tag.name == "rp" && !tag.is_end {
                    at += rest[tag.length..].find('<').unwrap_or(0);
                }
            }
            None => {
                out.push('<');
                at = start + 1;
            }
        }
    }
    out.push_str(&text[at..]);
    out
}

/// Names of the elements that have an end tag.
fn closed_names(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    for (at, _) in text.match_indices("</") {
        let rest = &text[at + 2..];
        let length = rest
            .bytes()
            .take(21)
            .take_while(u8::is_ascii_alphanumeric)
            .count();
        let name = rest[..length].to_lowercase();
        // A page with more names than this is hostile.
        if !names.contains(&name) && names.len() < 100 {
            names.push(name);
        }
    }
    names
}

impl Tag {
    /// The visible text in place of the tag, between the text `before` and `after`.
    fn shown(&self, before: &str, after: &str) -> &'static str {
        match self.name.as_str() {
            "br" => " ",
            "hr" | "p" | "blockquote" | "poem" | "div" | "center" | "h1" | "h2" | "h3" | "h4"
            | "h5" | "h6" => "\n\n",
            "li" | "dt" | "dd" if !self.is_end => "\n* ",
            "ul" | "ol" | "dl" => "\n",
            "sup" if !self.is_end && is_exponent(before, after) => "^",
            "q" if self.is_end => "”",
            "q" => "“",
            // The reading aid of East Asian characters.
            "rt" if self.is_end => "）",
            "rt" => "（",
            _ => "",
        }
    }
}

/// Whether a superscript after `before`, which begins `after`, is an exponent: a number after a letter, a
/// digit or a closing bracket, or one letter in italics.
fn is_exponent(before: &str, after: &str) -> bool {
    // Enough for a letter with its markup; the rest of the line is not looked at for each tag.
    const NEAR: usize = 40;
    let before = &before[before.ceil_char_boundary(before.len().saturating_sub(NEAR))..];
    let after = &after[..after.floor_char_boundary(NEAR)];
    let markup = |c: char| c == '\'' || is_mark(c);
    let base = before.trim_end_matches(markup);
    if !base.ends_with(|c: char| c.is_alphanumeric() || matches!(c, ')' | '|' | ']')) {
        return false;
    }
    let power = after.trim_start_matches(markup);
    let number = power.starts_with("&minus;")
        || power.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '−' | '+'));
    let letter = || {
        let contents = after.split("</").next().unwrap_or("");
        let bare = contents.trim_matches(markup);
        contents.starts_with("''") && bare.chars().count() == 1
    };
    number || letter()
}
