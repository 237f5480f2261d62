//! Numbers, fractions and measures.

use super::functions::is_number;
use super::{Arguments, without_marks};
use crate::sources::wikitext::opaque::AFTER_DIGIT;

/// Codes of units that are not what a reader sees.
const UNITS: [(&str, &str); 51] = [
    ("acre", "acres"),
    ("MUSgal", "million US gal"),
    ("USgal", "US gal"),
    ("impgal", "imp gal"),
    ("LT", "long tons"),
    ("ST", "short tons"),
    ("Lcwt", "long cwt"),
    ("cuft/s", "cu ft/s"),
    ("USbsh", "US bsh"),
    ("oilbbl", "bbl"),
    ("Goilbbl", "billion bbl"),
    ("C", "°C"),
    ("C-change", "°C"),
    ("F", "°F"),
    ("F-change", "°F"),
    ("Cuft", "cu ft"),
    ("K-change", "K"),
    ("acre.ft", "acre-feet"),
    ("acre.foot", "acre-feet"),
    ("cuft", "cu ft"),
    ("cuin", "cu in"),
    ("cumi", "cu mi"),
    ("cuyd", "cu yd"),
    ("cm2", "cm²"),
    ("cm3", "cm³"),
    ("dm3", "dm³"),
    ("ftin", "ft"),
    ("ft2", "sq ft"),
    ("ft3", "cu ft"),
    ("foot", "ft"),
    ("g/cm3", "g/cm³"),
    ("in2", "sq in"),
    ("kg/m3", "kg/m³"),
    ("km2", "km²"),
    ("km3", "km³"),
    ("/km2", "per km²"),
    ("/sqkm", "per km²"),
    ("/sqmi", "per sq mi"),
    ("PD/km2", "people per km²"),
    ("PD/sqmi", "people per sq mi"),
    ("lbft", "lb ft"),
    ("lbfft", "lbf ft"),
    ("m2", "m²"),
    ("m3", "m³"),
    ("m3/s", "m³/s"),
    ("mm2", "mm²"),
    ("sqft", "sq ft"),
    ("sqin", "sq in"),
    ("sqkm", "km²"),
    ("sqmi", "sq mi"),
    ("sqyd", "sq yd"),
];

/// Codes of words between two amounts.
const RANGES: [(&str, &str); 30] = [
    ("-", "–"),
    ("–", "–"),
    ("--", "–"),
    ("to", " to "),
    ("to(-)", " to "),
    ("to about", " to about "),
    ("and", " and "),
    ("and(-)", " and "),
    ("&", " & "),
    ("or", " or "),
    ("or(-)", " or "),
    ("by", " by "),
    ("by(x)", " by "),
    ("x", " × "),
    ("xx", " × "),
    ("X", " × "),
    ("*", " × "),
    ("×", " × "),
    ("+", " + "),
    ("+/-", " ± "),
    ("±", " ± "),
    (",", ", "),
    (";", "; "),
    ("/", "/"),
    ("bis", " bis "),
    ("à", " à "),
    ("et", " et "),
    ("a", " a "),
    ("y", " y "),
    ("e", " e "),
];

/// `{{convert|5|to|10|km|mi}}` gives `5 to 10 km`, `{{convert|6|ft|2|in|cm}}` gives `6 ft 2 in`: the
/// measure that the author wrote, without what the template computes from it.
pub(super) fn convert(arguments: &Arguments<'_>) -> String {
    let plain: Vec<_> = arguments
        .unnamed
        .iter()
        .map(|argument| without_marks(argument))
        .collect();
    let given: Vec<&str> = plain.iter().map(|argument| argument.trim()).collect();
    let mut text = String::new();
    let mut at = 0;
    while at < given.len() {
        text.push_str(&amount(given[at], arguments));
        at += 1;
        // More amounts of the same unit.
        while let (Some(word), Some(next)) = (given.get(at), given.get(at + 1)) {
            let Some((_, shown)) = RANGES.iter().find(|(code, _)| code == word) else {
                break;
            };
            if !is_amount(next) {
                break;
            }
            text.push_str(shown);
            text.push_str(&amount(next, arguments));
            at += 2;
        }
        let Some(unit) = given.get(at).filter(|unit| !unit.is_empty()) else {
            break;
        };
        text.push(' ');
        text.push_str(&shown_unit(unit));
        at += 1;
        // A number before another unit goes on with the measure; one at the end is a precision.
        let goes_on = given.get(at).is_some_and(|next| is_amount(next))
            && given
                .get(at + 1)
                .is_some_and(|unit| !unit.is_empty() && !is_amount(unit));
        if !goes_on {
            break;
        }
        text.push(' ');
    }
    text
}

/// A unit as a reader sees it; `e6acre` is a million acres.
fn shown_unit(code: &str) -> String {
    let powers = [
        ("e3", "thousand "),
        ("e6", "million "),
        ("e9", "billion "),
        ("e12", "trillion "),
    ];
    for (prefix, words) in powers {
        if let Some(unit) = code.strip_prefix(prefix)
            && unit.starts_with(char::is_alphabetic)
        {
            return format!("{words}{}", shown_unit(unit));
        }
    }
    let known = UNITS.iter().find(|(known, _)| *known == code);
    known.map_or(code, |(_, shown)| shown).to_owned()
}

fn is_amount(text: &str) -> bool {
    text.starts_with(|c: char| c.is_numeric() || matches!(c, '-' | '−' | '+' | '.'))
        && text.contains(|c: char| c.is_numeric())
}

/// An amount as the language writes it. `3+1/2` and `3//2` are how the template takes mixed numbers and
/// fractions.
fn amount(text: &str, arguments: &Arguments<'_>) -> String {
    match text.split_once('+') {
        Some((whole, part)) if part.contains('/') && !whole.is_empty() => {
            format!("{whole} {part}").replace("//", "/")
        }
        _ if is_number(text) && !text.starts_with('+') => arguments.site.number(text),
        _ => text.replace("//", "/"),
    }
}

/// `1/2` of `{{frac|1|2}}`, `3 1/2` of `{{frac|3|1|2}}`, `1/8` of `{{frac|8}}`. A mark before it becomes a
/// space after a digit.
pub(super) fn fraction(arguments: &Arguments<'_>) -> String {
    let given: Vec<&str> = arguments
        .unnamed
        .iter()
        .copied()
        .filter(|text| !text.is_empty())
        .collect();
    let text = match given[..] {
        [below] => format!("1/{below}"),
        [above, below] => format!("{above}/{below}"),
        [whole, above, below, ..] => format!("{whole} {above}/{below}"),
        [] => "/".to_owned(),
    };
    format!("{AFTER_DIGIT}{text}")
}

/// A number as the language writes it.
pub(super) fn number(arguments: &Arguments<'_>) -> String {
    let given = arguments.get("1").unwrap_or("");
    let plain = without_marks(given);
    // A unit may follow in the same argument: `{{unité|1234567 habitants}}`.
    if let Some((amount, unit)) = plain.split_once(' ')
        && is_number(amount)
        && unit.starts_with(char::is_alphabetic)
    {
        return format!("{} {unit}", arguments.site.number(amount));
    }
    // Spaces and, before more digits, commas may stand between thousands already.
    let digits = plain.replace([' ', '\u{A0}', '\u{202F}'], "");
    if is_number(&digits) {
        arguments.site.number(&digits)
    } else {
        given.to_owned()
    }
}

/// A number with its uncertainty, power of ten and unit: `{{val|5|0.1|e=3|u=km}}`, `{{unité|5|km|2}}`.
pub(super) fn quantity(arguments: &Arguments<'_>) -> String {
    let mut text = number(arguments);
    let mut rest: Vec<&str> = arguments
        .unnamed
        .iter()
        .skip(1)
        .map(|part| part.trim())
        .filter(|part| !part.is_empty())
        .collect();
    // One number is an uncertainty on both sides, two are one above and one below.
    let is_uncertainty = |part: &&str| {
        let plain = without_marks(part);
        is_number(&plain) || (plain.starts_with('(') && plain.ends_with(')'))
    };
    match rest[..] {
        [above, below, ..] if is_uncertainty(&above) && is_uncertainty(&below) => {
            let above = above.trim_start_matches('+');
            let below = below.trim_start_matches(['-', '−']);
            text.push_str(&format!("+{above}−{below}"));
            rest.drain(..2);
        }
        [one, ..] if is_uncertainty(&one) => {
            if !one.starts_with('(') {
                text.push('±');
            }
            text.push_str(one);
            rest.remove(0);
        }
        _ => {}
    }
    if let Some(power) = arguments.get("e") {
        text.push_str("×10^");
        text.push_str(&power.replace('-', "−"));
    }
    for key in ["u", "ul", "unidad", "unité"] {
        if let Some(unit) = arguments.get(key) {
            text.push(' ');
            text.push_str(unit);
            break;
        }
    }
    if let Some(unit) = arguments.get("up") {
        text.push_str(" per ");
        text.push_str(unit);
    }
    for (at, part) in rest.iter().enumerate() {
        // A number after a unit is its power.
        let is_word = |word: &str| matches!(word, "à" | "et" | "ou" | "a" | "y" | "e" | "–" | "-");
        let is_power = at > 0 && is_number(part) && !is_word(rest[at - 1]);
        if !is_power {
            text.push(' ');
        }
        text.push_str(part);
    }
    text
}
