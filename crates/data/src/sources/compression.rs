//! The compression of a file, from its first bytes and from its name.

use super::bzip2_blocks::MARKS;

/// The compression of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    Bzip2,
    Gzip,
    Zstd,
}

/// Endings of names, and the compression that each promises.
const ENDINGS: [(&str, Compression); 5] = [
    (".bz2", Compression::Bzip2),
    (".gz", Compression::Gzip),
    (".gzip", Compression::Gzip),
    (".zst", Compression::Zstd),
    (".zstd", Compression::Zstd),
];

/// The most first bytes that [`Compression::of_head`] looks at.
pub(super) const MAGIC_BYTES: usize = 10;

impl Compression {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::None => "uncompressed",
            Self::Bzip2 => "bzip2",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }

    /// Divides a name in lower case into the name of the contents and the compression that the
    /// ending promises.
    pub(super) fn of_name(name: &str) -> (&str, Self) {
        ENDINGS
            .into_iter()
            .find_map(|(ending, compression)| Some((name.strip_suffix(ending)?, compression)))
            .unwrap_or((name, Self::None))
    }

    /// The compression that a file's first bytes show. Text can begin with `BZh`, so a bzip2 stream
    /// without the ending has to show the mark of its first block too.
    pub(super) fn of_head(head: &[u8], named: Self) -> Self {
        match head {
            [0x1F, 0x8B, ..] => Self::Gzip,
            [0x28, 0xB5, 0x2F, 0xFD, ..] => Self::Zstd,
            // A skippable frame, as pzstd writes it first.
            [0x50..=0x5F, 0x2A, 0x4D, 0x18, ..] => Self::Zstd,
            [b'B', b'Z', b'h', b'1'..=b'9', block @ ..] if is_bzip2_block(block) => Self::Bzip2,
            [b'B', b'Z', b'h', ..] if named == Self::Bzip2 => Self::Bzip2,
            _ => Self::None,
        }
    }
}

/// Whether bytes begin with the mark of a block of bzip2 or with that of a stream's end.
fn is_bzip2_block(bytes: &[u8]) -> bool {
    let starts = |mark: u64| bytes.starts_with(&mark.to_be_bytes()[2..]);
    MARKS.into_iter().any(starts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_bytes_show_the_compression() {
        for (head, named, expected) in [
            (&b"\x1f\x8b\x08\0"[..], Compression::None, Compression::Gzip),
            (
                b"\x28\xb5\x2f\xfd\x04",
                Compression::Gzip,
                Compression::Zstd,
            ),
            (
                b"\x50\x2a\x4d\x18\x04",
                Compression::None,
                Compression::Zstd,
            ),
            (
                b"\x5f\x2a\x4d\x18\x04",
                Compression::None,
                Compression::Zstd,
            ),
            (b"BZh91AY&SY", Compression::None, Compression::Bzip2),
            (
                b"BZh1\x17\x72\x45\x38\x50\x90",
                Compression::None,
                Compression::Bzip2,
            ),
            // Text, unless the name says otherwise.
            (b"BZh9 is how", Compression::None, Compression::None),
            (b"BZh9 is how", Compression::Bzip2, Compression::Bzip2),
            (b"BZ", Compression::Bzip2, Compression::None),
            (b"", Compression::Gzip, Compression::None),
        ] {
            assert_eq!(Compression::of_head(head, named), expected, "{head:?}");
        }
    }

    #[test]
    fn endings_promise_a_compression() {
        for (name, contents, compression) in [
            ("a.xml.bz2", "a.xml", Compression::Bzip2),
            ("a.gz", "a", Compression::Gzip),
            ("a.jsonl.zst", "a.jsonl", Compression::Zstd),
            ("a.bz2.txt", "a.bz2.txt", Compression::None),
        ] {
            assert_eq!(Compression::of_name(name), (contents, compression));
        }
    }
}
