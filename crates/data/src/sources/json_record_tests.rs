use proptest::prelude::*;

use super::*;

fn found(record: &str) -> Found {
    text_of(record.as_bytes(), "text").unwrap_or_else(|error| panic!("{record}: {error}"))
}

fn text(text: &str, lone_surrogate: bool) -> Found {
    Found::Text {
        text: text.to_owned(),
        lone_surrogate,
    }
}

#[test]
fn the_text_is_found_among_other_keys() {
    for (record, expected) in [
        (r#"{"id": 3, "text": "a\nb", "m": {"text": 1}}"#, "a\nb"),
        (r#" { "text" : "é😀" } "#, "é😀"),
        (r#"{"text":""}"#, ""),
        (
            r#"{"t\u0065xt": "\u0022\/\b\f\r\t\\"}"#,
            "\"/\u{8}\u{c}\r\t\\",
        ),
        // The last of several equal keys counts, as in Python.
        (r#"{"text": "one", "text": "two"}"#, "two"),
        (r#"{"text": 5, "text": "two"}"#, "two"),
        (r#"{"text": ["one"], "text": null, "text": "two"}"#, "two"),
        (
            r#"{"a": [1, -0.5e+3, {"b": []}, {}, "]"], "text": "x"}"#,
            "x",
        ),
    ] {
        assert_eq!(found(record), text(expected, false), "{record}");
    }
    assert_eq!(found(r#"{"text": null}"#), Found::Null);
    let missing = Found::Missing(vec!["body".to_owned(), "id".to_owned()]);
    assert_eq!(found(r#"{"body": "a", "id": 1}"#), missing);
    assert_eq!(found("{}"), Found::Missing(Vec::new()));
}

#[test]
fn what_python_writes_beyond_the_standard_is_read() {
    let record = r#"{"a": NaN, "b": [Infinity, -Infinity], "text": "x"}"#;
    assert_eq!(found(record), text("x", false));
    // U+1F600 is d83d de00.
    for (escaped, expected, lone) in [
        (r"\ud83d\ude00", "😀", false),
        (r"\uD83D", "\u{FFFD}", true),
        (r"a\ude00b", "a\u{FFFD}b", true),
        (r"\ud83d\ud83d\ude00", "\u{FFFD}😀", true),
        (r"\ud83d\u0041", "\u{FFFD}A", true),
        (r"\ud83dx", "\u{FFFD}x", true),
    ] {
        let record = format!("{{\"text\": \"{escaped}\"}}");
        assert_eq!(found(&record), text(expected, lone), "{record}");
    }
    // Elsewhere they are nobody's concern.
    let record = r#"{"\ud83d": "\ud83d", "text": "x"}"#;
    assert_eq!(found(record), text("x", false));
}

#[test]
fn nesting_takes_no_stack() {
    let deep = 1_000_000;
    let record = format!(
        "{{\"a\": {}{}, \"text\": \"x\"}}",
        "[".repeat(deep),
        "]".repeat(deep)
    );
    assert_eq!(found(&record), text("x", false));
    let open = format!("{{\"a\": {}", "{\"a\":".repeat(deep));
    assert!(text_of(open.as_bytes(), "text").is_err());
}

#[test]
fn problems_are_named() {
    for (record, part) in [
        (r#"{"text": 3}"#, "'text' is a number"),
        (r#"{"text": NaN}"#, "'text' is a number"),
        (r#"{"text": ["a"]}"#, "'text' is a list"),
        (r#"{"text": {"a": 1}}"#, "'text' is an object"),
        (r#"{"text": true}"#, "'text' is true or false"),
        (r#"["text"]"#, "expected an object"),
        (r#"{"text": "a"} x"#, "the end of the record"),
        (r#"{"text": "a""#, "',' or '}'"),
        (r#"{"text": "a"#, "byte 11"),
        (r#"{"text" "a"}"#, "':'"),
        (r#"{"text": "a",}"#, "a key"),
        (r#"{"a": 01, "text": ""}"#, "',' or '}'"),
        (r#"{"a": 1., "text": ""}"#, "a value"),
        (r#"{"a": nul, "text": ""}"#, "a value"),
        (r#"{"a": [1}, "text": ""}"#, "closing bracket"),
        (r#"{"text": "\x"}"#, "an escape"),
        (r#"{"text": "\u12"}"#, "four hexadecimal digits"),
        ("{\"text\": \"a\nb\"}", "control characters"),
        ("", "found the end"),
        (r#"{"text": "a", "text": 5}"#, "'text' is a number"),
        (
            "{\"text\": \"a\"}\u{1b}[31m\u{7}\u{85}",
            "found '\\u{1b}[31m\\u{7}\\u{85}'",
        ),
        (
            "{\"text\": \"a\"} ab\u{202e}é中文",
            "found 'ab\\u{202e}é中'",
        ),
        ("{\"text\": \"a\"}x\r\ny", "found 'x\\r\\ny'"),
    ] {
        let message = text_of(record.as_bytes(), "text").expect_err(record);
        assert!(message.contains(part), "{record}: {message}");
    }
    let message = text_of(b"{\"text\": \"\xFF\"}", "text").expect_err("not UTF-8");
    assert!(
        message.contains("byte 10") && message.contains("skip"),
        "{message}"
    );
}

/// JSON values as serde_json writes them.
fn value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>()
            .prop_filter("finite", |number| number.is_finite())
            .prop_map(Into::into),
        any::<String>().prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 30, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Into::into),
            prop::collection::hash_map(any::<String>(), inner, 0..5)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn records_agree_with_serde_json(
        fields in prop::collection::hash_map(any::<String>(), value(), 0..5),
        expected in any::<String>(),
        pretty in any::<bool>(),
    ) {
        let mut object: serde_json::Map<String, serde_json::Value> = fields.into_iter().collect();
        object.insert("text".to_owned(), expected.clone().into());
        let record = if pretty {
            serde_json::to_string_pretty(&object)
        } else {
            serde_json::to_string(&object)
        };
        let record = record.expect("written");
        prop_assert_eq!(found(&record), text(&expected, false));
        // Cut off anywhere, it is an error.
        for end in 0..record.len() {
            prop_assert!(text_of(&record.as_bytes()[..end], "text").is_err());
        }
    }

    #[test]
    fn arbitrary_bytes_are_judged_as_by_serde_json(bytes in "[\\[\\]{}:,\"0-9eE.a\\\\u+ntrufalse -]{0,24}") {
        let theirs = serde_json::from_str::<serde_json::Value>(&bytes);
        // serde_json refuses numbers that no f64 holds, and halves of surrogate pairs.
        let tolerated = theirs.as_ref().is_err_and(|error| {
            let message = error.to_string();
            message.contains("out of range") || message.contains("surrogate") || message.contains("hex escape")
        });
        prop_assert!(tolerated || is_value(bytes.as_bytes()) == theirs.is_ok(), "{bytes}: {theirs:?}");
    }
}
