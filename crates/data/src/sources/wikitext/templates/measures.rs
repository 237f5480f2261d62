//! Numbers, fractions and measures.

use super::functions::is_number;
use super::{Arguments, without_marks};

/// Codes of units that are not what a reader sees.
const UNITS: [(&str, &str); 40] = [
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
        text.push_str(&amount(given[at]));
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
            text.push_str(&amount(next));
            at += 2;
        }
        let Some(unit) = given.get(at).filter(|unit| !unit.is_empty()) else {
            break;
        };
        text.push(' ');
        text.push_str(shown_unit(unit));
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

fn shown_unit(code: &str) -> &str {
    UNITS
        .iter()
        .find(|(known, _)| *known == code)
        .map_or(code, |(_, shown)| shown)
}

fn is_amount(text: &str) -> bool {
    text.starts_with(|c: char| c.is_numeric() || matches!(c, '-' | '−' | '+' | '.'))
        && text.contains(|c: char| c.is_numeric())
}

/// `3+1/2` and `3//2` are how the template takes mixed numbers and fractions.
fn amount(text: &str) -> String {
    match text.split_once('+') {
        Some((whole, part)) if part.contains('/') && !whole.is_empty() => {
            format!("{whole} {part}").replace("//", "/")
        }
        _ => text.replace("//", "/"),
    }
}

/// `1/2` of `{{frac|1|2}}`, `3 1/2` of `{{frac|3|1|2}}`, `1/8` of `{{frac|8}}`.
pub(super) fn fraction(arguments: &Arguments<'_>) -> String {
    let given: Vec<&str> = arguments
        .unnamed
        .iter()
        .copied()
        .filter(|text| !text.is_empty())
        .collect();
    match given[..] {
        [below] => format!("1/{below}"),
        [above, below] => format!("{above}/{below}"),
        [whole, above, below, ..] => format!("{whole} {above}/{below}"),
        [] => "/".to_owned(),
    }
}

/// A number as the language writes it.
pub(super) fn number(arguments: &Arguments<'_>) -> String {
    let given = arguments.get("1").unwrap_or("");
    let plain = without_marks(given);
    // Spaces and, before more digits, commas may stand between thousands already.
    let digits = plain.replace([' ', '\u{A0}', '\u{202F}'], "");
    if is_number(&digits) {
        arguments.site.number(&digits)
    } else {
        given.to_owned()
    }
}

/// A number with its unit: `{{val|5|u=km}}`, `{{unité|5|km|2}}`.
pub(super) fn quantity(arguments: &Arguments<'_>) -> String {
    let mut text = number(arguments);
    if let Some(power) = arguments.get("e") {
        text.push_str("×10^");
        text.push_str(power);
    }
    let unit = ["u", "ul", "up", "unidad", "unité"]
        .iter()
        .find_map(|key| arguments.get(key));
    match unit {
        Some(unit) => {
            text.push(' ');
            text.push_str(unit);
        }
        None => {
            for (number, part) in arguments.unnamed.iter().skip(1).enumerate() {
                if part.is_empty() {
                    continue;
                }
                // The parts after the unit are its power and further units.
                if number == 0 || number % 2 == 0 {
                    text.push(' ');
                }
                text.push_str(part);
            }
        }
    }
    text
}
