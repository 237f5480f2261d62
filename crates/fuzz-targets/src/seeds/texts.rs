//! Seeds of text files.

use std::io::Write;

use super::tables;
use crate::text_file::NAMES;
use crate::wikitext::dump;

const WIKITEXT: [&str; 14] = [
    "The '''Sun''' is a [[star]].<ref name=\"a\">b</ref>\n\nIt shines on [[Earth|the ''Earth'']].\n",
    "== Heading ==\ntext\n=== See also ===\n* [[a]]\n== References ==\n{{reflist}}\n",
    "It is {{convert|5|km|mi|abbr=on}} long, {{lang|de|Haus}} and {{nowrap|3&nbsp;m}}.\n",
    "{| class=\"wikitable\"\n|-\n! a !! b\n|-\n| 1 || 2\n{|\n| nested\n|}\n|}\nafter",
    "{{Infobox|a={{b|{{c}}}}|d=[[e|{{f}}]]}}text <!-- comment --> more<nowiki>[[x]] {{y}}</nowiki>",
    "[[File:a.jpg|thumb|A [[caption]] with {{template}}]] [[Category:x]] [[:de:y]] [http://a.b c d] http://e.f",
    "* one\n** two\n*# three\n: four\n:; five : six\n----\n pre formatted\n  line\n",
    "a&nbsp;b&#233;&#x1F600;&lt;&amp;amp;&unknown; &#xD800; &#99999999;",
    "<math>x^2</math> <gallery>\nFile:a|b\n</gallery> H<sub>2</sub>O <br/> <div style='a'>b</div> <b",
    "__NOTOC__ __TOC__ ~~~~ '''''both''' one'' ''''four''''",
    "{{{1|default}}} {{#if:x|y|z}} {{PAGENAME}} {{a|b=c|1=d|e}} {{{{{1}}}}} {{[[}}]]",
    "[[a|b|c]] [[|d]] [[e|]] [[#f|g]] [[h]]s ]] [[ }} {{ |} {|",
    "#REDIRECT [[x]]",
    "({{IPA|/a/}}; , ) text ( , ) « {{a}} » .",
];

/// Pages with every kind of markup.
pub(crate) fn wikitext() -> Vec<Vec<u8>> {
    let deep =
        ["{{", "[[", "<ref>", "''", "\n*", "{|\n|", "<div>"].map(|open| open.repeat(200) + "text");
    let short = WIKITEXT.iter().map(|&text| text.to_owned());
    short.chain(deep).map(String::into_bytes).collect()
}

const DUMP: &str = r#"<?xml version="1.0"?><!DOCTYPE x [ <!ENTITY a "b"> ]>
<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.10/" version="0.10" xml:lang="en">
  <siteinfo><sitename>Wikipedia</sitename><namespaces><namespace key="0" case="first-letter" /></namespaces></siteinfo>
  <page><title>Moved</title><ns>0</ns><id>1</id><redirect title="Sun" />
    <revision><id>2</id><text xml:space="preserve">#REDIRECT [[Sun]]</text></revision></page>
  <page><title>Sun &amp; Moon</title><ns>0</ns><id>3</id>
    <revision><id>4</id><model>wikitext</model><format>text/x-wiki</format><text bytes="3" xml:space="preserve">The '''Sun''' is a [[star]].&lt;ref&gt;a&lt;/ref&gt;</text></revision>
    <revision><text><![CDATA[ It &shines; ]]></text></revision></page>
  <page><title>Talk:Sun</title><ns>1</ns><id>5</id><revision><text>Talk.</text></revision></page>
  <page><title>Module:A</title><ns>828</ns><revision><model>Scribunto</model><text>return {}</text></revision></page>
  <page><title>&#x5d0;</title><ns>0</ns><revision><text>a&#65;<!-- b -->c<?d e?>f</text></revision></page>
</mediawiki>
"#;

/// Dumps, whole and cut off.
pub(crate) fn wikipedia_dump() -> Vec<Vec<u8>> {
    let half = &DUMP[..DUMP.len() / 2];
    let page = dump("A '''text'''.");
    [
        DUMP,
        half,
        &page,
        "<mediawiki/>",
        "\u{feff}<mediawiki></mediawiki>",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

const LINES: [&str; 8] = [
    "{\"text\": \"one\"}\n{\"id\": 2, \"text\": \"two\"}\n",
    "\u{feff}{\"text\": \"a\\nb\\u00e9\\ud83d\\ude00\"}\r\n\r\n{\"text\": null}",
    "{\"text\": \"\\ud800\"}\n{\"text\": \"\\udc00\\ud800\"}\n",
    "{\"meta\": {\"text\": [1, 2.5e-3, true, {}]}, \"text\": \"x\", \"text\": \"y\"}",
    "[{\"text\": \"a\"}, {\"text\": \"b\"}]",
    "[\n  {\"text\": \"a\"},\n  {\"text\": \"b\", \"n\": [[]]}\n]\n",
    "{\n  \"text\": \"over\",\n  \"more\": \"lines\"\n}\n{\n \"text\": \"again\"}\n",
    "{\"body\": \"no text\"}\n",
];

/// JSON lines and other JSON.
pub(crate) fn json_lines() -> Vec<Vec<u8>> {
    let deep = format!("{{\"a\": {}, \"text\": \"b\"}}", "[".repeat(300));
    let wide = format!(
        "{{\"a\": {}1{}, \"text\": \"b\"}}",
        "[".repeat(300),
        "]".repeat(300)
    );
    let lines = LINES.iter().map(|&text| text.to_owned());
    lines.chain([deep, wide]).map(String::into_bytes).collect()
}

/// A file under each of [`NAMES`].
pub(crate) fn text_file() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (choice, name) in (0_u8..).zip(NAMES) {
        let contents = match name.split('.').nth(1) {
            Some("xml") => DUMP.as_bytes().to_vec(),
            Some("jsonl") => LINES[0].into(),
            Some("json") => LINES[4].into(),
            Some("parquet") => tables::parquet().swap_remove(0),
            _ => "One line.\n\nNaïve 🦀 text\twith everything.\r\n".into(),
        };
        let compressed = match name.rsplit('.').next() {
            Some("bz2") => bzip2(&contents),
            Some("gz") => gzip(&contents),
            Some("zst") => zstd::stream::encode_all(&*contents, 3).expect("memory can be written"),
            _ => contents,
        };
        seeds.push([&[choice][..], &compressed].concat());
    }
    // Two streams, and something that is none behind one.
    let gz = (0_u8..)
        .zip(NAMES)
        .find(|(_, name)| name.ends_with("txt.gz"));
    let (choice, _) = gz.expect("a name with .gz");
    seeds.push([&[choice][..], &gzip(b"one "), &gzip(b"two")].concat());
    seeds.push([&[choice][..], &gzip(b"one "), b"two"].concat());
    seeds
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).expect("memory can be written");
    encoder.finish().expect("memory can be written")
}

fn bzip2(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::best());
    encoder.write_all(bytes).expect("memory can be written");
    encoder.finish().expect("memory can be written")
}
