//! Templates that contain running text. A wiki expands thousands of templates; only these few matter for
//! the text.

/// The text of the template `{{contents}}`, in which nested brackets are resolved already.
pub(super) fn expand(contents: &str) -> String {
    // Links are resolved already, so every bar separates arguments.
    let mut parts = contents.split('|');
    let name = parts
        .next()
        .unwrap_or_default()
        .trim()
        .replace('_', " ")
        .to_lowercase();
    let parts: Vec<&str> = parts.collect();
    let unnamed: Vec<&str> = parts
        .iter()
        .filter(|part| !is_named(part))
        .map(|part| part.trim())
        .collect();
    let argument = |number: usize| -> String {
        let name = number.to_string();
        let named = parts.iter().find_map(|part| {
            let (key, value) = part.split_once('=')?;
            (key.trim() == name).then_some(value.trim())
        });
        named
            .or_else(|| unnamed.get(number - 1).copied())
            .unwrap_or("")
            .to_owned()
    };
    match name.as_str() {
        "lang" | "transl" | "transliteration" => unnamed
            .get(1..)
            .and_then(<[_]>::last)
            .copied()
            .unwrap_or("")
            .to_owned(),
        "nowrap" | "nobr" | "small" | "smaller" | "big" | "larger" | "nobold" | "noitalic"
        | "sc" | "smallcaps" | "abbr" | "tooltip" | "vanchor" | "visible anchor" | "math"
        | "mvar" | "var" | "val" | "nts" | "formatnum" | "strong" | "em" | "angbr" | "keypress"
        | "key press" | "kbd" | "sup" | "sub" | "flag" | "flagcountry" | "ill"
        | "interlanguage link" | "nihongo" | "zh" | "r to" | "script" | "pie" | "linktext"
        | "unicode" | "okina" => argument(1),
        _ if name.starts_with("lang-") => argument(1),
        "quote" | "blockquote" | "cquote" | "quotation" | "bquote" | "quote box" => {
            let quote = parts.iter().find_map(|part| {
                let (key, value) = part.split_once('=')?;
                matches!(key.trim(), "text" | "quote").then_some(value.trim().to_owned())
            });
            format!("\n\n{}\n\n", quote.unwrap_or_else(|| argument(1)))
        }
        "convert" | "cvt" => measure(&unnamed),
        "circa" | "c." | "ca." => format!("c. {}", argument(1)),
        "as of" => as_of(
            &unnamed,
            parts
                .iter()
                .any(|part| part.trim() == "lc=y" || part.trim() == "lc=on"),
        ),
        "frac" | "fraction" | "sfrac" => fraction(&unnamed),
        "chem" | "chem2" => unnamed.concat(),
        "uss" | "hms" | "hmas" | "rms" | "ss" | "ms" | "sms" => {
            format!("{} {}", name.to_uppercase(), argument(1))
        }
        "ship" => format!("{} {}", argument(1), argument(2)),
        "ndash" | "en dash" => "–".to_owned(),
        "mdash" | "em dash" => "—".to_owned(),
        "spaced ndash" | "snd" | "spnd" | "spaced en dash" => " – ".to_owned(),
        "mdashb" => "—".to_owned(),
        "·" | "dot" | "middot" | "•" | "bullet" => " · ".to_owned(),
        "nbsp" | "spaces" | "space" => " ".to_owned(),
        "'" => "'".to_owned(),
        "'s" => "'s".to_owned(),
        _ => String::new(),
    }
}

/// `key=value`; a web address with a query is not a key.
fn is_named(part: &str) -> bool {
    part.split_once('=')
        .is_some_and(|(key, _)| !key.contains(['/', '<', '[']) && key.len() < 40)
}

/// `{{convert|5|to|10|km|mi}}` becomes `5 to 10 km`.
fn measure(arguments: &[&str]) -> String {
    let is_amount = |text: &str| {
        text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '−' | '+' | '.'))
    };
    let mut words: Vec<&str> = Vec::new();
    for argument in arguments {
        let joins = matches!(
            *argument,
            "to" | "and" | "or" | "by" | "x" | "-" | "–" | "to about" | "+/-" | "±"
        );
        words.push(argument);
        if !is_amount(argument) && !joins {
            break;
        }
    }
    words.join(" ").replace(" - ", "–").replace(" – ", "–")
}

fn as_of(arguments: &[&str], lower_case: bool) -> String {
    const MONTHS: [&str; 12] = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ];
    let year = arguments.first().copied().unwrap_or("");
    let month = arguments.get(1).copied().unwrap_or("");
    let number = month
        .parse::<usize>()
        .ok()
        .filter(|number| (1..=12).contains(number));
    let month = number.map_or(month, |number| MONTHS[number - 1]);
    let start = if lower_case { "as of" } else { "As of" };
    [start, arguments.get(2).copied().unwrap_or(""), month, year]
        .into_iter()
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

fn fraction(arguments: &[&str]) -> String {
    match arguments {
        [below] => format!("1/{below}"),
        [above, below] => format!("{above}/{below}"),
        [whole, above, below, ..] => format!("{whole} {above}/{below}"),
        [] => String::new(),
    }
}
