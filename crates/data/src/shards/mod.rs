//! Shards: parts of the sources' files that several machines prepare, and that a merge joins to the
//! data folder of all.
//!
//! A shard is a folder with these files:
//!
//! - `tokens.bin`, the tokens of its documents, as `train.bin` of a data folder that holds them all;
//! - `documents.bin`, two little-endian `u64` for each document: its bytes of text, and its tokens without
//!   end-of-text;
//! - `shard.json`, the description;
//! - `tokenizer.json`.

mod description;
mod options;
mod read;

use std::fs::File;
use std::io::{BufWriter, Write};

use xxhash_rust::xxh3::{Xxh3, xxh3_128};

pub use description::{SHARD_FORMAT, ShardDescription};
pub(crate) use read::{DocumentLengths, ShardFolder};

use crate::error::DataError;
use crate::folder::{TOKENIZER_FILE, TokenType, hexadecimal};
use crate::prepare::encode::{Encoding, TokenFile};
use crate::prepare::staging::Staging;
use crate::prepare::{self, PrepareOptions};
use crate::progress::Progress;
use crate::sources::{self, Shard};
use crate::tokenizer::Resolved;

/// File name of a shard's tokens.
pub const TOKENS_FILE: &str = "tokens.bin";
/// File name of the lengths of a shard's documents.
pub const DOCUMENTS_FILE: &str = "documents.bin";
/// File name of a shard's description.
pub const SHARD_FILE: &str = "shard.json";

/// Prepares one shard of the sources' files. [`merge`](crate::merge::merge) joins the shards.
///
/// The share for validation is not used here: it is that of the merge.
///
/// # Errors
/// The tokenizer would have to be trained, the amount of text is limited, or what
/// [`prepare`](crate::prepare::prepare) fails at.
pub fn prepare_shard(
    options: &PrepareOptions,
    shard: Shard,
    progress: &dyn Progress,
) -> Result<ShardDescription, DataError> {
    if options.max_text_bytes.is_some() {
        return Err(DataError::Value {
            name: "max_text_bytes",
            found: "a limit".into(),
            expected: "no limit for a shard: no machine knows how much text the others have",
        });
    }
    let Resolved::Existing(tokenizer) = options.tokenizer.resolve()? else {
        return Err(DataError::Value {
            name: "tokenizer",
            found: options.tokenizer.to_string(),
            expected: "for a shard, a tokenizer that needs no training: `gpt2`, `byte`, or the path \
                       of a `tokenizer.json`, which `ldrop data prepare` writes on one machine",
        });
    };
    let staging = Staging::begin(&options.out)?;
    let (spool, (sources, left_out, inputs)) = prepare::spool_text(
        options,
        tokenizer.end_of_text().is_none(),
        &staging,
        &mut |how, sink| sources::read_shard(shard, &options.sources, how, progress, sink),
    )?;
    let folder = staging.new_folder();
    let encoding = Encoding {
        tokenizer: &tokenizer,
        token_type: TokenType::for_vocabulary(tokenizer.vocabulary()),
        separator: tokenizer.end_of_text().filter(|_| options.end_of_text),
    };
    let mut lengths = LengthsFile::create(folder.join(DOCUMENTS_FILE))?;
    let mut file = TokenFile::create(folder.join(TOKENS_FILE), encoding.token_type)?;
    let pool = prepare::pool(options.threads)?;
    progress.begin("encoding", Some(spool.bytes));
    let mut segments = spool.segments(spool.bytes)?;
    encoding.write(
        &mut segments,
        &mut file,
        &pool,
        progress,
        &mut |text, tokens| lengths.push(text, tokens),
    )?;
    progress.end();
    let tokenizer_json = tokenizer.to_json();
    prepare::write_file(&folder.join(TOKENIZER_FILE), &tokenizer_json)?;
    let description = ShardDescription {
        format: SHARD_FORMAT,
        program: prepare::PROGRAM.into(),
        shard,
        files: inputs,
        options: options::common(options),
        token_type: encoding.token_type,
        tokenizer: tokenizer.kind(),
        tokenizer_hash: hexadecimal(xxh3_128(tokenizer_json.as_bytes())),
        vocabulary: tokenizer.vocabulary() as u64,
        end_of_text: tokenizer.end_of_text(),
        separated: encoding.separator.is_some(),
        documents: spool.documents,
        documents_hash: lengths.finish()?,
        tokens: file.finish()?,
        ends_line: spool.ends_line,
        sources,
        left_out,
    };
    prepare::write_file(&folder.join(SHARD_FILE), &description.to_json())?;
    staging.finish()?;
    Ok(description)
}

/// Writes the lengths of documents.
struct LengthsFile {
    path: std::path::PathBuf,
    file: BufWriter<File>,
    hasher: Xxh3,
}

impl LengthsFile {
    fn create(path: std::path::PathBuf) -> Result<Self, DataError> {
        let file = File::create(&path).map_err(DataError::write(&path))?;
        Ok(Self {
            file: BufWriter::new(file),
            path,
            hasher: Xxh3::new(),
        })
    }

    fn push(&mut self, text_bytes: u64, tokens: u64) -> Result<(), DataError> {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&text_bytes.to_le_bytes());
        bytes[8..].copy_from_slice(&tokens.to_le_bytes());
        self.hasher.update(&bytes);
        self.file
            .write_all(&bytes)
            .map_err(DataError::write(&self.path))
    }

    /// Flushes to the disk and gives the hash.
    fn finish(self) -> Result<String, DataError> {
        let failed = DataError::write(&self.path);
        let file = self
            .file
            .into_inner()
            .map_err(|error| failed(error.into_error()))?;
        file.sync_all().map_err(failed)?;
        Ok(hexadecimal(self.hasher.digest128()))
    }
}
