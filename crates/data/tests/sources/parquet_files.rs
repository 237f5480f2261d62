//! Parquet files of several writers, with columns that are not text, and with sizes that are lies.

use std::sync::Arc;

use learned_dropout_data::sources::{ReadOptions, Reason};
use parquet::basic::{Compression, Encoding};
use parquet::data_type::{ByteArray, ByteArrayType, Int32Type};
use parquet::file::properties::{WriterProperties, WriterPropertiesBuilder, WriterVersion};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use crate::support::*;

/// A file with one column of byte arrays.
fn one_column(schema: &str, rows: &[&[u8]], properties: WriterPropertiesBuilder) -> Vec<u8> {
    let schema = Arc::new(parse_message_type(schema).expect("the schema is good"));
    let mut bytes = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut bytes, schema, Arc::new(properties.build()))
        .expect("begin the file");
    let mut group = writer.next_row_group().expect("begin the row group");
    let mut column = group.next_column().expect("a column").expect("a column");
    let values: Vec<ByteArray> = rows
        .iter()
        .map(|row| ByteArray::from(row.to_vec()))
        .collect();
    column
        .typed::<ByteArrayType>()
        .write_batch(&values, None, None)
        .expect("write texts");
    column.close().expect("end the column");
    group.close().expect("end the row group");
    writer.close().expect("end the file");
    bytes
}

const TEXT: &str = "message rows { REQUIRED BYTE_ARRAY text (UTF8); }";

#[test]
fn codecs_encodings_and_versions() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let rows: Vec<String> = (0..5_000)
        .map(|row| format!("row {} é", row % 700))
        .collect();
    let rows: Vec<&[u8]> = rows.iter().map(String::as_bytes).collect();
    let expected: Vec<&str> = rows
        .iter()
        .map(|row| std::str::from_utf8(row).unwrap())
        .collect();
    for codec in [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::GZIP(Default::default()),
        Compression::BROTLI(Default::default()),
        Compression::ZSTD(Default::default()),
        Compression::LZ4,
        Compression::LZ4_RAW,
    ] {
        for version in [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0] {
            for encoding in [
                None,
                Some(Encoding::PLAIN),
                Some(Encoding::DELTA_BYTE_ARRAY),
                Some(Encoding::DELTA_LENGTH_BYTE_ARRAY),
            ] {
                let mut properties = WriterProperties::builder()
                    .set_compression(codec)
                    .set_writer_version(version)
                    .set_data_page_row_count_limit(1_000)
                    .set_write_batch_size(500)
                    .set_dictionary_enabled(encoding.is_none());
                if let Some(encoding) = encoding {
                    properties = properties.set_encoding(encoding);
                }
                let bytes = one_column(TEXT, &rows, properties);
                let path = write(folder.path(), "rows.parquet", &bytes);
                assert!(
                    texts(&path) == expected,
                    "{codec:?} {version:?} {encoding:?}"
                );
            }
        }
    }
}

#[test]
fn columns_that_are_not_text_are_named() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let list = "message rows { REQUIRED GROUP text (LIST) { REPEATED GROUP list { REQUIRED BYTE_ARRAY element (UTF8); } } }";
    let repeated = "message rows { REPEATED BYTE_ARRAY text (UTF8); }";
    let decimal = "message rows { REQUIRED BYTE_ARRAY text (DECIMAL(9, 2)); }";
    for (schema, part) in [
        (list, "a list or a group of text.list.element"),
        (repeated, "lists"),
        (decimal, "DECIMAL"),
    ] {
        let message = message_of(&folder, &without_rows(schema));
        assert!(
            message.contains("rows.parquet") && message.contains(part),
            "{message}"
        );
    }
    // A text within a group has a path.
    let group = "message rows { REQUIRED GROUP page { REQUIRED BYTE_ARRAY text (UTF8); } }";
    let bytes = one_column(group, &[b"one"], WriterProperties::builder());
    let options = ReadOptions {
        text_column: "page.text".to_owned(),
        ..ReadOptions::default()
    };
    let path = write(folder.path(), "rows.parquet", &bytes);
    assert_eq!(texts_and_left_out(&path, &options).0, ["one"]);
}

#[test]
fn rows_that_are_not_text_are_left_out() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let binary = "message rows { REQUIRED BYTE_ARRAY text; }";
    let bytes = one_column(
        binary,
        &[b"one", b"\xFF", b"three"],
        WriterProperties::builder(),
    );
    let path = write(folder.path(), "rows.parquet", &bytes);
    assert!(message(&path).contains("rows.parquet, row 2: byte 0"));
    let (found, left_out) = texts_and_left_out(&path, &skipping());
    assert_eq!(found, ["one", "three"]);
    assert!(examples(&left_out, Reason::UnreadableRecord)[0].contains("row 2"));
    // Rows without a text count as rows.
    let bytes = parquet(&[None, Some("two"), None, None], Compression::SNAPPY);
    let path = write(folder.path(), "rows.parquet", &bytes);
    let (found, left_out) = texts_and_left_out(&path, &ReadOptions::default());
    assert_eq!(found, ["two"]);
    let found = examples(&left_out, Reason::NoText);
    assert!(found.len() == 3 && found[1].ends_with("row 3"), "{found:?}");
}

/// The header of the only page is changed: its sizes, and the number of texts of a dictionary.
#[test]
fn claimed_sizes_reserve_no_memory() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let properties = WriterProperties::builder()
        .set_dictionary_enabled(false)
        .set_compression(Compression::SNAPPY);
    let bytes = one_column(TEXT, &[&[b'x'; 3000]], properties);
    // The page begins after the mark: field 1 is its type, field 2 its size in two or three bytes.
    assert_eq!(bytes[4..7], [0x15, 0x00, 0x15]);
    // 2^31 - 1, doubled, in groups of seven bits.
    let huge = [0xFE, 0xFF, 0xFF, 0xFF, 0x0F];
    let size = bytes[7..]
        .iter()
        .position(|byte| byte & 0x80 == 0)
        .expect("an end")
        + 1;
    let forged = [&bytes[..7], &huge, &bytes[7 + size..]].concat();
    let message = message_of(&folder, &forged);
    assert!(
        message.contains("rows.parquet") && message.contains("claims 2147483647 bytes"),
        "{message}"
    );

    // A dictionary of one text that claims 2^31 - 1: field 7, a structure whose field 1 is the number.
    let bytes = one_column(TEXT, &[b"one"], WriterProperties::builder());
    let at = bytes
        .windows(3)
        .position(|window| window == [0x4C, 0x15, 0x02]);
    let at = at.expect("a dictionary of one text") + 2;
    let forged = [&bytes[..at], &huge, &bytes[at + 1..]].concat();
    let message = message_of(&folder, &forged);
    assert!(
        message.contains("rows.parquet") && message.contains("a dictionary claims"),
        "{message}"
    );
    // A column that is longer than the file.
    let cut = [&bytes[..8], &bytes[bytes.len() - 8..]].concat();
    assert!(message_of(&folder, &cut).contains("rows.parquet"));
}

/// A file without rows.
fn without_rows(schema: &str) -> Vec<u8> {
    let schema = Arc::new(parse_message_type(schema).expect("the schema is good"));
    let mut bytes = Vec::new();
    let properties = Arc::new(WriterProperties::builder().build());
    SerializedFileWriter::new(&mut bytes, schema, properties)
        .expect("begin the file")
        .close()
        .expect("end the file");
    bytes
}

/// A file with row groups of nulls, as writers store a part of a dataset in which every text is missing.
fn nulls(groups: &[usize]) -> Vec<u8> {
    let nulls = "message rows { OPTIONAL INT32 text (UNKNOWN); }";
    let schema = Arc::new(parse_message_type(nulls).expect("the schema is good"));
    let mut bytes = Vec::new();
    let properties = Arc::new(WriterProperties::builder().build());
    let mut writer =
        SerializedFileWriter::new(&mut bytes, schema, properties).expect("begin the file");
    for &rows in groups {
        let mut group = writer.next_row_group().expect("begin the row group");
        let mut column = group.next_column().expect("a column").expect("a column");
        column
            .typed::<Int32Type>()
            .write_batch(&[], Some(&vec![0; rows]), None)
            .expect("write nulls");
        column.close().expect("end the column");
        group.close().expect("end the row group");
    }
    writer.close().expect("end the file");
    bytes
}

#[test]
fn a_column_of_nulls_is_rows_without_text() {
    let folder = tempfile::tempdir().expect("temporary folder");
    write(folder.path(), "rows.parquet", &nulls(&[2, 1]));
    write(folder.path(), "z.txt", b"one");
    let (found, left_out) = texts_and_left_out(folder.path(), &ReadOptions::default());
    assert_eq!(found, ["one"]);
    let found = examples(&left_out, Reason::NoText);
    assert!(found.len() == 3 && found[2].ends_with("row 3"), "{found:?}");
    write(folder.path(), "rows.parquet", &nulls(&[2, 100_000]));
    let (_, left_out) = texts_and_left_out(folder.path(), &ReadOptions::default());
    assert_eq!(left_out.counts()[&Reason::NoText], 100_002);
    let found = examples(&left_out, Reason::NoText);
    assert!(
        found.len() == 10 && found[9].ends_with("row 10"),
        "{found:?}"
    );
}

/// A row group of 3 nulls claims 2^62 of them, which a loop would count for years.
#[test]
fn claimed_rows_are_not_counted() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let mut bytes = nulls(&[3]);
    // In the description, field 3 of the row group; field 5, the place of its bytes, follows. Numbers are
    // doubled.
    let rows = [0x16, 6, 0x26];
    let at: Vec<usize> = (0..bytes.len() - 3)
        .filter(|&at| bytes[at..at + 3] == rows)
        .collect();
    assert_eq!(at.len(), 1);
    let claimed = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01];
    bytes.splice(at[0] + 1..at[0] + 2, claimed);
    let length_at = bytes.len() - 8;
    let length: [u8; 4] = bytes[length_at..length_at + 4].try_into().expect("four");
    let length = u32::from_le_bytes(length) + 9;
    bytes[length_at..length_at + 4].copy_from_slice(&length.to_le_bytes());
    let message = message_of(&folder, &bytes);
    assert!(
        message.contains("rows.parquet, row 1")
            && message.contains("claims 4611686018427387904 rows, and its pages hold 3"),
        "{message}"
    );
}

#[test]
fn two_columns_of_one_name_are_refused() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let twice =
        "message rows { REQUIRED BYTE_ARRAY text (UTF8); REQUIRED BYTE_ARRAY text (UTF8); }";
    let message = message_of(&folder, &without_rows(twice));
    assert!(
        message.contains("rows.parquet") && message.contains("two columns are called 'text'"),
        "{message}"
    );
}

#[test]
fn the_end_of_a_file_says_why_it_cannot_be_read() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let bytes = one_column(TEXT, &[b"one"], WriterProperties::builder());
    for end in [4, 11, bytes.len() - 1] {
        let message = message_of(&folder, &bytes[..end]);
        assert!(
            message.contains("cut off") && message.contains("fetch it again"),
            "{end}: {message}"
        );
    }
    let inside = &bytes[4..bytes.len() - 4];
    for (start, end) in [("PARE", "PARE"), ("PAR1", "PARE")] {
        let forged = [start.as_bytes(), inside, end.as_bytes()].concat();
        let message = message_of(&folder, &forged);
        assert!(message.contains("encrypted"), "{start}: {message}");
    }
}

/// A file with an encrypted column, whose description is not encrypted: its pages are other bytes, and
/// field 8 of the description names the algorithm, AES-GCM (a union whose field 1 is an empty structure).
#[test]
fn encrypted_columns_are_named() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let mut bytes = one_column(TEXT, &[b"one"], WriterProperties::builder());
    let length_at = bytes.len() - 8;
    let length: [u8; 4] = bytes[length_at..length_at + 4]
        .try_into()
        .expect("four bytes");
    let length = u32::from_le_bytes(length);
    // The page headers.
    bytes[4..20].fill(0xFF);
    let damaged = message_of(&folder, &bytes);
    assert!(damaged.contains("the file is damaged"), "{damaged}");
    // The description ends with a zero byte. Its last field before is 7.
    let algorithm = [0x1C, 0x1C, 0, 0, 0];
    bytes.splice(length_at - 1..length_at, algorithm);
    let at = bytes.len() - 8;
    bytes[at..at + 4].copy_from_slice(&(length + 4).to_le_bytes());
    let message = message_of(&folder, &bytes);
    assert!(message.contains("the file is encrypted"), "{message}");
}

#[cfg(unix)]
#[test]
fn a_pipe_is_no_place_for_parquet() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&path).status();
    assert!(made.expect("mkfifo runs").success());
    let bytes = one_column(TEXT, &[b"one"], WriterProperties::builder());
    let writer = std::thread::spawn({
        let path = path.clone();
        // The reader may close the pipe before it has read all.
        move || drop(std::fs::write(path, bytes))
    });
    let message = message(&path);
    assert!(
        message.contains("pipe is Parquet in a pipe") && message.contains("name a file"),
        "{message}"
    );
    writer.join().expect("written");
}

fn message_of(folder: &tempfile::TempDir, bytes: &[u8]) -> String {
    message(&write(folder.path(), "rows.parquet", bytes))
}
