//! Tables, in wikitext's syntax and in HTML, which are not running text.

use super::opaque::GAP;
use super::tags;

/// `text` without tables, and whether the tables' brackets are broken. A table that is never closed ends
/// where prose begins again.
pub(super) fn remove(text: &str) -> (String, bool) {
    remove_wiki_tables(&remove_html_tables(text))
}

/// Removes `<table>` up to its `</table>`; inner tables go with the outer one. A table that is not closed
/// loses only its tags, later.
fn remove_html_tables(text: &str) -> String {
    let mut tables: Vec<(usize, usize)> = Vec::new();
    let mut open: Vec<usize> = Vec::new();
    let mut at = 0;
    while let Some(offset) = text[at..].find('<') {
        let start = at + offset;
        match tags::parse(&text[start..]) {
            Some(tag) if tag.name == "table" && !tag.is_empty => {
                at = start + tag.length;
                if !tag.is_end {
                    open.push(start);
                } else if let Some(begin) = open.pop() {
                    // An outer table replaces the inner ones that it holds.
                    while tables.last().is_some_and(|&(inner, _)| inner > begin) {
                        tables.pop();
                    }
                    tables.push((begin, at));
                }
            }
            _ => at = start + 1,
        }
    }
    if tables.is_empty() {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    let mut from = 0;
    for (begin, end) in tables {
        out.push_str(&text[from..begin]);
        out.push('\n');
        from = end;
    }
    out.push_str(&text[from..]);
    out
}

/// Removes the lines from `{|` to `|}`. What follows `|}` on its line stays.
fn remove_wiki_tables(text: &str) -> (String, bool) {
    if !text.contains("{|") && !text.contains("|}") {
        return (text.to_owned(), false);
    }
    // A table may begin on the line on which another one ends.
    let text = text.replace("|}{|", "|}\n{|");
    let lines: Vec<&str> = text.split('\n').collect();
    let ends = table_ends(&lines);
    let mut is_broken = false;
    let mut out = Vec::with_capacity(lines.len());
    let mut at = 0;
    while at < lines.len() {
        if !opens(lines[at]) {
            is_broken |= closes(lines[at]).is_some();
            out.push(lines[at].to_owned());
            at += 1;
            continue;
        }
        // A table leaves an empty line, so that the text before and after it does not run together.
        out.push(String::new());
        match ends[at] {
            Some(end) => {
                let rest = closes(lines[end]).unwrap_or("").trim();
                if !rest.is_empty() {
                    out.push(format!("{GAP}{rest}"));
                }
                at = end + 1;
            }
            None => {
                is_broken = true;
                at = unclosed_end(&lines, at);
            }
        }
    }
    (out.join("\n"), is_broken)
}

/// For each line that opens a table that is closed: the line that closes it.
fn table_ends(lines: &[&str]) -> Vec<Option<usize>> {
    let mut ends = vec![None; lines.len()];
    let mut open = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        if opens(line) {
            open.push(at);
        } else if closes(line).is_some()
            && let Some(start) = open.pop()
        {
            ends[start] = Some(at);
        }
    }
    ends
}

/// Skips the lines of a table that is never closed: its rows and cells, up to a line after a blank one
/// that is neither. Prose after it stays.
fn unclosed_end(lines: &[&str], start: usize) -> usize {
    let mut at = start + 1;
    let mut blank = false;
    while at < lines.len() {
        let line = lines[at].trim();
        let is_cell = line.starts_with(['|', '!']) || opens(line);
        if line.starts_with("==") || (blank && !line.is_empty() && !is_cell) {
            break;
        }
        blank = line.is_empty();
        at += 1;
    }
    at
}

fn start(line: &str) -> &str {
    line.trim_start_matches([' ', '\t', ':', GAP])
}

fn opens(line: &str) -> bool {
    start(line).starts_with("{|")
}

fn closes(line: &str) -> Option<&str> {
    line.trim_start_matches([' ', '\t', GAP])
        .strip_prefix("|}")
        .filter(|rest| !rest.starts_with('}'))
}
