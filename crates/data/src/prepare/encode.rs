//! Encodes text into token files, on all threads and in order.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use rayon::prelude::*;
use xxhash_rust::xxh3::Xxh3;

use super::spool::{Segment, Segments};
use crate::error::DataError;
use crate::folder::{Part, TokenType, hexadecimal};
use crate::progress::Progress;
use crate::tokenizer::Tokenizer;

/// Approximate bytes of text that a thread encodes before its tokens are written.
const CHUNK: usize = 1 << 20;
/// Chunks for each thread between two writes: so many that threads seldom wait for the slowest.
const CHUNKS_PER_THREAD: usize = 4;

/// The encoding of text as the bytes of a token file.
#[derive(Debug)]
pub(crate) struct Encoding<'a> {
    /// The tokenizer.
    pub tokenizer: &'a Tokenizer,
    /// The type of stored tokens.
    pub token_type: TokenType,
    /// The token between documents.
    pub separator: Option<u32>,
}

impl Encoding<'_> {
    fn encode(&self, chunk: &[Segment]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for segment in chunk {
            self.append(&self.tokenizer.encode(&segment.text), &mut bytes);
            if let Some(separator) = self.separator.filter(|_| segment.separates) {
                self.append(&[separator], &mut bytes);
            }
        }
        bytes
    }

    fn append(&self, ids: &[u32], bytes: &mut Vec<u8>) {
        match self.token_type {
            TokenType::U16 => bytes.extend(ids.iter().flat_map(|&id| (id as u16).to_le_bytes())),
            TokenType::U32 => bytes.extend(ids.iter().flat_map(|id| id.to_le_bytes())),
        }
    }

    /// Encodes one part and writes its file; the result does not depend on the pool's size.
    pub fn write_part(
        &self,
        segments: &mut Segments,
        path: PathBuf,
        pool: &rayon::ThreadPool,
        progress: &dyn Progress,
    ) -> Result<Part, DataError> {
        let mut file = TokenFile::create(path)?;
        let mut text_bytes = 0;
        loop {
            let chunks = next_chunks(segments, pool.current_num_threads() * CHUNKS_PER_THREAD)?;
            if chunks.is_empty() {
                break;
            }
            let encoded: Vec<Vec<u8>> =
                pool.install(|| chunks.par_iter().map(|chunk| self.encode(chunk)).collect());
            for bytes in encoded {
                file.write(&bytes)?;
            }
            let taken: usize = chunks
                .iter()
                .flatten()
                .map(|segment| segment.text.len())
                .sum();
            text_bytes += taken as u64;
            progress.advance(taken as u64);
        }
        let (bytes, hash) = file.finish()?;
        Ok(Part {
            tokens: bytes / self.token_type.size() as u64,
            text_bytes: Some(text_bytes),
            hash: Some(hash),
        })
    }
}

/// At most `count` chunks of whole segments.
fn next_chunks(segments: &mut Segments, count: usize) -> Result<Vec<Vec<Segment>>, DataError> {
    let mut chunks = Vec::new();
    while chunks.len() < count {
        let mut chunk = Vec::new();
        let mut bytes = 0;
        while bytes < CHUNK
            && let Some(segment) = segments.next()?
        {
            bytes += segment.text.len();
            chunk.push(segment);
        }
        if chunk.is_empty() {
            break;
        }
        chunks.push(chunk);
    }
    Ok(chunks)
}

struct TokenFile {
    path: PathBuf,
    file: BufWriter<File>,
    hasher: Xxh3,
    bytes: u64,
}

impl TokenFile {
    fn create(path: PathBuf) -> Result<Self, DataError> {
        let file = File::create(&path).map_err(DataError::write(&path))?;
        Ok(Self {
            file: BufWriter::new(file),
            path,
            hasher: Xxh3::new(),
            bytes: 0,
        })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), DataError> {
        self.hasher.update(bytes);
        self.bytes += bytes.len() as u64;
        self.file
            .write_all(bytes)
            .map_err(DataError::write(&self.path))
    }

    /// Flushes to the disk. Gives the number of bytes and their hash.
    fn finish(self) -> Result<(u64, String), DataError> {
        let failed = DataError::write(&self.path);
        let file = self
            .file
            .into_inner()
            .map_err(|error| failed(error.into_error()))?;
        file.sync_all().map_err(failed)?;
        Ok((self.bytes, hexadecimal(self.hasher.digest128())))
    }
}
