//! HTML and extension tags within wikitext.

/// Tags whose contents are not running text.
const HIDDEN: [&str; 21] = [
    "ref",
    "references",
    "math",
    "chem",
    "ce",
    "gallery",
    "timeline",
    "imagemap",
    "score",
    "source",
    "syntaxhighlight",
    "hiero",
    "graph",
    "mapframe",
    "maplink",
    "templatestyles",
    "inputbox",
    "categorytree",
    "includeonly",
    "style",
    "script",
];

/// The longest tag; a longer one is a stray `<`.
const LENGTH_LIMIT: usize = 2000;

pub(super) struct Tag {
    /// In lower case.
    pub(super) name: String,
    pub(super) is_end: bool,
    pub(super) is_empty: bool,
    /// From `<` to `>`.
    pub(super) length: usize,
}

/// Reads the tag at the start of `text`, which starts with `<`.
pub(super) fn parse(text: &str) -> Option<Tag> {
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
    let end = tag_end(after)?;
    let length = text.len() - after.len() + end + 1;
    let is_empty = after[..end].ends_with('/');
    Some(Tag {
        name: name.to_lowercase(),
        is_end,
        is_empty,
        length,
    })
}

/// Offset of the `>` that ends the tag, which is not within a quoted value.
fn tag_end(after_name: &str) -> Option<usize> {
    let mut quote = None;
    for (at, byte) in after_name.bytes().enumerate().take(LENGTH_LIMIT) {
        match (quote, byte) {
            (Some(open), byte) if open == byte => quote = None,
            (None, b'"') => quote = Some(byte),
            (None, b'>') => return Some(at),
            (None, b'<') => return None,
            _ => {}
        }
    }
    None
}

/// Length of `contents` up to the end of the end tag `</name>`.
pub(super) fn end_tag(contents: &str, name: &str) -> Option<usize> {
    contents.match_indices("</").find_map(|(at, _)| {
        let tag = contents[at + 2..].get(..name.len())?;
        if !tag.eq_ignore_ascii_case(name) {
            return None;
        }
        let after = at + 2 + name.len();
        let close = contents[after..].find('>')?;
        contents[after..after + close]
            .trim()
            .is_empty()
            .then_some(after + close + 1)
    })
}

impl Tag {
    pub(super) fn hides_contents(&self) -> bool {
        HIDDEN.contains(&&*self.name)
    }

    /// The visible text in place of the tag, between the text `before` and `after`.
    pub(super) fn shown(&self, before: &str, after: &str) -> &'static str {
        let power = || {
            let base = before.ends_with(|c: char| c.is_ascii_alphanumeric() || c == ')');
            base && after.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '−' | '+'))
        };
        match self.name.as_str() {
            "br" | "hr" => " ",
            "p" | "blockquote" | "poem" | "div" | "center" => "\n\n",
            "li" if !self.is_end => "\n* ",
            "sup" if !self.is_end && power() => "^",
            _ => "",
        }
    }
}
