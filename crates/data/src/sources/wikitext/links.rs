//! Links: to pages, which show their text, and to pictures, categories and other languages, which vanish;
//! and links to web addresses.

use super::opaque::{APART, GAP};
use super::quotes;
use super::site::{Namespace, Site};

/// The deepest nesting of links: pictures in captions of pictures.
const DEPTH_LIMIT: usize = 10;

/// `text` with the visible text of its links. Broken links cost their brackets.
pub(super) fn resolve(text: &str, site: &Site) -> String {
    // The text of each open link, and last the text that the page has so far.
    let mut open: Vec<String> = vec![String::with_capacity(text.len())];
    let mut at = 0;
    while let Some(offset) = text[at..].find(['[', ']', '\n']) {
        let start = at + offset;
        push(&mut open, &text[at..start]);
        let rest = &text[start..];
        at = start + 1;
        if rest.starts_with("\n\n") {
            // A link that is no picture ends with its paragraph.
            while open.len() > 1 && !open.last().is_some_and(|link| is_media(link, site)) {
                give_up(&mut open);
            }
            push(&mut open, "\n");
        } else if rest.starts_with('\n') {
            push(&mut open, "\n");
        } else if rest.starts_with("[[") {
            at = start + 2;
            if open.len() <= DEPTH_LIMIT {
                open.push(String::new());
            }
        } else if rest.starts_with("]]") {
            at = start + 2;
            // The second bracket of `[[a [http://x y]]]` closes the web link.
            if open.len() > 1
                && let Some(link) = open.pop()
            {
                push(&mut open, &shown(&link, site));
            }
        } else if rest.starts_with('[') {
            match web_link(rest) {
                Some((length, label)) => {
                    match label {
                        // Links to pages within the label show their text.
                        Some(label) if label.contains("[[") => {
                            push(&mut open, &resolve(label, site))
                        }
                        Some(label) => push(&mut open, label),
                        None => push(&mut open, &GAP.to_string()),
                    }
                    at = start + length;
                }
                None => push(&mut open, "["),
            }
        } else {
            push(&mut open, "]");
        }
    }
    push(&mut open, &text[at..]);
    while open.len() > 1 {
        if open.last().is_some_and(|link| is_media(link, site)) {
            // Of a picture that is never closed, the lines after the first are prose.
            let link = open.pop().unwrap_or_default();
            if let Some((_, rest)) = link.split_once('\n') {
                push(&mut open, "\n");
                push(&mut open, rest);
            }
        } else {
            give_up(&mut open);
        }
    }
    open.pop().unwrap_or_default()
}

fn push(open: &mut [String], text: &str) {
    if let Some(last) = open.last_mut() {
        last.push_str(text);
    }
}

fn give_up(open: &mut Vec<String>) {
    let link = open.pop().unwrap_or_default();
    push(open, &link);
}

/// Whether the contents of `[[...]]` so far are those of a picture.
fn is_media(contents: &str, site: &Site) -> bool {
    // No target is longer, and a long picture is looked at again after each of its paragraphs.
    let start = &contents[..contents.floor_char_boundary(301)];
    let target = start.split('|').next().unwrap_or("");
    target.len() < 300
        && matches!(
            site.namespace(target.trim_start()),
            Some((Namespace::Media, _))
        )
}

/// The visible text of `[[contents]]`.
fn shown(contents: &str, site: &Site) -> String {
    let (target, label) = match contents.split_once('|') {
        Some((target, label)) => (target, Some(label)),
        None => (contents, None),
    };
    // A leading colon makes a picture, a category or another language a visible link.
    let visible = target.trim_start().strip_prefix(':');
    if visible.is_none() {
        match site.namespace(target.trim_start()) {
            Some((Namespace::Media | Namespace::Category, _)) => return GAP.to_string(),
            Some((Namespace::File, _)) if label.is_none() => return GAP.to_string(),
            None if site.is_language_link(target) => return GAP.to_string(),
            _ => {}
        }
    }
    let target = visible.unwrap_or(target);
    match label {
        None if target.contains("://") => match target.trim().split_once(' ') {
            Some((_, label)) => format!("[{label}]"),
            None => GAP.to_string(),
        },
        None => apart(target.trim_start_matches('/').trim()),
        Some(label) if label.trim().is_empty() => apart(short_name(target)),
        Some(label) => apart(&quotes::remove(label)),
    }
}

/// A link's text, whose quotes have nothing to do with those around the link.
fn apart(text: &str) -> String {
    if text.contains("''") {
        let quotes = format!("'{APART}'");
        format!("{APART}{}{APART}", text.replace("''", &quotes))
    } else if text.starts_with('\'') || text.ends_with('\'') {
        format!("{APART}{text}{APART}")
    } else {
        text.to_owned()
    }
}

/// `[[Mercury (planet)|]]` shows `Mercury`.
fn short_name(target: &str) -> &str {
    let name = target.split_once(':').map_or(target, |(_, name)| name);
    let name = name.split_once(" (").map_or(name, |(name, _)| name);
    let name = name.split_once('（').map_or(name, |(name, _)| name);
    name.trim()
}

/// The length of a link to a web address, `[http://x.org label]`, and its label.
fn web_link(text: &str) -> Option<(usize, Option<&str>)> {
    const SCHEMES: [&str; 12] = [
        "http://", "https://", "//", "ftp://", "ftps://", "mailto:", "news:", "irc://", "ircs://",
        "git://", "tel:", "magnet:",
    ];
    let inside = text.strip_prefix('[')?;
    let has_scheme = SCHEMES.iter().any(|scheme| {
        inside
            .get(..scheme.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    });
    if !has_scheme {
        return None;
    }
    let line = inside.split('\n').next().unwrap_or(inside);
    // A longer line without an end is no link; the limit keeps the search linear.
    let limit = line.floor_char_boundary(4000);
    let end = label_end(&line[..limit])?;
    let contents = &line[..end];
    let label = contents
        .split_once(|c: char| c.is_whitespace() || c == '<')
        .map(|(_, label)| label.trim())
        .filter(|label| !label.is_empty());
    Some((end + 2, label))
}

/// The place of the bracket that closes a web link, outside of links to pages.
fn label_end(text: &str) -> Option<usize> {
    let mut at = 0;
    loop {
        let bracket = at + text[at..].find(['[', ']'])?;
        let rest = &text[bracket..];
        if !rest.starts_with("[[") {
            if rest.starts_with(']') {
                return Some(bracket);
            }
            at = bracket + 1;
            continue;
        }
        match rest.find("]]") {
            Some(close) => at = bracket + close + 2,
            None => at = bracket + 2,
        }
    }
}
