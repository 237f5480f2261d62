//! Classes of tokens by their text.

use serde::{Deserialize, Serialize};

/// The class of a token by its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TokenClass {
    /// A space and then a letter, or a capital letter.
    WordBeginning,
    /// Letters without a space before them.
    WordPart,
    /// Digits, with or without a space before them.
    Number,
    /// Visible characters that are neither letters nor digits.
    Punctuation,
    /// Spaces, tabs and line ends only.
    WhiteSpace,
    /// No text: part of a character, or the end of a text.
    Other,
}

impl TokenClass {
    /// All classes.
    pub const ALL: [Self; 6] = [
        Self::WordBeginning,
        Self::WordPart,
        Self::Number,
        Self::Punctuation,
        Self::WhiteSpace,
        Self::Other,
    ];

    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::WordBeginning => "word beginning",
            Self::WordPart => "word part",
            Self::Number => "number",
            Self::Punctuation => "punctuation",
            Self::WhiteSpace => "white space",
            Self::Other => "other",
        }
    }

    /// The class of a token with this text, by its first character that is not white space.
    pub fn of_text(text: &str) -> Self {
        let visible = text.trim_start();
        match visible.chars().next() {
            None if text.is_empty() => Self::Other,
            None => Self::WhiteSpace,
            Some('\u{FFFD}') => Self::Other,
            Some(c) if c.is_numeric() => Self::Number,
            Some(c) if c.is_alphabetic() => {
                if visible.len() < text.len() || c.is_uppercase() {
                    Self::WordBeginning
                } else {
                    Self::WordPart
                }
            }
            Some(_) => Self::Punctuation,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_of_texts() {
        use TokenClass as C;
        let cases = [
            (" the", C::WordBeginning),
            ("The", C::WordBeginning),
            ("ing", C::WordPart),
            ("\n\nfn", C::WordBeginning),
            ("1984", C::Number),
            (" 7", C::Number),
            (" (", C::Punctuation),
            ("::", C::Punctuation),
            (" \n", C::WhiteSpace),
            ("", C::Other),
            ("\u{FFFD}", C::Other),
            ("中", C::WordPart),
        ];
        for (text, class) in cases {
            assert_eq!(C::of_text(text), class, "{text:?}");
        }
    }
}
