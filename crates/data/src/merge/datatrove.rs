//! Token files of datatrove, a Python library for preparing large amounts of text.
//!
//! `NAME.ds` holds the tokens of all documents, as little-endian integers of two bytes, or of four if the
//! vocabulary has more than 65,536 tokens. `NAME.ds.index` holds one little-endian `u64` for each
//! document: the number of tokens up to its end. The first line of `NAME.ds.metadata`, which need not
//! exist, is `TOKENIZER|BYTES OF A TOKEN`, the second the number of tokens.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3;

use super::join::Place;
use super::{Contents, MergeOptions, given_tokenizer, is_datatrove, make_folder};
use crate::error::DataError;
use crate::folder::{TokenType, Tokens};
use crate::prepare::Prepared;
use crate::progress::Progress;
use crate::sources::{LeftOut, Reason, SourceRecord};
use crate::tokenizer::Tokenizer;

/// The longest `NAME.ds.metadata` that is read.
const LONGEST_METADATA: u64 = 1 << 16;

pub(super) fn merge(
    options: &MergeOptions,
    progress: &dyn Progress,
) -> Result<Prepared, DataError> {
    merge_files(options, progress).map_err(|error| match error {
        // This program did not make these files, so it cannot make them again.
        DataError::Damaged {
            path,
            expected,
            found,
        } => DataError::Merge {
            path,
            reason: format!(
                "it is damaged, or the tokenizer is another one: expected {expected}, found {found}; fetch the \
                 file again, or write it again with datatrove"
            ),
        },
        error => error,
    })
}

fn merge_files(options: &MergeOptions, progress: &dyn Progress) -> Result<Prepared, DataError> {
    let Some(origin) = &options.tokenizer else {
        return Err(DataError::Value {
            name: "tokenizer",
            found: "none".into(),
            expected: "the tokenizer that made datatrove's tokens: `gpt2`, `byte`, or the path of a \
                       `tokenizer.json`",
        });
    };
    let tokenizer = given_tokenizer(origin)?;
    let files = options
        .parts
        .iter()
        .map(|path| TokenizedFile::open(path, &tokenizer))
        .collect::<Result<Vec<_>, _>>()?;
    let lengths = TextLengths::new(&tokenizer);
    let length = |id| lengths.of(id);
    let mut contents = Contents {
        documents: 0,
        text_bytes: 0,
        separated: tokenizer.end_of_text().is_some(),
        sources: Vec::new(),
        left_out: LeftOut::default(),
    };
    let bytes = files.iter().map(TokenizedFile::bytes).sum();
    progress.begin("checking", Some(bytes));
    for file in &files {
        let mut documents = 0;
        file.documents(lengths.end_of_text, |place| {
            if place.tokens == 0 {
                contents.left_out.add(Reason::NoText, "");
            } else {
                documents += 1;
                contents.text_bytes += place.text_bytes(&length)?;
            }
            Ok(())
        })?;
        contents.documents += documents;
        contents.sources.push(file.record(documents)?);
        progress.advance(file.bytes());
    }
    progress.end();
    make_folder(options, &tokenizer, contents, progress, |join| {
        files.iter().try_for_each(|file| {
            file.documents(lengths.end_of_text, |place| match place.tokens {
                0 => Ok(()),
                _ => join.tokens(place, &length),
            })
        })
    })
}

/// The bytes of text of each token.
struct TextLengths {
    of_tokens: Vec<u64>,
    end_of_text: Option<u32>,
}

impl TextLengths {
    fn new(tokenizer: &Tokenizer) -> Self {
        let end_of_text = tokenizer.end_of_text();
        let of_token = |id: u32| match tokenizer.token_bytes(id) {
            Some(bytes) if Some(id) != end_of_text => bytes.len() as u64,
            _ => 0,
        };
        Self {
            of_tokens: (0..tokenizer.vocabulary() as u32).map(of_token).collect(),
            end_of_text,
        }
    }

    fn of(&self, id: u32) -> u64 {
        self.of_tokens.get(id as usize).copied().unwrap_or(0)
    }
}

struct TokenizedFile {
    path: PathBuf,
    tokens: Tokens,
    token_type: TokenType,
    index: PathBuf,
}

impl TokenizedFile {
    /// Opens the file and compares its parts with each other.
    fn open(path: &Path, tokenizer: &Tokenizer) -> Result<Self, DataError> {
        let refuse = |reason: String| DataError::Merge {
            path: path.into(),
            reason,
        };
        if !is_datatrove(path) {
            return Err(refuse(
                "shards and files of datatrove cannot be mixed".into(),
            ));
        }
        let beside = |ending: &str| {
            let mut name = path.as_os_str().to_owned();
            name.push(ending);
            PathBuf::from(name)
        };
        let index = beside(".index");
        if !index.exists() {
            return Err(refuse(format!(
                "{} is missing, which says where documents end; write it with datatrove's \
                 `save_index`",
                index.display()
            )));
        }
        let metadata = Metadata::read(&beside(".metadata"))?;
        let fitting = TokenType::for_vocabulary(tokenizer.vocabulary());
        let token_type = metadata
            .as_ref()
            .map_or(fitting, |metadata| metadata.token_type);
        let tokens = Tokens::open(
            path.into(),
            token_type,
            tokenizer.vocabulary() as u64,
            metadata.map(|metadata| metadata.tokens),
            &beside(".metadata").display().to_string(),
        )?;
        Ok(Self {
            path: path.into(),
            tokens,
            token_type,
            index,
        })
    }

    /// Its size.
    fn bytes(&self) -> u64 {
        (self.tokens.len() * self.token_type.size()) as u64
    }

    /// Calls `document` with the tokens of each document, without an end-of-text at its end.
    fn documents(
        &self,
        end_of_text: Option<u32>,
        mut document: impl FnMut(Place<'_>) -> Result<(), DataError>,
    ) -> Result<(), DataError> {
        let damaged = |expected: String, found: String| DataError::Damaged {
            path: self.index.clone(),
            expected,
            found,
        };
        let failed = DataError::read(&self.index);
        let file = File::open(&self.index).map_err(&failed)?;
        let size = file.metadata().map_err(&failed)?.len();
        if size % 8 != 0 {
            let expected = "eight bytes for each document".into();
            return Err(damaged(expected, format!("{size} bytes")));
        }
        let mut file = BufReader::new(file);
        let all = self.tokens.len() as u64;
        let mut start = 0;
        for number in 1..=size / 8 {
            let mut bytes = [0; 8];
            file.read_exact(&mut bytes).map_err(&failed)?;
            let end = u64::from_le_bytes(bytes);
            if !(start..=all).contains(&end) {
                return Err(damaged(
                    format!("an end from {start} to {all} for document {number}"),
                    end.to_string(),
                ));
            }
            let mut tokens = end - start;
            if tokens > 0 {
                let mut last = [0];
                self.tokens.window((end - 1) as usize, &mut last)?;
                tokens -= u64::from(Some(last[0]) == end_of_text);
            }
            document(Place {
                file: &self.tokens,
                start,
                tokens,
            })?;
            start = end;
        }
        if start != all {
            return Err(damaged(
                format!("that the last document ends at token {all}"),
                start.to_string(),
            ));
        }
        Ok(())
    }

    /// Its record among the sources.
    fn record(&self, documents: u64) -> Result<SourceRecord, DataError> {
        let mut hasher = Xxh3::new();
        hasher.update(self.tokens.raw(0, self.tokens.len() as u64)?);
        Ok(SourceRecord {
            name: self.path.to_string_lossy().into_owned(),
            bytes: self.bytes(),
            hash: format!("{:016x}", hasher.digest()),
            documents,
        })
    }
}

/// The content of `NAME.ds.metadata`.
struct Metadata {
    token_type: TokenType,
    tokens: u64,
}

impl Metadata {
    fn read(path: &Path) -> Result<Option<Self>, DataError> {
        let failed = DataError::read(path);
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let mut contents = Vec::new();
        file.take(LONGEST_METADATA)
            .read_to_end(&mut contents)
            .map_err(failed)?;
        let contents = String::from_utf8_lossy(&contents);
        let mut lines = contents.lines();
        let size = lines
            .next()
            .and_then(|line| line.rsplit_once('|'))
            .map(|(_, size)| size.trim());
        let token_type = match size {
            Some("2") => Some(TokenType::U16),
            Some("4") => Some(TokenType::U32),
            _ => None,
        };
        let tokens = lines.next().and_then(|line| line.trim().parse().ok());
        match (token_type, tokens) {
            (Some(token_type), Some(tokens)) => Ok(Some(Self { token_type, tokens })),
            _ => Err(DataError::Damaged {
                path: path.into(),
                expected: "a line TOKENIZER|2 or TOKENIZER|4 and a line with the number of tokens"
                    .into(),
                found: contents.chars().take(100).collect(),
            }),
        }
    }
}
