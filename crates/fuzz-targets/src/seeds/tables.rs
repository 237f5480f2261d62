//! Seeds of Parquet files.

use std::fs::File;
use std::sync::Arc;

use parquet::basic::{Compression, Encoding};
use parquet::data_type::{ByteArray, ByteArrayType};
use parquet::file::properties::{WriterProperties, WriterPropertiesBuilder, WriterVersion};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use crate::place;

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

/// Files with several compressions, encodings and page versions, and forged ones.
pub(crate) fn parquet() -> Vec<Vec<u8>> {
    let plain = || WriterProperties::builder().set_dictionary_enabled(false);
    let encoded = |encoding| written(plain().set_encoding(encoding));
    vec![
        written(WriterProperties::builder()),
        written(WriterProperties::builder().set_compression(Compression::SNAPPY)),
        written(WriterProperties::builder().set_compression(Compression::ZSTD(Default::default()))),
        written(plain().set_compression(Compression::GZIP(Default::default()))),
        written(plain().set_compression(Compression::BROTLI(Default::default()))),
        written(plain().set_compression(Compression::LZ4_RAW)),
        written(plain().set_writer_version(WriterVersion::PARQUET_2_0)),
        encoded(Encoding::DELTA_BYTE_ARRAY),
        encoded(Encoding::DELTA_LENGTH_BYTE_ARRAY),
        forged(Size::Uncompressed),
        forged(Size::Compressed),
    ]
}

/// The size in a page's header that is forged.
#[derive(Clone, Copy, PartialEq)]
enum Size {
    Uncompressed,
    Compressed,
}

/// A file of a few hundred bytes whose first page claims 2 GiB.
fn forged(size: Size) -> Vec<u8> {
    // Several pages in a group: the claim makes the header longer, which costs the last page its end.
    let properties = WriterProperties::builder()
        .set_dictionary_enabled(false)
        .set_write_batch_size(1)
        .set_data_page_row_count_limit(1)
        .set_compression(Compression::SNAPPY);
    let mut file = written(properties);
    let reader = File::open(place::file("seed.parquet", &file)).expect("it was written");
    let reader = SerializedFileReader::new(reader).expect("a good file");
    let metadata = reader.metadata();
    let page = metadata.row_group(0).column(0).data_page_offset();
    let page = usize::try_from(page).expect("a place in the file");
    // The header is in Thrift's compact protocol: for each of the type and the two sizes, a byte for the
    // field and one for the small number. The greatest number of 32 bits has five bytes.
    let at = page + if size == Size::Uncompressed { 3 } else { 5 };
    assert_eq!(file[at - 1], 0x15, "a number of 32 bits follows");
    file.splice(at..=at, [0xFE, 0xFF, 0xFF, 0xFF, 0x0F]);
    file
}
