//! Resolves nested markup: templates, tables, links, and tags whose contents are dropped.
//!
//! This is one pass with a stack of open brackets. Broken nesting is common in real pages: it is closed
//! at the most plausible place, and costs a few words at most. The work is linear in the page's length.

use super::links::{is_media, link_text};
use super::tags::{self, Tag};
use super::templates::expand;

/// The deepest nesting; deeper brackets are taken as text. Real pages stay below ten.
const DEPTH_LIMIT: usize = 40;

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Page,
    Template,
    Table,
    Link,
}

struct Frame {
    kind: Kind,
    text: String,
}

/// `wikitext` without templates, tables, references, formulas, galleries and tags, and with the text of its links.
pub(super) fn resolve(wikitext: &str) -> String {
    let mut resolver = Resolver {
        source: wikitext,
        at: 0,
        frames: vec![Frame {
            kind: Kind::Page,
            text: String::with_capacity(wikitext.len()),
        }],
        never_closed: Vec::new(),
        comments_end: true,
    };
    while resolver.at < wikitext.len() {
        resolver.step();
    }
    resolver.finish()
}

struct Resolver<'a> {
    source: &'a str,
    at: usize,
    frames: Vec<Frame>,
    /// Names of tags known to have no end tag from here on.
    never_closed: Vec<String>,
    /// Whether a comment may still be closed.
    comments_end: bool,
}

impl Resolver<'_> {
    fn step(&mut self) {
        let rest = &self.source[self.at..];
        let bytes = rest.as_bytes();
        match (bytes[0], bytes.get(1)) {
            (b'<', _) => self.tag(rest),
            (b'{', Some(b'{')) => self.open(Kind::Template),
            (b'{', Some(b'|')) if self.at_line_start() => self.open(Kind::Table),
            (b'}', Some(b'}')) => self.close_template(),
            (b'|', Some(b'}'))
                if bytes.get(2) != Some(&b'}')
                    && self.at_line_start()
                    && self.is_open(Kind::Table) =>
            {
                self.close_table();
            }
            (b'[', Some(b'[')) => self.open(Kind::Link),
            (b']', Some(b']')) => self.close_link(),
            (b'\n', next) => {
                if next == Some(&b'\n') {
                    self.end_paragraph();
                }
                self.push("\n", 1);
            }
            _ => {
                let special =
                    |byte: &u8| matches!(byte, b'<' | b'{' | b'}' | b'|' | b'[' | b']' | b'\n');
                // The first byte is text here even where it looks like a bracket.
                let first = rest.chars().next().map_or(1, char::len_utf8);
                let end = bytes[first..]
                    .iter()
                    .position(special)
                    .map_or(rest.len(), |offset| first + offset);
                self.push(&rest[..end], end);
            }
        }
    }

    fn push(&mut self, text: &str, consumed: usize) {
        self.top().text.push_str(text);
        self.at += consumed;
    }

    fn top(&mut self) -> &mut Frame {
        self.frames
            .last_mut()
            .expect("the page's own frame is never closed")
    }

    fn is_open(&self, kind: Kind) -> bool {
        self.frames.iter().any(|frame| frame.kind == kind)
    }

    fn open(&mut self, kind: Kind) {
        if self.frames.len() < DEPTH_LIMIT {
            self.frames.push(Frame {
                kind,
                text: String::new(),
            });
        }
        self.at += 2;
    }

    fn pop(&mut self) -> Frame {
        self.frames.pop().expect("callers look at the frame first")
    }

    fn close_template(&mut self) {
        self.at += 2;
        if !self.is_open(Kind::Template) || self.top().kind == Kind::Table {
            return;
        }
        while self.top().kind == Kind::Link {
            let link = self.pop();
            self.top().text.push_str(&link.text);
        }
        if self.top().kind == Kind::Template {
            let template = self.pop();
            let text = expand(&template.text);
            self.top().text.push_str(&text);
        }
    }

    fn close_table(&mut self) {
        self.at += 2;
        while self.pop().kind != Kind::Table {}
    }

    fn close_link(&mut self) {
        self.at += 2;
        if self.top().kind == Kind::Link {
            let link = self.pop();
            self.top().text.push_str(&link_text(&link.text));
        }
    }

    /// A link, unless it is a picture, ends with its paragraph.
    fn end_paragraph(&mut self) {
        while self.top().kind == Kind::Link && !is_media(&self.top().text) {
            let link = self.pop();
            self.top().text.push_str(&link.text);
        }
    }

    fn at_line_start(&self) -> bool {
        let before = self.source.as_bytes()[..self.at].iter().rev();
        before
            .copied()
            .find(|byte| !matches!(byte, b' ' | b'\t' | b':' | b'*' | b'#'))
            .is_none_or(|byte| byte == b'\n')
    }

    fn tag(&mut self, rest: &str) {
        if let Some(comment) = rest.strip_prefix("<!--") {
            self.comment(comment);
            return;
        }
        let Some(tag) = tags::parse(rest) else {
            // The next parser looks for tags too, in time that grows with the page.
            self.push("&lt;", 1);
            return;
        };
        self.at += tag.length;
        if tag.hides_contents() {
            self.skip_contents(&tag, &rest[tag.length..]);
            return;
        }
        let shown = tag.shown(&self.top().text, &rest[tag.length..]);
        self.top().text.push_str(shown);
    }

    fn comment(&mut self, comment: &str) {
        let end = if self.comments_end {
            comment.find("-->")
        } else {
            None
        };
        self.comments_end = end.is_some();
        self.at += end.map_or(4, |end| 4 + end + 3);
    }

    fn skip_contents(&mut self, tag: &Tag, contents: &str) {
        if tag.is_end || tag.is_empty || self.never_closed.contains(&tag.name) {
            return;
        }
        match tags::end_tag(contents, &tag.name) {
            Some(length) => self.at += length,
            None => self.never_closed.push(tag.name.clone()),
        }
    }

    /// Closes brackets that the page left open. Keeps text that does not look like arguments or cells.
    fn finish(mut self) -> String {
        while self.frames.len() > 1 {
            let frame = self.pop();
            let kept = match frame.kind {
                Kind::Link if is_media(&frame.text) => after_first_line(&frame.text).to_owned(),
                Kind::Link => frame.text,
                _ => without_cells(&frame.text),
            };
            self.top().text.push_str(&kept);
        }
        self.pop().text
    }
}

fn after_first_line(text: &str) -> &str {
    text.split_once('\n').map_or("", |(_, rest)| rest)
}

fn without_cells(text: &str) -> String {
    let lines = after_first_line(text).lines();
    let kept: Vec<_> = lines
        .filter(|line| !line.trim_start().starts_with(['|', '!', '{', '}']))
        .collect();
    format!("\n{}", kept.join("\n"))
}
