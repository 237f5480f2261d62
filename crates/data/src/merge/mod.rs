//! Joins tokens that were made elsewhere to a data folder: the shards of several machines, or the
//! token files of datatrove.

mod datatrove;
mod join;
mod shard_parts;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use crate::error::DataError;
use crate::folder::{META_FILE, TRAIN_FILE, VALIDATION_FILE};
use crate::prepare::encode::{Encoding, TokenFile};
use crate::prepare::staging::Staging;
use crate::prepare::{self, Prepared};
use crate::progress::Progress;
use crate::shards::SHARD_FILE;
use crate::sources::{LeftOut, Reason, SourceError, SourceRecord};
use crate::tokenizer::{Tokenizer, TokenizerOrigin};
use join::Join;

/// Options of a merge.
#[derive(Clone, Debug)]
pub struct MergeOptions {
    /// All shards of a text, in any order, or token files of datatrove (`NAME.ds`, with `NAME.ds.index`
    /// beside each) in the order in which they are to be joined.
    pub parts: Vec<PathBuf>,
    /// The data folder to make, or to replace once the new one is complete.
    pub out: PathBuf,
    /// The share of the text's bytes, at its end, that becomes the validation part: at least 0
    /// and below 1.
    pub validation: f64,
    /// The tokenizer of datatrove's tokens. Shards have theirs.
    pub tokenizer: Option<TokenizerOrigin>,
    /// The number of threads; 0 for one per processor. The result does not depend on it.
    pub threads: usize,
}

/// Makes a data folder of parts whose tokens exist.
///
/// Shards give the bytes that [`prepare`](crate::prepare::prepare) gives for the same sources with the
/// same tokenizer: only the document that is divided between training and validation, and the first of a
/// shard where it has to begin on a new line, are turned into text and encoded again.
///
/// Tokens of datatrove stay as they are. An end-of-text token at the end of a document is taken as its
/// separator. A division inside a document falls between two tokens.
///
/// The stages of progress are "checking" (datatrove only) and "merging", both in bytes.
///
/// # Errors
/// A part is damaged, missing, given twice, in the place of the result, or does not belong to the others, or
/// the folder cannot be written. `out` is then unchanged.
pub fn merge(options: &MergeOptions, progress: &dyn Progress) -> Result<Prepared, DataError> {
    prepare::check_validation(options.validation)?;
    let Some(first) = options.parts.first() else {
        return Err(DataError::Value {
            name: "parts",
            found: "none".into(),
            expected: "shards or token files of datatrove",
        });
    };
    refuse_own_part(options)?;
    if let Some(absent) = options.parts.iter().find(|part| !part.exists()) {
        return Err(DataError::Merge {
            path: absent.clone(),
            reason: "there is no such file or folder".into(),
        });
    }
    if let Some(reason) = not_the_tokens(first).or_else(|| folder_of_tokens(first)) {
        return Err(DataError::Merge {
            path: first.clone(),
            reason,
        });
    }
    if is_datatrove(first) {
        datatrove::merge(options, progress)
    } else {
        shard_parts::merge(options, progress)
    }
}

/// Refuses to replace a part by the merged folder, or a folder that contains one.
fn refuse_own_part(options: &MergeOptions) -> Result<(), DataError> {
    let Ok(out) = std::fs::canonicalize(&options.out) else {
        return Ok(());
    };
    let is_inside =
        |part: &&PathBuf| std::fs::canonicalize(part).is_ok_and(|part| part.starts_with(&out));
    match options.parts.iter().find(is_inside) {
        None => Ok(()),
        Some(part) => Err(DataError::Merge {
            path: part.clone(),
            reason: format!(
                "the merged folder would replace it, because the result is to be {}; choose another \
                 folder",
                options.out.display()
            ),
        }),
    }
}

/// What to name instead of a file that lies beside datatrove's tokens.
fn not_the_tokens(path: &Path) -> Option<String> {
    if matches!(path.extension()?.to_str()?, "index" | "metadata")
        && is_datatrove(Path::new(path.file_stem()?))
    {
        return Some(format!(
            "it holds no tokens; name {}, and what lies beside it is found",
            path.with_extension("").display()
        ));
    }
    None
}

/// What to name instead of a folder of datatrove's tokens.
fn folder_of_tokens(path: &Path) -> Option<String> {
    if path.join(SHARD_FILE).exists() {
        return None;
    }
    let mut entries = std::fs::read_dir(path).ok()?.flatten();
    entries.any(|entry| is_datatrove(&entry.path())).then(|| {
        format!(
            "it is a folder of datatrove's files; name them in their order: {}",
            path.join("*.ds").display()
        )
    })
}

fn is_datatrove(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "ds")
}

/// What all parts have together.
struct Contents {
    documents: u64,
    text_bytes: u64,
    separated: bool,
    sources: Vec<SourceRecord>,
    left_out: LeftOut,
}

/// Makes the data folder; `write` joins the documents of all parts in order.
fn make_folder(
    options: &MergeOptions,
    tokenizer: &Tokenizer,
    mut contents: Contents,
    progress: &dyn Progress,
    write: impl FnOnce(&mut Join<'_>) -> Result<(), DataError>,
) -> Result<Prepared, DataError> {
    if contents.documents == 0 {
        let names: Vec<String> = options
            .parts
            .iter()
            .map(|part| part.display().to_string())
            .collect();
        return Err(SourceError::NoDocuments {
            names: names.join(", "),
            left_out: Box::new(contents.left_out),
        }
        .into());
    }
    let staging = Staging::begin(&options.out)?;
    let folder = staging.new_folder();
    let encoding = Encoding::new(tokenizer, contents.separated);
    let create = |name| TokenFile::create(folder.join(name), encoding.token_type);
    let mut join = Join::new(
        &encoding,
        [create(TRAIN_FILE)?, create(VALIDATION_FILE)?],
        prepare::spool::training_bytes(contents.text_bytes, options.validation),
        contents.documents,
        &staging,
        prepare::pool(options.threads)?,
        progress,
    );
    progress.begin("merging", Some(contents.text_bytes));
    write(&mut join)?;
    let (parts, unknown_characters) = join.finish()?;
    progress.end();
    // Which characters they were, only the other program knew.
    let unknown = unknown_characters.iter().sum();
    let left_out = &mut contents.left_out;
    left_out.add_tally(Reason::UnknownCharacter, unknown, |_| Vec::new());
    let described = prepare::Contents {
        documents: contents.documents,
        sources: contents.sources,
        validation_sources: Vec::new(),
        left_out: contents.left_out.counts(),
    };
    let meta = prepare::describe(&folder, &encoding, parts, described)?;
    let bytes = contents.text_bytes;
    prepare::check_training_part(&options.out, &meta, bytes, options.validation)?;
    prepare::write_file(&folder.join(META_FILE), &meta.to_json())?;
    staging.finish()?;
    Ok(Prepared {
        meta,
        left_out: contents.left_out,
        unknown_characters,
    })
}

/// The tokenizer of the options.
fn given_tokenizer(origin: &TokenizerOrigin) -> Result<Tokenizer, DataError> {
    origin.existing()?.ok_or_else(|| DataError::Value {
        name: "tokenizer",
        found: origin.to_string(),
        expected: "the tokenizer that made the tokens: `gpt2`, `byte`, or the path of a \
                   `tokenizer.json`",
    })
}
