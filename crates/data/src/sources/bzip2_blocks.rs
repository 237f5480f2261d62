//! bzip2 files whose blocks are decoded in parallel.
//!
//! A stream consists of blocks of at most 900 kB, which begin at any bit, each with the same 48 bits. The
//! reading thread looks for these, and each block becomes a stream of its own that a worker decodes.
//! The check sum of each block is part of that stream; that of all blocks of a stream is compared here.
//!
//! This works for every intact file. At the first thing that is not as expected (damage, a cut-off file,
//! one that cannot be read, bytes after the last stream, or a block that contains the 48 bits by chance), the
//! file is decoded again from its beginning, block by block, and what was delivered before is skipped. So the result, the
//! errors and their places are those of the serial decoder.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use bzip2::bufread::BzDecoder;

use super::input_stream::{Meter, MeteredFile, SharedMeter};
use super::members::{Members, TrailingBytes};
use super::workers::{Pending, Workers};
use crate::progress::Progress;

/// What a block begins with, and what the end of a stream begins with: digits of pi, and of its root. Each
/// has 48 bits.
pub(super) const MARKS: [u64; 2] = [0x3141_5926_5359, 0x1772_4538_5090];
const BLOCK: u64 = MARKS[0];
const MARK_BITS: usize = 48;
/// Bits of a check sum.
const SUM_BITS: usize = 32;
/// Bytes that are read at once.
const READ_BYTES: usize = 256 * 1024;
/// The most bytes of a block. One of 900 kB that cannot be compressed has about 905 kB.
const LARGEST_BLOCK: usize = 2 * 1024 * 1024;
const BUFFER_BYTES: usize = 128 * 1024;

/// Decodes a file with workers. It keeps the meter at the place up to which it has delivered.
pub(super) struct BlockDecoder<'a> {
    path: PathBuf,
    workers: Workers,
    meter: SharedMeter,
    /// The meter before the file.
    before: Meter,
    /// Bytes whose progress has been shown.
    shown: u64,
    progress: &'a dyn Progress,
    trailing: TrailingBytes,
    scanner: Scanner,
    /// Parts of the file in order; those behind the first are being decoded.
    parts: VecDeque<Part>,
    /// What is delivered now.
    decoded: Vec<u8>,
    at: usize,
    /// Bytes delivered before `decoded`.
    delivered: u64,
    /// The check sum of the stream's blocks so far.
    sum: u32,
    serial: Option<Box<dyn Read + 'a>>,
}

struct Part {
    /// The bytes of the file up to the end of the part, for the meter.
    raw: Vec<u8>,
    content: Content,
}

enum Content {
    Block {
        sum: u32,
        decoded: Pending<Option<Vec<u8>>>,
    },
    /// The end of a stream, with the check sum of its blocks.
    End { sum: u32 },
    /// The end of the file.
    Finished,
    /// The file goes on in a way that the serial decoder judges.
    Unclear,
}

impl<'a> BlockDecoder<'a> {
    /// A decoder of the file at `path`, of which the progress of the first `shown` bytes is shown already.
    pub(super) fn new(
        path: &Path,
        workers: Workers,
        meter: SharedMeter,
        (shown, progress): (u64, &'a dyn Progress),
        trailing: TrailingBytes,
    ) -> std::io::Result<Self> {
        let before = meter.borrow().clone();
        Ok(Self {
            path: path.to_owned(),
            workers,
            meter,
            before,
            shown,
            progress,
            trailing,
            scanner: Scanner::new(File::open(path)?),
            parts: VecDeque::new(),
            decoded: Vec::new(),
            at: 0,
            delivered: 0,
            sum: 0,
            serial: None,
        })
    }

    /// Delivers the next part. Says whether there may be more.
    fn advance(&mut self) -> std::io::Result<bool> {
        // One more than there are workers, so that none waits for the delivery.
        while self.parts.len() <= self.workers.count() && !self.scanner.ended {
            let part = self.scanner.next(&self.workers);
            self.parts.push_back(part);
        }
        let Some(Part { raw, content }) = self.parts.pop_front() else {
            return Ok(false);
        };
        match content {
            Content::Block { sum, decoded } => {
                let Some(decoded) = decoded.wait().flatten() else {
                    return self.decode_again().map(|()| true);
                };
                self.sum = self.sum.rotate_left(1) ^ sum;
                self.delivered += self.decoded.len() as u64;
                self.decoded = decoded;
                self.at = 0;
            }
            Content::End { sum } if sum == self.sum => self.sum = 0,
            Content::Finished => {
                self.count(&raw);
                return Ok(false);
            }
            Content::End { .. } | Content::Unclear => {
                return self.decode_again().map(|()| true);
            }
        }
        self.count(&raw);
        Ok(true)
    }

    fn count(&mut self, raw: &[u8]) {
        self.meter.borrow_mut().update(raw);
        let again = self.shown.min(raw.len() as u64);
        self.shown -= again;
        self.progress.advance(raw.len() as u64 - again);
    }

    /// Goes on with the serial decoder, after what has been delivered.
    fn decode_again(&mut self) -> std::io::Result<()> {
        self.parts.clear();
        let shown = self.shown + self.meter.borrow().bytes - self.before.bytes;
        *self.meter.borrow_mut() = self.before.clone();
        let raw = MeteredFile {
            file: File::open(&self.path)?,
            meter: Rc::clone(&self.meter),
            shown,
            progress: self.progress,
        };
        let raw = BufReader::with_capacity(BUFFER_BYTES, raw);
        let trailing = Rc::clone(&self.trailing);
        let mut serial: Box<dyn Read + 'a> =
            Box::new(Members::<_, BzDecoder<_>>::new(raw, trailing)?);
        let delivered = self.delivered + self.decoded.len() as u64;
        let skipped = std::io::copy(&mut (&mut serial).take(delivered), &mut std::io::sink());
        self.serial = Some(serial);
        skipped.map(|_| ())
    }
}

impl Read for BlockDecoder<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        loop {
            if self.at < self.decoded.len() {
                let read = (&self.decoded[self.at..]).read(buffer)?;
                self.at += read;
                return Ok(read);
            }
            if let Some(serial) = &mut self.serial {
                return serial.read(buffer);
            }
            if buffer.is_empty() || !self.advance()? {
                return Ok(0);
            }
        }
    }
}

/// Divides a file into blocks.
struct Scanner {
    file: File,
    /// Bytes of the file from `start` on.
    bytes: Vec<u8>,
    /// Where the next part begins, in bits from the beginning of `bytes`.
    bit: usize,
    /// The level of the current stream, `1` to `9`; none between streams.
    level: Option<u8>,
    at_end: bool,
    ended: bool,
    first: [u16; 256],
    second: [u16; 256],
}

impl Scanner {
    fn new(file: File) -> Self {
        // For each value of the second and the third byte of a mark: at which of eight bits of its first byte
        // which of the two marks may begin.
        let (mut first, mut second) = ([0; 256], [0; 256]);
        for (which, mark) in MARKS.into_iter().enumerate() {
            for shift in 0..8 {
                // 56 bits, of which the mark takes 48.
                let bits = mark << (8 - shift);
                let candidate = 1 << (which * 8 + shift);
                first[(bits >> 40) as usize & 0xFF] |= candidate;
                second[(bits >> 32) as usize & 0xFF] |= candidate;
            }
        }
        Self {
            file,
            bytes: Vec::new(),
            bit: 0,
            level: None,
            at_end: false,
            ended: false,
            first,
            second,
        }
    }

    /// The next part; a block is decoded by a worker.
    fn next(&mut self, workers: &Workers) -> Part {
        // Parts that were given away are not needed any more.
        let whole = self.bit / 8;
        self.bytes.drain(..whole);
        self.bit %= 8;
        // Parts before this one are still to be delivered, so an error waits for its turn.
        let content = self.content(workers).unwrap_or(Content::Unclear);
        self.ended = matches!(content, Content::Finished | Content::Unclear);
        let end = match content {
            Content::Finished | Content::Unclear => self.bytes.len(),
            _ => self.bit / 8,
        };
        let raw = self.bytes[..end].to_vec();
        Part { raw, content }
    }

    fn content(&mut self, workers: &Workers) -> std::io::Result<Content> {
        let level = match self.level {
            Some(level) => level,
            None => {
                self.fill(self.bit / 8 + 4)?;
                match self.bytes[self.bit / 8..] {
                    [] => return Ok(Content::Finished),
                    [b'B', b'Z', b'h', level @ b'1'..=b'9', ..] => {
                        self.bit += 32;
                        self.level = Some(level);
                        level
                    }
                    _ => return Ok(Content::Unclear),
                }
            }
        };
        let begin = self.bit;
        self.fill((begin + MARK_BITS + SUM_BITS).div_ceil(8))?;
        let (Some(mark), Some(sum)) = (
            self.bits(begin, MARK_BITS),
            self.bits(begin + MARK_BITS, SUM_BITS),
        ) else {
            return Ok(Content::Unclear);
        };
        let sum = sum as u32;
        if mark != BLOCK {
            self.level = None;
            self.bit = (begin + MARK_BITS + SUM_BITS).next_multiple_of(8);
            return Ok(if mark == MARKS[1] {
                Content::End { sum }
            } else {
                Content::Unclear
            });
        }
        let Some(end) = self.find_mark(begin + MARK_BITS + SUM_BITS)? else {
            return Ok(Content::Unclear);
        };
        self.bit = end;
        let block = Block {
            bytes: self.bytes[begin / 8..end.div_ceil(8)].to_vec(),
            begin: begin % 8,
            bits: end - begin,
            level,
            sum,
        };
        Ok(Content::Block {
            sum,
            decoded: workers.run(move || block.decode()),
        })
    }

    /// The first bit at or after `from` at which a mark begins.
    fn find_mark(&mut self, from: usize) -> std::io::Result<Option<usize>> {
        let mut at = from / 8;
        loop {
            // A mark takes seven bytes at most.
            while at + 7 <= self.bytes.len() {
                let candidates = self.first[usize::from(self.bytes[at + 1])]
                    & self.second[usize::from(self.bytes[at + 2])];
                if candidates != 0 {
                    for bit in at * 8..at * 8 + 8 {
                        let found = self.bits(bit, MARK_BITS);
                        if bit >= from && found.is_some_and(|bits| MARKS.contains(&bits)) {
                            return Ok(Some(bit));
                        }
                    }
                }
                at += 1;
            }
            if self.bytes.len() > from / 8 + LARGEST_BLOCK || self.at_end {
                // At the end of the file the mark may begin in the last but five bytes.
                let last = self.bytes.len() * 8;
                let bits = at * 8..last.saturating_sub(MARK_BITS - 1);
                let found = |&bit: &usize| {
                    let found = self.bits(bit, MARK_BITS);
                    bit >= from && found.is_some_and(|bits| MARKS.contains(&bits))
                };
                return Ok(bits.into_iter().find(found).filter(|_| self.at_end));
            }
            self.fill(self.bytes.len() + 1)?;
        }
    }

    /// Reads until there are `count` bytes, or to the end of the file.
    fn fill(&mut self, count: usize) -> std::io::Result<()> {
        while self.bytes.len() < count && !self.at_end {
            let read = (&mut self.file)
                .take(READ_BYTES as u64)
                .read_to_end(&mut self.bytes)?;
            self.at_end = read == 0;
        }
        Ok(())
    }

    /// `count` bits from `bit` on, at most 56; none if there are not so many.
    fn bits(&self, bit: usize, count: usize) -> Option<u64> {
        let bytes = self.bytes.get(bit / 8..(bit + count).div_ceil(8))?;
        let value = bytes
            .iter()
            .fold(0_u64, |value, &byte| value << 8 | u64::from(byte));
        let behind = bytes.len() * 8 - bit % 8 - count;
        Some(value >> behind & ((1 << count) - 1))
    }
}

/// A block, cut out of its stream.
struct Block {
    bytes: Vec<u8>,
    /// Its first bit.
    begin: usize,
    /// The number of its bits.
    bits: usize,
    level: u8,
    sum: u32,
}

impl Block {
    /// Decodes it as a stream of one block; none if it is damaged.
    fn decode(&self) -> Option<Vec<u8>> {
        let mut stream = Vec::with_capacity(self.bytes.len() + 16);
        stream.extend([b'B', b'Z', b'h', self.level]);
        let mut bytes = self.bytes.iter().copied().chain([0]);
        let mut byte = bytes.next()?;
        for next in bytes {
            let both = u16::from(byte) << 8 | u16::from(next);
            stream.push((both << self.begin >> 8) as u8);
            byte = next;
        }
        stream.truncate(4 + self.bits.div_ceil(8));
        let used = self.bits % 8;
        // The end of the stream follows at once. The check sum of one block is that of the stream.
        let mut end = u128::from(MARKS[1]) << SUM_BITS | u128::from(self.sum);
        let mut end_bits = MARK_BITS + SUM_BITS;
        if used > 0 {
            let kept = 0xFF_u8 << (8 - used);
            let last = stream.last_mut()?;
            let free = 8 - used;
            *last = *last & kept | (end >> (end_bits - free)) as u8 & !kept;
            end_bits -= free;
            end &= (1 << end_bits) - 1;
        }
        let padded = end_bits.next_multiple_of(8);
        let end = end << (padded - end_bits);
        stream.extend((0..padded / 8).rev().map(|byte| (end >> (byte * 8)) as u8));
        let size = usize::from(self.level - b'0') * 100_000;
        let mut decoded = Vec::with_capacity(size + 1024);
        let mut decoder = BzDecoder::new(stream.as_slice());
        decoder.read_to_end(&mut decoded).ok()?;
        decoder.into_inner().is_empty().then_some(decoded)
    }
}

#[cfg(test)]
#[path = "bzip2_blocks_tests.rs"]
mod tests;
