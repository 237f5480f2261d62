//! Files cut off at every length and with bytes changed: an error or (where nothing that counts was
//! hit) text, never a panic.

use std::path::Path;

use parquet::basic::Compression;
use proptest::prelude::*;

use crate::support::*;

fn small_files() -> Vec<(&'static str, Vec<u8>)> {
    let lines = b"{\"text\": \"one\"}\n{\"id\": 2, \"text\": \"two\"}".to_vec();
    vec![
        ("dump.xml", DUMP.as_bytes().to_vec()),
        ("dump.xml.bz2", bzip2(DUMP.as_bytes())),
        ("dump.xml.gz", gzip(DUMP.as_bytes())),
        ("dump.xml.zst", zstd(DUMP.as_bytes())),
        ("text.txt.bz2", bzip2(b"some text")),
        ("text.txt.gz", gzip(b"some text")),
        ("text.txt.zst", zstd(b"some text")),
        (
            "rows.parquet",
            parquet(
                &[Some("one"), None, Some("two"), Some("three")],
                Compression::SNAPPY,
            ),
        ),
        ("lines.jsonl", lines),
    ]
}

fn is_named(name: &str, folder: &Path, bytes: &[u8]) -> bool {
    let path = write(folder, name, bytes);
    match read(&path) {
        Ok(_) => false,
        Err(error) => {
            assert!(error.to_string().contains(name), "{error}");
            true
        }
    }
}

#[test]
fn cut_off_files_are_errors() {
    let folder = tempfile::tempdir().expect("temporary folder");
    for (name, bytes) in small_files() {
        assert!(read(&write(folder.path(), name, &bytes)).is_ok(), "{name}");
        // The dump's last line break may be missing.
        let whole = if name == "dump.xml" {
            bytes.len() - 1
        } else {
            bytes.len()
        };
        for length in 0..whole {
            let failed = is_named(name, folder.path(), &bytes[..length]);
            // JSON lines end well at the end of any line.
            let may_end = name == "lines.jsonl" && (length == 15 || length == 16);
            assert!(failed != may_end, "{name} cut to {length} bytes");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn changed_bytes_never_panic(file in 0usize..9, at in any::<prop::sample::Index>(), flip in 1u8.., more in any::<Option<(prop::sample::Index, u8)>>()) {
        let folder = tempfile::tempdir().expect("temporary folder");
        let (name, mut bytes) = small_files().swap_remove(file);
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        if let Some((at, byte)) = more {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        is_named(name, folder.path(), &bytes);
    }

    #[test]
    fn arbitrary_bytes_never_panic(file in 0usize..9, bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let folder = tempfile::tempdir().expect("temporary folder");
        let (name, whole) = small_files().swap_remove(file);
        is_named(name, folder.path(), &bytes);
        // And behind a good start.
        is_named(name, folder.path(), &[&whole[..whole.len().min(40)], &bytes].concat());
    }
}
