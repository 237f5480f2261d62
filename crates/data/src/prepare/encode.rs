//! Encodes text into token files, on all threads and in order.

use std::path::PathBuf;

use rayon::prelude::*;

use super::hashed_file::HashedFile;
use super::spool::{Segment, Segments};
use super::unknown::UnknownCharacters;
use crate::error::DataError;
use crate::folder::{Part, TokenType};
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

impl<'a> Encoding<'a> {
    /// The encoding of a tokenizer, with its end-of-text (if it has one) between documents if they are to be
    /// `separated`.
    pub fn new(tokenizer: &'a Tokenizer, separated: bool) -> Self {
        Self {
            tokenizer,
            token_type: TokenType::for_vocabulary(tokenizer.vocabulary()),
            separator: tokenizer.end_of_text().filter(|_| separated),
        }
    }

    fn encode(&self, chunk: &[Segment]) -> Encoded {
        let mut bytes = Vec::new();
        let mut tokens = Vec::with_capacity(chunk.len());
        let mut unknown = UnknownCharacters::default();
        for segment in chunk {
            let ids = self.tokenizer.encode(&segment.text);
            if let Some(id) = self.tokenizer.unknown() {
                unknown.add(&segment.text, &ids, id);
            }
            tokens.push(ids.len() as u64);
            self.append(&ids, &mut bytes);
            if let Some(separator) = self.separator.filter(|_| segment.separates) {
                self.append(&[separator], &mut bytes);
            }
        }
        Encoded {
            bytes,
            tokens,
            unknown,
        }
    }

    /// Appends the bytes of these tokens in a token file.
    pub fn append(&self, ids: &[u32], bytes: &mut Vec<u8>) {
        match self.token_type {
            TokenType::U16 => bytes.extend(ids.iter().flat_map(|&id| (id as u16).to_le_bytes())),
            TokenType::U32 => bytes.extend(ids.iter().flat_map(|id| id.to_le_bytes())),
        }
    }

    /// Encodes one part and writes its file; the result does not depend on the pool's size. Also gives the
    /// characters that the tokenizer does not know.
    pub fn write_part(
        &self,
        segments: &mut Segments,
        path: PathBuf,
        pool: &rayon::ThreadPool,
        progress: &dyn Progress,
    ) -> Result<(Part, UnknownCharacters), DataError> {
        let mut file = TokenFile::create(path, self.token_type)?;
        let unknown = self.write(segments, &mut file, pool, progress, &mut |_, _| Ok(()))?;
        Ok((file.finish()?, unknown))
    }

    /// Encodes one part and appends it to a file, and gives the characters that the tokenizer does not know.
    /// `ended` gets the bytes of text and the number of tokens of each document that ends in the part; of a
    /// document that began before it, only the tokens of this part.
    pub fn write(
        &self,
        segments: &mut Segments,
        file: &mut TokenFile,
        pool: &rayon::ThreadPool,
        progress: &dyn Progress,
        ended: &mut Ended<'_>,
    ) -> Result<UnknownCharacters, DataError> {
        let count = pool.current_num_threads() * CHUNKS_PER_THREAD;
        let mut output = Output {
            file,
            progress,
            ended,
            document: 0,
            unknown: UnknownCharacters::default(),
        };
        let mut before = None;
        let mut chunks = next_chunks(segments, count)?;
        while !chunks.is_empty() {
            // Meanwhile the chunks before these are written, and those after them read.
            let (encoded, after) = std::thread::scope(|scope| {
                let io = scope.spawn(|| {
                    before
                        .take()
                        .map_or(Ok(()), |before| output.write(before))?;
                    next_chunks(segments, count)
                });
                let encoded: Vec<Encoded> =
                    pool.install(|| chunks.par_iter().map(|chunk| self.encode(chunk)).collect());
                (encoded, io.join())
            });
            let after = after.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            let encoded = std::mem::replace(&mut chunks, after)
                .into_iter()
                .zip(encoded);
            before = Some(encoded.collect());
        }
        before.map_or(Ok(()), |before| output.write(before))?;
        Ok(output.unknown)
    }
}

/// Gets the bytes of text and the number of tokens of a document that ends.
pub(crate) type Ended<'a> = dyn FnMut(u64, u64) -> Result<(), DataError> + Send + 'a;

/// Where encoded chunks go.
struct Output<'a> {
    file: &'a mut TokenFile,
    progress: &'a dyn Progress,
    ended: &'a mut Ended<'a>,
    /// Tokens so far of the document that has not ended.
    document: u64,
    unknown: UnknownCharacters,
}

impl Output<'_> {
    fn write(&mut self, chunks: Vec<(Vec<Segment>, Encoded)>) -> Result<(), DataError> {
        for (chunk, encoded) in chunks {
            let text: usize = chunk.iter().map(|segment| segment.text.len()).sum();
            self.file.write(&encoded.bytes, text as u64)?;
            self.progress.advance(text as u64);
            self.unknown.append(&encoded.unknown);
            for (segment, tokens) in chunk.iter().zip(encoded.tokens) {
                self.document += tokens;
                if let Some(bytes) = segment.ended {
                    (self.ended)(bytes, std::mem::take(&mut self.document))?;
                }
            }
        }
        Ok(())
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

/// Encoded segments.
struct Encoded {
    bytes: Vec<u8>,
    /// The number of tokens of each segment, separators not counted.
    tokens: Vec<u64>,
    unknown: UnknownCharacters,
}

/// A token file that is being written.
pub(crate) struct TokenFile {
    file: HashedFile,
    token_type: TokenType,
    bytes: u64,
    text_bytes: u64,
}

impl TokenFile {
    /// Creates the file.
    pub fn create(path: PathBuf, token_type: TokenType) -> Result<Self, DataError> {
        Ok(Self {
            file: HashedFile::create(path)?,
            token_type,
            bytes: 0,
            text_bytes: 0,
        })
    }

    /// Appends the bytes of tokens that stand for `text_bytes` bytes of text.
    pub fn write(&mut self, bytes: &[u8], text_bytes: u64) -> Result<(), DataError> {
        self.text_bytes += text_bytes;
        self.bytes += bytes.len() as u64;
        self.file.write(bytes)
    }

    /// Flushes to the disk and gives the description of the file.
    pub fn finish(self) -> Result<Part, DataError> {
        Ok(Part {
            tokens: self.bytes / self.token_type.size() as u64,
            text_bytes: Some(self.text_bytes),
            hash: Some(self.file.finish()?),
        })
    }
}
