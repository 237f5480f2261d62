//! The texts in `templates.toml`, with places for arguments.

use std::collections::BTreeSet;

use super::{Arguments, dates, measures, words};

/// How a template's text is made of its arguments.
#[derive(Clone, Debug)]
pub(super) enum Pattern {
    /// Texts and places, in order.
    Pieces(Vec<Piece>),
    /// A computation.
    Function(fn(&Arguments<'_>) -> String),
}

#[derive(Clone, Debug)]
pub(super) enum Piece {
    Text(String),
    /// The first of these arguments that is given.
    Value(Vec<String>),
    /// All arguments without a key, with this text between.
    All(&'static str),
    /// The last argument without a key.
    Last,
    /// The template's own name.
    Name,
    /// Pieces that are left out if none of their arguments is given.
    Optional(Vec<Piece>),
}

impl Pattern {
    /// Reads `@function`, or text with `{1}`, `{name|2}`, `{*}`, `{last}`, `{0}`, `{1|=default}` and
    /// `[optional {2}]`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if let Some(name) = text.strip_prefix('@') {
            let function: fn(&Arguments<'_>) -> String = match name {
                "as_of" => dates::as_of,
                "authors" => words::authors,
                "convert" => measures::convert,
                "date" => dates::date,
                "exponent" => words::exponent,
                "french_century" => words::french_century,
                "fraction" => measures::fraction,
                "music" => words::music,
                "number" => measures::number,
                "old_style_date" => words::old_style_date,
                "ordinal" => words::ordinal,
                "percentage" => words::percentage,
                "pronunciation" => words::pronunciation,
                "quantity" => measures::quantity,
                "ship" => words::ship,
                "spanish_century" => words::spanish_century,
                "verse" => words::verse,
                _ => return Err(format!("no function '{name}'")),
            };
            return Ok(Self::Function(function));
        }
        let mut rest = text;
        let pieces = pieces(&mut rest, false)?;
        // An argument that is shown twice would let nested templates grow without bound.
        let mut seen = BTreeSet::new();
        if !once(&pieces, &mut seen) {
            return Err("an argument is used twice".to_owned());
        }
        Ok(Self::Pieces(pieces))
    }

    /// The text with these arguments.
    pub(super) fn fill(&self, arguments: &Arguments<'_>) -> String {
        match self {
            Self::Function(function) => function(arguments),
            Self::Pieces(pieces) => {
                let mut out = String::new();
                fill(pieces, arguments, &mut out);
                out
            }
        }
    }
}

fn once<'a>(pieces: &'a [Piece], seen: &mut BTreeSet<&'a str>) -> bool {
    pieces.iter().all(|piece| match piece {
        Piece::Text(_) | Piece::Name => true,
        Piece::Value(keys) => keys
            .iter()
            .filter(|key| !key.starts_with('=') && *key != "0")
            .all(|key| seen.insert(key)),
        Piece::All(_) | Piece::Last => seen.insert("*"),
        Piece::Optional(inner) => once(inner, seen),
    })
}

fn pieces(rest: &mut &str, inside: bool) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    loop {
        let end = rest.find(['{', '[', ']', '\\']).unwrap_or(rest.len());
        if end > 0 {
            pieces.push(Piece::Text(rest[..end].to_owned()));
        }
        *rest = &rest[end..];
        if let Some(after) = rest.strip_prefix('\\') {
            let length = after.chars().next().map_or(0, char::len_utf8);
            pieces.push(Piece::Text(after[..length].to_owned()));
            *rest = &after[length..];
        } else if let Some(after) = rest.strip_prefix('{') {
            let (keys, after) = after.split_once('}').ok_or("a '{' is not closed")?;
            pieces.push(match keys {
                "*" => Piece::All(""),
                "*, " => Piece::All(", "),
                "* " => Piece::All(" "),
                "*+" => Piece::All("+"),
                "*line" => Piece::All("\n"),
                "last" => Piece::Last,
                "0" => Piece::Name,
                keys => Piece::Value(keys.split('|').map(str::to_owned).collect()),
            });
            *rest = after;
        } else if let Some(after) = rest.strip_prefix('[') {
            *rest = after;
            pieces.push(Piece::Optional(self::pieces(rest, true)?));
        } else if let Some(after) = rest.strip_prefix(']') {
            *rest = after;
            return if inside {
                Ok(pieces)
            } else {
                Err("a ']' has no '['".to_owned())
            };
        } else if inside {
            return Err("a '[' is not closed".to_owned());
        } else {
            return Ok(pieces);
        }
    }
}

/// Appends the text; whether an argument was given.
fn fill(pieces: &[Piece], arguments: &Arguments<'_>, out: &mut String) -> bool {
    let mut given = false;
    for piece in pieces {
        match piece {
            Piece::Text(text) => out.push_str(text),
            Piece::Name => out.push_str(arguments.name),
            Piece::Value(keys) => {
                // `=text` is what stands where none is given, and `0` the template's name.
                if let Some(value) = keys.iter().find_map(|key| arguments.shown(key)) {
                    out.push_str(value);
                    given = true;
                } else if let Some(last) = keys.last() {
                    match last.strip_prefix('=') {
                        Some(text) => out.push_str(text),
                        None if last == "0" => out.push_str(arguments.name),
                        None => {}
                    }
                }
            }
            Piece::All(between) => {
                let values: Vec<&str> = arguments
                    .unnamed
                    .iter()
                    .copied()
                    .filter(|value| !value.is_empty())
                    .collect();
                out.push_str(&values.join(between));
                given |= !values.is_empty();
            }
            Piece::Last => {
                if let Some(value) = arguments.unnamed.last() {
                    out.push_str(value);
                    given = true;
                }
            }
            Piece::Optional(inner) => {
                let length = out.len();
                if fill(inner, arguments, out) {
                    given = true;
                } else {
                    out.truncate(length);
                }
            }
        }
    }
    given
}
