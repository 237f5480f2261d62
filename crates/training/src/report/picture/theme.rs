//! Light and dark colours of a picture.

use std::collections::BTreeSet;
use std::fmt::Write;

/// The styles of the page, which begin with its light and its dark colours.
const STYLE: &str = include_str!("../page.css");

/// The background that a picture is drawn for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Theme {
    /// A light one.
    Light,
    /// A dark one.
    Dark,
    /// Whatever the reader's system prefers. For pictures that are opened by themselves; a document
    /// should offer a light and a dark one.
    #[default]
    Auto,
}

impl Theme {
    /// All themes.
    pub const ALL: [Self; 3] = [Self::Light, Self::Dark, Self::Auto];

    /// Its name, as file names and command lines have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Light => "light",
            Self::Dark => "dark",
            Self::Auto => "auto",
        }
    }

    /// Rules for the named colours: class `NAME` fills with a colour, class `NAME-line` strokes.
    pub(super) fn rules(self, names: &BTreeSet<String>) -> String {
        let [light, dark] = [0, 1].map(|block| rules(block, names));
        match self {
            Self::Light => light,
            Self::Dark => dark,
            Self::Auto => format!("{light}@media (prefers-color-scheme:dark){{\n{dark}}}\n"),
        }
    }
}

/// Rules for the named colours in a page that defines them, as [`Theme::rules`]. They hold in pictures
/// alone.
pub(super) fn rules_of_page(names: &BTreeSet<String>) -> String {
    let mut text = String::new();
    for name in names {
        let _ = writeln!(
            text,
            ".picture .{name}{{fill:var(--{name})}}.picture .{name}-line{{stroke:var(--{name})}}"
        );
    }
    text + ".picture .rim{stroke-width:3px;stroke-linejoin:round;paint-order:stroke}\n"
}

fn rules(block: usize, names: &BTreeSet<String>) -> String {
    let mut text = String::new();
    for name in names {
        let value = colour(block, name);
        let _ = writeln!(
            text,
            ".{name}{{fill:{value}}}.{name}-line{{stroke:{value}}}"
        );
    }
    text
}

/// A colour of the page's light (0) or dark (1) block.
fn colour(block: usize, name: &str) -> &'static str {
    let block = STYLE.split(":root {").nth(block + 1).expect("two blocks");
    let block = block.split('}').next().unwrap_or_default();
    let value = block.lines().find_map(|line| {
        let value = line.trim().strip_prefix("--")?.strip_prefix(name)?;
        value.strip_prefix(": ")?.strip_suffix(';')
    });
    value.unwrap_or_else(|| panic!("page.css has no colour {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_those_of_the_page() {
        let names = BTreeSet::from(["ink".to_string()]);
        let light = ".ink{fill:#1c1f23}.ink-line{stroke:#1c1f23}\n";
        let dark = ".ink{fill:#e6e9ed}.ink-line{stroke:#e6e9ed}\n";
        assert_eq!(Theme::Light.rules(&names), light);
        assert_eq!(Theme::Dark.rules(&names), dark);
        assert_eq!(
            Theme::Auto.rules(&names),
            format!("{light}@media (prefers-color-scheme:dark){{\n{dark}}}\n")
        );
    }
}
