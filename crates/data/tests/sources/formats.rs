//! What is read as what: names, contents, and where they differ.

use learned_dropout_data::sources::{FileFormat, ReadOptions, Reason};
use parquet::basic::Compression;

use crate::support::*;

const LINES: &str = "{\"id\":1,\"text\":\"one\"}\n{\"id\":2,\"text\":\"two\"}\n";
const ARRAY: &str = "[{\"id\":1,\"text\":\"one\"},\n {\"id\":2,\"text\":\"two\"}]\n";
const PRETTY: &str =
    "[\n  {\n    \"id\": 1,\n    \"text\": \"one\"\n  },\n  {\n    \"text\": \"two\"\n  }\n]\n";
const OBJECTS: &str = "{\n  \"text\": \"one\"\n}\n{\n  \"text\": \"two\"\n}\n";

#[test]
fn json_is_recognized_by_its_content() {
    let folder = tempfile::tempdir().expect("temporary folder");
    for (name, content) in [
        ("a.json", LINES),
        ("b.json", ARRAY),
        ("c.json", PRETTY),
        ("d.json", OBJECTS),
        ("part-00000", LINES),
        ("part-00001", PRETTY),
        ("e.data", LINES),
        ("f.jsonl", LINES),
        (
            "g.ndjson",
            "\u{FEFF}{\"text\": \"one\"}\r\n\r\n{\"text\": \"two\"}\r\n",
        ),
        (
            "h.json",
            "\u{FEFF}[{\"text\": \"one\"}, {\"text\": \"two\"}]",
        ),
    ] {
        for (ending, packed) in [
            ("", content.as_bytes().to_vec()),
            (".gz", gzip(content.as_bytes())),
            (".zst", zstd(content.as_bytes())),
        ] {
            let path = write(folder.path(), &format!("{name}{ending}"), &packed);
            assert_eq!(texts(&path), ["one", "two"], "{name}{ending}");
        }
        // Under a lying name, too.
        let path = write(folder.path(), &format!("{name}.bz2"), content.as_bytes());
        assert_eq!(texts(&path), ["one", "two"], "{name}.bz2");
    }
    // One line that is longer than what is looked at.
    let long = "x".repeat(200_000);
    let path = write(
        folder.path(),
        "long.json",
        format!("{{\"text\":\"{long}\"}}\n{{\"text\":\"two\"}}\n").as_bytes(),
    );
    assert_eq!(texts(&path), [long.as_str(), "two"]);
}

#[test]
fn dumps_are_recognized_by_their_content() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let declared = format!("\u{FEFF}<?xml version=\"1.0\"?>\n<!-- a > b -->\n{DUMP}");
    for name in [
        "enwiki-20240401-pages-articles-multistream1.xml-p1p41242",
        "enwiki-20240401-pages-meta-current27.xml-p70000000p71000000",
        "dump.xml.1",
        "dump",
        "dump.data",
    ] {
        for content in [DUMP, &declared] {
            let path = write(folder.path(), name, content.as_bytes());
            assert_eq!(texts(&path), DUMP_TEXTS, "{name}");
            let path = write(
                folder.path(),
                &format!("{name}.bz2"),
                &bzip2(content.as_bytes()),
            );
            assert_eq!(texts(&path), DUMP_TEXTS, "{name}.bz2");
            // Downloaded twice, or unpacked by the browser.
            let path = write(
                folder.path(),
                &format!("{name}.bz2.1"),
                &bzip2(content.as_bytes()),
            );
            assert_eq!(texts(&path), DUMP_TEXTS, "{name}.bz2.1");
            let path = write(folder.path(), &format!("{name}.gz"), content.as_bytes());
            assert_eq!(texts(&path), DUMP_TEXTS, "{name}.gz");
        }
    }
}

#[test]
fn parquet_is_recognized_by_its_content() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let rows = parquet(&[Some("one"), Some("two")], Compression::SNAPPY);
    for name in ["rows", "rows.parquet", "0000"] {
        assert_eq!(texts(&write(folder.path(), name, &rows)), ["one", "two"]);
    }
    assert!(message(&write(folder.path(), "rows.txt", &rows)).contains("--format"));
    assert!(message(&write(folder.path(), "text.parquet", b"text")).contains("--format"));
}

#[test]
fn ordinary_text_needs_no_question() {
    let folder = tempfile::tempdir().expect("temporary folder");
    for (name, content) in [
        ("a.txt", "Text."),
        ("b.txt", "<Alice> Hello!\n<Bob> Hello.\n"),
        ("c.txt", "[1] A footnote.\n"),
        ("d.txt", "{curly} braces\n"),
        ("e.txt", "[\"Stop!\" she said.]\n"),
        ("f.txt", "BZh is no word.\n"),
        ("g.md", "<div align=\"center\">\n<b>Title</b>\n</div>\n"),
        ("h.md", "<!-- comment -->\n# Title\n"),
        ("i.html", "<!DOCTYPE html>\n<html><body>Text</body></html>"),
        (
            "j.html",
            "<?xml version=\"1.0\"?>\n<html xmlns=\"http://www.w3.org/1999/xhtml\"></html>",
        ),
        ("k.toml", "[section]\nkey = 1\n"),
        ("l.ini", "[\"a\"]\nkey = 1\n"),
        ("m.py", "{\"a\": 1}\n"),
        ("n.yaml", "{a: 1, b: [x]}\n"),
        ("o.js", "[1, 2].map(x => x)\n"),
        ("p.csv", "\"a\",\"b\"\n1,2\n"),
        ("q.vue", "<template>\n  <p/>\n</template>\n"),
        ("r.php", "<?php echo 1; ?>\n"),
        ("s.rs", "{\n    let x = 1;\n}\n"),
        ("t.sql", "SELECT 1;\n"),
        ("u.tex", "{\\bf Text}\n"),
        ("corpus.pt", "Texto.\n"),
        ("corpus.so", "Qoraal.\n"),
        ("README", "Text.\n"),
        ("notes.2024", "Text.\n"),
        ("log", "[2024-01-01 00:00] started\n"),
        ("fortune", "<<< 1 >>>\n"),
        ("empty-object", "{}\n"),
    ] {
        let path = write(folder.path(), name, content.as_bytes());
        assert_eq!(texts(&path), [content], "{name}");
        let packed = write(
            folder.path(),
            &format!("{name}.gz"),
            &gzip(content.as_bytes()),
        );
        assert_eq!(texts(&packed), [content], "{name}.gz");
    }
}

#[test]
fn what_is_not_clear_is_refused() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n";
    let cases: [(&str, &[u8], &[&str]); 46] = [
        (
            "a.xml",
            b"<?xml version=\"1.0\"?>\n<project></project>",
            &["<project>", "<mediawiki>"],
        ),
        ("b.xml-p1p2", b"text", &["Wikipedia dump"]),
        (
            "c.txt",
            DUMP.as_bytes(),
            &["plain text", "a Wikipedia dump"],
        ),
        ("d.md", DUMP.as_bytes(), &["a Wikipedia dump"]),
        ("e.txt", LINES.as_bytes(), &["plain text", "JSON lines"]),
        ("f.txt", PRETTY.as_bytes(), &["a JSON array"]),
        ("g.txt", b"{\n \"a\": 1\n}", &["JSON"]),
        ("h.json", b"Text.", &["says JSON"]),
        ("i.json", b"[\"one\", \"two\"]", &["JSON without objects"]),
        ("j", b"[\"one\", \"two\"]", &["JSON without objects"]),
        (
            "k",
            b"<doc id=\"1\" title=\"x\">\nText\n</doc>\n",
            &["<doc>"],
        ),
        ("l.svg", b"<svg xmlns=\"x\"><g/></svg>", &["<svg>"]),
        ("m.rss", b"<?xml version=\"1.0\"?><rss></rss>", &["<rss>"]),
        ("n", b"<!doctype html><html></html>", &["HTML"]),
        ("o.txt", b"<html><body></body></html>", &["HTML"]),
        ("p.sql", b"-- MySQL dump 10.19\n--\n", &["database"]),
        (
            "q.sql.gz",
            &gzip(b"-- MySQL dump 10.19\n--\n"),
            &["database"],
        ),
        ("r.txt.gz", b"Plain text.", &["gzip", "not compressed"]),
        ("s.gz", b"Plain text.", &["gzip", "not compressed"]),
        (
            "t.jsonl",
            PRETTY.as_bytes(),
            &["JSON lines", "a JSON array"],
        ),
        (
            "u.jsonl",
            DUMP.as_bytes(),
            &["JSON lines", "a Wikipedia dump"],
        ),
        ("v.py", LINES.as_bytes(), &["JSON lines"]),
        ("w.pdf", b"%PDF-1.7\n%text", &["PDF"]),
        ("x.txt", b"%PDF-1.7\n%text", &["PDF"]),
        ("y.docx", b"PK\x03\x04abc", &["ZIP"]),
        ("z.txt", b"\xFF\xFEa\0b\0", &["UTF-16", "iconv"]),
        ("A.txt", b"\xFE\xFF\0a\0b", &["UTF-16"]),
        ("P.txt", b"\xFF\xFE\0\0a\0\0\0", &["iconv -f UTF-32"]),
        ("Q.txt", b"\0\0\xFE\xFF\0\0\0a", &["iconv -f UTF-32"]),
        ("R.json", b"[]", &["says JSON", "JSON without objects"]),
        ("S.json", b"{}\n", &["says JSON", "JSON without objects"]),
        ("T.json", b"\"a\"", &["says JSON", "JSON without objects"]),
        ("B.txt", b"a\0b\0", &["byte 1 is zero", "UTF-16"]),
        ("C.txt.xz", b"\xFD7zXZ\0\0", &["xz -d"]),
        ("D.txt.gz", &gzip(&gzip(b"text")), &["twice"]),
        ("E.rtf", b"{\\rtf1 text}", &["RTF"]),
        ("F.xz", b"just words", &["compressed data", "plain text"]),
        ("G.zip", b"just words", &["an archive", "plain text"]),
        (
            "H.tar.gz",
            &gzip(b"just words"),
            &["an archive", "plain text"],
        ),
        ("I.docx", LINES.as_bytes(), &["a document", "JSON lines"]),
        ("J.npy", b"just words", &["arrays", "plain text"]),
        ("K.png", b"<html></html>", &["an image", "HTML"]),
        ("L.txt", pointer, &["Git LFS", "`git lfs pull`"]),
        ("M.zip", pointer, &["Git LFS", "`git lfs pull`"]),
        ("N.jsonl", pointer, &["Git LFS", "`git lfs pull`"]),
        ("O.parquet", pointer, &["Git LFS", "`git lfs pull`"]),
    ];
    for (name, content, parts) in cases {
        let path = write(folder.path(), name, content);
        let message = message(&path);
        for part in [&[name], parts].concat() {
            assert!(message.contains(part), "{name}: {part}: {message}");
        }
        let is_unclear = message.contains("its name says");
        assert_eq!(is_unclear, message.contains("--format"), "{message}");
    }
    // A key that is missing is named with those that are there.
    let path = write(folder.path(), "package.json", b"{\n  \"name\": \"x\"\n}\n");
    let message = message(&path);
    assert!(
        message.contains("package.json:1: no text column 'text'; the keys are: name; ")
            && message.contains("--text-column"),
        "{message}"
    );
}

#[test]
fn a_chosen_format_is_obeyed() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let read = |name: &str, content: &[u8], format| {
        let path = write(folder.path(), name, content);
        texts_and_left_out(&path, &in_format(format)).0
    };
    for (name, content) in [
        ("a.json", LINES),
        ("b.xml", "<project></project>"),
        ("c", "<doc>\ntext\n</doc>"),
        ("d.txt.gz", "text"),
        ("e.txt", "%PDF- is a mark"),
        ("f.txt", DUMP),
    ] {
        assert_eq!(
            read(name, content.as_bytes(), FileFormat::Text),
            [content],
            "{name}"
        );
    }
    assert_eq!(
        read("a.txt", LINES.as_bytes(), FileFormat::JsonLines),
        ["one", "two"]
    );
    assert_eq!(
        read("a.txt", PRETTY.as_bytes(), FileFormat::Json),
        ["one", "two"]
    );
    assert_eq!(
        read("a.txt", LINES.as_bytes(), FileFormat::Json),
        ["one", "two"]
    );
    assert_eq!(
        read("a.txt", DUMP.as_bytes(), FileFormat::Wikipedia),
        DUMP_TEXTS
    );
    let rows = parquet(&[Some("one")], Compression::SNAPPY);
    assert_eq!(read("a.txt", &rows, FileFormat::Parquet), ["one"]);
    for (content, format, part) in [
        (&b"a\0b"[..], FileFormat::Text, "binary"),
        (b"\xFF\xFEa\0", FileFormat::Text, "UTF-16"),
        (b"text", FileFormat::JsonLines, "a.txt:1"),
        (b"text", FileFormat::Json, "a.txt:1"),
        (b"text", FileFormat::Parquet, "row 1"),
        (b"text", FileFormat::Wikipedia, "malformed"),
    ] {
        let path = write(folder.path(), "a.txt", content);
        let message = read_with(&path, &in_format(format))
            .expect_err("wrong")
            .to_string();
        assert!(message.contains(part), "{format:?}: {message}");
    }
}

#[test]
fn folders_leave_out_what_is_not_text() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let root = folder.path();
    for (name, content) in [
        ("a.json", LINES.as_bytes()),
        ("b/package.json", b"{\n  \"name\": \"x\"\n}\n"),
        ("b/list.json", b"[1, 2]"),
        ("b/pom.xml", b"<?xml version=\"1.0\"?>\n<project></project>"),
        ("b/image.svg", b"<svg xmlns=\"x\"><g/></svg>"),
        ("b/page.html", b"<html></html>"),
        ("b/main.rs", b"fn main() {}"),
        ("b/notebook.ipynb", b"{\n \"cells\": []\n}\n"),
        ("b/manual.pdf", b"%PDF-1.7 text"),
        ("b/latin.txt", b"caf\xE9 ole"),
        ("b/empty.txt", b""),
        ("b/empty.txt.gz", &gzip(b"")),
        ("c.xml", DUMP.as_bytes()),
    ] {
        write(root, name, content);
    }
    let (texts, left_out) = texts_and_left_out(root, &ReadOptions::default());
    let expected = ["one", "two", "fn main() {}", "<html></html>"];
    assert_eq!(texts, [&expected[..], &DUMP_TEXTS].concat());
    let named = |reason| {
        let names = examples(&left_out, reason).iter().map(|example| {
            let path = example.split(": ").next().expect("a path");
            path.rsplit('/').next().expect("a name").to_owned()
        });
        names.collect::<Vec<String>>()
    };
    assert_eq!(
        named(Reason::OtherFormat),
        [
            "image.svg",
            "list.json",
            "notebook.ipynb",
            "package.json",
            "pom.xml"
        ]
    );
    assert_eq!(
        named(Reason::FileWithoutText),
        ["empty.txt", "empty.txt.gz", "latin.txt", "manual.pdf"]
    );
    // As text, everything that is no binary file is read.
    let (texts, left_out) = texts_and_left_out(root, &in_format(FileFormat::Text));
    assert_eq!(texts.len(), 9 + 1);
    assert!(texts.contains(&LINES.to_owned()) && texts.contains(&DUMP.to_owned()));
    assert_eq!(examples(&left_out, Reason::OtherFormat).len(), 0);

    // What is named as records has to hold them.
    write(root, "d.jsonl", b"{\"body\": \"x\"}\n");
    assert!(message(root).contains("d.jsonl:1"));
    // With nothing left, the message says what was there.
    let only = tempfile::tempdir().expect("temporary folder");
    write(only.path(), "package.json", b"{\n  \"name\": \"x\"\n}\n");
    assert!(message(only.path()).contains("package.json"));
}

#[test]
fn folders_name_what_is_missing() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let root = folder.path();
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n";
    write(root, "a.txt", pointer);
    write(root, "b.zip", pointer);
    write(root, "c.zip", b"just words");
    // What only speaks of a pointer is text.
    let about = "version https://git-lfs.github.com/spec/v1 is the first line.\n";
    write(root, "d.txt", about.as_bytes());
    for format in [FileFormat::Auto, FileFormat::Text] {
        let (texts, left_out) = texts_and_left_out(root, &in_format(format));
        let more = usize::from(format == FileFormat::Text);
        assert_eq!(texts.len(), 1 + more, "{texts:?}");
        assert!(texts.contains(&about.to_owned()));
        let pointers = examples(&left_out, Reason::NotFetched);
        assert!(pointers[0].contains("a.txt") && pointers[1].contains("b.zip"));
        assert_eq!(pointers.len(), 2);
        let others = examples(&left_out, Reason::OtherFormat);
        assert_eq!(others.len(), 1 - more, "{others:?}");
    }
    // Whoever names records so means them.
    write(root, "e.jsonl", pointer);
    assert!(message(root).contains("`git lfs pull`"));
}

#[cfg(unix)]
#[test]
fn folders_name_broken_links() {
    use std::os::unix::fs::symlink;
    let folder = tempfile::tempdir().expect("temporary folder");
    let root = folder.path();
    symlink("/nowhere/unmounted", root.join("corpus")).expect("a link");
    symlink("nowhere", root.join("missing.txt")).expect("a link");
    symlink("nowhere", root.join(".hidden")).expect("a link");
    // A folder with nothing else has no text, and says why.
    assert!(
        message(root).contains("2 broken links"),
        "{}",
        message(root)
    );
    write(root, "z.txt", b"text");
    symlink("z.txt", root.join("good.txt")).expect("a link");
    symlink(".", root.join("again")).expect("a link");
    let (texts, left_out) = texts_and_left_out(root, &ReadOptions::default());
    assert_eq!(texts, ["text", "text"]);
    let found = examples(&left_out, Reason::BrokenLink);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(
        found[0].contains("corpus to /nowhere/unmounted: "),
        "{found:?}"
    );
    assert!(found[1].contains("missing.txt to nowhere: "), "{found:?}");
}

#[test]
fn folders_leave_out_the_companions_of_dumps() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let root = folder.path();
    let dump = bzip2(DUMP.as_bytes());
    write(
        root,
        "enwiki-20240401-pages-articles-multistream.xml.bz2",
        &dump,
    );
    let index = "enwiki-20240401-pages-articles-multistream-index.txt.bz2";
    let index = write(root, index, &bzip2(b"568:10:AccessibleComputing\n"));
    write(
        root,
        "md5sums.txt",
        b"0123456789abcdef0123456789abcdef  a.xml\n",
    );
    let (texts, left_out) = texts_and_left_out(root, &ReadOptions::default());
    assert_eq!(texts, DUMP_TEXTS);
    let found = examples(&left_out, Reason::OtherFormat);
    assert_eq!(found.len(), 2);
    assert!(found[0].ends_with("-multistream-index.txt.bz2: the index of a dump"));
    assert!(found[1].ends_with("md5sums.txt: a list of checksums"));
    // Named directly or asked for, they are text.
    assert_eq!(
        texts_and_left_out(&index, &ReadOptions::default()).0.len(),
        1
    );
    assert_eq!(
        texts_and_left_out(root, &in_format(FileFormat::Text))
            .0
            .len(),
        3
    );
}
