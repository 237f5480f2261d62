//! What the first bytes of a file's contents show.

use super::json_record;

/// The most bytes that are looked at.
pub(super) const HEAD_BYTES: usize = 64 * 1024;

/// What a file with zero bytes is, unless something more is known.
pub(super) const ZERO_BYTES: &str = "binary";

/// What a file holds, as far as its first bytes show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Content {
    /// MediaWiki's XML.
    Dump,
    /// XML, or markup like it, of another kind.
    Xml {
        root: String,
    },
    Html,
    /// An object on each of the first lines.
    JsonLines {
        lines: usize,
    },
    /// An array of objects, or an object that takes several lines.
    JsonValues {
        array: bool,
    },
    /// JSON without objects: there are no texts to be found by a key.
    OtherJson,
    Parquet,
    /// The statements that restore a database.
    SqlDump,
    /// Not text; this is what it is.
    Binary(&'static str),
    /// Anything else, or nothing.
    Text,
}

/// First bytes of files that are not text, at an offset.
const BINARY: &[(usize, &[u8], &str)] = &[
    (
        0,
        b"%PDF-",
        "a PDF document; extract its text first, for example with pdftotext",
    ),
    (
        0,
        b"PK\x03\x04",
        "a ZIP archive (or a document made of one); unpack it first",
    ),
    (0, b"PK\x05\x06", "a ZIP archive; unpack it first"),
    (0, b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (0, b"\xFF\xD8\xFF", "a JPEG image"),
    (0, b"GIF87a", "a GIF image"),
    (0, b"GIF89a", "a GIF image"),
    (
        0,
        b"SQLite format 3\0",
        "an SQLite database; export its text first",
    ),
    (
        257,
        b"ustar",
        "a tar archive; unpack it first and name the folder",
    ),
    (
        0,
        b"\xFD7zXZ\0",
        "xz-compressed; unpack it first with `xz -d`",
    ),
    (
        0,
        b"LZIP",
        "lzip-compressed; unpack it first with `lzip -d`",
    ),
    (0, b"7z\xBC\xAF\x27\x1C", "a 7z archive; unpack it first"),
    (0, b"Rar!\x1A\x07", "a RAR archive; unpack it first"),
    (
        0,
        b"\x04\x22\x4D\x18",
        "lz4-compressed; unpack it first with `lz4 -d`",
    ),
    (
        0,
        b"\xFF\x06\x00\x00sNaPpY",
        "snappy-compressed; unpack it first",
    ),
    (
        0,
        b"\x1F\x9D",
        "compressed by `compress`; unpack it first with `gzip -d`",
    ),
    (
        0,
        b"\x1F\x8B",
        "gzip-compressed twice; unpack it first with `gzip -d`",
    ),
    (
        0,
        b"\x28\xB5\x2F\xFD",
        "zstd-compressed twice; unpack it first with `zstd -d`",
    ),
    (
        0,
        b"BZh91AY&SY",
        "bzip2-compressed twice; unpack it first with `bzip2 -d`",
    ),
    (0, b"ARROW1", "an Arrow file; convert it to Parquet first"),
    (0, b"\x93NUMPY", "a NumPy array"),
    (0, b"\x89HDF", "an HDF5 file"),
    (0, b"\x7FELF", "a program"),
    (0, b"{\\rtf", "an RTF document; save it as plain text first"),
    (0, b"%!PS", "a PostScript document; extract its text first"),
    (
        0,
        b"\xD0\xCF\x11\xE0",
        "a document of an old Office program; save it as plain text first",
    ),
    (
        0,
        b"\xFF\xFE\0\0",
        "UTF-32 text; convert it to UTF-8 first, for example with `iconv -f UTF-32 -t UTF-8`",
    ),
    (
        0,
        b"\0\0\xFE\xFF",
        "UTF-32 text; convert it to UTF-8 first, for example with `iconv -f UTF-32 -t UTF-8`",
    ),
    (
        0,
        b"\xFF\xFE",
        "UTF-16 text; convert it to UTF-8 first, for example with `iconv -f UTF-16 -t UTF-8`",
    ),
    (
        0,
        b"\xFE\xFF",
        "UTF-16 text; convert it to UTF-8 first, for example with `iconv -f UTF-16 -t UTF-8`",
    ),
];

/// Beginnings of the files that databases write to be restored from.
const SQL_DUMPS: [&[u8]; 5] = [
    b"-- MySQL dump",
    b"-- MariaDB dump",
    b"-- PostgreSQL database dump",
    b"--\n-- PostgreSQL database dump",
    b"PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;",
];

impl Content {
    /// Looks at the first bytes, at most [`HEAD_BYTES`]; `whole` says that there are no more.
    pub(super) fn of_head(head: &[u8], whole: bool) -> Self {
        if head.starts_with(b"PAR1") {
            return Self::Parquet;
        }
        let has_magic = |&&(at, magic, _): &&(usize, &[u8], &str)| {
            head.get(at..).is_some_and(|head| head.starts_with(magic))
        };
        if let Some((_, _, kind)) = BINARY.iter().find(has_magic) {
            return Self::Binary(kind);
        }
        let text = head.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(head);
        if head.contains(&0) {
            // A zero byte in JSON is a fault of one record.
            return match of_json(text.trim_ascii_start(), whole) {
                content @ (Self::JsonLines { .. } | Self::JsonValues { .. }) => content,
                _ => Self::Binary(ZERO_BYTES),
            };
        }
        if SQL_DUMPS.iter().any(|start| text.starts_with(start))
            || text.starts_with(b"/*M!999999\\- enable the sandbox mode */")
        {
            return Self::SqlDump;
        }
        let text = text.trim_ascii_start();
        match text.first() {
            Some(b'<') => of_markup(text),
            _ => of_json(text, whole),
        }
    }

    /// What a file holds that is named so, where its first bytes alone could be text: `{}`, `[]`, `"a"`.
    pub(super) fn of_json_name(self, head: &[u8], whole: bool) -> Self {
        let text = head.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(head);
        match self {
            Self::Text if whole && json_record::is_value(text) => Self::OtherJson,
            content => content,
        }
    }

    /// What it is, for a message.
    pub(super) fn says(&self) -> String {
        match self {
            Self::Dump => "a Wikipedia dump".to_owned(),
            Self::Xml { root } if root.is_empty() => "XML, but not a <mediawiki> dump".to_owned(),
            Self::Xml { root } => format!("XML that begins with <{root}>, not a <mediawiki> dump"),
            Self::Html => "HTML".to_owned(),
            Self::JsonLines { .. } => "JSON lines".to_owned(),
            Self::JsonValues { array: true } => "a JSON array of objects".to_owned(),
            Self::JsonValues { array: false } => "JSON".to_owned(),
            Self::OtherJson => "JSON without objects that have keys".to_owned(),
            Self::Parquet => "Parquet".to_owned(),
            Self::SqlDump => "a dump of a database (SQL)".to_owned(),
            Self::Binary(kind) => (*kind).to_owned(),
            Self::Text => "plain text".to_owned(),
        }
    }
}

/// Whether a file that begins with `head` stands for a large file that Git LFS has not fetched.
pub(super) fn is_git_lfs_pointer(head: &[u8]) -> bool {
    const FIRST_LINES: [&[u8]; 2] = [
        b"version https://git-lfs.github.com/spec/",
        b"version https://hawser.github.com/spec/",
    ];
    // The keys are sorted, but for the first; a pointer has less than 1024 bytes.
    let has = |key: &[u8]| {
        let mut lines = head.split(|&byte| byte == b'\n');
        lines.any(|line| line.starts_with(key))
    };
    head.len() < 1024
        && FIRST_LINES.iter().any(|line| head.starts_with(line))
        && has(b"oid ")
        && has(b"size ")
}

/// Whether one of the lines of a file's first bytes is an object of JSON with a key.
pub(super) fn has_json_line(head: &[u8]) -> bool {
    let mut lines = head.split(|&byte| byte == b'\n');
    lines.any(|line| is_object_with_key(line.trim_ascii()))
}

/// Looks for JSON.
fn of_json(text: &[u8], whole: bool) -> Content {
    match text.first() {
        Some(b'{') => of_object(text, whole),
        Some(b'[') => of_array(text, whole),
        _ => Content::Text,
    }
}

/// Looks at text that begins with `<`: for the first element behind declarations and comments.
fn of_markup(text: &[u8]) -> Content {
    let other = |root: &[u8]| Content::Xml {
        root: String::from_utf8_lossy(&root[..root.len().min(40)]).into_owned(),
    };
    let declared = text.starts_with(b"<?xml");
    let mut rest = text;
    loop {
        rest = rest.trim_ascii_start();
        let end: &[u8] = if rest.starts_with(b"<!--") {
            b"-->"
        } else if rest.starts_with(b"<?") {
            b"?>"
        } else if starts_with_ignoring_case(rest, b"<!doctype html") {
            return Content::Html;
        } else if starts_with_ignoring_case(rest, b"<!doctype") {
            // Entities may be declared within square brackets.
            let bracket = rest.iter().position(|byte| b"[>".contains(byte));
            if bracket.is_some_and(|at| rest[at] == b'[') {
                match rest.iter().position(|&byte| byte == b']') {
                    Some(at) => rest = &rest[at..],
                    None => break,
                }
            }
            b">"
        } else {
            break;
        };
        match rest.windows(end.len()).position(|window| window == end) {
            Some(at) => rest = &rest[at + end.len()..],
            None => break,
        }
    }
    let name = rest.strip_prefix(b"<").unwrap_or_default();
    let is_name =
        |byte: &u8| byte.is_ascii_alphanumeric() || b"_:.-".contains(byte) || *byte >= 0x80;
    let length = name.iter().take_while(|byte| is_name(byte)).count();
    let (name, after) = name.split_at(length);
    let is_element = name
        .first()
        .is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'_')
        && after
            .first()
            .is_none_or(|byte| byte.is_ascii_whitespace() || b"/>".contains(byte));
    let local = name.rsplit(|&byte| byte == b':').next().unwrap_or(name);
    if is_element && local == b"mediawiki" {
        return Content::Dump;
    }
    if is_element && name.eq_ignore_ascii_case(b"html") {
        return Content::Html;
    }
    if declared {
        return other(name);
    }
    // Running text can begin with <Alice>. Markup has tags that close.
    let closes = after
        .windows(2)
        .any(|window| window == b"</" || window == b"/>");
    if is_element && closes {
        other(name)
    } else {
        Content::Text
    }
}

fn starts_with_ignoring_case(text: &[u8], start: &[u8]) -> bool {
    text.get(..start.len())
        .is_some_and(|text| text.eq_ignore_ascii_case(start))
}

/// Looks at text that begins with `{`.
fn of_object(text: &[u8], whole: bool) -> Content {
    let mut lines = 0;
    let mut rest = text;
    while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
        let line = rest[..end].trim_ascii();
        rest = &rest[end + 1..];
        if line.is_empty() {
            continue;
        }
        if !is_object_with_key(line) {
            break;
        }
        lines += 1;
    }
    if lines == 0 && whole && is_object_with_key(rest.trim_ascii()) && !text.contains(&b'\n') {
        lines = 1;
    }
    if lines > 0 {
        return Content::JsonLines { lines };
    }
    if !begins_with_key(text) {
        return Content::Text;
    }
    // One line that is longer than the head; what is printed for people has line breaks.
    if !whole && !text.contains(&b'\n') {
        return Content::JsonLines { lines: 1 };
    }
    Content::JsonValues { array: false }
}

/// Looks at text that begins with `[`.
fn of_array(text: &[u8], whole: bool) -> Content {
    let inside = text[1..].trim_ascii_start();
    if begins_with_key(inside) {
        return Content::JsonValues { array: true };
    }
    // Running text can begin with [1], and code with [section].
    let is_data = inside.starts_with(b"\"") || inside.starts_with(b"[") || inside.starts_with(b"{");
    let first_line = text.split(|&byte| byte == b'\n').next().unwrap_or(text);
    let is_whole_value = json_record::is_value(first_line) || whole && json_record::is_value(text);
    let begins_string = inside.starts_with(b"\"")
        && inside[1..]
            .iter()
            .position(|&byte| byte == b'"')
            .is_some_and(|end| {
                let after = inside[end + 2..].trim_ascii_start();
                after.starts_with(b",") || after.starts_with(b"]")
            });
    if is_data && (is_whole_value || begins_string) {
        Content::OtherJson
    } else {
        Content::Text
    }
}

/// Whether bytes are an object of JSON with at least one key.
fn is_object_with_key(bytes: &[u8]) -> bool {
    begins_with_key(bytes) && json_record::is_value(bytes)
}

/// Whether bytes begin as an object of JSON with a key does: `{"key":`.
fn begins_with_key(bytes: &[u8]) -> bool {
    let Some(inside) = bytes.strip_prefix(b"{") else {
        return false;
    };
    let Some(key) = inside.trim_ascii_start().strip_prefix(b"\"") else {
        return false;
    };
    let mut escaped = false;
    let end = key.iter().position(|&byte| {
        let is_end = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        is_end
    });
    end.is_some_and(|end| key[end + 1..].trim_ascii_start().starts_with(b":"))
}
