//! Files to read, and what comes out of them.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use learned_dropout_data::progress::Silent;
use learned_dropout_data::sources::{
    Document, FileFormat, LeftOut, OnError, ReadOptions, Reason, Source, SourceError, SourceRecord,
    read_documents,
};
use parquet::data_type::{ByteArray, ByteArrayType};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

pub type Read = Result<(Vec<Document>, Vec<SourceRecord>), SourceError>;

pub fn read_with(path: &Path, options: &ReadOptions) -> Read {
    read_counting(path, options).map(|(documents, records, _)| (documents, records))
}

/// Also says what was left out.
pub fn read_counting(
    path: &Path,
    options: &ReadOptions,
) -> Result<(Vec<Document>, Vec<SourceRecord>, LeftOut), SourceError> {
    let mut documents = Vec::new();
    let (records, left_out) = read_documents(
        &[Source::Path(path.to_owned())],
        options,
        &Silent,
        &mut |document| {
            documents.push(document);
            Ok::<(), SourceError>(())
        },
    )?;
    Ok((documents, records, left_out))
}

/// The texts of a path, and what was left out.
pub fn texts_and_left_out(path: &Path, options: &ReadOptions) -> (Vec<String>, LeftOut) {
    let (documents, _, left_out) = read_counting(path, options).expect("the path is good");
    let texts = documents.into_iter().map(|document| document.text);
    (texts.collect(), left_out)
}

/// The examples of a reason.
pub fn examples(left_out: &LeftOut, reason: Reason) -> &[String] {
    left_out
        .reasons
        .get(&reason)
        .map_or(&[], |tally| &tally.examples)
}

pub fn in_format(format: FileFormat) -> ReadOptions {
    ReadOptions {
        format,
        ..ReadOptions::default()
    }
}

pub fn skipping() -> ReadOptions {
    ReadOptions {
        on_error: OnError::Skip,
        ..ReadOptions::default()
    }
}

pub fn read(path: &Path) -> Read {
    read_with(
        path,
        &ReadOptions {
            threads: 2,
            ..ReadOptions::default()
        },
    )
}

pub fn texts(path: &Path) -> Vec<String> {
    read(path)
        .expect("the file is good")
        .0
        .into_iter()
        .map(|document| document.text)
        .collect()
}

pub fn message(path: &Path) -> String {
    read(path).expect_err("the file is bad").to_string()
}

pub fn write(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().expect("a file lies in a folder"))
        .expect("create the folder");
    std::fs::write(&path, bytes).expect("write the file");
    path
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).expect("compress");
    encoder.finish().expect("compress")
}

pub fn bzip2(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::best());
    encoder.write_all(bytes).expect("compress");
    encoder.finish().expect("compress")
}

pub fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::stream::encode_all(bytes, 3).expect("compress")
}

/// A Parquet file with a number and an optional text in each row.
pub fn parquet(rows: &[Option<&str>], codec: parquet::basic::Compression) -> Vec<u8> {
    let schema = "message rows { REQUIRED INT32 id; OPTIONAL BYTE_ARRAY text (UTF8); }";
    let schema = Arc::new(parse_message_type(schema).expect("the schema is good"));
    let properties = Arc::new(WriterProperties::builder().set_compression(codec).build());
    let mut bytes = Vec::new();
    let mut writer =
        SerializedFileWriter::new(&mut bytes, schema, properties).expect("begin the file");
    for rows in rows.chunks(3) {
        let mut group = writer.next_row_group().expect("begin the row group");
        let mut column = group
            .next_column()
            .expect("begin the column")
            .expect("there are two columns");
        let ids: Vec<i32> = (0..rows.len() as i32).collect();
        column
            .typed::<parquet::data_type::Int32Type>()
            .write_batch(&ids, None, None)
            .expect("write numbers");
        column.close().expect("end the column");
        let mut column = group
            .next_column()
            .expect("begin the column")
            .expect("there are two columns");
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
    writer.close().expect("end the file");
    bytes
}

/// A dump in MediaWiki's export format: two articles, a redirect and a talk page.
pub const DUMP: &str = r#"<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.10/" version="0.10" xml:lang="en">
  <siteinfo><sitename>Wikipedia</sitename></siteinfo>
  <page><title>Moved</title><ns>0</ns><id>1</id><redirect title="Sun" />
    <revision><id>2</id><text xml:space="preserve">#REDIRECT [[Sun]]</text></revision></page>
  <page><title>Sun &amp; Moon</title><ns>0</ns><id>3</id>
    <revision><id>4</id><contributor><username>x</username></contributor><text xml:space="preserve">The '''Sun''' is a [[star]].&lt;ref&gt;a&lt;/ref&gt;

It shines.</text></revision></page>
  <page><title>Talk:Sun</title><ns>1</ns><id>5</id><revision><text>Talk.</text></revision></page>
  <page><title>الشمس</title><ns>0</ns><id>6</id><revision><text>نجم 中文 🦀</text></revision></page>
</mediawiki>
"#;

pub const DUMP_TEXTS: [&str; 2] = [
    "Sun & Moon\n\nThe Sun is a star.\n\nIt shines.\n",
    "الشمس\n\nنجم 中文 🦀\n",
];
