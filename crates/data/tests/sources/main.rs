//! Every kind of source, good and bad, through the public interface.

mod compressed;
mod damage;
mod dumps;
mod faulty_bytes;
mod formats;
mod own_folders;
mod parquet_files;
mod records;
mod support;
mod threads;

use learned_dropout_data::sources::{ReadOptions, SourceError, read_documents};
use parquet::basic::Compression;
use support::*;

type Packer = fn(&[u8]) -> Vec<u8>;

#[test]
fn every_format_plain_and_compressed() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let lines = "{\"text\": \"one\"}\n\n{\"id\": 2, \"text\": \"two\\nlines\"}\n{\"text\": null}\n{\"text\": \"\"}";
    let rows = [
        Some("one"),
        None,
        Some("zwei é"),
        Some("three"),
        Some("four"),
    ];
    let parquet = parquet(&rows, Compression::SNAPPY);
    let kinds: [(&str, &[u8], &[&str]); 4] = [
        ("dump.xml", DUMP.as_bytes(), &DUMP_TEXTS),
        ("lines.jsonl", lines.as_bytes(), &["one", "two\nlines"]),
        (
            "text.md",
            "\u{FEFF}# Títle 🦀\n".as_bytes(),
            &["# Títle 🦀\n"],
        ),
        (
            "rows.parquet",
            &parquet,
            &["one", "zwei é", "three", "four"],
        ),
    ];
    for (name, bytes, expected) in kinds {
        for (ending, packed) in [
            ("", bytes.to_vec()),
            (".gz", gzip(bytes)),
            (".bz2", bzip2(bytes)),
            (".zst", zstd(bytes)),
        ] {
            let path = write(folder.path(), &format!("{name}{ending}"), &packed);
            let (documents, records) = read(&path).expect("the file is good");
            let found: Vec<_> = documents
                .iter()
                .map(|document| document.text.as_str())
                .collect();
            assert_eq!(found, expected, "{}", path.display());
            let record = &records[0];
            assert_eq!(record.bytes, packed.len() as u64, "{}", path.display());
            assert_eq!(
                record.hash,
                format!("{:016x}", xxhash_rust::xxh3::xxh3_64(&packed))
            );
            assert_eq!(record.documents, expected.len() as u64);
        }
    }
}

#[test]
fn concatenated_streams_are_one() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let (start, end) = DUMP.split_at(DUMP.find("<page>").expect("there is a page"));
    let (pages, end) = end.split_at(end.find("</mediawiki>").expect("there is an end"));
    let packers = [("bz2", bzip2 as Packer), ("gz", gzip), ("zst", zstd)];
    for (ending, pack) in packers {
        let packed: Vec<u8> = [start, pages, end]
            .iter()
            .flat_map(|part| pack(part.as_bytes()))
            .collect();
        let path = write(folder.path(), &format!("dump.xml.{ending}"), &packed);
        assert_eq!(texts(&path), DUMP_TEXTS);
    }
}

#[test]
fn parquet_codecs_and_columns() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let codecs = [
        Compression::UNCOMPRESSED,
        Compression::GZIP(Default::default()),
        Compression::ZSTD(Default::default()),
        Compression::LZ4_RAW,
    ];
    for codec in codecs {
        let path = write(
            folder.path(),
            "rows.parquet",
            &parquet(&[Some("a"), Some("b")], codec),
        );
        assert_eq!(texts(&path), ["a", "b"], "{codec:?}");
    }
    let path = write(
        folder.path(),
        "rows.parquet",
        &parquet(&[Some("a")], Compression::SNAPPY),
    );
    for (column, hint) in [("body", "id, text"), ("id", "not text")] {
        let options = ReadOptions {
            text_column: column.to_owned(),
            ..ReadOptions::default()
        };
        let message = read_with(&path, &options)
            .expect_err("no such column")
            .to_string();
        assert!(
            message.contains("rows.parquet") && message.contains(hint),
            "{message}"
        );
    }
}

/// The file was written by pyarrow 26, with row groups of 0, 2, 0 and 1 rows.
#[test]
fn row_groups_of_parquet_may_be_empty() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let bytes = include_bytes!("testdata/empty-row-groups.parquet");
    let path = write(folder.path(), "rows.parquet", bytes);
    assert_eq!(texts(&path), ["a", "b", "c"]);
}

#[test]
fn folders_are_read_in_order_without_hidden_and_binary_files() {
    let folder = tempfile::tempdir().expect("temporary folder");
    for (name, bytes) in [
        ("b.txt", &b"b"[..]),
        ("a/z.rs", b"fn z() {}"),
        ("a/y.jsonl", b"{\"text\": \"y\"}"),
        ("a/x.xml", b"<project>not a dump</project>"),
        (".hidden", b"hidden"),
        (".git/config", b"hidden"),
        ("binary.bin", b"a\0b"),
        ("latin.txt", b"caf\xE9 ole"),
        ("empty.txt", b""),
    ] {
        write(folder.path(), name, bytes);
    }
    #[cfg(unix)]
    std::os::unix::fs::symlink("..", folder.path().join("a/loop")).expect("make a loop");
    let (documents, records) = read(folder.path()).expect("the folder is good");
    let found: Vec<_> = documents
        .iter()
        .map(|document| document.text.as_str())
        .collect();
    assert_eq!(found, ["y", "fn z() {}", "b"]);
    let names: Vec<_> = records
        .iter()
        .map(|record| record.name.rsplit('/').next().expect("a name"))
        .collect();
    assert_eq!(names, ["y.jsonl", "z.rs", "b.txt"]);
}

#[test]
fn errors_name_file_and_position() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let long = "a".repeat(5_000_000);
    let wrong_after_a_piece = [long.as_bytes(), b"\n\xFFb"].concat();
    let cases: [(&str, Vec<u8>, &str); 16] = [
        ("a.txt", b"abc\xFFd".to_vec(), "byte 3 "),
        ("b.txt", wrong_after_a_piece, "byte 5000001 "),
        ("c.txt", "é".as_bytes()[..1].to_vec(), "byte 0 "),
        ("d.txt", b"ab\0".to_vec(), "byte 2 "),
        ("e.txt", Vec::new(), "is empty: name a file with text"),
        (
            "f.jsonl",
            b"{\"text\": \"a\"}\n{\"text\": 3}\n".to_vec(),
            "f.jsonl:2: ",
        ),
        ("g.jsonl", b"\n{\"text\": \"a\"".to_vec(), "g.jsonl:2: "),
        ("h.jsonl", b"{\"text\": \"\xFF\"}".to_vec(), "h.jsonl:1: "),
        (
            "i.xml",
            b"<mediawiki><page></wrong></mediawiki>".to_vec(),
            "byte 1",
        ),
        ("j.xml", b"<html></html>".to_vec(), "<mediawiki>"),
        (
            "k.xml",
            b"<mediawiki><page><text>&unknown;".to_vec(),
            "&unknown;",
        ),
        ("l.xml", b"<mediawiki>\n<page>".to_vec(), "byte 18"),
        ("m.parquet", b"PAR1 no".to_vec(), "row 1"),
        ("n.txt.gz", gzip(b""), "is empty: name a file with text"),
        ("o.txt.bz2", b"no bzip2".to_vec(), "bzip2"),
        ("p.xml", b"<mediawiki></mediawiki>".to_vec(), "no text in"),
    ];
    for (name, bytes, part) in cases {
        let path = write(folder.path(), name, &bytes);
        let message = message(&path);
        assert!(
            message.contains(name) && message.contains(part),
            "{message}"
        );
    }
    let missing = folder.path().join("missing.txt");
    assert!(message(&missing).contains("missing.txt"));
    let hidden_only = folder.path().join("only");
    write(&hidden_only, ".hidden", b"x");
    assert!(message(&hidden_only).contains("only"));
}

#[test]
fn a_large_text_comes_in_pieces_that_join_to_it() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let text: String = (0..400_000)
        .map(|line| format!("línea número {line} 🦀\n"))
        .collect();
    let path = write(folder.path(), "large.txt", text.as_bytes());
    let (documents, records) = read(&path).expect("the file is good");
    assert!(documents.len() > 1);
    assert_eq!(records[0].documents, 1);
    let continues: Vec<_> = documents
        .iter()
        .map(|document| document.continues)
        .collect();
    assert!(
        continues[..continues.len() - 1]
            .iter()
            .all(|&continues| continues)
    );
    assert!(!continues[continues.len() - 1]);
    assert!(
        documents
            .iter()
            .all(|document| document.text.ends_with('\n'))
    );
    assert_eq!(
        documents
            .into_iter()
            .map(|document| document.text)
            .collect::<String>(),
        text
    );
}

#[test]
fn the_order_does_not_depend_on_threads_and_a_limit_cuts_it() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let lines: String = (0..20_000)
        .map(|line| {
            format!(
                "{{\"text\": \"ligne é {line} {}\"}}\n",
                "x".repeat(line % 90)
            )
        })
        .collect();
    let path = write(folder.path(), "lines.jsonl", lines.as_bytes());
    let with = |threads, max_text_bytes| {
        read_with(
            &path,
            &ReadOptions {
                threads,
                max_text_bytes,
                ..ReadOptions::default()
            },
        )
        .expect("the file is good")
    };
    let all = with(1, None);
    assert_eq!(all.0.len(), 20_000);
    assert_eq!(with(4, None), all);
    let whole: String = all
        .0
        .iter()
        .map(|document| document.text.as_str())
        .collect();
    for limit in [1, 7, 8, 9, 100_000, 700_001] {
        let (documents, records) = with(1, Some(limit));
        assert_eq!(
            with(3, Some(limit)),
            (documents.clone(), records),
            "the limit {limit}"
        );
        let text: String = documents
            .into_iter()
            .map(|document| document.text)
            .collect();
        assert!(whole.starts_with(&text));
        assert!(
            (limit - 1..=limit).contains(&(text.len() as u64)),
            "{} of {limit}",
            text.len()
        );
    }
}

#[test]
fn an_error_of_the_sink_passes_through() {
    #[derive(Debug)]
    enum Failure {
        Source,
        Full(usize),
    }
    impl From<SourceError> for Failure {
        fn from(_: SourceError) -> Self {
            Self::Source
        }
    }
    let folder = tempfile::tempdir().expect("temporary folder");
    let lines = "{\"text\": \"a\"}\n".repeat(100_000);
    let path = write(folder.path(), "lines.jsonl", lines.as_bytes());
    let mut taken = 0;
    let sources = [path
        .to_str()
        .expect("a plain path")
        .parse()
        .expect("a path")];
    let outcome = read_documents(
        &sources,
        &ReadOptions::default(),
        &learned_dropout_data::progress::Silent,
        &mut |_| {
            taken += 1;
            if taken == 3 {
                Err(Failure::Full(taken))
            } else {
                Ok(())
            }
        },
    );
    assert!(matches!(outcome, Err(Failure::Full(3))), "{outcome:?}");
}
