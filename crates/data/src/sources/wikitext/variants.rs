//! Language variants: `-{zh-hans:…; zh-hant:…}-` gives one of its texts.
//!
//! The syntax is MediaWiki's (its manual, "Writing systems/Syntax").

use super::opaque::GAP;
use super::site::Site;

/// Variants in the order in which a text is looked for where the wanted one is not given.
const FALLBACKS: [(&str, &[&str]); 21] = [
    ("zh", &["zh-hans", "zh-cn", "zh-sg", "zh-my", "zh-hant"]),
    ("zh-hans", &["zh-cn", "zh-sg", "zh-my", "zh"]),
    ("zh-cn", &["zh-hans", "zh-sg", "zh-my", "zh"]),
    ("zh-sg", &["zh-hans", "zh-cn", "zh-my", "zh"]),
    ("zh-my", &["zh-hans", "zh-sg", "zh-cn", "zh"]),
    ("zh-hant", &["zh-tw", "zh-hk", "zh-mo", "zh"]),
    ("zh-tw", &["zh-hant", "zh-hk", "zh-mo", "zh"]),
    ("zh-hk", &["zh-hant", "zh-mo", "zh-tw", "zh"]),
    ("zh-mo", &["zh-hant", "zh-hk", "zh-tw", "zh"]),
    ("sr", &["sr-ec", "sr-cyrl", "sr-el", "sr-latn"]),
    ("sr-ec", &["sr-cyrl", "sr"]),
    ("sr-cyrl", &["sr-ec", "sr"]),
    ("sr-el", &["sr-latn", "sr"]),
    ("sr-latn", &["sr-el", "sr"]),
    ("kk", &["kk-cyrl", "kk-kz", "kk-latn", "kk-arab"]),
    ("uz", &["uz-latn", "uz-cyrl"]),
    ("ku", &["ku-latn", "ku-arab"]),
    ("tg", &["tg-cyrl", "tg-latn"]),
    ("gan", &["gan-hans", "gan-hant"]),
    ("wuu", &["wuu-hans", "wuu-hant"]),
    ("sh", &["sh-latn", "sh-cyrl"]),
];

/// The text of `-{contents}-`.
pub(super) fn choose(contents: &str, site: &Site) -> String {
    let (flags, rules) = match contents.split_once('|') {
        Some((flags, rules)) if is_flags(flags) => (flags, rules),
        _ => ("", contents),
    };
    let has = |flag: &str| flags.split(';').any(|given| given.trim() == flag);
    // `H` only adds a rule for the rest of the page, `T` gives the page's title, `-` takes a rule away.
    if has("H") || has("T") || has("-") {
        return GAP.to_string();
    }
    if has("R") {
        return rules.to_owned();
    }
    let texts = texts(rules);
    if texts.is_empty() {
        // Plain text, shown as it stands in every variant.
        return if flags.is_empty() && !site.has_variants() {
            format!("-{{{contents}}}-")
        } else {
            rules.to_owned()
        };
    }
    let wanted = wanted(site, &texts);
    let fallbacks = FALLBACKS
        .iter()
        .find(|(variant, _)| *variant == wanted)
        .map_or(&[][..], |(_, others)| others);
    let chosen = std::iter::once(wanted.as_str())
        .chain(fallbacks.iter().copied())
        .find_map(|variant| texts.iter().find(|(code, _)| code == variant))
        .or_else(|| texts.first());
    chosen.map_or(String::new(), |(_, text)| (*text).to_owned())
}

/// The variant that the reader asked for, else that of the page's language.
fn wanted(site: &Site, texts: &[(String, &str)]) -> String {
    if !site.variant.is_empty() {
        return site.variant.clone();
    }
    if FALLBACKS.iter().any(|(code, _)| *code == site.language) {
        return site.language.clone();
    }
    // The language is unknown: that of the first text.
    let first = texts.first().map_or("", |(code, _)| code.as_str());
    first.split('-').next().unwrap_or("").to_owned()
}

/// Flags are single letters or codes of variants.
fn is_flags(flags: &str) -> bool {
    flags.split(';').all(|flag| {
        let flag = flag.trim();
        matches!(
            flag,
            "A" | "D" | "H" | "N" | "R" | "S" | "T" | "-" | "+" | "E" | ""
        ) || is_code(flag)
    })
}

/// The code of a language variant: letters, and a dash with more letters.
fn is_code(code: &str) -> bool {
    let known = |code: &str| {
        FALLBACKS
            .iter()
            .any(|(variant, others)| *variant == code || others.contains(&code))
    };
    known(code)
        || code.split_once('-').is_some_and(|(language, script)| {
            (2..=3).contains(&language.len())
                && (2..=4).contains(&script.len())
                && code
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte == b'-')
        })
}

/// Pairs of variant and text. `from=>variant:text` gives the text too. Empty if `rules` is plain text.
fn texts(rules: &str) -> Vec<(String, &str)> {
    let mut texts: Vec<(String, &str)> = Vec::new();
    // A semicolon ends a text only before another variant: texts hold character references.
    let mut from = 0;
    let mut starts = vec![0];
    starts.extend(rules.match_indices(';').map(|(at, _)| at + 1));
    let rule = |start: usize| {
        let rest = &rules[start..];
        // A long prefix is text, which is not searched again for every semicolon.
        let colon = rest.bytes().take(120).position(|byte| byte == b':')?;
        let before = &rest[..colon];
        let code = before.rsplit("=>").next().unwrap_or(before).trim();
        let code = code.to_lowercase();
        is_code(&code).then_some((code, start + colon + 1))
    };
    for start in starts {
        if let Some((code, text)) = rule(start) {
            if let Some(open) = texts.last_mut() {
                open.1 = rules[from..start - 1].trim();
            } else if !rules[..start].trim_matches(['\n', ' ', ';']).is_empty() {
                return Vec::new();
            }
            texts.push((code, ""));
            from = text;
        }
    }
    if let Some(open) = texts.last_mut() {
        open.1 = rules[from..].trim().trim_end_matches(';').trim_end();
    }
    texts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_variant_is_chosen() {
        let rules = "zh-hans:计算机; zh-hant:電腦;zh-hk:電子計算機;";
        for (language, variant, expected) in [
            ("zh", "", "计算机"),
            ("zh", "zh-tw", "電腦"),
            ("zh", "zh-hk", "電子計算機"),
            ("zh", "zh-cn", "计算机"),
            ("en", "", "计算机"),
            ("", "zh-hant", "電腦"),
        ] {
            let site = Site::new(language, variant);
            assert_eq!(choose(rules, &site), expected, "{language} {variant}");
        }
        let site = Site::new("zh", "");
        let gap = GAP.to_string();
        for (contents, expected) in [
            ("H|zh-cn:博客;zh-tw:部落格;", gap.as_str()),
            ("T|zh-cn:博客;zh-tw:部落格;", gap.as_str()),
            ("A|zh-cn:博客;zh-tw:部落格;", "博客"),
            ("R|原样", "原样"),
            ("原样: 一", "原样: 一"),
            ("zh-hans;zh-hant|原样", "原样"),
            ("巨集=>zh-cn:宏;", "宏"),
            ("zh-cn:A&amp;B;zh-tw:C", "A&amp;B"),
            ("", ""),
        ] {
            assert_eq!(choose(contents, &site), expected, "{contents}");
        }
        let serbian = Site::new("sr", "sr-el");
        assert_eq!(choose("sr-ec:Београд; sr-el:Beograd", &serbian), "Beograd");
        assert_eq!(choose("x, y", &Site::new("en", "")), "-{x, y}-");
    }
}
