//! Words that a fuzzer inserts, so that it does not have to find them letter by letter.

use std::collections::BTreeSet;

use training::config::RunConfig;
use training::experiments::Experiment;

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

/// No words: the seeds have all that there are.
pub(crate) fn none() -> Vec<String> {
    Vec::new()
}

pub(crate) fn wikitext() -> Vec<String> {
    owned(&[
        "{{",
        "}}",
        "[[",
        "]]",
        "{|",
        "|}",
        "|-",
        "|+",
        "!!",
        "{{{",
        "}}}",
        "''",
        "'''",
        "==",
        "----",
        "<!--",
        "-->",
        "<ref>",
        "<ref name=\"a\"/>",
        "</ref>",
        "<nowiki>",
        "</nowiki>",
        "<nowiki/>",
        "<math>",
        "</math>",
        "<pre>",
        "</pre>",
        "<gallery>",
        "</gallery>",
        "<br/>",
        "<div>",
        "</div>",
        "<code>",
        "<poem>",
        "<includeonly>",
        "<noinclude>",
        "<onlyinclude>",
        "&nbsp;",
        "&amp;",
        "&#233;",
        "&#x10FFFF;",
        "\n*",
        "\n#",
        "\n:",
        "\n;",
        "\n ",
        "__NOTOC__",
        "File:",
        "Category:",
        "#if:",
        "#switch:",
        "convert|",
        "lang|",
        "IPA|",
        "nowrap|",
        "http://",
        "https://",
        "~~~~",
        "{{!}}",
        "{{=}}",
    ])
}

pub(crate) fn wikipedia_dump() -> Vec<String> {
    owned(&[
        "<mediawiki>",
        "</mediawiki>",
        "<page>",
        "</page>",
        "<title>",
        "</title>",
        "<ns>0</ns>",
        "<revision>",
        "</revision>",
        "<text>",
        "</text>",
        "<redirect title=\"a\" />",
        "<model>",
        "</model>",
        "<format>",
        "</format>",
        "<siteinfo>",
        "<![CDATA[",
        "]]>",
        "<!--",
        "-->",
        "<?xml",
        "?>",
        "<!DOCTYPE",
        "&lt;",
        "&amp;",
        "&#65;",
        "xml:lang=\"en\"",
    ])
}

pub(crate) fn json() -> Vec<String> {
    owned(&[
        "\"text\"",
        "null",
        "true",
        "1e309",
        "\\ud83d",
        "\\ude00",
        "{\"text\": \"a\"}",
        "\r\n",
        "[",
        "]",
    ])
}

pub(crate) fn tokenizer() -> Vec<String> {
    owned(&[
        "\"added_tokens\"",
        "\"merges\"",
        "\"vocab\"",
        "\"model\"",
        "\"BPE\"",
        "\"byte_fallback\"",
        "\"pre_tokenizer\"",
        "\"ByteLevel\"",
        "\"use_regex\"",
        "<|endoftext|>",
        "\"ignore_merges\"",
        "null",
        "\\u0120",
        "<0x0A>",
    ])
}

/// The keys of configurations and the kinds that they choose from.
pub(crate) fn run_config() -> Vec<String> {
    let mut words = keys(RunConfig::keys());
    words.extend(owned(&[
        "kind = ",
        "\"cosine\"",
        "\"fourier\"",
        "\"stochastic\"",
        "\"threshold\"",
        "\"sigmoid\"",
        "\"linear\"",
        "\"entropy\"",
        "\"squared\"",
        "\"dense\"",
        "\"relu\"",
        "\"mixture-of-experts\"",
        "\"relu-routed-experts\"",
        "\"hidden\"",
        "\"embedding\"",
        "\"layer-input\"",
        "\"residual\"",
        "\"feed-forward-hidden\"",
        "\"attention-heads\"",
        "1e308",
        "nan",
        "inf",
        "-1",
        "16777216",
        "9223372036854775807",
    ]));
    words
}

pub(crate) fn experiment() -> Vec<String> {
    let mut words = run_config();
    words.extend(keys(Experiment::keys()));
    words
}

/// Each key with its tables and alone.
fn keys(keys: BTreeSet<String>) -> Vec<String> {
    let last = |key: &String| key.rsplit('.').next().map(str::to_owned);
    let alone: BTreeSet<String> = keys.iter().filter_map(last).collect();
    keys.union(&alone).cloned().collect()
}
