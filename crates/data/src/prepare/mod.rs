//! Prepares a data folder from sources of text.
//!
//! The text is read once, into a temporary file beside the result. The tokenizer is trained on that
//! file, and the tokens are encoded from it. Memory does not grow with the amount of text, but the disk
//! needs room for all of it.

pub(crate) mod encode;
mod for_evaluation;
pub(crate) mod hashed_file;
pub(crate) mod spool;
pub(crate) mod staging;
#[cfg(test)]
mod tests;
mod text;
pub(crate) mod unknown;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_128;

use crate::error::DataError;
use crate::folder::{
    FORMAT, META_FILE, Meta, Part, TOKENIZER_FILE, TRAIN_FILE, VALIDATION_FILE, hexadecimal,
};
use crate::progress::Progress;
use crate::sources::{
    Document, FileFormat, LeftOut, OnError, ReadOptions, Reason, Source, SourceError, SourceRecord,
};
use crate::tokenizer::{Resolved, Tokenizer, TokenizerChoice, TokenizerOrigin};
use encode::Encoding;
use spool::{Spool, SpoolWriter};
use staging::Staging;
use text::Text;
use unknown::UnknownCharacters;

pub use for_evaluation::{EvaluationData, prepare_for_evaluation};
pub use staging::give_up_folders;

/// The most text that a byte-pair encoding is trained on, in bytes. A larger training part is sampled in
/// blocks at even distances: more text hardly changes the vocabulary, but takes time and memory.
pub const TRAINING_TEXT: u64 = 64 << 20;

/// The name and version of this program, as descriptions state it.
pub(crate) const PROGRAM: &str = concat!("ldrop ", env!("CARGO_PKG_VERSION"));

/// Options of preparing a data folder.
#[derive(Clone, Debug)]
pub struct PrepareOptions {
    /// The sources of the text. There may be none beside `validation_sources`: the folder is then for
    /// evaluations only.
    pub sources: Vec<Source>,
    /// The data folder to make, or to replace once the new one is complete.
    pub out: PathBuf,
    /// The tokenizer, or how to make it.
    pub tokenizer: TokenizerOrigin,
    /// The share of the text's bytes, at its end, that becomes the validation part: at least 0
    /// and below 1. Not used if there are `validation_sources`.
    pub validation: f64,
    /// The sources of the validation part, if it has its own: `sources` are then all for training.
    pub validation_sources: Vec<Source>,
    /// Whether to put an end-of-text token between documents, if the tokenizer has one. With a tokenizer
    /// without one, each document begins on a new line.
    pub end_of_text: bool,
    /// The name of the column or key that holds the text.
    pub text_column: String,
    /// The variant that is chosen where a wiki's text gives several, for example `zh-tw`; if empty, the first
    /// one of the wiki's language.
    pub language_variant: String,
    /// The format of all files of paths and of datasets.
    pub format: FileFormat,
    /// What happens to a record of JSON or Parquet that cannot be read.
    pub on_error: OnError,
    /// Stop after this many bytes of text. It does not limit `validation_sources`.
    pub max_text_bytes: Option<u64>,
    /// The number of threads; 0 for one per processor. The result does not depend on it.
    pub threads: usize,
}

impl PrepareOptions {
    /// GPT-2's tokens of these sources, divided 90 to 10, on all processors.
    pub fn new(sources: Vec<Source>, out: impl Into<PathBuf>) -> Self {
        Self {
            sources,
            out: out.into(),
            tokenizer: TokenizerOrigin::default(),
            validation: 0.1,
            validation_sources: Vec::new(),
            end_of_text: true,
            text_column: "text".into(),
            language_variant: String::new(),
            format: FileFormat::Auto,
            on_error: OnError::Stop,
            max_text_bytes: None,
            threads: 0,
        }
    }
}

/// A data folder that was made.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// The folder's description.
    pub meta: Meta,
    /// What the sources hold that did not become text.
    pub left_out: LeftOut,
    /// The characters of the training part and of the validation part that the tokenizer does not know.
    pub unknown_characters: [u64; 2],
}

/// Makes a data folder.
///
/// The text of all sources, one after the other, is divided by position: the first
/// `1 - validation` of its bytes, rounded down to a character boundary and possibly inside a document,
/// are for training. Where the validation part has sources of its own, each part holds what it would
/// hold if there were no other. Each document of each part is then encoded on its own. The same text
/// gives the same files, whatever the number of threads.
///
/// The stages of progress are those of reading, then "training tokenizer" if one is trained, then
/// "encoding" in bytes of text.
///
/// # Errors
/// A source cannot be read, the training part would be empty, a file belongs to both parts by their own
/// sources, a file cannot be written, `out` has other content, or another process is preparing it. `out` is
/// then unchanged. Leftovers of a killed process are removed by the next one that prepares the same folder.
pub fn prepare(options: &PrepareOptions, progress: &dyn Progress) -> Result<Prepared, DataError> {
    check_validation(options.validation)?;
    let tokenizer = options.tokenizer.resolve()?;
    refuse_training(options, &tokenizer)?;
    let staging = Staging::begin(&options.out)?;
    let text = Text::read(options, !tokenizer.has_end_of_text(), &staging, progress)?;
    let bytes = text.bytes();
    let pool = pool(options.threads)?;
    let tokenizer = match tokenizer {
        Resolved::Existing(tokenizer) => tokenizer,
        Resolved::Trained(kind) => train(kind, &text.spool, text.train_bytes, &pool, progress)?,
    };
    let prepared = encode(options, &tokenizer, (&staging, &pool), text, progress)?;
    if !is_for_evaluation(options) {
        check_training_part(&options.out, &prepared.meta, bytes, options.validation)?;
    }
    staging.finish()?;
    Ok(prepared)
}

/// Whether there is a validation part alone.
fn is_for_evaluation(options: &PrepareOptions) -> bool {
    options.sources.is_empty() && !options.validation_sources.is_empty()
}

/// Refuses to train a tokenizer where there is no training part.
fn refuse_training(options: &PrepareOptions, tokenizer: &Resolved) -> Result<(), DataError> {
    match tokenizer {
        Resolved::Trained(kind) if is_for_evaluation(options) => Err(DataError::Value {
            name: "tokenizer",
            found: kind.to_string(),
            expected: "without training text, that of the model that is to be evaluated: `gpt2`, \
                       `byte`, or the path of a `tokenizer.json` or of a folder that holds one",
        }),
        _ => Ok(()),
    }
}

/// Refuses an impossible share for validation.
pub(crate) fn check_validation(share: f64) -> Result<(), DataError> {
    if (0.0..1.0).contains(&share) {
        return Ok(());
    }
    Err(DataError::Value {
        name: "validation",
        found: share.to_string(),
        expected: "a share of at least 0 and below 1",
    })
}

/// Refuses a folder without a token to train on; `bytes` is the length of the text.
pub(crate) fn check_training_part(
    out: &Path,
    meta: &Meta,
    bytes: u64,
    validation: f64,
) -> Result<(), DataError> {
    if meta.train.tokens > 0 {
        return Ok(());
    }
    Err(DataError::NoTokens {
        path: out.into(),
        bytes,
        validation,
    })
}

/// The threads that encode; 0 for one per processor.
pub(crate) fn pool(threads: usize) -> Result<rayon::ThreadPool, DataError> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(thread_count(threads))
        .build()
        .map_err(|error| {
            let reason = std::io::Error::other(error);
            SourceError::Thread { reason }.into()
        })
}

fn thread_count(threads: usize) -> usize {
    match threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        threads => threads,
    }
}

/// Receives the documents of the sources.
pub(crate) type Sink<'a> = dyn FnMut(Document) -> Result<(), DataError> + 'a;

/// Writes all text that `read` gives into a spool, in temporary files whose names begin with `name`.
pub(crate) fn spool_text<T>(
    options: &PrepareOptions,
    own_line: bool,
    staging: &Staging,
    name: &str,
    read: &mut dyn FnMut(&ReadOptions, &mut Sink<'_>) -> Result<T, DataError>,
) -> Result<(Spool, T), DataError> {
    let mut spool = SpoolWriter::create(
        staging.temporary(name),
        staging.temporary(&format!("{name}-lengths")),
        own_line,
    )?;
    let how = ReadOptions {
        text_column: options.text_column.clone(),
        threads: thread_count(options.threads),
        language_variant: options.language_variant.clone(),
        format: options.format,
        on_error: options.on_error,
        out: Some(options.out.clone()),
        max_text_bytes: options.max_text_bytes,
    };
    let found = read(&how, &mut |document| {
        spool.push(&document.text, document.continues)
    })?;
    Ok((spool.finish()?, found))
}

/// Writes the files of the new folder.
fn encode(
    options: &PrepareOptions,
    tokenizer: &Tokenizer,
    (staging, pool): (&Staging, &rayon::ThreadPool),
    text: Text,
    progress: &dyn Progress,
) -> Result<Prepared, DataError> {
    let folder = staging.new_folder();
    let (spool, train_bytes) = (&text.spool, text.train_bytes);
    let encoding = Encoding::new(tokenizer, options.end_of_text);
    progress.begin("encoding", Some(text.bytes()));
    let mut segments = spool.segments(train_bytes)?;
    let (train, mut unknown) =
        encoding.write_part(&mut segments, folder.join(TRAIN_FILE), pool, progress)?;
    match &text.validation {
        None => segments.second_part(),
        Some(own) => segments = own.segments(own.bytes)?,
    }
    let path = folder.join(VALIDATION_FILE);
    let (validation, more) = encoding.write_part(&mut segments, path, pool, progress)?;
    progress.end();
    let unknown_characters = [&unknown, &more].map(UnknownCharacters::count);
    unknown.append(&more);
    let documents = text.documents();
    let mut left_out = text.left_out;
    unknown.report(&mut left_out);
    let contents = Contents {
        documents,
        sources: text.sources,
        validation_sources: text.validation_sources,
        left_out: left_out.counts(),
    };
    let meta = describe(&folder, &encoding, [train, validation], contents)?;
    write_file(&folder.join(META_FILE), &meta.to_json())?;
    Ok(Prepared {
        meta,
        left_out,
        unknown_characters,
    })
}

/// What a data folder is made of.
pub(crate) struct Contents {
    pub documents: u64,
    pub sources: Vec<SourceRecord>,
    pub validation_sources: Vec<SourceRecord>,
    pub left_out: BTreeMap<Reason, u64>,
}

/// Writes the tokenizer beside its tokens, and describes the folder.
pub(crate) fn describe(
    folder: &Path,
    encoding: &Encoding<'_>,
    [train, validation]: [Part; 2],
    contents: Contents,
) -> Result<Meta, DataError> {
    let tokenizer = encoding.tokenizer;
    Ok(Meta {
        format: FORMAT,
        program: PROGRAM.into(),
        token_type: encoding.token_type,
        tokenizer: tokenizer.kind(),
        tokenizer_hash: Some(write_tokenizer(folder, tokenizer)?),
        vocabulary: tokenizer.vocabulary() as u64,
        end_of_text: tokenizer.end_of_text(),
        separated: encoding.separator.is_some(),
        documents: contents.documents,
        train,
        validation,
        sources: contents.sources,
        validation_sources: contents.validation_sources,
        left_out: contents.left_out,
    })
}

/// Writes `tokenizer.json`, and gives its hash.
pub(crate) fn write_tokenizer(folder: &Path, tokenizer: &Tokenizer) -> Result<String, DataError> {
    let json = tokenizer.to_json();
    write_file(&folder.join(TOKENIZER_FILE), &json)?;
    Ok(hexadecimal(xxh3_128(json.as_bytes())))
}

/// Makes a tokenizer of this kind; trains it on the first `train_bytes` of the text if it needs training.
fn train(
    choice: TokenizerChoice,
    spool: &Spool,
    train_bytes: u64,
    pool: &rayon::ThreadPool,
    progress: &dyn Progress,
) -> Result<Tokenizer, DataError> {
    match choice {
        TokenizerChoice::Gpt2 => Ok(Tokenizer::gpt2()),
        TokenizerChoice::Byte => Ok(Tokenizer::byte()),
        TokenizerChoice::Bpe(tokens) => {
            let texts = spool.sample(train_bytes, TRAINING_TEXT)?;
            progress.begin("training tokenizer", None);
            let tokenizer = pool.install(|| Tokenizer::train(tokens, &texts));
            progress.end();
            Ok(tokenizer?)
        }
        TokenizerChoice::Character => {
            progress.begin("training tokenizer", Some(train_bytes));
            let characters = characters(spool, train_bytes, progress);
            progress.end();
            Ok(Tokenizer::characters(&characters?))
        }
    }
}

/// The characters of the first `train_bytes` of the text.
fn characters(
    spool: &Spool,
    train_bytes: u64,
    progress: &dyn Progress,
) -> Result<BTreeSet<char>, DataError> {
    let mut seen = vec![false; char::MAX as usize + 1];
    let mut segments = spool.segments(train_bytes)?;
    while let Some(segment) = segments.next()? {
        for character in segment.text.chars() {
            seen[character as usize] = true;
        }
        progress.advance(segment.text.len() as u64);
    }
    Ok(('\0'..=char::MAX)
        .filter(|&character| seen[character as usize])
        .collect())
}

/// Writes a file and flushes it to the disk.
pub(crate) fn write_file(path: &Path, contents: &str) -> Result<(), DataError> {
    let write = || {
        let mut file = File::create(path)?;
        file.write_all(contents.as_bytes())?;
        file.sync_all()
    };
    write().map_err(DataError::write(path))
}
