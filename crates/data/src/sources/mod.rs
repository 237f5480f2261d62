//! Sources of text, and the documents that they contain.
//!
//! A file is a Wikipedia dump, JSON lines, other JSON, Parquet, or plain UTF-8 text, each also compressed
//! with bzip2, gzip or zstd. Its first bytes and its name say what it is; where they differ, it is an
//! error. All are streamed: memory does not grow with a file's size.

mod bzip2_blocks;
mod cargo_registry;
mod compression;
mod content;
mod error;
mod file_format;
mod folder;
mod hub;
mod hub_card;
mod hub_parts;
mod hub_selection;
mod hub_splits;
#[cfg(test)]
mod hub_tests;
mod input_stream;
mod inputs;
mod json_lines;
mod json_record;
mod json_values;
mod left_out;
mod members;
mod modular_addition;
mod own_folders;
mod parquet_counts;
mod parquet_footer;
mod parquet_pages;
mod parquet_rows;
mod parquet_small_column;
mod parquet_texts;
mod parquet_thrift;
mod pipeline;
mod plain_text;
mod read_options;
mod records;
mod shard;
mod text_file;
mod wikipedia_dump;
mod wikitext;
mod workers;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use error::SourceError;
pub use left_out::{LeftOut, Reason, Tally};
pub(crate) use own_folders::kind as own_folder;
pub use read_options::{FileFormat, OnError, ReadOptions};
pub use shard::{InvalidShard, Shard};

use crate::progress::{Progress, Silent};

/// A source of text, as a user names it on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file, or a folder whose files are read in the order of their names. Hidden, empty and
    /// binary files in a folder are left out, and so are folders that this program wrote, and files of
    /// markup or data that hold no records of text.
    Path(PathBuf),
    /// Sources and documentation of this program's locked dependencies in cargo's registry folder, one
    /// file from each package in turn. Packages that bind foreign interfaces, tests, generated code,
    /// change logs and files over 200 kB are left out.
    Cargo,
    /// Equations "a+b=c" of addition modulo a number from 2 to 336, for all pairs of numbers. Each
    /// number is one letter, for the tokenizer `char`.
    ModularAddition(u32),
    /// A dataset on the Hugging Face hub. If it has splits, the training split is read.
    Hub {
        /// `OWNER/NAME`.
        repository: String,
        /// One of the dataset's configurations; the default one if absent.
        config: Option<String>,
    },
}

impl FromStr for Source {
    type Err = SourceError;

    /// `cargo`, `modular-addition:P`, `hf:OWNER/NAME`, `hf:OWNER/NAME:CONFIG`, or a path (`./cargo` is
    /// a path).
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = |expected| SourceError::Invalid {
            text: text.to_owned(),
            expected,
        };
        if text.is_empty() {
            return Err(invalid("a file, a folder, 'cargo' or hf:OWNER/NAME"));
        }
        if text == "cargo" {
            return Ok(Self::Cargo);
        }
        if let Some(modulus) = text.strip_prefix("modular-addition:") {
            let modulus = modulus.parse().ok();
            return modulus
                .filter(|modulus| (2..=modular_addition::LARGEST).contains(modulus))
                .map(Self::ModularAddition)
                .ok_or_else(|| invalid("modular-addition:P with P from 2 to 336"));
        }
        let Some(dataset) = text.strip_prefix("hf:") else {
            return Ok(Self::Path(PathBuf::from(text)));
        };
        let (repository, config) = match dataset.split_once(':') {
            Some((repository, config)) => (repository, Some(config)),
            None => (dataset, None),
        };
        let is_name = |name: &str| {
            let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            !name.is_empty() && !name.starts_with('.') && name.chars().all(known)
        };
        let named = repository
            .split_once('/')
            .is_some_and(|(owner, name)| is_name(owner) && is_name(name));
        if !named || config.is_some_and(str::is_empty) {
            return Err(invalid("hf:OWNER/NAME or hf:OWNER/NAME:CONFIG"));
        }
        Ok(Self::Hub {
            repository: repository.to_owned(),
            config: config.map(str::to_owned),
        })
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Path(path) => write!(formatter, "{}", path.display()),
            Self::Cargo => formatter.write_str("cargo"),
            Self::ModularAddition(modulus) => write!(formatter, "modular-addition:{modulus}"),
            Self::Hub {
                repository,
                config: None,
            } => write!(formatter, "hf:{repository}"),
            Self::Hub {
                repository,
                config: Some(config),
            } => write!(formatter, "hf:{repository}:{config}"),
        }
    }
}

/// Plain text, not only white space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// The text, or the next piece of it.
    pub text: String,
    /// Whether the next document continues this one. A plain text file of several megabytes comes in
    /// pieces, which are cut after a line break and before a character other than white space, if
    /// there is such a place. The last piece may be empty.
    pub continues: bool,
}

/// The record of a file that was read, completely or up to where reading stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceRecord {
    /// The file's path; `cargo` for all files of that source; `hf:OWNER/NAME/FILE` for a dataset's file.
    pub name: String,
    /// Raw bytes read: those of the file on disk, compressed or not.
    pub bytes: u64,
    /// XXH3-64 of those bytes, as 16 hexadecimal digits.
    pub hash: String,
    /// Number of its documents.
    pub documents: u64,
}

/// Calls `sink` with every document of `sources`, in an order that does not depend on the number
/// of threads, and returns the files read and what was left out. `sink` runs on the calling thread,
/// while other threads read ahead a bounded amount.
///
/// # Errors
/// A source has an error, which names the file and the position (documents before that position have
/// been passed on); or the sink fails; or there is no document at all.
pub fn read_documents<E: From<SourceError>>(
    sources: &[Source],
    options: &ReadOptions,
    progress: &dyn Progress,
    sink: &mut dyn FnMut(Document) -> Result<(), E>,
) -> Result<(Vec<SourceRecord>, LeftOut), E> {
    let places = inputs::Places::from_environment();
    read_from(&places, sources, options, progress, sink)
}

/// Calls `sink` with every document of one shard of `sources`, as [`read_documents`] does, but there
/// need not be any. Also returns a fingerprint of the files of all shards.
pub(crate) fn read_shard<E: From<SourceError>>(
    shard: Shard,
    sources: &[Source],
    options: &ReadOptions,
    progress: &dyn Progress,
    sink: &mut dyn FnMut(Document) -> Result<(), E>,
) -> Result<(Vec<SourceRecord>, LeftOut, String), E> {
    let places = inputs::Places::from_environment();
    // What is left out before it is read may differ from machine to machine: the results of earlier
    // preparations. The first shard counts it.
    let (mut files, left_out): (Vec<_>, Vec<_>) = inputs::expand(&places, sources, options)?
        .into_iter()
        .partition(|input| !matches!(input, inputs::Input::LeftOut { .. }));
    let listed: Vec<_> = files.iter().filter_map(inputs::Input::listed).collect();
    let mut files: Vec<_> = files.drain(shard.files(&listed)?).collect();
    if shard.number == 1 {
        files.extend(left_out);
    }
    let (records, left_out) = read_inputs(&files, options, progress, sink)?;
    Ok((records, left_out, shard::fingerprint(&listed)))
}

fn read_inputs<E: From<SourceError>>(
    inputs: &[inputs::Input],
    options: &ReadOptions,
    progress: &dyn Progress,
    sink: &mut dyn FnMut(Document) -> Result<(), E>,
) -> Result<(Vec<SourceRecord>, LeftOut), E> {
    let mut pipeline = pipeline::Pipeline::new(options.threads, options.max_text_bytes, sink);
    inputs::read_all(inputs, options, progress, &mut pipeline)?;
    Ok(pipeline.finish())
}

/// Reads one file on the calling thread, without reading ahead, and returns what was left out. `sink` ends
/// the reading with [`ControlFlow::Break`]. `threads`, `out` and `max_text_bytes` of the options do not
/// matter.
///
/// # Errors
/// The file has an error, which names it and the position (documents before that position have been
/// passed on).
pub fn read_file(
    path: &Path,
    options: &ReadOptions,
    sink: &mut dyn FnMut(Document) -> ControlFlow<()>,
) -> Result<LeftOut, SourceError> {
    let read = |meter: &_, emit: &mut pipeline::Emit<'_>| {
        text_file::read(path, options, None, meter, &Silent, emit)
    };
    pipeline::run_here(read, sink)
}

fn read_from<E: From<SourceError>>(
    places: &inputs::Places,
    sources: &[Source],
    options: &ReadOptions,
    progress: &dyn Progress,
    sink: &mut dyn FnMut(Document) -> Result<(), E>,
) -> Result<(Vec<SourceRecord>, LeftOut), E> {
    let inputs = inputs::expand(places, sources, options)?;
    let (records, left_out) = read_inputs(&inputs, options, progress, sink)?;
    if records.iter().all(|record| record.documents == 0) {
        let names = sources
            .iter()
            .map(Source::to_string)
            .collect::<Vec<_>>()
            .join(", ");
        return Err(SourceError::NoDocuments {
            names,
            left_out: Box::new(left_out),
        }
        .into());
    }
    Ok((records, left_out))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_from_the_command_line() {
        let hub = |repository: &str, config: Option<&str>| Source::Hub {
            repository: repository.to_owned(),
            config: config.map(str::to_owned),
        };
        for (text, source) in [
            ("cargo", Source::Cargo),
            ("modular-addition:97", Source::ModularAddition(97)),
            ("./cargo", Source::Path("./cargo".into())),
            ("a:b.txt", Source::Path("a:b.txt".into())),
            ("hf:owner/name", hub("owner/name", None)),
            (
                "hf:owner/name.1:20231101.en",
                hub("owner/name.1", Some("20231101.en")),
            ),
        ] {
            assert_eq!(text.parse::<Source>().expect(text), source);
            assert_eq!(source.to_string(), text);
        }
        for text in [
            "",
            "hf:",
            "hf:name",
            "hf:a/b/c",
            "hf:a/..",
            "hf:a/b:",
            "hf:a b/c",
            "modular-addition:1",
            "modular-addition:337",
            "modular-addition:x",
        ] {
            assert!(text.parse::<Source>().is_err(), "{text}");
        }
    }
}
