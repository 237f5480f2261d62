//! The format of a file: what its name promises, what its content shows, and what follows from both.
//!
//! Text is read without a question, and so is a file whose name and content say the same. Where they
//! differ, or where the content is markup or data that its name does not explain, the file is refused: it
//! never becomes text by mistake.

use std::path::Path;

use super::FileFormat;
use super::compression::Compression;
use super::content::Content;

/// A format that files are read in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    PlainText,
    JsonLines,
    /// An array of objects, or objects one after another.
    JsonValues,
    Parquet,
    WikipediaDump,
}

/// What the name of a file says about its contents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Named {
    /// Nothing: no ending, or an unknown one.
    Nothing,
    /// Running text: `.txt`.
    Text,
    /// Source code or the like, which can begin as JSON or XML do.
    Code,
    Html,
    Xml,
    JsonLines,
    /// `.json`: one value, or lines.
    Json,
    Parquet,
    /// Something that is not text, such as an archive: what it is.
    NotText(&'static str),
}

/// Endings of what is not text, and what it is. Languages are endings of text too: `corpus.pt`, `corpus.so`.
const NOT_TEXT: &[(&str, &[&str])] = &[
    (
        "an archive",
        &[
            "zip", "tar", "tgz", "tbz", "tbz2", "txz", "tzst", "7z", "rar", "jar", "war", "whl",
            "apk", "deb", "rpm", "iso", "dmg", "cab",
        ],
    ),
    (
        "compressed data",
        &["xz", "lzma", "lz", "lz4", "lzo", "z", "snappy"],
    ),
    (
        "a document of another program",
        &[
            "pdf", "doc", "docx", "odt", "xls", "xlsx", "ods", "ppt", "pptx", "odp", "epub",
            "mobi", "azw3", "djvu",
        ],
    ),
    (
        "arrays or a model",
        &[
            "npy",
            "npz",
            "safetensors",
            "gguf",
            "onnx",
            "h5",
            "hdf5",
            "ckpt",
            "pkl",
            "pickle",
        ],
    ),
    (
        "a database or table in binary form",
        &["sqlite", "sqlite3", "arrow", "feather", "orc", "avro"],
    ),
    (
        "an image",
        &[
            "png", "jpg", "jpeg", "gif", "webp", "bmp", "tif", "tiff", "ico", "heic",
        ],
    ),
    (
        "sound or video",
        &[
            "mp3", "mp4", "m4a", "wav", "flac", "ogg", "opus", "avi", "mkv", "mov", "webm",
        ],
    ),
    (
        "a program",
        &["exe", "dll", "dylib", "class", "pyc", "wasm"],
    ),
    ("a font", &["ttf", "otf", "woff", "woff2"]),
];

/// Endings of source code, configuration, tables and marked-up text.
const CODE: &[&str] = &[
    "adoc",
    "asm",
    "awk",
    "bat",
    "bash",
    "c",
    "cc",
    "cfg",
    "cjs",
    "clj",
    "cmake",
    "conf",
    "cpp",
    "cs",
    "css",
    "csv",
    "cu",
    "cuh",
    "cxx",
    "d",
    "dart",
    "el",
    "erl",
    "ex",
    "exs",
    "fish",
    "go",
    "gradle",
    "graphql",
    "groovy",
    "h",
    "hpp",
    "hs",
    "hxx",
    "ini",
    "java",
    "jl",
    "js",
    "jsx",
    "kt",
    "kts",
    "less",
    "lisp",
    "lua",
    "m",
    "markdown",
    "md",
    "mjs",
    "mk",
    "ml",
    "mli",
    "nim",
    "org",
    "pas",
    "php",
    "pl",
    "pm",
    "properties",
    "proto",
    "ps1",
    "py",
    "pyi",
    "r",
    "rb",
    "rs",
    "rst",
    "s",
    "sass",
    "scala",
    "scm",
    "scss",
    "sh",
    "sql",
    "svelte",
    "swift",
    "tex",
    "toml",
    "ts",
    "tsv",
    "tsx",
    "v",
    "vue",
    "yaml",
    "yml",
    "zig",
    "zsh",
];

/// What a file's name says: its contents and its compression, for example `pages.xml.bz2`.
pub(super) fn of_name(path: &Path) -> (Named, Compression) {
    let name = path
        .file_name()
        .map(|name| name.to_string_lossy().to_lowercase())
        .unwrap_or_default();
    let name = without_number(&name);
    let (contents, compression) = Compression::of_name(name);
    let contents = without_number(contents);
    let Some((_, ending)) = contents.rsplit_once('.') else {
        return (Named::Nothing, compression);
    };
    let named = match ending {
        "txt" | "text" => Named::Text,
        "html" | "htm" | "xhtml" => Named::Html,
        "xml" => Named::Xml,
        "jsonl" | "ndjson" | "jsonlines" | "ldjson" => Named::JsonLines,
        "json" => Named::Json,
        "parquet" | "pq" => Named::Parquet,
        ending if CODE.contains(&ending) => Named::Code,
        // A part of a large dump: `pages-articles1.xml-p1p41242`.
        ending if ending.starts_with("xml-p") => Named::Xml,
        ending => NOT_TEXT
            .iter()
            .find(|(_, endings)| endings.contains(&ending))
            .map_or(Named::Nothing, |(kind, _)| Named::NotText(kind)),
    };
    (named, compression)
}

/// What a file is, by its name, that lies beside a dump or other data and has no text of its own.
pub(super) fn companion(path: &Path) -> Option<&'static str> {
    const SUMS: [&str; 5] = ["md5sums", "sha1sums", "sha256sums", "sha512sums", "b2sums"];
    let name = path.file_name()?.to_string_lossy().to_lowercase();
    let (name, _) = Compression::of_name(without_number(&name));
    let name = name.strip_suffix(".txt").unwrap_or(name);
    // The index of a part of a dump: `…-multistream-index1.txt-p1p41242`.
    let index = name.split("-multistream-index").nth(1);
    if index.is_some_and(|rest| rest.is_empty() || rest.starts_with(|c: char| c.is_ascii_digit())) {
        return Some("the index of a dump");
    }
    // `enwiki-20240401-md5sums.txt`, `SHA256SUMS`.
    let last = name.rsplit('-').next().unwrap_or(name);
    SUMS.contains(&last).then_some("a list of checksums")
}

/// A name without the number that a download of the same name got: `dump.xml.1`.
fn without_number(name: &str) -> &str {
    match name.rsplit_once('.') {
        Some((stem, number))
            if stem.contains('.')
                && !number.is_empty()
                && number.len() <= 3
                && number.bytes().all(|byte| byte.is_ascii_digit()) =>
        {
            stem
        }
        _ => name,
    }
}

/// Why the format of a file does not follow from its name and content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Doubt {
    /// What the name says.
    pub(super) name: String,
    /// What the content shows.
    pub(super) content: String,
}

/// The format that follows from name and content.
pub(super) fn decide(
    named: Named,
    named_compression: Compression,
    compression: Compression,
    content: &Content,
) -> Result<Format, Doubt> {
    let format = match (named, content) {
        (Named::NotText(_), _) => None,
        (Named::Nothing | Named::Xml, Content::Dump) => Some(Format::WikipediaDump),
        (_, Content::Dump) => None,
        (Named::Nothing | Named::Parquet, Content::Parquet) => Some(Format::Parquet),
        (Named::Parquet, _) | (_, Content::Parquet) => None,
        (Named::Xml, _) => None,
        // The reader says which line is wrong.
        (Named::JsonLines, Content::JsonLines { .. } | Content::Text | Content::OtherJson) => {
            Some(Format::JsonLines)
        }
        (Named::JsonLines, Content::JsonValues { array: false }) => Some(Format::JsonLines),
        (Named::JsonLines, _) => None,
        (Named::Json | Named::Nothing, Content::JsonLines { .. }) => Some(Format::JsonLines),
        (Named::Json | Named::Nothing, Content::JsonValues { .. }) => Some(Format::JsonValues),
        (Named::Json, _) => None,
        (_, Content::SqlDump) => None,
        (_, Content::Text) => Some(Format::PlainText),
        (Named::Code | Named::Html, Content::JsonLines { lines }) if *lines >= 2 => None,
        (Named::Code | Named::Html, _) => Some(Format::PlainText),
        (Named::Text | Named::Nothing, _) => None,
    };
    let lies = compression == Compression::None && named_compression != Compression::None;
    // Contents that name themselves need no ending.
    let is_sure = !matches!(format, Some(Format::PlainText) | None) && *content != Content::Text;
    match format {
        Some(format) if !lies || is_sure => Ok(format),
        _ => Err(Doubt {
            name: named.says(if lies {
                named_compression
            } else {
                Compression::None
            }),
            content: if lies {
                format!("{}, not compressed", content.says())
            } else {
                content.says()
            },
        }),
    }
}

impl Named {
    fn says(self, compression: Compression) -> String {
        let contents = match self {
            Self::Nothing => "nothing",
            Self::Text => "plain text",
            Self::Code => "source code or marked-up text",
            Self::Html => "HTML",
            Self::Xml => "a Wikipedia dump (XML with <mediawiki>)",
            Self::JsonLines => "JSON lines",
            Self::Json => "JSON",
            Self::Parquet => "Parquet",
            Self::NotText(kind) => kind,
        };
        match (self, compression) {
            (_, Compression::None) => contents.to_owned(),
            (Self::Nothing, _) => format!("{} data", compression.name()),
            _ => format!("{contents}, {}", compression.name()),
        }
    }
}

/// The format that a user asked for.
pub(super) fn of_choice(choice: FileFormat) -> Option<Format> {
    match choice {
        FileFormat::Auto => None,
        FileFormat::Text => Some(Format::PlainText),
        FileFormat::JsonLines => Some(Format::JsonLines),
        FileFormat::Json => Some(Format::JsonValues),
        FileFormat::Parquet => Some(Format::Parquet),
        FileFormat::Wikipedia => Some(Format::WikipediaDump),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn companions_of_dumps_are_known_by_their_names() {
        for (name, expected) in [
            (
                "enwiki-20240401-pages-articles-multistream-index.txt.bz2",
                Some("the index of a dump"),
            ),
            (
                "enwiki-20240401-pages-articles-multistream-index1.txt-p1p41242.bz2",
                Some("the index of a dump"),
            ),
            (
                "simplewiki-multistream-index.txt",
                Some("the index of a dump"),
            ),
            ("md5sums.txt", Some("a list of checksums")),
            ("enwiki-20240401-sha1sums.txt", Some("a list of checksums")),
            ("SHA256SUMS", Some("a list of checksums")),
            ("about-md5sums.md", None),
            ("notes-on-multistream-indexes.txt", None),
            ("index.txt", None),
            ("enwiki-20240401-pages-articles-multistream.xml.bz2", None),
        ] {
            assert_eq!(companion(Path::new(name)), expected, "{name}");
        }
    }

    #[test]
    fn names_tell_contents_and_compression() {
        for (name, named, compression) in [
            ("a.xml", Named::Xml, Compression::None),
            ("enwiki-pages.XML.bz2", Named::Xml, Compression::Bzip2),
            (
                "enwiki-20240401-pages-articles-multistream1.xml-p1p41242.bz2",
                Named::Xml,
                Compression::Bzip2,
            ),
            (
                "enwiki-pages-articles.xml-p1p41242",
                Named::Xml,
                Compression::None,
            ),
            ("dump.xml.1", Named::Xml, Compression::None),
            ("dump.xml.bz2.2", Named::Xml, Compression::Bzip2),
            ("dump.xml.1.bz2", Named::Xml, Compression::Bzip2),
            (
                "enwiki-latest-pages-articles.xml.bz2-rss.xml",
                Named::Xml,
                Compression::None,
            ),
            ("a.jsonl.zst", Named::JsonLines, Compression::Zstd),
            ("a.ndjson", Named::JsonLines, Compression::None),
            ("a.json.gz", Named::Json, Compression::Gzip),
            ("train-00000.parquet", Named::Parquet, Compression::None),
            ("notes", Named::Nothing, Compression::None),
            ("notes.gz", Named::Nothing, Compression::Gzip),
            ("notes.2", Named::Nothing, Compression::None),
            ("notes.txt", Named::Text, Compression::None),
            ("lib.rs", Named::Code, Compression::None),
            ("index.html", Named::Html, Compression::None),
            (
                "photos.zip",
                Named::NotText("an archive"),
                Compression::None,
            ),
            (
                "photos.tar.gz",
                Named::NotText("an archive"),
                Compression::Gzip,
            ),
            (
                "a.txt.XZ",
                Named::NotText("compressed data"),
                Compression::None,
            ),
        ] {
            assert_eq!(of_name(Path::new(name)), (named, compression), "{name}");
        }
    }
}
