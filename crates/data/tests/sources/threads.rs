//! The number of threads changes neither the order of documents nor an error.

use std::path::Path;

use learned_dropout_data::sources::{OnError, ReadOptions};

use crate::support::*;

/// Files of several formats, some longer than what a worker takes at once.
fn write_files(folder: &Path) {
    let line = |number: usize| format!("{{\"text\": \"text {number}, again and again\"}}\n");
    for file in 0..12 {
        let count = [3, 20_000, 200][file % 3];
        let lines: String = (0..count).map(|row| line(file * count + row)).collect();
        let (name, bytes) = match file % 4 {
            0 => ("jsonl", lines.into_bytes()),
            1 => ("jsonl.gz", gzip(lines.as_bytes())),
            2 => ("txt", lines.into_bytes()),
            _ => ("jsonl.bz2", bzip2(lines.as_bytes())),
        };
        std::fs::write(folder.join(format!("{file:02}.{name}")), bytes).expect("write");
    }
}

fn options(threads: usize, max_text_bytes: Option<u64>) -> ReadOptions {
    ReadOptions {
        threads,
        max_text_bytes,
        ..ReadOptions::default()
    }
}

#[test]
fn documents_and_records_are_those_of_one_thread() {
    let folder = tempfile::tempdir().expect("temporary folder");
    write_files(folder.path());
    for limit in [None, Some(1_000_000), Some(77)] {
        let one = read_counting(folder.path(), &options(1, limit)).expect("good files");
        for threads in [2, 3, 9] {
            let several =
                read_counting(folder.path(), &options(threads, limit)).expect("good files");
            assert!(several == one, "{threads} threads, {limit:?}");
        }
    }
}

#[test]
fn the_first_error_in_the_order_of_files_is_reported() {
    let folder = tempfile::tempdir().expect("temporary folder");
    write_files(folder.path());
    // Both files are read at once, and the second error is met first.
    let good = "{\"text\": \"a\"}\n".repeat(30_000);
    std::fs::write(folder.path().join("20.jsonl"), good.clone() + "{\n" + &good).expect("write");
    std::fs::write(folder.path().join("21.jsonl"), "{\"text\": \"b\"}\n{\n").expect("write");
    for threads in [1, 2, 8] {
        let mut options = options(threads, None);
        let error = read_counting(folder.path(), &options).expect_err("a bad line");
        assert!(error.to_string().contains("20.jsonl:30001"), "{error}");
        options.on_error = OnError::Skip;
        let (documents, _, left_out) =
            read_counting(folder.path(), &options).expect("two lines less");
        assert_eq!(
            documents
                .iter()
                .filter(|document| document.text == "a")
                .count(),
            60_000
        );
        let examples = &left_out.reasons[&learned_dropout_data::sources::Reason::UnreadableRecord];
        assert!(examples.examples[0].contains("20.jsonl:30001"));
        assert!(examples.examples[1].contains("21.jsonl:2"));
    }
}
