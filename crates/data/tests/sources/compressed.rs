//! Compressed files as the compressors' own programs write them, with what these read over.

use learned_dropout_data::sources::{ReadOptions, Reason};

use crate::support::*;

/// "one\ntwo\n", by zstd 1.5 with `--ultra --long=31`: a window of 2 GiB.
const LONG_WINDOW: &str = "28b52ffd04a84100006f6e650a74776f0ae6a60e40";

/// The same by `pzstd`: a frame to be skipped holds the length of the one after it.
const SKIPPABLE: &str = "502a4d18040000001500000028b52ffd04584100006f6e650a74776f0ae6a60e40";

/// The same by `gzip`, with the file's name.
const GZIP: &str = "1f8b08083cdf096b0003742e74787400cbcf4be52a29cfe70200e60bba1208000000";

/// The same by `bzip2`.
const BZIP2: &str =
    "425a6839314159265359a7142b77000002c180001002018480200021800c0238f51b8bb9229c2848538a15bb80";

fn bytes(hexadecimal: &str) -> Vec<u8> {
    (0..hexadecimal.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hexadecimal[at..at + 2], 16).expect("two digits"))
        .collect()
}

#[test]
fn files_of_the_programs_themselves() {
    let folder = tempfile::tempdir().expect("temporary folder");
    for (name, packed) in [
        ("long.txt.zst", bytes(LONG_WINDOW)),
        ("pzstd.txt.zst", bytes(SKIPPABLE)),
        ("gzip.txt.gz", bytes(GZIP)),
        ("bzip2.txt.bz2", bytes(BZIP2)),
        // The name need not say so.
        ("long.txt", bytes(LONG_WINDOW)),
        ("pzstd", bytes(SKIPPABLE)),
        ("gzip", bytes(GZIP)),
        ("bzip2", bytes(BZIP2)),
        // Nor say the truth about which.
        ("zstd.txt.gz", bytes(LONG_WINDOW)),
        // A frame to be skipped at the end, too.
        (
            "tail.txt.zst",
            [bytes(LONG_WINDOW), bytes(SKIPPABLE)[..12].to_vec()].concat(),
        ),
    ] {
        let path = write(folder.path(), name, &packed);
        let (documents, records) = read(&path).expect(name);
        assert_eq!(documents[0].text, "one\ntwo\n", "{name}");
        assert_eq!(records[0].bytes, packed.len() as u64, "{name}");
        let hash = format!("{:016x}", xxhash_rust::xxh3::xxh3_64(&packed));
        assert_eq!(records[0].hash, hash, "{name}");
    }
}

#[test]
fn what_follows_the_last_stream() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let (gzip, bzip2) = (bytes(GZIP), bytes(BZIP2));
    let zeros = vec![0; 300_000];
    for (name, packed, text, ignored) in [
        // gzip says nothing of zeros, and of other bytes that they are ignored.
        ("zeros.gz", [&gzip[..], &zeros].concat(), "one\ntwo\n", None),
        (
            "garbage.gz",
            [&gzip[..], b"\nxx"].concat(),
            "one\ntwo\n",
            Some("3 bytes"),
        ),
        (
            "two.gz",
            [&gzip[..], &gzip].concat(),
            "one\ntwo\none\ntwo\n",
            None,
        ),
        (
            "tape.gz",
            [&gzip[..], &gzip, &zeros].concat(),
            "one\ntwo\none\ntwo\n",
            None,
        ),
        (
            "behind.gz",
            [&gzip[..], &[0; 100], &gzip].concat(),
            "one\ntwo\n",
            Some("134 bytes"),
        ),
        (
            "garbage.bz2",
            [&bzip2[..], b"garbage\n"].concat(),
            "one\ntwo\n",
            Some("8 bytes"),
        ),
        (
            "zeros.bz2",
            [&bzip2[..], &[0; 100]].concat(),
            "one\ntwo\n",
            Some("100 bytes"),
        ),
        (
            "two.bz2",
            [&bzip2[..], &bzip2, b"x"].concat(),
            "one\ntwo\none\ntwo\n",
            Some("1 bytes"),
        ),
    ] {
        let path = write(folder.path(), name, &packed);
        let (texts, left_out) = texts_and_left_out(&path, &ReadOptions::default());
        assert_eq!(texts, [text], "{name}");
        let found = examples(&left_out, Reason::TrailingBytes);
        match ignored {
            None => assert_eq!(found.len(), 0, "{name}: {found:?}"),
            Some(part) => assert!(found[0].contains(part), "{name}: {found:?}"),
        }
    }
    // Parquet is read from its end, once all is unpacked.
    let rows = parquet(&[Some("a text")], parquet::basic::Compression::SNAPPY);
    for (name, pack) in [
        (
            "rows.parquet.gz",
            crate::support::gzip as fn(&[u8]) -> Vec<u8>,
        ),
        ("rows.parquet.bz2", crate::support::bzip2),
    ] {
        let path = write(folder.path(), name, &[&pack(&rows)[..], b"xx"].concat());
        let (texts, left_out) = texts_and_left_out(&path, &ReadOptions::default());
        assert_eq!(texts, ["a text"], "{name}");
        let found = examples(&left_out, Reason::TrailingBytes);
        assert!(
            found.len() == 1 && found[0].contains("2 bytes"),
            "{name}: {found:?}"
        );
    }
    // The beginning of one more stream is not garbage, and zstd ignores none.
    for (name, packed) in [
        ("begun.gz", [&gzip[..], b"\x1f"].concat()),
        ("begun.bz2", [&bzip2[..], b"BZ"].concat()),
        ("cut.gz", [&gzip[..], &gzip[..20]].concat()),
        ("garbage.zst", [&bytes(LONG_WINDOW)[..], b"xx"].concat()),
    ] {
        let message = message(&write(folder.path(), name, &packed));
        assert!(
            message.contains(name) && message.contains("damaged or cut-off"),
            "{message}"
        );
    }
}

#[test]
fn what_is_whole_is_not_called_damaged() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let mut unknown_method = bytes(GZIP);
    unknown_method[2] = 7;
    // A frame that needs dictionary 5.
    let dictionary = bytes("28b52ffd0558054100006f6e650a74776f0ae6a60e40");
    for (name, packed, part) in [
        ("method.txt.gz", unknown_method, "method 7"),
        ("dictionary.txt.zst", dictionary, "ictionary"),
    ] {
        let message = message(&write(folder.path(), name, &packed));
        assert!(
            message.contains(name) && message.contains(part) && !message.contains("damaged"),
            "{message}"
        );
    }
}

#[test]
fn a_large_distance_is_bridged() {
    let folder = tempfile::tempdir().expect("temporary folder");
    // The second half repeats the first one, which lies farther back than zstd's usual 8 MiB.
    let mut seed = 1u64;
    let half: String = (0..400_000)
        .map(|_| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            format!("{seed:020}\n")
        })
        .collect();
    let text = half.repeat(2);
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).expect("an encoder");
    encoder.long_distance_matching(true).expect("a setting");
    encoder.window_log(28).expect("a setting");
    std::io::Write::write_all(&mut encoder, text.as_bytes()).expect("compress");
    let packed = encoder.finish().expect("compress");
    // Digits alone take four tenths of their bytes.
    assert!(packed.len() < text.len() * 3 / 10);
    let path = write(folder.path(), "far.txt.zst", &packed);
    assert!(texts(&path).concat() == text);
}
