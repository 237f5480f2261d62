//! Zero bytes, and bytes that are not UTF-8, at the start of a file and far behind it.

use learned_dropout_data::sources::{FileFormat, ReadOptions, Reason};

use crate::support::*;

#[test]
fn zero_bytes_never_become_text() {
    // Before and behind the first 64 KiB, and behind the first piece of 4 MiB.
    for (count, position) in [(3, 6), (35_000, 70_000), (2_500_000, 5_000_000)] {
        let folder = tempfile::tempdir().expect("temporary folder");
        let content = ["a ".repeat(count).into_bytes(), vec![0; 1_000]].concat();
        let expected = format!("byte {position} is zero");
        for (name, bytes) in [("a.txt", content.clone()), ("a.txt.gz", gzip(&content))] {
            let path = write(folder.path(), name, &bytes);
            let found = message(&path);
            assert!(found.contains(&expected), "{name}: {found}");
            let found = read_with(&path, &in_format(FileFormat::Text))
                .expect_err("zero bytes")
                .to_string();
            assert!(found.contains(&expected), "{name}: {found}");
            std::fs::remove_file(path).expect("remove the file");
        }
        // In a folder, a binary file is left out where its first bytes show it.
        write(folder.path(), "a.txt", &content);
        write(folder.path(), "b.txt", b"text");
        if position < 65_536 {
            let (texts, left_out) = texts_and_left_out(folder.path(), &ReadOptions::default());
            assert_eq!(texts, ["text"]);
            assert!(examples(&left_out, Reason::FileWithoutText)[0].ends_with("a.txt: binary"));
        } else {
            let found = message(folder.path());
            assert!(found.contains(&expected), "{found}");
        }
    }
    // The first fault is named. A byte order mark counts.
    let folder = tempfile::tempdir().expect("temporary folder");
    let behind = |fault: &[u8]| {
        let start = ["\u{FEFF}".as_bytes(), &[b'a'; 70_000], fault].concat();
        message(&write(folder.path(), "a.txt", &start))
    };
    assert!(behind(b"\xFF\0").contains("byte 70003 is not valid UTF-8"));
    assert!(behind(b"\0\xFF").contains("byte 70003 is zero"));
}

#[test]
fn folders_leave_out_text_that_does_not_begin_as_utf_8() {
    let folder = tempfile::tempdir().expect("temporary folder");
    write(folder.path(), "a.txt", b"text");
    let latin = |count| [vec![b'a'; count], b"\xE9".to_vec()].concat();
    write(folder.path(), "b.txt", &latin(60_000));
    let (texts, left_out) = texts_and_left_out(folder.path(), &ReadOptions::default());
    assert_eq!(texts, ["text"]);
    assert!(examples(&left_out, Reason::FileWithoutText)[0].ends_with("b.txt: not UTF-8 text"));
    write(folder.path(), "b.txt", &latin(70_000));
    assert!(message(folder.path()).contains("byte 70000 is not valid UTF-8"));
}

#[test]
fn in_json_they_are_faults_of_one_record() {
    let lines = |fault: &[u8]| {
        let good: &[u8] = b"{\"text\":\"a\"}\n";
        [good, fault, b"\n{\"text\":\"b\"}\n"].concat()
    };
    let array = b"[{\"text\":\"a\"},\n{\"text\":\"\0\"},{\"text\":\"b\"}]".to_vec();
    for (name, format, content) in [
        ("a.jsonl", FileFormat::Auto, lines(b"\0\0\0")),
        ("b.jsonl", FileFormat::JsonLines, lines(b"\0\0\0")),
        ("c.json", FileFormat::Auto, lines(b"\0\0\0")),
        ("d", FileFormat::Auto, lines(b"\0\0\0")),
        ("e.jsonl", FileFormat::Auto, lines(b"{\"text\":\"w\xF6\"}")),
        ("f.json", FileFormat::Auto, lines(b"{\"text\":\"w\xF6\"}")),
        ("g.json", FileFormat::Auto, array),
        (
            "h.txt",
            FileFormat::JsonLines,
            lines(b"{\"text\":\"\0w\xF6\"}"),
        ),
    ] {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = write(folder.path(), name, &content);
        for source in [folder.path(), &path] {
            let found = read_with(source, &in_format(format))
                .expect_err(name)
                .to_string();
            assert!(found.contains(&format!("{name}:2: ")), "{found}");
            let skip = ReadOptions {
                format,
                ..skipping()
            };
            let (texts, left_out) = texts_and_left_out(source, &skip);
            assert_eq!(texts, ["a", "b"], "{name}");
            let found = examples(&left_out, Reason::UnreadableRecord);
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].contains(&format!("{name}:2: ")), "{found:?}");
        }
    }
    // The first line, too.
    let folder = tempfile::tempdir().expect("temporary folder");
    for first in [
        &b"\0\0\n"[..],
        b"{\"text\":\"w\xF6\"}\n",
        b"{\"text\":\"\0\"}\n",
    ] {
        let content = [first, b"{\"text\":\"b\"}\n"].concat();
        write(folder.path(), "a.jsonl", &content);
        assert_eq!(texts_and_left_out(folder.path(), &skipping()).0, ["b"]);
        assert!(message(folder.path()).contains("a.jsonl:1: "));
    }
    // A file without any line of JSON holds no records.
    let path = write(folder.path(), "a.jsonl", b"a\0b\n");
    assert!(message(&path).contains("byte 1 is zero"));
}
