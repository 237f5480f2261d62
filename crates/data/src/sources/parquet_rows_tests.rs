use std::sync::Arc;

use parquet::basic::Encoding;
use parquet::data_type::{ByteArrayType, Int32Type};
use parquet::file::properties::{WriterProperties, WriterPropertiesBuilder};
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::parser::parse_message_type;

use super::*;

/// A file with one row group, in which `text` describes the column.
fn file(
    text: &str,
    properties: WriterPropertiesBuilder,
    write: impl FnOnce(&mut SerializedColumnWriter<'_>),
) -> Vec<u8> {
    let schema = format!("message rows {{ OPTIONAL {text}; }}");
    let schema = Arc::new(parse_message_type(&schema).expect("the schema is good"));
    let mut bytes = Vec::new();
    let codec = parquet::basic::Compression::ZSTD(Default::default());
    let properties = Arc::new(properties.set_compression(codec).build());
    let mut writer = SerializedFileWriter::new(&mut bytes, schema, properties).expect("a file");
    let mut group = writer.next_row_group().expect("a row group");
    let mut column = group.next_column().expect("a column").expect("a column");
    write(&mut column);
    column.close().expect("the end of the column");
    group.close().expect("the end of the row group");
    writer.close().expect("the end of the file");
    bytes
}

fn texts(rows: &[String], properties: WriterPropertiesBuilder) -> Vec<u8> {
    let values: Vec<ByteArray> = rows.iter().map(|row| row.as_str().into()).collect();
    let levels = vec![1; rows.len()];
    file("BYTE_ARRAY text (UTF8)", properties, |column| {
        let column = column.typed::<ByteArrayType>();
        let written = column.write_batch(&values, Some(&levels), None);
        assert_eq!(written.expect("texts"), rows.len());
    })
}

/// How many documents the reading thread decodes itself, and how many columns it leaves to workers.
fn paths(bytes: &[u8]) -> (u64, u64) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("rows.parquet");
    std::fs::write(&path, bytes).expect("written");
    let meter = SharedMeter::default();
    let stream = input_stream::open(&path, Compression::None, None, &meter, &Silent);
    let stream = stream.expect("opened");
    let (mut here, mut deferred) = (0, 0);
    let options = ReadOptions::default();
    let outcome = read(stream, 0, &options, &meter, &Silent, &mut |raw| {
        match raw {
            RawDocument::Deferred { .. } => deferred += 1,
            _ => here += 1,
        }
        Ok(())
    });
    assert!(outcome.is_ok());
    (here, deferred)
}

#[test]
fn a_column_is_small_if_its_texts_are() {
    let plain = || WriterProperties::builder().set_dictionary_enabled(false);
    let delta = || plain().set_encoding(Encoding::DELTA_BYTE_ARRAY);
    let dictionary = WriterProperties::builder;
    let same = |rows: usize| vec!["x".repeat(10_000); rows];
    let several = |rows: usize| -> Vec<String> {
        (0..rows)
            .map(|row| format!("{row} ").repeat(1_000))
            .collect()
    };
    for (case, rows, properties, expected) in [
        // 30 MB of texts in a few kB.
        ("dictionary", same(3_000), dictionary(), (3_000, 0)),
        ("delta", same(3_000), delta(), (3_000, 0)),
        ("plain", same(3_000), plain(), (3_000, 0)),
        // 3 MB.
        ("short dictionary", same(300), dictionary(), (0, 1)),
        ("short plain", same(300), plain(), (0, 1)),
        // 4 MB. The writer gives up the dictionary at 1 MB.
        ("both", several(1_000), dictionary(), (0, 1)),
        (
            "delta length",
            several(1_000),
            plain().set_encoding(Encoding::DELTA_LENGTH_BYTE_ARRAY),
            (0, 1),
        ),
    ] {
        let bytes = texts(&rows, properties);
        assert!(bytes.len() < 100_000, "{case}: {}", bytes.len());
        assert_eq!(paths(&bytes), expected, "{case}");
    }
}

#[test]
fn rows_of_nulls_are_counted_together() {
    let rows = 100_000;
    let nulls = file(
        "INT32 text (UNKNOWN)",
        WriterProperties::builder(),
        |column| {
            let column = column.typed::<Int32Type>();
            let written = column.write_batch(&[], Some(&vec![0; rows]), None);
            assert_eq!(written.expect("nulls"), 0);
        },
    );
    // Ten rows with their numbers, and all others at once.
    assert_eq!(paths(&nulls), (11, 0));
}

/// The description claims that the column has fewer bytes after decompression.
#[test]
fn a_claimed_size_does_not_make_a_column_small() {
    let rows = vec!["x".repeat(10_000); 3_000];
    let properties = WriterProperties::builder().set_dictionary_enabled(false);
    let mut bytes = texts(&rows, properties);
    let reader = SerializedFileReader::new(bytes::Bytes::from(bytes.clone())).expect("good");
    let size = reader.metadata().row_group(0).column(0).uncompressed_size();
    assert!(size > 30_000_000);
    // Doubled, in groups of seven bits: four bytes here.
    let in_groups = |number: i64| {
        let group = |at: u32| (((number * 2) >> (7 * at)) & 0x7F) as u8;
        [group(0) | 0x80, group(1) | 0x80, group(2) | 0x80, group(3)]
    };
    let (claimed, real) = (in_groups(100), in_groups(size));
    let mut changed = 0;
    for at in 0..bytes.len() - 4 {
        if bytes[at..at + 4] == real {
            bytes[at..at + 4].copy_from_slice(&claimed);
            changed += 1;
        }
    }
    assert!(changed > 0);
    assert_eq!(paths(&bytes), (3_000, 0));
}
