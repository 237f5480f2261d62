//! Templates and parser functions that stand for words in running text.
//!
//! A wiki expands thousands of templates, most of them for layout. `templates.toml` lists those that
//! give words, and those that give nothing. Any other template gives nothing too, and is reported by name.

mod dates;
mod functions;
mod measures;
mod patterns;
mod words;

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use super::opaque::is_mark;
use super::site::{Namespace, Site};
use patterns::Pattern;

/// One part of a template between its bars: first the name, then the arguments.
#[derive(Debug, Default)]
pub(super) struct Argument {
    pub(super) text: String,
    /// The place of the first equals sign outside of inner brackets.
    pub(super) equals: Option<usize>,
}

/// What a template gives.
#[derive(Debug, PartialEq)]
pub(super) enum Expansion {
    Text(String),
    /// Nothing, because the template of this name is not in the list.
    Unknown(String),
}

/// The list, by section.
static LIST: LazyLock<List> =
    LazyLock::new(|| List::parse(include_str!("templates.toml")).expect("a test reads this file"));

/// The section of templates that many languages have.
const EVERY_LANGUAGE: &str = "any";

struct List {
    sections: BTreeMap<String, Section>,
}

/// The templates of a language.
#[derive(Default)]
struct Section {
    exact: HashMap<String, Pattern>,
    /// Names with a star at an end, by what stands before and after it.
    starred: Vec<(String, String, Pattern)>,
}

impl List {
    fn parse(file: &str) -> Result<Self, String> {
        let tables: BTreeMap<String, BTreeMap<String, String>> =
            toml::from_str(file).map_err(|error| error.to_string())?;
        let mut sections = BTreeMap::new();
        for (language, entries) in tables {
            let mut section = Section::default();
            for (names, pattern) in entries {
                let pattern =
                    Pattern::parse(&pattern).map_err(|error| format!("{names}: {error}"))?;
                for name in names.split(", ") {
                    // A star alone is a name.
                    let starred = if name == "*" {
                        None
                    } else {
                        name.split_once('*')
                    };
                    let twice = match starred {
                        Some((before, after)) => {
                            let (before, after) = (before.to_owned(), after.to_owned());
                            section.starred.push((before, after, pattern.clone()));
                            false
                        }
                        None => section
                            .exact
                            .insert(name.to_owned(), pattern.clone())
                            .is_some(),
                    };
                    let is_code = is_country_code(name);
                    if twice || (name != name.to_lowercase() && !is_code) {
                        return Err(format!("[{language}] {name}: twice, or not in lower case"));
                    }
                }
            }
            sections.insert(language, section);
        }
        Ok(Self { sections })
    }

    /// The pattern of the template of this name, as it is written or in lower case, for a page in `language`.
    /// Also the language that it was found in.
    fn find(&self, name: &str, language: &str) -> Option<(&Pattern, &str)> {
        let lower = normal(name);
        if is_country_code(name) {
            // `ruS` and `RUS` are different templates in one language. Those of every language have no codes
            // of countries.
            let own = self.exact([language], name);
            return own.or_else(|| self.exact([EVERY_LANGUAGE, "en"], &lower));
        }
        let related = match language {
            "uk" | "be" | "bg" => "ru",
            "gl" | "ca" => "es",
            _ => "en",
        };
        // The words of all languages' templates serve, for pages that borrow them, but short names mean
        // something else in each.
        let near = [language, EVERY_LANGUAGE, related, "en"];
        let is_short = lower.len() <= 3 && lower.is_ascii();
        let all = || {
            self.sections
                .keys()
                .map(String::as_str)
                .filter(|_| !is_short)
        };
        self.exact(near, &lower)
            .or_else(|| self.exact(all(), &lower))
            .or_else(|| self.starred(near, &lower))
            .or_else(|| self.starred(all(), &lower))
    }

    /// The pattern of a whole name in the first of these languages that has it.
    fn exact<'a>(
        &self,
        languages: impl IntoIterator<Item = &'a str>,
        name: &str,
    ) -> Option<(&Pattern, &str)> {
        languages.into_iter().find_map(|language| {
            let (language, section) = self.sections.get_key_value(language)?;
            Some((section.exact.get(name)?, language.as_str()))
        })
    }

    /// The same for names with a star.
    fn starred<'a>(
        &self,
        languages: impl IntoIterator<Item = &'a str>,
        name: &str,
    ) -> Option<(&Pattern, &str)> {
        languages.into_iter().find_map(|language| {
            let (language, section) = self.sections.get_key_value(language)?;
            let (_, _, pattern) = section.starred.iter().find(|(before, after, _)| {
                name.starts_with(before.as_str()) && name.ends_with(after.as_str())
            })?;
            Some((pattern, language.as_str()))
        })
    }
}

/// Three capitals.
fn is_country_code(name: &str) -> bool {
    name.len() == 3 && name.bytes().all(|byte| byte.is_ascii_uppercase())
}

/// An argument without the lines around it. Spaces stay, as in MediaWiki.
fn without_lines(text: &str) -> &str {
    let start = text.trim_start();
    let text = if text[..text.len() - start.len()].contains('\n') {
        start
    } else {
        text
    };
    let end = text.trim_end();
    if text[end.len()..].contains('\n') {
        end
    } else {
        text
    }
}

/// The arguments of a template, in which nested brackets are resolved.
struct Arguments<'a> {
    /// The template's name as it is written.
    name: &'a str,
    /// The language whose list has the template.
    language: &'a str,
    site: &'a Site,
    named: Vec<(&'a str, &'a str)>,
    unnamed: Vec<&'a str>,
}

impl<'a> Arguments<'a> {
    fn new(name: &'a str, parts: &'a [Argument], language: &'a str, site: &'a Site) -> Self {
        let mut arguments = Self {
            name,
            language,
            site,
            named: Vec::new(),
            unnamed: Vec::new(),
        };
        for part in parts {
            // A web address with a query has an equals sign, but no key.
            let key = part
                .equals
                .map(|at| (&part.text[..at], &part.text[at + 1..]));
            let key = key.filter(|(key, _)| !key.contains(['/', '<', '[']) && key.len() < 40);
            match key {
                Some((key, value)) => arguments.named.push((key.trim(), value.trim())),
                None => arguments.unnamed.push(without_lines(&part.text)),
            }
        }
        arguments
    }

    /// The value of a key; a number counts the arguments without a key from one. The last value of a key
    /// counts. Spaces around a value without a key stay.
    fn shown(&self, key: &str) -> Option<&'a str> {
        let named = self.named.iter().rev().find(|(name, _)| *name == key);
        let value = match named {
            Some((_, value)) => Some(*value),
            None => {
                let number = key.parse::<usize>().ok()?;
                self.unnamed.get(number.checked_sub(1)?).copied()
            }
        };
        value.filter(|value| !value.trim().is_empty())
    }

    /// The value of a key, without the spaces around it.
    fn get(&self, key: &str) -> Option<&'a str> {
        self.shown(key).map(str::trim)
    }

    fn is_on(&self, key: &str) -> bool {
        self.get(key)
            .is_some_and(|value| matches!(value, "y" | "yes" | "on" | "1" | "true"))
    }
}

/// The text of the template with these parts.
pub(super) fn expand(parts: &[Argument], site: &Site, title: &str) -> Expansion {
    let (head, arguments) = match parts.split_first() {
        Some((head, arguments)) => (without_marks(&head.text), arguments),
        None => return Expansion::Text(String::new()),
    };
    let mut name = head.trim();
    for prefix in ["subst:", "safesubst:", "msg:", "msgnw:", "raw:"] {
        name = strip_prefix_ignoring_case(name, prefix).trim_start();
    }
    if let Some(text) = functions::call(name, arguments, site, title) {
        return text;
    }
    if let Some((Namespace::Template | Namespace::Other, rest)) = site.namespace(name) {
        name = rest.trim();
    }
    let shows_flag_alone = arguments
        .first()
        .is_some_and(|first| first.text.trim() == "#");
    if is_country_code(name) && shows_flag_alone {
        return Expansion::Text(String::new());
    }
    match LIST.find(name, site.base_language()) {
        Some((pattern, language)) => {
            let language = match language {
                EVERY_LANGUAGE => site.base_language(),
                language => language,
            };
            let arguments = Arguments::new(name, arguments, language, site);
            Expansion::Text(pattern.fill(&arguments))
        }
        None if is_country_code(name) => Expansion::Unknown(name.to_owned()),
        None => Expansion::Unknown(normal(name).chars().take(100).collect()),
    }
}

/// A template's name in lower case, with single spaces.
fn normal(name: &str) -> String {
    let words = name.split(|c: char| c.is_whitespace() || c == '_');
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    words.join(" ").to_lowercase()
}

fn strip_prefix_ignoring_case<'a>(text: &'a str, prefix: &str) -> &'a str {
    match text.get(..prefix.len()) {
        Some(start) if start.eq_ignore_ascii_case(prefix) => &text[prefix.len()..],
        _ => text,
    }
}

fn without_marks(text: &str) -> Cow<'_, str> {
    if text.contains(is_mark) {
        text.chars().filter(|&c| !is_mark(c)).collect()
    } else {
        text.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(contents: &str, language: &str) -> Expansion {
        let parts: Vec<Argument> = contents
            .split('|')
            .map(|text| Argument {
                text: text.to_owned(),
                equals: text.find('='),
            })
            .collect();
        match expand(&parts, &Site::new(language, ""), "Title (x)") {
            Expansion::Text(text) => Expansion::Text(text.replace(is_mark, "")),
            unknown => unknown,
        }
    }

    #[test]
    fn the_list_is_valid() {
        let list = List::parse(include_str!("templates.toml")).unwrap();
        for language in [
            "any", "en", "de", "fr", "es", "it", "pt", "pl", "ru", "ja", "zh", "ar",
        ] {
            assert!(list.sections.contains_key(language), "{language}");
        }
    }

    #[test]
    fn templates_give_their_words() {
        let mut wrong = Vec::new();
        for (language, contents, expected) in [
            ("en", "lang|de|Haus", "Haus"),
            ("en", "langx|es|casa", "casa"),
            ("en", "lang-la|domus", "domus"),
            ("en", "transliteration|ar|ALA|bayt", "bayt"),
            ("en", "transl|ru|dom", "dom"),
            ("en", "nowrap|5 km", "5 km"),
            ("en", "nowrap|1=a=b", "a=b"),
            ("en", "sortname|Ida|Berg", "Ida Berg"),
            ("en", "!", "|"),
            ("en", "=", "="),
            ("en", "abbr|USA|United States", "USA"),
            ("en", "ill|Foo|de|Foo (Bar)|lt=foos", "foos"),
            ("en", "ill|Foo|de|Foo (Bar)", "Foo"),
            ("en", "circa|1900", "c. 1900"),
            ("en", "circa|1900|1910", "c. 1900 – c. 1910"),
            ("en", "c.", "c."),
            ("en", "as of|2008|7|5", "As of 5 July 2008"),
            ("en", "as of|2008|7|5|df=US", "As of July 5, 2008"),
            ("en", "as of|2008|lc=y", "as of 2008"),
            ("en", "as of|2008|alt=in mid-2008", "in mid-2008"),
            ("en", "as of|2008|since=y", "Since 2008"),
            ("en", "frac|1|2", "1/2"),
            ("en", "frac|3|1|2", "3 1/2"),
            ("en", "frac|8", "1/8"),
            ("en", "convert|5|km|mi", "5 km"),
            ("en", "convert|5|km|0", "5 km"),
            ("en", "convert|5|to|10|km|mi|abbr=on", "5 to 10 km"),
            ("en", "convert|5|-|10|km2|sqmi", "5–10 km²"),
            ("en", "cvt|6|ft|2|in|cm", "6 ft 2 in"),
            ("en", "cvt|3|x|4|x|5|m|ft", "3 × 4 × 5 m"),
            ("en", "convert|70|and|80|F|C", "70 and 80 °F"),
            ("en", "convert|3+1/2|mi|km", "3 1/2 mi"),
            ("en", "convert|1/2|mi|km", "1/2 mi"),
            ("en", "start date|2004|5|1", "May 1, 2004"),
            ("en", "start date|2004|5|1|df=y", "1 May 2004"),
            ("en", "birth date and age|1990|12|3", "December 3, 1990"),
            ("en", "date|2004-05-01", "1 May 2004"),
            ("en", "US$|5 million", "US$5 million"),
            ("en", "val|12.5|u=km", "12.5 km"),
            ("en", "quote|text=To be|Hamlet", "\n\nTo be\n\n"),
            ("en", "formatnum:4380", "4,380"),
            ("en", "formatnum:4,380|R", "4380"),
            ("en", "lc:ABC", "abc"),
            ("en", "ucfirst:abc", "Abc"),
            ("en", "#if: x |yes|no", "yes"),
            ("en", "#if: |yes|no", "no"),
            ("en", "#ifeq:a|a|same|other", "same"),
            ("en", "#switch:b|a=1|b|c=2|#default=3", "2"),
            ("en", "PAGENAME", "Title (x)"),
            ("en", "Template:nowrap|x", "x"),
            ("en", "subst:nowrap|x", "x"),
            ("en", "cite web|title=x|url=http://a?b=c", ""),
            ("en", "infobox planet|name=x", ""),
            ("de", "lang|en|house", "house"),
            ("de", "enS|house", "englisch house"),
            ("de", "\"|Sein", "„Sein“"),
            ("de", "formatnum:4380.5", "4.380,5"),
            ("de", "Vorlage:nowrap|x", "x"),
            ("fr", "unité|8500000|hab/km|2", "8 500 000 hab/km2"),
            ("fr", "date|1|mai|2004", "1er mai 2004"),
            ("fr", "date|14 juillet 1789", "14 juillet 1789"),
            ("fr", "s|XIX", "XIXe siècle"),
            ("fr", "-s|V", "Ve siècle av. J.-C."),
            ("fr", "citation|être", "« être »"),
            ("fr", "lien|langue=en|trad=X|texte=le X", "le X"),
            ("es", "siglo|XIX", "siglo XIX"),
            ("es", "unidad|10|km", "10 km"),
            ("es", "cita|Ser", "\n\nSer\n\n"),
            ("it", "M|10|u=km", "10 km"),
            ("pt", "dtlink|1|5|2004", "1 de maio de 2004"),
            ("pt", "fmtn|43801", "43 801"),
            ("pl", "Ułamek|1|2", "1/2"),
            ("ru", "нп5|Статья|статью|en|Article", "статью"),
            ("ru", "lang-en|house", "house"),
            ("ru", "число|12345", "12 345"),
            ("ja", "読み仮名|漢字|かんじ", "漢字（かんじ）"),
            ("ja", "仮リンク|記事|en|Article", "記事"),
            ("zh", "le|条目|Article", "条目"),
            ("zh", "tsl|en|Article|条目", "条目"),
            ("ar", "إنج|house", "house"),
        ] {
            let found = expanded(contents, language);
            if found != Expansion::Text(expected.to_owned()) {
                wrong.push(format!(
                    "{language} {{{{{contents}}}}}: {found:?}, not {expected:?}"
                ));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn other_templates_are_unknown_by_name() {
        assert_eq!(
            expanded("Some_template |x", "en"),
            Expansion::Unknown("some template".to_owned())
        );
    }
}
