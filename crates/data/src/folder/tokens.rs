//! A token file, mapped into memory.

use std::fs::File;
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use super::meta::TokenType;
use crate::error::DataError;

/// Number of blocks of a file that its fingerprint covers, and their length in bytes.
const FINGERPRINT_BLOCKS: usize = 256;
const FINGERPRINT_BLOCK: usize = 4096;

/// The tokens of one part of the data. They are read from the disk when they are used.
#[derive(Debug)]
pub struct Tokens {
    path: PathBuf,
    /// None if the file is empty.
    map: Option<Mmap>,
    token_type: TokenType,
    vocabulary: u64,
}

impl Tokens {
    /// Opens a token file that must have exactly `tokens` tokens, as the file `description` says, or, if
    /// that is not known, any whole number of them.
    pub(crate) fn open(
        path: PathBuf,
        token_type: TokenType,
        vocabulary: u64,
        tokens: Option<u64>,
        description: &str,
    ) -> Result<Self, DataError> {
        let file = File::open(&path).map_err(DataError::read(&path))?;
        let size = file.metadata().map_err(DataError::read(&path))?.len();
        let token_size = token_type.size() as u64;
        let expected = match tokens {
            Some(tokens) if tokens.checked_mul(token_size) != Some(size) => Some(format!(
                "{tokens} tokens of {token_size} bytes, as `{description}` says"
            )),
            None if size % token_size != 0 => Some(format!("a multiple of {token_size} bytes")),
            _ => None,
        };
        if let Some(expected) = expected {
            return Err(DataError::Damaged {
                path,
                expected,
                found: format!("{size} bytes"),
            });
        }
        let map = if size == 0 {
            None
        } else {
            Some(map(&file, &path)?)
        };
        Ok(Self {
            path,
            map,
            token_type,
            vocabulary,
        })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The number of tokens.
    pub fn len(&self) -> usize {
        self.bytes().len() / self.token_type.size()
    }

    /// Whether there is no token.
    pub fn is_empty(&self) -> bool {
        self.map.is_none()
    }

    /// Reads the tokens from `start` on until `into` is full.
    ///
    /// # Errors
    /// There are not that many, or an id is not below the vocabulary.
    pub fn window(&self, start: usize, into: &mut [u32]) -> Result<(), DataError> {
        let size = self.token_type.size();
        let bytes = start
            .checked_add(into.len())
            .filter(|&end| end <= self.len())
            .map(|end| &self.bytes()[start * size..end * size])
            .ok_or_else(|| DataError::TooShort {
                path: self.path.clone(),
                tokens: self.len(),
                needed: start.saturating_add(into.len()),
            })?;
        match self.token_type {
            TokenType::U16 => {
                for (id, bytes) in into.iter_mut().zip(bytes.as_chunks::<2>().0) {
                    *id = u16::from_le_bytes(*bytes).into();
                }
            }
            TokenType::U32 => {
                for (id, bytes) in into.iter_mut().zip(bytes.as_chunks::<4>().0) {
                    *id = u32::from_le_bytes(*bytes);
                }
            }
        }
        self.check_ids(start, into.iter().copied())
    }

    fn check_ids(&self, start: usize, ids: impl Iterator<Item = u32>) -> Result<(), DataError> {
        let mut numbered = ids.enumerate();
        match numbered.find(|&(_, id)| u64::from(id) >= self.vocabulary) {
            None => Ok(()),
            Some((index, id)) => Err(DataError::Damaged {
                path: self.path.clone(),
                expected: format!("ids below the vocabulary, {}", self.vocabulary),
                found: format!("{id} as token {}", start + index),
            }),
        }
    }

    /// The bytes of `count` tokens from `start` on.
    ///
    /// # Errors
    /// There are not that many, or an id is not below the vocabulary.
    pub(crate) fn checked(&self, start: u64, count: u64) -> Result<&[u8], DataError> {
        let bytes = self.raw(start, count)?;
        let start = start as usize;
        match self.token_type {
            TokenType::U16 => {
                let ids = bytes.as_chunks().0.iter();
                self.check_ids(start, ids.map(|id| u16::from_le_bytes(*id).into()))?;
            }
            TokenType::U32 => {
                let ids = bytes.as_chunks().0.iter();
                self.check_ids(start, ids.map(|id| u32::from_le_bytes(*id)))?;
            }
        }
        Ok(bytes)
    }

    /// The bytes of `count` tokens from `start` on, unchecked.
    ///
    /// # Errors
    /// There are not that many.
    pub(crate) fn raw(&self, start: u64, count: u64) -> Result<&[u8], DataError> {
        let size = self.token_type.size() as u64;
        let range = start
            .checked_add(count)
            .filter(|&end| end <= self.len() as u64)
            .map(|end| (start * size) as usize..(end * size) as usize);
        match range {
            Some(range) => Ok(&self.bytes()[range]),
            None => Err(DataError::TooShort {
                path: self.path.clone(),
                tokens: self.len(),
                needed: start.saturating_add(count) as usize,
            }),
        }
    }

    /// XXH3-128 of the whole file in hexadecimal.
    pub fn hash(&self) -> String {
        hexadecimal(xxh3_128(self.bytes()))
    }

    /// A fingerprint for recognizing the same data: XXH3-128, in hexadecimal, of the length and of 256
    /// evenly spaced blocks of 4 KiB. It takes the same short time for a file of any length.
    pub fn fingerprint(&self) -> String {
        let bytes = self.bytes();
        let mut hasher = Xxh3::new();
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(&[self.token_type.size() as u8]);
        if bytes.len() <= FINGERPRINT_BLOCKS * FINGERPRINT_BLOCK {
            hasher.update(bytes);
        } else {
            let last = (bytes.len() - FINGERPRINT_BLOCK) as u128;
            for block in 0..FINGERPRINT_BLOCKS as u128 {
                let start = (last * block / (FINGERPRINT_BLOCKS as u128 - 1)) as usize;
                hasher.update(&bytes[start..start + FINGERPRINT_BLOCK]);
            }
        }
        hexadecimal(hasher.digest128())
    }

    fn bytes(&self) -> &[u8] {
        self.map.as_deref().unwrap_or_default()
    }
}

/// A hash in hexadecimal.
pub(crate) fn hexadecimal(hash: u128) -> String {
    format!("{hash:032x}")
}

#[allow(unsafe_code)]
fn map(file: &File, path: &Path) -> Result<Mmap, DataError> {
    // SAFETY: the map is read-only and private to this process. Data folders are replaced by renaming
    // and never written in place, so the mapped file does not change. If another program shortens it
    // in place nevertheless, this process ends with SIGBUS, not with undefined values; and ids are
    // checked when they are read.
    unsafe { Mmap::map(file) }.map_err(DataError::read(path))
}
