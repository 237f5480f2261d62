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

pub use description::{SHARD_FORMAT, ShardDescription};
pub(crate) use read::{DocumentLengths, ShardFolder};

use crate::error::DataError;
use crate::prepare::encode::{Encoding, TokenFile};
use crate::prepare::hashed_file::HashedFile;
use crate::prepare::staging::Staging;
use crate::prepare::unknown::UnknownCharacters;
use crate::prepare::{self, PrepareOptions};
use crate::progress::Progress;
use crate::sources::{self, Shard};

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
/// The tokenizer would have to be trained or does not know a character, the amount of text is limited,
/// there is an own text for validation, or what [`prepare`](crate::prepare::prepare) fails at.
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
    if !options.validation_sources.is_empty() {
        return Err(DataError::Value {
            name: "validation_sources",
            found: "a text of its own for validation".into(),
            expected: "none for a shard, which is divided when it is merged: prepare that text as a data \
                       folder with the shards' tokenizer",
        });
    }
    let Some(tokenizer) = options.tokenizer.existing()? else {
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
        "text",
        &mut |how, sink| sources::read_shard(shard, &options.sources, how, progress, sink),
    )?;
    let folder = staging.new_folder();
    let encoding = Encoding::new(&tokenizer, options.end_of_text);
    let mut lengths = HashedFile::create(folder.join(DOCUMENTS_FILE))?;
    let mut file = TokenFile::create(folder.join(TOKENS_FILE), encoding.token_type)?;
    let pool = prepare::pool(options.threads)?;
    progress.begin("encoding", Some(spool.bytes));
    let mut segments = spool.segments(spool.bytes)?;
    let unknown = encoding.write(
        &mut segments,
        &mut file,
        &pool,
        progress,
        &mut |text_bytes, tokens| {
            let document = DocumentLengths { text_bytes, tokens };
            lengths.write(&document.to_bytes())
        },
    )?;
    progress.end();
    refuse_unknown(options, &unknown)?;
    let description = ShardDescription {
        format: SHARD_FORMAT,
        program: prepare::PROGRAM.into(),
        shard,
        files: inputs,
        options: options::common(options),
        token_type: encoding.token_type,
        tokenizer: tokenizer.kind(),
        tokenizer_hash: prepare::write_tokenizer(&folder, &tokenizer)?,
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

/// Refuses a text with unknown characters: their tokens do not tell how many bytes they stand for, so the
/// merge would not find the byte at which it divides the text.
fn refuse_unknown(options: &PrepareOptions, unknown: &UnknownCharacters) -> Result<(), DataError> {
    const NAMED: usize = 3;
    if unknown.count() == 0 {
        return Ok(());
    }
    Err(DataError::Value {
        name: "tokenizer",
        found: format!(
            "{}, which does not know {} characters of the text ({})",
            options.tokenizer,
            unknown.count(),
            unknown.most_frequent(NAMED).join(", ")
        ),
        expected: "for a shard, a tokenizer that knows every character: train one on more text, or take \
                   `byte` or one of byte pairs",
    })
}
