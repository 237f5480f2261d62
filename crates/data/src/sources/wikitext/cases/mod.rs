//! Short pages in many languages with the text that a reader sees.

mod english;
mod languages;
mod reports;

use super::{Site, body};

/// Language (with a variant after a slash), wikitext, text.
type Case = (&'static str, &'static str, &'static str);

#[test]
fn pages_give_the_text_that_a_reader_sees() {
    let mut wrong = Vec::new();
    let cases = [english::CASES, languages::CASES, reports::CASES].concat();
    for (language, wikitext, expected) in cases {
        let (language, variant) = language.split_once('/').unwrap_or((language, ""));
        let (text, _) = body(&Site::new(language, variant), "T", wikitext);
        if text != expected {
            wrong.push(format!(
                "{language}: {wikitext:?}\n  gives {text:?}\n  not   {expected:?}"
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} pages:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn templates_within_sentences_are_counted_by_name() {
    let lost = |wikitext| body(&Site::new("en", ""), "T", wikitext).1;
    assert_eq!(
        lost("A {{Some thing|x}} b {{other}}, {{some_thing}}."),
        ["some thing", "other", "some thing"]
    );
    // A template on its own line, or after a sentence, holds no words of it.
    assert_eq!(
        lost("{{Box\n|a=b}}\nA sentence.{{note x}}\n\n{{box}}"),
        [""; 0]
    );
    // What a dropped template holds is part of that template.
    assert_eq!(
        lost("{{box|{{inner}}}}\n\n(a {{cite web|{{inner}}}})"),
        [""; 0]
    );
}
