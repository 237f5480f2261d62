//! A file as a stream of decompressed bytes that counts and hashes what it reads.

use std::cell::RefCell;
use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, Error, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use bzip2::bufread::BzDecoder;
use flate2::bufread::GzDecoder;
use xxhash_rust::xxh3::Xxh3;

use super::SourceError;
use super::bzip2_blocks::BlockDecoder;
use super::compression::{self, Compression};
use super::members::{Members, TrailingBytes, Unsupported};
use super::workers::Workers;
use crate::progress::Progress;

const BUFFER_BYTES: usize = 128 * 1024;

/// The largest window that zstd can have (`zstd --long=31`), as a power of two. zstd itself refuses
/// more than 2²⁷ bytes unless it is told otherwise.
const LARGEST_WINDOW: u32 = if usize::BITS == 64 { 31 } else { 30 };

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

/// Counts and hashes what is read of a file.
pub(super) struct MeteredFile<'a> {
    pub(super) file: File,
    pub(super) meter: SharedMeter,
    /// Bytes whose progress has been shown before.
    pub(super) shown: u64,
    pub(super) progress: &'a dyn Progress,
}

impl Read for MeteredFile<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.meter.borrow_mut().update(&buffer[..read]);
        let again = self.shown.min(read as u64);
        self.shown -= again;
        self.progress.advance(read as u64 - again);
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
                unsupported: is_unsupported(&error),
                reason: error.to_string(),
            })),
        }
    }
}

/// Whether the stream may be whole, but cannot be read. zstd tells its errors apart by their texts only.
fn is_unsupported(error: &Error) -> bool {
    const UNSUPPORTED: [&str; 4] = [
        "Frame requires too much memory",
        "Dictionary mismatch",
        "Unsupported frame parameter",
        "Version not supported",
    ];
    let message = error.to_string();
    error
        .get_ref()
        .is_some_and(|inner| inner.is::<Unsupported>())
        || UNSUPPORTED.iter().any(|text| message.contains(text))
}

/// The place and reason of a stream's failure, carried by an [`std::io::Error`].
#[derive(Debug, Clone)]
struct StreamFailure {
    compression: Compression,
    raw_position: u64,
    position: u64,
    unsupported: bool,
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
        Some(failure) if failure.unsupported => SourceError::UnsupportedCompression {
            path: path.to_owned(),
            compression: failure.compression.name(),
            reason: failure.reason.clone(),
        },
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
    /// The compression that the first bytes show.
    pub(super) compression: Compression,
    pub(super) reader: Box<dyn BufRead + 'a>,
    trailing: TrailingBytes,
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

    /// Counts the bytes after the last compressed stream that are no stream. It is complete when
    /// everything has been read.
    pub(super) fn trailing_bytes(&self) -> TrailingBytes {
        Rc::clone(&self.trailing)
    }
}

/// Opens `path`. The compression follows from the first bytes; the ending of the name only decides
/// what they leave open. An empty file is an error, because it has no text.
///
/// With `workers`, the blocks of a bzip2 file are decoded by them.
pub(super) fn open<'a>(
    path: &Path,
    named: Compression,
    workers: Option<&Workers>,
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
    let before = meter.borrow().clone();
    let mut raw = MeteredFile {
        file,
        meter: Rc::clone(meter),
        shown: 0,
        progress,
    };
    let mut head = Vec::new();
    (&mut raw)
        .take(compression::MAGIC_BYTES as u64)
        .read_to_end(&mut head)
        .map_err(failed)?;
    let compression = Compression::of_head(&head, named);
    let raw = BufReader::with_capacity(BUFFER_BYTES, Cursor::new(head).chain(raw));
    let trailing = TrailingBytes::default();
    let fail = |error: Error| {
        let failure = StreamFailure {
            compression,
            raw_position: 0,
            position: 0,
            unsupported: is_unsupported(&error),
            reason: error.to_string(),
        };
        read_error(path, &Error::other(failure))
    };
    let decompressed: Box<dyn Read + 'a> = match (compression, workers) {
        (Compression::None, _) => Box::new(raw),
        (Compression::Bzip2, Some(workers)) if details.is_file() => {
            drop(raw);
            *meter.borrow_mut() = before;
            let shown = compression::MAGIC_BYTES.min(details.len() as usize) as u64;
            let decoder = BlockDecoder::new(
                path,
                workers.clone(),
                Rc::clone(meter),
                (shown, progress),
                Rc::clone(&trailing),
            );
            Box::new(decoder.map_err(failed)?)
        }
        (Compression::Bzip2, _) => {
            Box::new(Members::<_, BzDecoder<_>>::new(raw, Rc::clone(&trailing)).map_err(fail)?)
        }
        (Compression::Gzip, _) => {
            Box::new(Members::<_, GzDecoder<_>>::new(raw, Rc::clone(&trailing)).map_err(fail)?)
        }
        (Compression::Zstd, _) => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(raw).map_err(failed)?;
            decoder.window_log_max(LARGEST_WINDOW).map_err(failed)?;
            Box::new(decoder)
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
        compression,
        reader: Box::new(BufReader::with_capacity(BUFFER_BYTES, counted)),
        trailing,
    })
}
