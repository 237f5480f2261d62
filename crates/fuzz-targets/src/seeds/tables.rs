//! Seeds of Parquet files.

use std::sync::Arc;

use parquet::basic::{Compression, Encoding};
use parquet::data_type::{ByteArray, ByteArrayType};
use parquet::file::properties::{WriterProperties, WriterPropertiesBuilder, WriterVersion};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

const ROWS: [Option<&str>; 5] = [
    Some("one"),
    None,
    Some("two"),
    Some("two"),
    Some("naïve 🦀"),
];

/// A file with an optional text in each row, three rows to a group.
fn written(properties: WriterPropertiesBuilder) -> Vec<u8> {
    let schema = parse_message_type("message rows { OPTIONAL BYTE_ARRAY text (UTF8); }");
    let schema = Arc::new(schema.expect("a good schema"));
    let properties = Arc::new(properties.build());
    let mut writer =
        SerializedFileWriter::new(Vec::new(), schema, properties).expect("begin the file");
    for rows in ROWS.chunks(3) {
        let mut group = writer.next_row_group().expect("begin the row group");
        let column = group.next_column().expect("begin the column");
        let mut column = column.expect("there is a column");
        let levels: Vec<i16> = rows.iter().map(|row| i16::from(row.is_some())).collect();
        let values: Vec<ByteArray> = rows
            .iter()
            .flatten()
            .map(|row| ByteArray::from(*row))
            .collect();
        column
            .typed::<ByteArrayType>()
            .write_batch(&values, Some(&levels), None)
            .expect("write texts");
        column.close().expect("end the column");
        group.close().expect("end the row group");
    }
    writer.into_inner().expect("end the file")
}

/// Files with several compressions, encodings and page versions.
pub(crate) fn parquet() -> Vec<Vec<u8>> {
    let plain = || WriterProperties::builder().set_dictionary_enabled(false);
    let encoded = |encoding| written(plain().set_encoding(encoding));
    vec![
        written(WriterProperties::builder()),
        written(WriterProperties::builder().set_compression(Compression::SNAPPY)),
        written(WriterProperties::builder().set_compression(Compression::ZSTD(Default::default()))),
        written(plain().set_compression(Compression::GZIP(Default::default()))),
        written(plain().set_compression(Compression::LZ4_RAW)),
        written(plain().set_writer_version(WriterVersion::PARQUET_2_0)),
        encoded(Encoding::DELTA_BYTE_ARRAY),
        encoded(Encoding::DELTA_LENGTH_BYTE_ARRAY),
    ]
}
