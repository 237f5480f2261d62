//! Compressed files of several streams one after another, read as the compressors' own programs read
//! them.
//!
//! `gzip` and `bzip2` end a file at the first bytes that are no further stream, and say so;
//! `gzip` says nothing of zero bytes, which pad the blocks of a tape.

use std::cell::Cell;
use std::io::{BufRead, Error, ErrorKind, Read};
use std::rc::Rc;

use bzip2::bufread::BzDecoder;
use flate2::bufread::GzDecoder;

/// The number of bytes after the last stream that are no stream.
pub(super) type TrailingBytes = Rc<Cell<u64>>;

/// Why a stream cannot be read although nothing in it is damaged.
#[derive(Debug)]
pub(super) struct Unsupported(pub(super) String);

impl std::fmt::Display for Unsupported {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Unsupported {}

/// A decoder of one stream.
pub(super) trait Member<R>: Read + Sized {
    /// What a stream begins with.
    const MAGIC: &'static [u8];

    /// Whether zero bytes after a stream are padding.
    const PADDED: bool;

    /// Begins to decode a stream.
    fn begin(reader: Start<R>) -> std::io::Result<Self>;

    /// The reader after the stream.
    fn into_reader(self) -> Start<R>;
}

/// A reader whose next bytes may have been read before.
pub(super) struct Start<R> {
    taken: Vec<u8>,
    at: usize,
    inner: R,
}

impl<R: BufRead> Start<R> {
    fn new(inner: R) -> Self {
        Self {
            taken: Vec::new(),
            at: 0,
            inner,
        }
    }

    /// The next bytes, at most `count`; they stay.
    fn peek(&mut self, count: usize) -> std::io::Result<&[u8]> {
        self.taken.drain(..self.at);
        self.at = 0;
        let missing = count.saturating_sub(self.taken.len());
        (&mut self.inner)
            .take(missing as u64)
            .read_to_end(&mut self.taken)?;
        Ok(&self.taken)
    }

    /// Reads to the end. Gives the number of bytes, and whether all were 0.
    fn drain(&mut self) -> std::io::Result<(u64, bool)> {
        let (mut count, mut zero) = (0, true);
        loop {
            let bytes = self.fill_buf()?;
            if bytes.is_empty() {
                return Ok((count, zero));
            }
            zero &= bytes.iter().all(|&byte| byte == 0);
            let length = bytes.len();
            count += length as u64;
            self.consume(length);
        }
    }
}

impl<R: BufRead> Read for Start<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.fill_buf()?.read(buffer)?;
        self.consume(read);
        Ok(read)
    }
}

impl<R: BufRead> BufRead for Start<R> {
    fn fill_buf(&mut self) -> std::io::Result<&[u8]> {
        if self.at < self.taken.len() {
            Ok(&self.taken[self.at..])
        } else {
            self.inner.fill_buf()
        }
    }

    fn consume(&mut self, amount: usize) {
        if self.at < self.taken.len() {
            self.at += amount;
        } else {
            self.inner.consume(amount);
        }
    }
}

/// All streams of a file, decoded.
pub(super) struct Members<R, M> {
    member: Option<M>,
    trailing: TrailingBytes,
    reader: std::marker::PhantomData<R>,
}

impl<R: BufRead, M: Member<R>> Members<R, M> {
    /// Begins with the first stream. The bytes after the last one are counted in `trailing`.
    pub(super) fn new(reader: R, trailing: TrailingBytes) -> std::io::Result<Self> {
        Ok(Self {
            member: Some(M::begin(Start::new(reader))?),
            trailing,
            reader: std::marker::PhantomData,
        })
    }

    /// The stream after one that has ended, if there is one.
    fn next(&self, ended: M) -> std::io::Result<Option<M>> {
        let mut reader = ended.into_reader();
        let head = reader.peek(M::MAGIC.len())?;
        // A beginning that is cut off is an error of the next stream.
        if !head.is_empty() && M::MAGIC.starts_with(head) {
            return M::begin(reader).map(Some);
        }
        let (count, zero) = reader.drain()?;
        if !(M::PADDED && zero) {
            self.trailing.set(count);
        }
        Ok(None)
    }
}

impl<R: BufRead, M: Member<R>> Read for Members<R, M> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while let Some(member) = &mut self.member {
            let read = member.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            if let Some(ended) = self.member.take() {
                self.member = self.next(ended)?;
            }
        }
        Ok(0)
    }
}

impl<R: BufRead> Member<R> for GzDecoder<Start<R>> {
    const MAGIC: &'static [u8] = &[0x1F, 0x8B];
    const PADDED: bool = true;

    fn begin(mut reader: Start<R>) -> std::io::Result<Self> {
        const DEFLATE: u8 = 8;
        if let &[_, _, method] = reader.peek(3)?
            && method != DEFLATE
        {
            let reason = format!("its compression method {method} is unknown");
            return Err(Error::new(ErrorKind::Unsupported, Unsupported(reason)));
        }
        Ok(Self::new(reader))
    }

    fn into_reader(self) -> Start<R> {
        self.into_inner()
    }
}

impl<R: BufRead> Member<R> for BzDecoder<Start<R>> {
    const MAGIC: &'static [u8] = b"BZh";
    const PADDED: bool = false;

    fn begin(reader: Start<R>) -> std::io::Result<Self> {
        Ok(Self::new(reader))
    }

    fn into_reader(self) -> Start<R> {
        self.into_inner()
    }
}
