//! Parser functions and variables of MediaWiki: `{{lc:X}}`, `{{#if:…}}`, `{{PAGENAME}}`.

use std::borrow::Cow;

use super::{Argument, Expansion, without_marks};
use crate::sources::wikitext::site::Site;

/// The text of a parser function or variable; none if `name` is neither.
pub(super) fn call(
    name: &str,
    arguments: &[Argument],
    site: &Site,
    title: &str,
) -> Option<Expansion> {
    if let Some(text) = variable(name, title) {
        return Some(Expansion::Text(text));
    }
    let (function, first) = name.split_once([':', '：'])?;
    let function = function.trim().to_lowercase();
    let first = first.trim();
    let argument = |number: usize| {
        arguments
            .get(number - 1)
            .map_or("", |argument| argument.text.trim())
    };
    let text = match function.as_str() {
        "formatnum" => format_number(first, argument(1), site),
        "lc" => first.to_lowercase(),
        "uc" => first.to_uppercase(),
        "lcfirst" => with_first(first, |c| c.to_lowercase().collect()),
        "ucfirst" => with_first(first, |c| c.to_uppercase().collect()),
        "plural" => {
            let form = plural_form(without_marks(first).trim(), arguments.len(), site);
            argument(form).to_owned()
        }
        "gender"
        | "#tag"
        | "defaultsort"
        | "displaytitle"
        | "#seo"
        | "#property"
        | "defaultsortkey"
        | "defaultcategorysort"
        | "sortierung"
        | "standardsortierung"
        | "ordena"
        | "cleclasse"
        | "clave de ordenación"
        | "#coordinates"
        | "#related"
        | "int"
        | "#statements"
        | "fullurl"
        | "localurl"
        | "filepath"
        | "#babel" => String::new(),
        "urlencode" | "anchorencode" | "#titleparts" | "#language" => first.to_owned(),
        "padleft" => padding(first, argument(1), argument(2)) + first,
        "padright" => first.to_owned() + &padding(first, argument(1), argument(2)),
        "#invoke" => {
            let module: String = without_marks(first).chars().take(100).collect();
            return Some(Expansion::Unknown(format!(
                "#invoke:{}",
                module.to_lowercase()
            )));
        }
        "ns" => String::new(),
        "#if" => chosen(!first.is_empty(), arguments).to_owned(),
        "#ifeq" => chosen(first == argument(1), arguments.get(1..).unwrap_or_default()).to_owned(),
        "#ifexist" | "#iferror" | "#ifexpr" => argument(1).to_owned(),
        "#switch" => switch(first, arguments),
        "pagename" | "fullpagename" => first.to_owned(),
        // Any other function that begins so is one of an extension.
        other if other.starts_with('#') => {
            return Some(Expansion::Unknown(other.chars().take(100).collect()));
        }
        _ => return None,
    };
    Some(Expansion::Text(text))
}

/// What fills a text up to a length of at most 500 characters.
fn padding(text: &str, length: &str, with: &str) -> String {
    let length = length.parse().unwrap_or(0).min(500);
    let missing = length - text.chars().count().min(length);
    let with = if with.is_empty() { "0" } else { with };
    with.chars().cycle().take(missing).collect()
}

/// Which of the forms, counted from one, goes with a number.
fn plural_form(number: &str, forms: usize, site: &Site) -> usize {
    let count: u64 = number.parse().unwrap_or(0);
    let form = match site.base_language() {
        "ru" | "uk" | "be" | "sr" | "hr" | "bs" | "sh" if forms > 2 => {
            match (count % 10, count % 100) {
                (1, last) if last != 11 => 1,
                (2..=4, last) if !(12..=14).contains(&last) => 2,
                _ => 3,
            }
        }
        "pl" if forms > 2 => match (count, count % 10, count % 100) {
            (1, _, _) => 1,
            (_, 2..=4, last) if !(12..=14).contains(&last) => 2,
            _ => 3,
        },
        "cs" | "sk" if forms > 2 => match count {
            1 => 1,
            2..=4 => 2,
            _ => 3,
        },
        "fr" | "pt" if count == 0 => 1,
        _ if count == 1 => 1,
        _ => 2,
    };
    form.min(forms.max(1))
}

/// A variable is written in capitals.
fn variable(name: &str, title: &str) -> Option<String> {
    let base = || title.rsplit_once('/').map_or(title, |(base, _)| base);
    let last = || title.rsplit_once('/').map_or(title, |(_, last)| last);
    Some(match name {
        "PAGENAME" | "PAGENAMEE" | "FULLPAGENAME" | "FULLPAGENAMEE" => title.to_owned(),
        "BASEPAGENAME" | "ROOTPAGENAME" => base().to_owned(),
        "SUBPAGENAME" => last().to_owned(),
        "NAMESPACE" | "NAMESPACENUMBER" | "TALKPAGENAME" | "PAGEID" | "REVISIONID" => String::new(),
        _ => return None,
    })
}

fn chosen(first: bool, arguments: &[Argument]) -> &str {
    arguments
        .get(usize::from(!first))
        .map_or("", |argument| argument.text.trim())
}

/// `{{#switch:value|a=1|b|c=2|3}}`: cases without a text take that of the next one.
fn switch(value: &str, cases: &[Argument]) -> String {
    let mut found = false;
    let mut default = "";
    for (number, case) in cases.iter().enumerate() {
        match case.equals {
            Some(at) => {
                let (key, text) = (case.text[..at].trim(), case.text[at + 1..].trim());
                if found || key == value {
                    return text.to_owned();
                }
                if key == "#default" {
                    default = text;
                }
            }
            None if number + 1 == cases.len() => default = case.text.trim(),
            None => found |= case.text.trim() == value,
        }
    }
    default.to_owned()
}

/// A number as the language writes it; with `R` or `NOSEP`, without thousands separators.
fn format_number(number: &str, option: &str, site: &Site) -> String {
    let plain: Cow<'_, str> = without_marks(number);
    match option {
        "R" => plain.replace([',', '\u{A0}', ' '], "").replace('−', "-"),
        "NOSEP" => plain.into_owned(),
        _ if is_number(&plain) => site.number(&plain),
        _ => number.to_owned(),
    }
}

/// Digits with at most one decimal point, and perhaps a sign.
pub(super) fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '−', '+']).unwrap_or(text);
    !digits.is_empty()
        && digits.bytes().filter(|&byte| byte == b'.').count() <= 1
        && digits.bytes().any(|byte| byte.is_ascii_digit())
        && digits
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.')
}

fn with_first(text: &str, change: impl Fn(char) -> String) -> String {
    let mut characters = text.chars();
    match characters.next() {
        Some(first) => change(first) + characters.as_str(),
        None => String::new(),
    }
}
