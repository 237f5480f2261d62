//! JSON records that are good, odd, or unreadable.

use learned_dropout_data::sources::{FileFormat, OnError, ReadOptions, Reason};

use crate::support::*;

#[test]
fn odd_records_are_read_and_counted() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = write(
        folder.path(),
        "a.jsonl",
        b"{\"loss\": NaN, \"text\": \"one\"}\n{\"text\": null}\n\n{\"text\": \"\\ud83d!\"}\r\n\
          {\"text\": \"three\", \"more\": [Infinity, -Infinity]}",
    );
    let (texts, left_out) = texts_and_left_out(&path, &ReadOptions::default());
    assert_eq!(texts, ["one", "\u{FFFD}!", "three"]);
    let place = |line: u32| vec![format!("{}:{line}", path.display())];
    assert_eq!(examples(&left_out, Reason::NoText), place(2));
    assert_eq!(examples(&left_out, Reason::LoneSurrogate), place(4));
}

#[test]
fn unreadable_records_stop_or_are_left_out() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let long = format!("{{\"text\": \"{}\"}}", "x".repeat(64 << 20));
    let lines = [
        "{\"text\": \"one\"}",
        "{\"text\": 3}",
        "{\"text\": \"cut",
        &long,
        "not JSON",
        "{\"body\": \"x\"}",
        "{\"text\": \"two\"}",
    ];
    let path = write(folder.path(), "a.jsonl", lines.join("\n").as_bytes());
    assert!(message(&path).contains("a.jsonl:2: 'text' is a number"));
    let (texts, left_out) = texts_and_left_out(&path, &skipping());
    assert_eq!(texts, ["one", "two"]);
    let found = examples(&left_out, Reason::UnreadableRecord);
    let expected = [
        "a.jsonl:2: 'text' is a number",
        "a.jsonl:3: ",
        "line 4",
        "a.jsonl:5: ",
        "a.jsonl:6: no text column 'text'",
    ];
    assert_eq!(found.len(), expected.len(), "{found:?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.contains(expected), "{expected}: {found}");
    }

    let many = "x\n".repeat(25) + "{\"text\": \"one\"}\n";
    let path = write(folder.path(), "many.jsonl", many.as_bytes());
    let (texts, left_out) = texts_and_left_out(&path, &skipping());
    assert_eq!(texts, ["one"]);
    assert_eq!(left_out.reasons[&Reason::UnreadableRecord].count, 25);
    assert_eq!(examples(&left_out, Reason::UnreadableRecord).len(), 10);
    let path = write(folder.path(), "none.jsonl", b"x\ny\n");
    let message = read_with(&path, &skipping())
        .expect_err("no text")
        .to_string();
    assert!(message.contains("none.jsonl:1: "), "{message}");
    assert!(message.contains("found 'x' | "), "{message}");
}

#[test]
fn arrays_are_read_object_by_object() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let json = |name: &str, content: &str, on_error| {
        let path = write(folder.path(), name, content.as_bytes());
        let options = ReadOptions {
            on_error,
            ..in_format(FileFormat::Json)
        };
        read_counting(&path, &options)
    };
    let good = "[{\"text\": \"a]}\\\"\"},\n{\"text\": 1},\n\n{\"text\":\n\"b\"}\n]\n";
    let message = json("a.json", good, OnError::Stop)
        .expect_err("a number")
        .to_string();
    assert!(
        message.contains("a.json:2: 'text' is a number"),
        "{message}"
    );
    let (documents, _, left_out) = json("a.json", good, OnError::Skip).expect("two are good");
    let texts: Vec<_> = documents
        .into_iter()
        .map(|document| document.text)
        .collect();
    assert_eq!(texts, ["a]}\"", "b"]);
    assert!(examples(&left_out, Reason::UnreadableRecord)[0].contains("a.json:2"));
    // A file that is no list of objects is an error, whatever is to be done about records.
    for (content, part) in [
        ("[{\"text\": \"a\"}", "ends"),
        ("[{\"text\": \"a\"", "ends"),
        (
            "[{\"text\": \"a\"} {\"text\": \"b\"}]",
            "byte 15 of the file: expected ',' or ']' after object 1, found '{\"text\": \"b\"'",
        ),
        (
            "[{\"text\": \"a\"},]",
            "byte 15 of the file: expected object 2, which begins with '{', found ']'",
        ),
        (
            "\u{FEFF}[{\"text\": \"a\"}] x",
            "byte 19 of the file: expected the end of the file after the array, found 'x'",
        ),
        (
            "[{\"text\": \"a\"}, \"b\u{1b}\n中文文文\"]",
            "byte 16 of the file: expected object 2, which begins with '{', found '\"b\\u{1b}\\n中文'",
        ),
        (
            "[{\"text\": \"a\"},,{}]",
            "expected object 2, which begins with '{', found ',{}]'",
        ),
        ("[{\"text\": \"a\"}\n,\n3]", "b.json:3"),
    ] {
        for on_error in [OnError::Stop, OnError::Skip] {
            let message = json("b.json", content, on_error)
                .expect_err(content)
                .to_string();
            assert!(
                message.contains("b.json:") && message.contains(part),
                "{content}: {message}"
            );
        }
    }
    let long = format!(
        "[{{\"text\": \"{}\"}}, {{\"text\": \"b\"}}]",
        "x".repeat(64 << 20)
    );
    let message = json("c.json", &long, OnError::Stop)
        .expect_err("too long")
        .to_string();
    assert!(message.contains("the record on line 1"), "{message}");
    let (documents, ..) = json("c.json", &long, OnError::Skip).expect("one is good");
    assert_eq!(documents.len(), 1);
}

#[test]
fn messages_are_one_line_and_say_what_to_do() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let found = |content: &[u8]| {
        let path = write(folder.path(), "a.jsonl", content);
        let message = message(&path);
        assert!(!message.contains(char::is_control), "{message:?}");
        message
    };
    for end in ["", "\n", "\r\n"] {
        let message = found(format!("{{\"text\": \"a\"}}}}{end}").as_bytes());
        assert!(message.ends_with("expected the end of the record, found '}'"));
    }
    assert!(found(b"{\"text\":\"a\"}\n\x1b[31mBAD\x07\n").contains("found '\\u{1b}[31mBAD\\u{7}'"));
    let keys = found(b"{\"a\x7f\":\"x\", \"b\\u001b\": 1}\n");
    assert!(
        keys.contains(
            "the keys are: a\\u{7f}, b\\u{1b}; name the key of the text with --text-column"
        )
    );
    assert!(found(b"{\n  \"text\": \"a\"\n}\n").contains(
        "found the end of the line; if objects take several lines, read the file with --format json"
    ));
    assert!(found(b"{\"text\":\"w\xf6\"}").contains("--on-error skip"));
    // White space that JSON does not know is a fault.
    assert!(found(b"{\"text\":\"a\"}\x0c\n").contains("found '\\u{c}'"));
    let path = write(folder.path(), "b.txt", b"");
    assert!(message(&path).ends_with("b.txt is empty: name a file with text"));
}
