//! What a wiki calls its namespaces, and how its language writes numbers.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::LazyLock;

use serde::Deserialize;

/// Names and numbers of the larger languages.
static LANGUAGES: LazyLock<BTreeMap<String, Language>> = LazyLock::new(|| {
    toml::from_str(include_str!("languages.toml")).expect("a test reads this file")
});

/// The prefixes of links to the same article in another language.
static LANGUAGE_CODES: LazyLock<HashSet<&'static str>> = LazyLock::new(|| {
    include_str!("language_codes.txt")
        .split_whitespace()
        .collect()
});

/// Languages whose text is written in several variants.
const WITH_VARIANTS: [&str; 16] = [
    "ban", "crh", "en", "gan", "iu", "kk", "ku", "mni", "shi", "sh", "sr", "tg", "tly", "uz",
    "wuu", "zh",
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Language {
    media: Vec<String>,
    category: Vec<String>,
    other: Vec<String>,
    redirect: Vec<String>,
    #[serde(default)]
    listings: Vec<String>,
    #[serde(default = "english_number")]
    number: (String, String, usize),
    #[serde(default)]
    digits: String,
}

fn english_number() -> (String, String, usize) {
    (",".to_owned(), ".".to_owned(), 4)
}

/// What a namespace holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sources) enum Namespace {
    /// Pictures and sounds.
    Media,
    /// Links to the files themselves.
    File,
    Category,
    Template,
    /// Talk, user and project pages and the like.
    Other,
}

/// One wiki, as its dump describes it.
#[derive(Clone, Debug)]
pub(in crate::sources) struct Site {
    /// The language's code in lower case; empty if unknown.
    pub(super) language: String,
    /// The variant that is chosen where a text gives several; empty for the language's first one.
    pub(super) variant: String,
    /// Namespaces by name in lower case.
    namespaces: HashMap<String, Namespace>,
    redirects: HashSet<String>,
    /// Titles, in lower case, of sections that only list literature or links.
    listings: HashSet<&'static str>,
}

impl Site {
    /// A wiki in a language, with the names that the program knows. An empty code stands for an unknown
    /// language.
    pub(in crate::sources) fn new(language: &str, variant: &str) -> Self {
        let language = language.trim().to_lowercase();
        let mut site = Self {
            variant: variant.trim().to_lowercase(),
            namespaces: HashMap::new(),
            redirects: HashSet::new(),
            listings: HashSet::new(),
            language,
        };
        let own = site.base_language().to_owned();
        // Where the language is unknown, or has no names here, those of all languages hold.
        let known = LANGUAGES.contains_key(&own);
        for (code, names) in LANGUAGES.iter() {
            if known && *code != own && code != "en" {
                continue;
            }
            site.add_names(&names.other, Namespace::Other);
            site.add_names(&names.category, Namespace::Category);
            site.add_names(&names.media, Namespace::Media);
            let redirects = names
                .redirect
                .iter()
                .map(|word| word.replace('\u{307}', ""));
            site.redirects.extend(redirects);
            let listings = names.listings.iter().map(String::as_str);
            site.listings.extend(listings);
        }
        site.add(10, "Template");
        site.add(-2, "Media");
        site
    }

    fn add_names(&mut self, names: &[String], namespace: Namespace) {
        let named = names.iter().map(|name| (normal(name), namespace));
        self.namespaces.extend(named);
    }

    /// Takes a namespace from the dump: its number and its name.
    pub(in crate::sources) fn add(&mut self, number: i64, name: &str) {
        let namespace = match number {
            0 => return,
            -2 => Namespace::File,
            6 => Namespace::Media,
            10 => Namespace::Template,
            14 => Namespace::Category,
            _ => Namespace::Other,
        };
        let name = normal(name);
        if !name.is_empty() {
            self.namespaces.insert(name, namespace);
        }
    }

    /// The language's code without region or script: `zh` of `zh-hant`.
    pub(super) fn base_language(&self) -> &str {
        let code = self.language.as_str();
        match code.split_once('-') {
            Some((base, _)) if LANGUAGES.contains_key(base) => base,
            _ if code == "nb" => "no",
            _ => code,
        }
    }

    /// Whether the wiki's text may be written in several variants.
    pub(super) fn has_variants(&self) -> bool {
        let base = self.base_language();
        base.is_empty() || (base != "en" && WITH_VARIANTS.contains(&base))
    }

    /// The namespace of a title or link target, if it is not that of articles, and the rest of it.
    pub(in crate::sources) fn namespace<'a>(&self, title: &'a str) -> Option<(Namespace, &'a str)> {
        let (prefix, rest) = title.split_once(':')?;
        // No name is longer; a paragraph with a colon is not looked up.
        if prefix.len() > 100 {
            return None;
        }
        let namespace = self.namespaces.get(&normal(prefix))?;
        Some((*namespace, rest))
    }

    /// Whether a link leads to the same article in another language.
    pub(super) fn is_language_link(&self, target: &str) -> bool {
        target.split_once(':').is_some_and(|(prefix, rest)| {
            !rest.trim().is_empty()
                && prefix.len() <= 14
                && LANGUAGE_CODES.contains(prefix.trim().to_lowercase().as_str())
        })
    }

    /// Whether a section with this title only lists literature or links.
    pub(super) fn is_listing(&self, title: &str) -> bool {
        let title = title.trim().trim_end_matches([':', '：']).trim_end();
        self.listings.contains(title.to_lowercase().as_str())
    }

    /// Whether a page only leads to another one: `#REDIRECT [[other]]`, in any language.
    pub(in crate::sources) fn is_redirect(&self, wikitext: &str) -> bool {
        let Some(rest) = wikitext.trim_start().strip_prefix('#') else {
            return false;
        };
        let Some((word, target)) = rest.split_once("[[") else {
            return false;
        };
        let word = word.trim().trim_end_matches(':').trim_end();
        if word.len() >= 60 {
            return false;
        }
        // Turkish and Azerbaijani capitals leave a dot above in lower case.
        let lower = word.to_lowercase().replace('\u{307}', "");
        let is_known = || self.redirects.contains(&lower);
        // A page of nothing but `#WORD [[target]]` is one in a language whose word is not in the table.
        let is_alone = || {
            rest.starts_with(char::is_alphabetic)
                && word.chars().all(char::is_alphabetic)
                && target
                    .split_once("]]")
                    .is_some_and(|(_, after)| after.trim().is_empty())
        };
        is_known() || is_alone()
    }

    /// A plain number such as `-4380.5` as the language writes it.
    pub(super) fn number(&self, plain: &str) -> String {
        let english = english_number();
        let known = LANGUAGES.get(self.base_language());
        let (group, mark, fewest) = known.map_or(&english, |language| &language.number);
        let (sign, digits) = match plain.strip_prefix(['-', '−']) {
            Some(digits) => ("−", digits),
            None => ("", plain),
        };
        let (whole, fraction) = match digits.split_once('.') {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (digits, None),
        };
        let mut text = sign.to_owned();
        let grouped = whole.len() >= *fewest && whole.bytes().all(|byte| byte.is_ascii_digit());
        for (at, character) in whole.char_indices() {
            if grouped && at > 0 && (whole.len() - at).is_multiple_of(3) {
                text.push_str(group);
            }
            text.push(character);
        }
        if let Some(fraction) = fraction {
            text.push_str(mark);
            text.push_str(fraction);
        }
        let own: Vec<char> = known.map_or(Vec::new(), |language| language.digits.chars().collect());
        if own.len() < 10 {
            return text;
        }
        let shown = |c: char| c.to_digit(10).map_or(c, |digit| own[digit as usize]);
        text.chars().map(shown).collect()
    }
}

/// A name in lower case, with one space for each run of spaces and underscores.
fn normal(name: &str) -> String {
    let words = name.split(|c: char| c.is_whitespace() || c == '_');
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    words.join(" ").to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_the_table_is_found() {
        for (code, names) in LANGUAGES.iter() {
            let site = Site::new(code, "");
            for (list, expected) in [
                (&names.media, Namespace::Media),
                (&names.category, Namespace::Category),
            ] {
                for name in list {
                    let title = format!("{name}:x");
                    let found = site.namespace(&title).expect(name);
                    assert_eq!(found, (expected, "x"), "{code} {name}");
                }
            }
            assert!(LANGUAGE_CODES.contains(code.as_str()), "{code}");
        }
        assert!(LANGUAGE_CODES.len() > 300);
    }

    #[test]
    fn a_dump_names_its_namespaces() {
        let mut site = Site::new("xx", "");
        site.add(6, "Kuvapino");
        site.add(100, "Harbour");
        assert_eq!(
            site.namespace("kuvapino : a.png"),
            Some((Namespace::Media, " a.png"))
        );
        assert_eq!(site.namespace("Harbour:x"), Some((Namespace::Other, "x")));
        assert_eq!(site.namespace("Star Wars: A New Hope"), None);
        assert_eq!(site.namespace("User_talk:x"), Some((Namespace::Other, "x")));
    }

    #[test]
    fn languages_and_redirects() {
        let site = Site::new("de", "");
        assert!(site.is_language_link("fr:Terre"));
        assert!(site.is_language_link("zh-min-nan:X"));
        assert!(!site.is_language_link("wikt:x"));
        assert!(!site.is_language_link("Is: a film") || LANGUAGE_CODES.contains("is"));
        assert!(site.is_redirect(" #WEITERLEITUNG [[Erde]]"));
        assert!(site.is_redirect("#redirect:[[Erde]]"));
        assert!(site.is_redirect("#wiederleiden [[Eer]]\n"));
        assert!(Site::new("az", "").is_redirect("#İSTİQAMƏTLƏNDİRMƏ [[Yer]] {{x}}"));
        assert!(!site.is_redirect("#Erstens [[Erde]] und\n#zweitens"));
        assert!(!site.is_redirect("# first [[Erde]]"));
        assert!(!site.is_redirect("#1 hits [[Erde]]"));
    }

    #[test]
    fn numbers_follow_the_language() {
        for (language, number, expected) in [
            ("en", "4380", "4,380"),
            ("en", "-12", "−12"),
            ("en", "2.5", "2.5"),
            ("en", "1234567.125", "1,234,567.125"),
            ("de", "1234567.5", "1.234.567,5"),
            ("es", "4380", "4380"),
            ("es", "14380", "14 380"),
            ("fr", "4380", "4 380"),
            ("pl", "4380.25", "4380,25"),
            ("ja", "4380", "4,380"),
            ("ru", "4380", "4380"),
            ("fa", "4380.5", "۴٬۳۸۰٫۵"),
        ] {
            assert_eq!(Site::new(language, "").number(number), expected);
        }
    }
}
