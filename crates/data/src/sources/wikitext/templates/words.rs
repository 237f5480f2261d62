//! Templates whose words follow rules that a pattern cannot say.

use super::{Arguments, without_marks};
use crate::sources::wikitext::opaque::is_mark;

/// `{{sup|6}}` after a base is `^6`; a word such as `er` stays as it is.
pub(super) fn exponent(arguments: &Arguments<'_>) -> String {
    let Some(text) = arguments.get("1") else {
        return arguments.name.to_owned();
    };
    let is_number = without_marks(text)
        .trim_start_matches(['-', '−', '+'])
        .starts_with(|c: char| c.is_ascii_digit());
    if is_number {
        format!("^{text}")
    } else {
        text.to_owned()
    }
}

/// `{{music|flat}}`.
pub(super) fn music(arguments: &Arguments<'_>) -> String {
    let shown = match arguments.get("1").unwrap_or("") {
        "flat" | "b" => "♭",
        "sharp" | "#" => "♯",
        "natural" | "n" => "♮",
        "doubleflat" | "bb" => "𝄫",
        "doublesharp" | "x" | "##" => "𝄪",
        "time" => {
            let beats = arguments.get("2").unwrap_or("");
            return format!("{beats}/{}", arguments.get("3").unwrap_or(""));
        }
        "scale" => {
            return format!("{} scale", arguments.get("2").unwrap_or(""))
                .trim()
                .to_owned();
        }
        other => other,
    };
    shown.to_owned()
}

/// `{{IPA|de|viːn}}` has a language before the sounds, `{{IPA|/a/}}` has none.
pub(super) fn pronunciation(arguments: &Arguments<'_>) -> String {
    match (arguments.get("1"), arguments.get("2")) {
        (Some(_), Some(sounds)) if sounds.starts_with(['[', '/']) => sounds.to_owned(),
        (Some(_), Some(sounds)) => format!("[{sounds}]"),
        (Some(sounds), None) => sounds.to_owned(),
        (None, _) => String::new(),
    }
}

/// `{{bibleverse|1|Kings|2:3|KJV}}` gives `1 Kings 2:3`, and so does the form whose book is one argument.
pub(super) fn verse(arguments: &Arguments<'_>) -> String {
    let given = |number: usize| arguments.unnamed.get(number).map_or("", |text| text.trim());
    let first = given(0);
    let words = if first.is_empty() || first.bytes().all(|byte| byte.is_ascii_digit()) {
        [first, given(1), given(2)]
    } else {
        [first, given(1), ""]
    };
    let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
    words.join(" ")
}

/// `{{harvtxt|Smith|Jones|2000|p=5}}` gives `Smith & Jones (2000, p. 5)`.
pub(super) fn authors(arguments: &Arguments<'_>) -> String {
    let is_year = |text: &str| {
        let digits = text.trim_end_matches(|c: char| c.is_ascii_lowercase());
        digits.len() == 4 && digits.bytes().all(|byte| byte.is_ascii_digit())
    };
    let given: Vec<&str> = arguments.unnamed.iter().map(|text| text.trim()).collect();
    let year = given.iter().position(|text| is_year(text));
    let names = &given[..year.unwrap_or(given.len())];
    let names = match names {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first, .., _] if names.len() > 3 => format!("{first} et al."),
        [before @ .., last] => format!("{} & {last}", before.join(", ")),
    };
    let page = arguments.get("p").map(|page| format!("p. {page}"));
    let pages = arguments.get("pp").map(|pages| format!("pp. {pages}"));
    let year = year.map(|at| given[at].to_owned());
    let details: Vec<String> = [year, page.or(pages)].into_iter().flatten().collect();
    if details.is_empty() {
        names
    } else {
        format!("{names} ({})", details.join(", "))
    }
}

/// `{{ordinal|2}}` gives `2nd`.
pub(super) fn ordinal(arguments: &Arguments<'_>) -> String {
    let given = arguments.get("1").unwrap_or("");
    let digits: String = without_marks(given)
        .chars()
        .filter(char::is_ascii_digit)
        .collect();
    let ending = match digits.as_bytes() {
        [.., b'1', _] => "th",
        [.., b'1'] => "st",
        [.., b'2'] => "nd",
        [.., b'3'] => "rd",
        _ => "th",
    };
    format!("{given}{ending}")
}

/// `{{percentage|5|20}}` gives `25%`.
pub(super) fn percentage(arguments: &Arguments<'_>) -> String {
    let value = |key: &str| {
        let plain: String = arguments
            .get(key)?
            .chars()
            .filter(|&c| !is_mark(c) && c != ',')
            .collect();
        plain.trim().parse::<f64>().ok()
    };
    let decimals = value("3").map_or(0, |decimals| decimals.clamp(0.0, 9.0) as usize);
    match (value("1"), value("2")) {
        (Some(part), Some(whole)) if whole != 0.0 => {
            format!("{:.decimals$}%", 100.0 * part / whole)
        }
        _ => format!("{}%", arguments.get("1").unwrap_or("")),
    }
}

/// French centuries: `{{s|XIX}}`, `{{s|I|er}}`, `{{sp|XV|e|-|XVI|e}}`. The template's name says what
/// stands around the number: `-s` is before Christ, `s-` has no noun, `p` has two centuries.
pub(super) fn french_century(arguments: &Arguments<'_>) -> String {
    let name = arguments.name.trim().to_lowercase().replace("siècle", "s");
    let given = |number: usize, default: &'static str| {
        let text = arguments.unnamed.get(number).map_or("", |text| text.trim());
        if text.is_empty() { default } else { text }
    };
    let century = |number: usize| {
        let ordinal = given(number, "");
        // `{{s|I}}` needs its ending.
        let ending = given(number + 1, if ordinal == "I" { "er" } else { "e" });
        format!("{ordinal}{ending}")
    };
    let several = name.contains('p');
    let mut text = century(0);
    if several {
        let between = given(2, "et");
        let between = match between {
            "-" | "–" => between.to_owned(),
            word => format!(" {word} "),
        };
        text = format!("{text}{between}{}", century(3));
    }
    if !name.ends_with('-') {
        text.push_str(if several { " siècles" } else { " siècle" });
    }
    if name.starts_with('-') {
        text.push_str(" av. J.-C.");
    }
    text
}

/// `{{siglo|V|a}}` gives `siglo V a. C.`
pub(super) fn spanish_century(arguments: &Arguments<'_>) -> String {
    let era = match arguments.get("2") {
        Some("a") => " a. C.",
        Some("d") => " d. C.",
        _ => "",
    };
    let noun = if arguments.get("3") == Some("S") {
        "Siglo"
    } else {
        "siglo"
    };
    format!("{noun} {}{era}", arguments.get("1").unwrap_or(""))
}

/// Russian dates in both calendars: `{{OldStyleDate|12|мая|1900|30 апреля}}`.
pub(super) fn old_style_date(arguments: &Arguments<'_>) -> String {
    let given = |key: &str| arguments.get(key).unwrap_or("");
    let (day, month, year, old) = (given("1"), given("2"), given("3"), given("4"));
    let text = if old.is_empty() {
        format!("{day} {month} {year}")
    } else if !given("5").is_empty() {
        let old_year = given("6");
        if old_year.is_empty() || old_year == year {
            format!("{old} {} ({day} {month}) {year}", given("5"))
        } else {
            format!("{old} {} {old_year} ({day} {month} {year})", given("5"))
        }
    } else if old.contains(' ') {
        format!("{old} ({day} {month}) {year}")
    } else {
        format!("{old} ({day}) {month} {year}")
    };
    text.trim().to_owned()
}

/// `{{USS|Enterprise|CV-6}}` gives `USS Enterprise (CV-6)`. A third argument chooses a form without the number,
/// 2 also one without the prefix.
pub(super) fn ship(arguments: &Arguments<'_>) -> String {
    let name = arguments.get("1").unwrap_or("");
    let prefix = arguments.name.trim();
    match (arguments.get("3"), arguments.get("2")) {
        (Some("2"), _) => name.to_owned(),
        (None, Some(number)) => format!("{prefix} {name} ({number})"),
        _ => format!("{prefix} {name}"),
    }
}
