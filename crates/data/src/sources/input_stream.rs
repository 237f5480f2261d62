//! A file as a stream of decompressed bytes that counts and hashes what it reads.

use std::cell::RefCell;
use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, Error, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use xxhash_rust::xxh3::Xxh3;

use super::SourceError;
use super::file_format::Compression;
use crate::progress::Progress;

const BUFFER_BYTES: usize = 128 * 1024;

/// Counts and hashes raw bytes of one source record.
#[derive(Default, Clone)]
pub(super) struct Meter {
    pub(super) bytes: u64,
    hasher: Xxh3,
}

impl Meter {
    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        self.hasher.update(bytes);
    }

    pub(super) fn hash(&self) -> u64 {
        self.hasher.digest()
    }
}

/// A meter that the stream updates and the reader of documents reads, on one thread.
pub(super) type SharedMeter = Rc<RefCell<Meter>>;

struct MeteredFile<'a> {
    file: File,
    meter: SharedMeter,
    progress: &'a dyn Progress,
}

impl Read for MeteredFile<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.meter.borrow_mut().update(&buffer[..read]);
        self.progress.advance(read as u64);
        Ok(read)
    }
}

/// Counts decompressed bytes, and adds both positions to errors.
struct Decompressed<R> {
    inner: R,
    compression: Compression,
    meter: SharedMeter,
    raw_start: u64,
    position: u64,
}

impl<R: Read> Read for Decompressed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self.inner.read(buffer) {
            Ok(read) => {
                self.position += read as u64;
                Ok(read)
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Err(error),
            Err(error) => Err(Error::other(StreamFailure {
                compression: self.compression,
                raw_position: self.meter.borrow().bytes - self.raw_start,
                position: self.position,
                reason: error.to_string(),
            })),
        }
    }
}

/// The place and reason of a stream's failure, carried by an [`std::io::Error`].
#[derive(Debug, Clone)]
struct StreamFailure {
    compression: Compression,
    raw_position: u64,
    position: u64,
    reason: String,
}

impl std::fmt::Display for StreamFailure {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.reason)
    }
}

impl std::error::Error for StreamFailure {}

/// Turns an error of a stream of [`open`] into one with file and position.
pub(super) fn read_error(path: &Path, error: &Error) -> SourceError {
    let failure = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<StreamFailure>());
    match failure {
        Some(failure) if failure.compression != Compression::None => SourceError::Decompress {
            path: path.to_owned(),
            compression: failure.compression.name(),
            raw_position: failure.raw_position,
            position: failure.position,
            reason: failure.reason.clone(),
        },
        _ => SourceError::Read {
            path: path.to_owned(),
            reason: Error::new(error.kind(), error.to_string()),
        },
    }
}

/// A file's decompressed bytes.
pub(super) struct InputStream<'a> {
    pub(super) path: PathBuf,
    pub(super) reader: Box<dyn BufRead + 'a>,
}

impl InputStream<'_> {
    /// The first bytes, at most `count`. They are not consumed.
    pub(super) fn peek(&mut self, count: usize) -> Result<Vec<u8>, SourceError> {
        let mut head = Vec::with_capacity(count);
        (&mut self.reader)
            .take(count as u64)
            .read_to_end(&mut head)
            .map_err(|error| read_error(&self.path, &error))?;
        let rest = std::mem::replace(&mut self.reader, Box::new(std::io::empty()));
        self.reader = Box::new(Cursor::new(head.clone()).chain(rest));
        Ok(head)
    }
}

/// Opens `path`. An empty file is an error, because it has no text.
pub(super) fn open<'a>(
    path: &Path,
    compression: Compression,
    meter: &SharedMeter,
    progress: &'a dyn Progress,
) -> Result<InputStream<'a>, SourceError> {
    let failed = |reason| SourceError::Read {
        path: path.to_owned(),
        reason,
    };
    let file = File::open(path).map_err(failed)?;
    let details = file.metadata().map_err(failed)?;
    if details.is_file() && details.len() == 0 {
        return Err(SourceError::Empty {
            path: path.to_owned(),
        });
    }
    let raw_start = meter.borrow().bytes;
    let raw = BufReader::with_capacity(
        BUFFER_BYTES,
        MeteredFile {
            file,
            meter: Rc::clone(meter),
            progress,
        },
    );
    let decompressed: Box<dyn Read + 'a> = match compression {
        Compression::None => Box::new(raw),
        Compression::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(raw)),
        Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(raw)),
        Compression::Zstd => {
            Box::new(zstd::stream::read::Decoder::with_buffer(raw).map_err(failed)?)
        }
    };
    let counted = Decompressed {
        inner: decompressed,
        compression,
        meter: Rc::clone(meter),
        raw_start,
        position: 0,
    };
    Ok(InputStream {
        path: path.to_owned(),
        reader: Box::new(BufReader::with_capacity(BUFFER_BYTES, counted)),
    })
}
