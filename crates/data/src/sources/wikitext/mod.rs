//! Converts wikitext, the markup of Wikipedia's pages, to the plain text of an article.
//!
//! First, templates, tables, links, references and quotes are resolved here, because they nest and are
//! often broken. Then `wikrs` parses headings, lists, paragraphs and entities. Last, the sections are
//! joined and cleaned line by line. Templates with running text keep it (units of measures, words in
//! other languages). All others are dropped, and so are tables, formulas, references, galleries, and
//! sections that only list literature or links.

mod brackets;
mod cleanup;
mod lines;
mod links;
mod tags;
mod templates;

use std::panic::catch_unwind;

use wikrs::ast::Node;

use super::left_out::Reason;

/// The article's title, a blank line, and its text.
///
/// # Errors
/// No text is left, or the page cannot be converted.
pub(super) fn article_text(title: &str, wikitext: &str) -> Result<String, Reason> {
    match catch_unwind(|| body(wikitext)) {
        Ok(text) if text.is_empty() => Err(Reason::NoText),
        Ok(text) => Ok(format!("{}\n\n{text}\n", title.trim())),
        Err(_) => {
            tracing::warn!("skipped: the wikitext of '{title}' cannot be converted");
            Err(Reason::Unconvertible)
        }
    }
}

/// Titles of sections that only list literature or links. Such sections with titles in other languages
/// are kept.
const LISTING_SECTIONS: [&str; 16] = [
    "bibliography",
    "citations",
    "external links",
    "external sources",
    "footnotes",
    "further reading",
    "gallery",
    "notes",
    "notes and references",
    "references",
    "references and notes",
    "see also",
    "sources",
    "sources and references",
    "works cited",
    "literature cited",
];

enum Block {
    Heading { level: u8, text: String },
    Text(String),
}

fn body(wikitext: &str) -> String {
    let source = lines::prepare(&brackets::resolve(wikitext));
    let parsed = wikrs::parser::parse(&source);
    let blocks: Vec<Block> = parsed.nodes.iter().filter_map(block).collect();
    let mut text = String::new();
    let mut at = 0;
    while let Some(block) = blocks.get(at) {
        at += 1;
        let part = match block {
            Block::Text(part) => part,
            Block::Heading { level, text: title } => {
                if LISTING_SECTIONS.contains(&title.to_lowercase().trim()) {
                    at = section_end(&blocks, at, *level);
                    continue;
                }
                if !has_text(&blocks[at..section_end(&blocks, at, *level)]) {
                    continue;
                }
                title
            }
        };
        if !text.is_empty() {
            text.push_str("\n\n");
        }
        text.push_str(part);
    }
    text
}

fn block(node: &Node<'_>) -> Option<Block> {
    let text = wikrs::render::plain(std::slice::from_ref(node));
    let text = cleanup::clean(&text, matches!(node, Node::Preformatted(_)));
    match node {
        _ if text.is_empty() => None,
        Node::Heading { level, .. } => Some(Block::Heading {
            level: *level,
            text,
        }),
        _ => Some(Block::Text(text)),
    }
}

/// The end of the section whose heading is just before `from`.
fn section_end(blocks: &[Block], from: usize, level: u8) -> usize {
    let next =
        |block: &Block| matches!(block, Block::Heading { level: other, .. } if *other <= level);
    blocks[from..]
        .iter()
        .position(next)
        .map_or(blocks.len(), |offset| from + offset)
}

/// Whether a section has text outside of sections that only list.
fn has_text(section: &[Block]) -> bool {
    let mut at = 0;
    while let Some(block) = section.get(at) {
        at += 1;
        match block {
            Block::Text(_) => return true,
            Block::Heading { level, text }
                if LISTING_SECTIONS.contains(&text.to_lowercase().trim()) =>
            {
                at = section_end(section, at, *level);
            }
            Block::Heading { .. } => {}
        }
    }
    false
}

#[cfg(test)]
mod tests;
