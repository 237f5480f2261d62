//! Which pages of a dump become text, and what the dump says about its own names.

use std::collections::BTreeMap;

use learned_dropout_data::progress::Silent;
use learned_dropout_data::sources::{
    LeftOut, ReadOptions, Reason, Source, SourceError, read_documents,
};

use crate::support::write;

fn page(title: &str, fields: &str, text: &str) -> String {
    format!("<page><title>{title}</title>{fields}<revision>{text}</revision></page>")
}

fn text(text: &str) -> String {
    format!("<text>{text}</text>")
}

fn read_dump(dump: &str, variant: &str) -> (Vec<String>, LeftOut) {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = write(folder.path(), "dump.xml", dump.as_bytes());
    let options = ReadOptions {
        threads: 2,
        language_variant: variant.to_owned(),
        ..ReadOptions::default()
    };
    let mut texts = Vec::new();
    let (_, left_out) = read_documents(&[Source::Path(path)], &options, &Silent, &mut |document| {
        texts.push(document.text);
        Ok::<(), SourceError>(())
    })
    .expect("the dump is good");
    (texts, left_out)
}

#[test]
fn what_is_no_article_is_passed_over_and_counted() {
    let pages = [
        page(
            "Q7",
            "<ns>0</ns>",
            "<model>wikibase-item</model><format>application/json</format><text>{}</text>",
        ),
        page(
            "Common.css",
            "<ns>0</ns>",
            "<model>css</model><text>a {}</text>",
        ),
        page(
            "Sea",
            "<ns>0</ns>",
            "<model>wikitext</model><text>The '''sea'''. {{lost}} tides {{lost}}</text>",
        ),
        page("Old", "<ns>0</ns>", &text("#REDIRECT [[Sea]]")),
        page("Newer", "<ns>0</ns><redirect title=\"Sea\"/>", &text("x")),
        page("Talk:Sea", "<ns>1</ns>", &text("Talk.")),
        page("Nothing", "<ns>0</ns>", &text("{{box}}")),
        page("Empty", "<ns>0</ns>", "<text/>"),
    ];
    let dump = format!("<mediawiki xml:lang=\"en\">{}</mediawiki>", pages.concat());
    let (texts, left_out) = read_dump(&dump, "");
    assert_eq!(texts, ["Sea\n\nThe sea. tides\n"]);
    assert_eq!(
        left_out.counts(),
        BTreeMap::from([
            (Reason::OtherContentModel, 2),
            (Reason::Redirect, 2),
            (Reason::OtherNamespace, 1),
            (Reason::NoText, 2),
        ])
    );
    assert_eq!(
        left_out.reasons[&Reason::OtherContentModel].examples,
        ["Q7", "Common.css"]
    );
    assert_eq!(left_out.most_frequent_templates(), [("lost", 1)]);
}

#[test]
fn pages_without_a_namespace_are_told_by_their_titles() {
    let named = "<siteinfo><namespaces><namespace key=\"0\" /><namespace key=\"102\">Projekt X\
        </namespace><namespace key=\"6\">Kép</namespace></namespaces></siteinfo>";
    let pages = |titles: [&str; 6]| {
        titles
            .iter()
            .map(|title| page(title, "", &text("Text.")))
            .collect::<String>()
    };
    let titles = [
        "Erde",
        "2001: A Space Odyssey",
        "Diskussion:Erde",
        "Benutzer:A",
        "Vorlage:B",
        "Projekt X:C",
    ];
    let dump = format!(
        "<mediawiki xml:lang=\"de\">{named}{}</mediawiki>",
        pages(titles)
    );
    let (texts, left_out) = read_dump(&dump, "");
    assert_eq!(
        texts,
        ["Erde\n\nText.\n", "2001: A Space Odyssey\n\nText.\n"]
    );
    assert_eq!(left_out.counts()[&Reason::OtherNamespace], 4);
    // Without <siteinfo>, the names of the dump's language hold.
    let dump = format!("<mediawiki xml:lang=\"de\">{}</mediawiki>", pages(titles));
    assert_eq!(read_dump(&dump, "").0.len(), 3);
}

#[test]
fn the_last_revision_counts() {
    let revisions = "<model>wikitext</model><text>old</text></revision><revision><text>new</text>";
    let dump = format!(
        "<mediawiki>{}</mediawiki>",
        page("A", "<ns>0</ns>", revisions)
    );
    assert_eq!(read_dump(&dump, "").0, ["A\n\nnew\n"]);
    let gone = "<text>old</text></revision><revision><text deleted=\"deleted\" />";
    let dump = format!(
        "<mediawiki>{}</mediawiki>",
        page("A", "<ns>0</ns>", gone) + &page("B", "<ns>0</ns>", &text("b"))
    );
    assert_eq!(read_dump(&dump, "").0, ["B\n\nb\n"]);
}

#[test]
fn revisions_may_stand_in_any_order() {
    let revision = |year: u32, text: &str| {
        format!("<timestamp>{year}-05-01T00:00:00Z</timestamp><text>{text}</text>")
    };
    for (first, second) in [(2004, 2024), (2024, 2004)] {
        let both = [
            revision(first, &first.to_string()),
            revision(second, &second.to_string()),
        ]
        .join("</revision><revision>");
        let dump = format!("<mediawiki>{}</mediawiki>", page("A", "<ns>0</ns>", &both));
        assert_eq!(read_dump(&dump, "").0, ["A\n\n2024\n"]);
    }
}

#[test]
fn a_document_type_may_declare_entities() {
    let start = "<?xml version=\"1.0\"?>\n<!DOCTYPE mediawiki [<!ENTITY x \"y\">]>\n";
    let dump = format!(
        "{start}<mediawiki>{}</mediawiki>",
        page("A", "<ns>0</ns>", &text("a"))
    );
    assert_eq!(read_dump(&dump, "").0, ["A\n\na\n"]);
}

#[test]
fn the_language_variant_is_an_option() {
    let rules = "-{zh-hans:计算机;zh-hant:電腦}-";
    let dump = format!(
        "<mediawiki xml:lang=\"zh\">{}</mediawiki>",
        page("A", "<ns>0</ns>", &text(rules))
    );
    assert_eq!(read_dump(&dump, "").0, ["A\n\n计算机\n"]);
    assert_eq!(read_dump(&dump, "zh-tw").0, ["A\n\n電腦\n"]);
}

#[test]
fn very_many_attributes_take_linear_time() {
    let attributes: String = (0..60_000)
        .map(|number| format!(" a{number}=\"\""))
        .collect();
    let dump = format!(
        "<mediawiki{attributes} xml:lang=\"de\">{}</mediawiki>",
        page("Vorlage:A", "", &text("a")) + &page("B", "", &text("b"))
    );
    let start = std::time::Instant::now();
    assert_eq!(read_dump(&dump, "").0, ["B\n\nb\n"]);
    assert!(start.elapsed() < std::time::Duration::from_secs(10));
}
