//! Templates, parameters and language variants: curly brackets, from the inside out.
//!
//! This is one pass with a stack of open brackets, as in MediaWiki's preprocessor. Square brackets stay in
//! the result; here they only keep the bars of a link apart from those of a template. Broken nesting is
//! common in real pages: it is closed at the most plausible place, and costs a few words at most. The work
//! is linear in the page's length.

use super::opaque::{GAP, UNKNOWN, numbered};
use super::site::Site;
use super::templates::{self, Argument, Expansion};
use super::variants;

/// The deepest nesting; deeper brackets are taken as text. MediaWiki's limit is 100, real pages stay below ten.
const DEPTH_LIMIT: usize = 100;

/// The most brackets that are taken together.
const RUN_LIMIT: usize = 64;

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Page,
    /// `{{` or more.
    Braces,
    /// `[[`.
    Link,
    /// `-{`.
    Variant,
}

struct Frame {
    kind: Kind,
    /// The number of opening brackets.
    count: usize,
    parts: Vec<Argument>,
}

/// A page whose templates are resolved.
pub(super) struct Resolved {
    pub(super) wikitext: String,
    /// Names of the templates without a known text, by the numbers between their marks.
    pub(super) unknown: Vec<String>,
    /// Whether a template was never closed.
    pub(super) is_broken: bool,
}

/// Resolves the curly brackets of a page.
pub(super) fn resolve(wikitext: &str, site: &Site, title: &str) -> Resolved {
    let mut resolver = Resolver {
        source: wikitext,
        at: 0,
        frames: Vec::new(),
        unknown: Vec::new(),
        site,
        title,
    };
    resolver.push_frame(Kind::Page, 0);
    while resolver.at < wikitext.len() {
        resolver.step();
    }
    resolver.finish()
}

struct Resolver<'a> {
    source: &'a str,
    at: usize,
    frames: Vec<Frame>,
    unknown: Vec<String>,
    site: &'a Site,
    title: &'a str,
}

impl Resolver<'_> {
    fn step(&mut self) {
        let rest = &self.source[self.at..];
        let bytes = rest.as_bytes();
        let first = bytes[0];
        // Longer runs are read in pieces, so that the count takes linear time.
        let run = bytes
            .iter()
            .take(RUN_LIMIT)
            .take_while(|&&byte| byte == first)
            .count();
        match first {
            b'{' if run >= 2 => self.open(Kind::Braces, run),
            b'[' if run >= 2 => self.open_link(rest, run),
            b'-' if opens_variant(bytes) => self.open(Kind::Variant, 1),
            b'}' if bytes.get(1) == Some(&b'-') && self.top().kind == Kind::Variant => {
                self.close_variant();
            }
            b'}' if run >= 2 => self.close_braces(run),
            b']' if run >= 2 && self.top().kind == Kind::Link => {
                let link = self.pop();
                self.push_text("[[");
                self.push_text(&joined(&link.parts));
                self.push("]]", 2);
            }
            b'|' if self.top().kind == Kind::Braces => {
                self.top().parts.push(Argument::default());
                self.at += 1;
            }
            b'=' if self.top().kind == Kind::Braces => {
                let frame = self.top();
                let is_name = frame.parts.len() == 1;
                let part = last(frame);
                if !is_name && part.equals.is_none() {
                    part.equals = Some(part.text.len());
                }
                self.push("=", 1);
            }
            b'\n' => {
                if bytes.get(1) == Some(&b'\n') {
                    self.end_paragraph();
                }
                self.push("\n", 1);
            }
            _ => {
                let special = |byte: &u8| {
                    matches!(byte, b'{' | b'}' | b'|' | b'[' | b']' | b'\n' | b'=' | b'-')
                };
                // The first character is text here even where it looks like a bracket.
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
        self.push_text(text);
        self.at += consumed;
    }

    fn push_text(&mut self, text: &str) {
        last(self.top()).text.push_str(text);
    }

    fn top(&mut self) -> &mut Frame {
        self.frames
            .last_mut()
            .expect("the page's own frame is never closed")
    }

    fn pop(&mut self) -> Frame {
        self.frames.pop().expect("callers look at the frame first")
    }

    fn push_frame(&mut self, kind: Kind, count: usize) {
        self.frames.push(Frame {
            kind,
            count,
            parts: vec![Argument::default()],
        });
    }

    fn open(&mut self, kind: Kind, run: usize) {
        self.at += if kind == Kind::Variant { 2 } else { run };
        if self.frames.len() < DEPTH_LIMIT {
            self.push_frame(kind, run);
        }
    }

    /// Of three brackets, the first is text: `[[[http://x y]]]`.
    fn open_link(&mut self, rest: &str, run: usize) {
        self.push(&rest[..run - 2], run - 2);
        if self.frames.len() < DEPTH_LIMIT {
            self.push_frame(Kind::Link, 2);
        } else {
            self.push_text("[[");
        }
        self.at += 2;
    }

    /// Closes a template or parameter, and again as long as there are brackets on both sides. A single
    /// bracket that is left over is read on its own: it may close a variant or a table.
    fn close_braces(&mut self, run: usize) {
        let mut left = run;
        while left >= 2 {
            if !self.frames.iter().any(|frame| frame.kind == Kind::Braces) {
                // There is nothing to close: the brackets vanish.
                left = usize::from(self.top().kind == Kind::Variant);
                break;
            }
            // An open link or variant ends with the template that it stands in.
            while self.top().kind != Kind::Braces {
                self.give_up_top();
            }
            let mut frame = self.pop();
            let taken = left.min(frame.count).min(3);
            left -= taken;
            frame.count -= taken;
            let text = if taken == 3 {
                parameter(&frame.parts)
            } else {
                self.template(&frame.parts)
            };
            if frame.count >= 2 {
                self.push_frame(Kind::Braces, frame.count);
            } else if frame.count == 1 {
                self.push_text("{");
            }
            self.push_text(&text);
        }
        self.at += run - left;
    }

    fn template(&mut self, parts: &[Argument]) -> String {
        match templates::expand(parts, self.site, self.title) {
            Expansion::Text(text) if text.is_empty() => GAP.to_string(),
            Expansion::Text(text) => text,
            Expansion::Unknown(name) => {
                let mark = numbered(UNKNOWN, self.unknown.len());
                self.unknown.push(name);
                mark
            }
        }
    }

    fn close_variant(&mut self) {
        self.at += 2;
        let frame = self.pop();
        let text = variants::choose(&joined(&frame.parts), self.site);
        self.push_text(&text);
    }

    /// Takes the brackets of the top frame as text.
    fn give_up_top(&mut self) {
        let frame = self.pop();
        match frame.kind {
            Kind::Link => self.push_text("[["),
            Kind::Variant => self.push_text("-{"),
            Kind::Braces | Kind::Page => {}
        }
        self.push_text(&joined(&frame.parts));
    }

    /// An open link or variant keeps no bars apart after its paragraph.
    fn end_paragraph(&mut self) {
        while matches!(self.top().kind, Kind::Link | Kind::Variant) {
            self.give_up_top();
        }
    }

    /// Closes brackets that the page left open. Of a template, text that does not look like arguments
    /// stays.
    fn finish(mut self) -> Resolved {
        let is_broken = self.frames.iter().any(|frame| frame.kind == Kind::Braces);
        while self.frames.len() > 1 {
            if self.top().kind == Kind::Braces {
                let frame = self.pop();
                let kept = without_arguments(&joined(&frame.parts));
                self.push_text(&kept);
            } else {
                self.give_up_top();
            }
        }
        Resolved {
            wikitext: joined(&self.pop().parts),
            unknown: self.unknown,
            is_broken,
        }
    }
}

fn last(frame: &mut Frame) -> &mut Argument {
    frame
        .parts
        .last_mut()
        .expect("a frame begins with one part")
}

/// `-{`, but not `-{{` of a template after a dash.
fn opens_variant(bytes: &[u8]) -> bool {
    let after = bytes[1..].iter().take(4);
    let braces = after.take_while(|&&byte| byte == b'{').count();
    braces == 1 || braces == 3
}

fn joined(parts: &[Argument]) -> String {
    let texts: Vec<&str> = parts.iter().map(|part| part.text.as_str()).collect();
    texts.join("|")
}

/// `{{{name|default}}}` shows its default outside of a template.
fn parameter(parts: &[Argument]) -> String {
    parts
        .get(1)
        .map_or_else(|| GAP.to_string(), |default| default.text.clone())
}

fn without_arguments(text: &str) -> String {
    let lines = text.split_once('\n').map_or("", |(_, rest)| rest).lines();
    let kept: Vec<_> = lines
        .filter(|line| !line.trim_start().starts_with(['|', '!', '{', '}']))
        .collect();
    format!("{GAP}\n{}", kept.join("\n"))
}
