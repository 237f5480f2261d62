//! Converts wikitext, the markup of Wikipedia's pages, to the plain text of an article.
//!
//! The steps and their order are MediaWiki's: opaque texts and comments, templates from the inside out,
//! tables, links, tags, then lines. Templates that stand for words in running text give these words
//! (`templates/templates.toml` lists them). All others are dropped and counted. Tables, references, galleries,
//! pictures with their captions, and sections that only list literature or links are dropped too. A formula
//! stays as LaTeX between dollar signs.

mod blocks;
mod brackets;
mod cleanup;
mod links;
mod opaque;
mod quotes;
mod site;
mod tables;
mod tags;
mod templates;
mod variants;

use std::panic::catch_unwind;

use super::left_out::Reason;
use blocks::{Block, Division};
pub(super) use site::Site;

/// The text of an article.
#[derive(Debug, PartialEq)]
pub(super) struct Article {
    /// The title, a blank line, and the text.
    pub(super) text: String,
    /// Names of templates that may have stood for words, and were dropped, once for each place.
    pub(super) unknown_templates: Vec<String>,
}

/// Converts a page.
///
/// # Errors
/// No text is left, or the page cannot be converted.
pub(super) fn article(site: &Site, title: &str, wikitext: &str) -> Result<Article, Reason> {
    let title = title.trim();
    match catch_unwind(|| body(site, title, wikitext)) {
        Ok((text, _)) if text.is_empty() => Err(Reason::NoText),
        Ok((text, unknown_templates)) => Ok(Article {
            text: format!("{title}\n\n{text}\n"),
            unknown_templates,
        }),
        Err(_) => {
            tracing::warn!("skipped: the wikitext of '{title}' cannot be converted");
            Err(Reason::Unconvertible)
        }
    }
}

fn body(site: &Site, title: &str, wikitext: &str) -> (String, Vec<String>) {
    let stripped = opaque::strip(wikitext);
    let resolved = brackets::resolve(&stripped.wikitext, site, title);
    let (text, broken_tables) = tables::remove(&resolved.wikitext);
    let text = links::resolve(&text, site);
    let text = tags::remove(&text);
    let division = Division {
        opaque: &stripped.opaque,
        unknown: &resolved.unknown,
        is_broken: resolved.is_broken || broken_tables,
    };
    let (blocks, unknown) = blocks::divide(&text, &division);
    (without_listings(&blocks, site), unknown)
}

/// Joins the blocks, without sections that only list and without headings of empty sections.
fn without_listings(blocks: &[Block], site: &Site) -> String {
    let mut kept = Vec::with_capacity(blocks.len());
    let mut listing = None;
    for block in blocks {
        if let Block::Heading { level, text } = block {
            if listing.is_some_and(|open| *level <= open) {
                listing = None;
            }
            if listing.is_none() && site.is_listing(text) {
                listing = Some(*level);
            }
        }
        if listing.is_none() {
            kept.push(block);
        }
    }
    let filled = filled_sections(&kept);
    let mut parts = Vec::with_capacity(kept.len());
    for (block, filled) in kept.into_iter().zip(filled) {
        match block {
            Block::Text(text) => parts.push(text.as_str()),
            Block::Heading { text, .. } if filled => parts.push(text),
            Block::Heading { .. } => {}
        }
    }
    parts.join("\n\n")
}

/// For each heading: whether its section has text.
fn filled_sections(blocks: &[&Block]) -> Vec<bool> {
    let mut filled = vec![false; blocks.len()];
    // For each level, from the last block back: whether there is text before the next heading of that level
    // or a higher one.
    let mut has_text = [false; 7];
    for (at, block) in blocks.iter().enumerate().rev() {
        match block {
            Block::Text(_) => has_text = [true; 7],
            Block::Heading { level, .. } => {
                filled[at] = has_text[*level];
                has_text[*level..].fill(false);
            }
        }
    }
    filled
}

#[cfg(test)]
mod cases;
#[cfg(test)]
mod tests;
