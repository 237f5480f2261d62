//! Divides text, from which templates, tables, links and tags are gone, into headings, paragraphs and
//! lists, line by line.

use super::opaque::{GAP, OPAQUE, Opaque, UNKNOWN, is_mark, replace_numbered};
use super::{cleanup, quotes};

/// A heading, or a paragraph, list or block of code.
pub(super) enum Block {
    Heading { level: usize, text: String },
    Text(String),
}

/// What the lines are read with.
pub(super) struct Division<'a> {
    /// Texts that stand between marks.
    pub(super) opaque: &'a [Opaque],
    /// Names of templates that stand between marks.
    pub(super) unknown: &'a [String],
    /// Whether brackets of the page are broken, so that rows and cells of tables may be left.
    pub(super) is_broken: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Paragraph,
    List,
}

/// The blocks of a page, and the names of the templates that left gaps within sentences.
pub(super) fn divide(text: &str, division: &Division<'_>) -> (Vec<Block>, Vec<String>) {
    let mut divider = Divider {
        division,
        blocks: Vec::new(),
        open: None,
        lost: Vec::new(),
    };
    for line in text.split('\n') {
        divider.line(line);
    }
    divider.close();
    (divider.blocks, divider.lost)
}

struct Divider<'a> {
    division: &'a Division<'a>,
    blocks: Vec<Block>,
    open: Option<(Kind, String)>,
    lost: Vec<String>,
}

impl Divider<'_> {
    fn line(&mut self, line: &str) {
        let visible = line.trim_matches(|c: char| c.is_whitespace() || c == GAP);
        if visible.is_empty() {
            self.close();
        } else if let Some(code) = self.code(visible) {
            self.close();
            if !code.is_empty() {
                self.blocks.push(Block::Text(code));
            }
        } else if let Some((level, title)) = heading(visible) {
            self.close();
            let text = self.cleaned(title);
            if !text.is_empty() {
                self.blocks.push(Block::Heading { level, text });
            }
        } else if visible.starts_with("----") {
            self.close();
            self.add(Kind::Paragraph, visible.trim_start_matches('-'));
        } else if self.division.is_broken && is_left_cell(visible) {
            self.close();
        } else {
            // A list's marks stand at the very start of a line.
            let start = line.trim_start_matches(GAP);
            let item = start.trim_start_matches(['*', '#', ':', ';']);
            if item.len() < start.len() {
                self.add(Kind::List, item);
            } else {
                self.add(Kind::Paragraph, line);
            }
        }
    }

    /// The text of a line that is one block of code.
    fn code(&self, visible: &str) -> Option<String> {
        let inner = visible.strip_prefix(OPAQUE)?.strip_suffix(OPAQUE)?;
        if inner.chars().any(|c| !is_mark(c) || c == OPAQUE) {
            return None;
        }
        let mut code = None;
        replace_numbered(visible, OPAQUE, |number, _| {
            code = self
                .division
                .opaque
                .get(number)
                .filter(|text| text.is_block);
        });
        code.map(|code| code.text.clone())
    }

    fn add(&mut self, kind: Kind, line: &str) {
        let text = self.cleaned(line);
        if text.is_empty() {
            return;
        }
        if self.open.as_ref().is_some_and(|(open, _)| *open != kind) {
            self.close();
        }
        match &mut self.open {
            Some((_, block)) => {
                block.push('\n');
                block.push_str(&text);
            }
            None => self.open = Some((kind, text)),
        }
    }

    fn close(&mut self) {
        if let Some((_, text)) = self.open.take() {
            self.blocks.push(Block::Text(text));
        }
    }

    /// The final text of a line.
    fn cleaned(&mut self, line: &str) -> String {
        let line = quotes::remove(line);
        let line = self.count_lost(&line);
        let line = cleanup::clean(&line);
        let opaque = self.division.opaque;
        let mut shown = replace_numbered(&line, OPAQUE, |number, out| {
            if let Some(text) = opaque.get(number) {
                out.push_str(&text.text);
            }
        });
        shown.retain(|c| !is_mark(c));
        shown.trim().to_owned()
    }

    /// Replaces marks of unknown templates by gaps, and notes the names of those within sentences: on a line with
    /// words, but not after a sentence's end.
    fn count_lost(&mut self, line: &str) -> String {
        if !line.contains(UNKNOWN) {
            return line.to_owned();
        }
        let unknown = self.division.unknown;
        let lost = &mut self.lost;
        let has_words = line.chars().any(char::is_alphanumeric) || line.contains(OPAQUE);
        // Only what is new before each mark is looked at: a line may have very many.
        let mut seen = 0;
        let mut ends = false;
        replace_numbered(line, UNKNOWN, |number, out| {
            let before = &out[seen..];
            let before = before.trim_end_matches(|c: char| c.is_whitespace() || c == GAP);
            if !before.is_empty() {
                ends = before.ends_with(['.', '!', '?', '。', '！', '？', '؟', ':', '।']);
            }
            seen = out.len();
            if has_words
                && !ends
                && let Some(name) = unknown.get(number)
            {
                lost.push(name.clone());
            }
            out.push(GAP);
        })
    }
}

/// Level and title of `== title ==`.
fn heading(line: &str) -> Option<(usize, &str)> {
    let open = line.bytes().take_while(|&byte| byte == b'=').count();
    if open == 0 || open == line.len() {
        return None;
    }
    let close = line.bytes().rev().take_while(|&byte| byte == b'=').count();
    let level = open.min(close).min(6);
    (level > 0).then(|| (level, &line[level..line.len() - level]))
}

/// A row or cell of a table whose brackets were broken.
fn is_left_cell(line: &str) -> bool {
    line.starts_with(['|', '}']) || line.starts_with("!!") || line.starts_with("! ")
}
