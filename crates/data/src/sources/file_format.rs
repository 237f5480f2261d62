//! The format and the compression of a file, from its name.

use std::path::Path;

/// The compression of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    Bzip2,
    Gzip,
    Zstd,
}

impl Compression {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::None => "uncompressed",
            Self::Bzip2 => "bzip2",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}

/// The format of the decompressed bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    PlainText,
    JsonLines,
    Parquet,
    WikipediaDump,
}

/// Format and compression from a file's name, for example `pages.xml.bz2`. A file with an unknown
/// extension is plain text.
pub(super) fn of_name(path: &Path) -> (Format, Compression) {
    let name = path
        .file_name()
        .map(|name| name.to_string_lossy().to_lowercase())
        .unwrap_or_default();
    let (stem, compression) = [
        (".bz2", Compression::Bzip2),
        (".gz", Compression::Gzip),
        (".zst", Compression::Zstd),
    ]
    .into_iter()
    .find_map(|(ending, compression)| Some((name.strip_suffix(ending)?, compression)))
    .unwrap_or((&name, Compression::None));
    let format = match stem.rsplit_once('.').map(|(_, ending)| ending) {
        Some("xml") => Format::WikipediaDump,
        Some("jsonl" | "ndjson") => Format::JsonLines,
        Some("parquet") => Format::Parquet,
        _ => Format::PlainText,
    };
    (format, compression)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_format_and_compression() {
        for (name, format, compression) in [
            ("a.xml", Format::WikipediaDump, Compression::None),
            (
                "enwiki-pages.XML.bz2",
                Format::WikipediaDump,
                Compression::Bzip2,
            ),
            ("a.jsonl.zst", Format::JsonLines, Compression::Zstd),
            ("a.ndjson", Format::JsonLines, Compression::None),
            ("train-00000.parquet", Format::Parquet, Compression::None),
            ("notes", Format::PlainText, Compression::None),
            ("notes.gz", Format::PlainText, Compression::Gzip),
            ("lib.rs", Format::PlainText, Compression::None),
        ] {
            assert_eq!(of_name(Path::new(name)), (format, compression), "{name}");
        }
    }
}
