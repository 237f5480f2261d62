use std::fs;

use bzip2::Compression as Level;
use bzip2::write::BzEncoder;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::super::compression::Compression;
use super::super::input_stream::{self, read_error};
use super::*;
use crate::progress::Silent;

/// Everything that reading a file gives: bytes, error, raw bytes, their hash, and trailing bytes.
type Outcome = (Vec<u8>, Option<String>, u64, u64, u64);

fn outcome(path: &Path, workers: Option<&Workers>) -> Outcome {
    let meter = SharedMeter::default();
    let opened = input_stream::open(path, Compression::Bzip2, workers, &meter, &Silent);
    let mut stream = match opened {
        Ok(stream) => stream,
        Err(error) => return (Vec::new(), Some(error.to_string()), 0, 0, 0),
    };
    let trailing = stream.trailing_bytes();
    let mut decoded = Vec::new();
    let error = stream
        .reader
        .read_to_end(&mut decoded)
        .err()
        .map(|error| read_error(path, &error).to_string());
    let meter = meter.borrow();
    (decoded, error, meter.bytes, meter.hash(), trailing.get())
}

fn compressed(text: &[u8], level: u32) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = BzEncoder::new(Vec::new(), Level::new(level));
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

/// Noise, words and runs in turn.
fn content(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut content = Vec::with_capacity(length);
    while content.len() < length {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let high = (state >> 33) as usize;
        match high % 3 {
            0 => content.extend((state >> 24).to_le_bytes()),
            1 => content.extend(["the ", "cat ", "and ", "hat\n"][high / 3 % 4].bytes()),
            _ => content.extend(std::iter::repeat_n(b'a' + (high % 7) as u8, high % 300)),
        }
    }
    content.truncate(length);
    content
}

#[test]
fn workers_decode_what_the_serial_decoder_does() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.bz2");
    let mut runner = TestRunner::deterministic();
    let streams = prop::collection::vec((0_usize..700_000, 1_u32..4, any::<u64>()), 1..4);
    for round in 0..40 {
        let mut file = Vec::new();
        let mut expected = Vec::new();
        for (length, level, seed) in streams.new_tree(&mut runner).unwrap().current() {
            let content = content(if seed % 4 == 0 { 0 } else { length }, seed);
            file.extend(compressed(&content, level));
            expected.extend(content);
        }
        let places = prop::collection::vec((any::<prop::sample::Index>(), 0..8), 1..3);
        let places = places.new_tree(&mut runner).unwrap().current();
        let intact = round % 4 == 0;
        match round % 4 {
            1 => file.truncate(places[0].0.index(file.len() - 4) + 4),
            2 => {
                for (place, bit) in places {
                    let place = place.index(file.len() - 4) + 4;
                    file[place] ^= 1_u8 << bit;
                }
            }
            3 if round % 8 == 3 => file.extend(b"no stream"),
            3 => file.extend(b"BZh9 and nothing"),
            _ => {}
        }
        fs::write(&path, &file).unwrap();
        let serial = outcome(&path, None);
        for threads in [1, 3] {
            let parallel =
                Workers::with(threads, |workers| outcome(&path, Some(&workers))).unwrap();
            assert!(parallel.0 == serial.0, "round {round}");
            assert_eq!(parallel.1, serial.1, "round {round}");
            assert_eq!(parallel.4, serial.4, "round {round}");
            if serial.1.is_none() {
                assert_eq!(
                    (parallel.2, parallel.3),
                    (serial.2, serial.3),
                    "round {round}"
                );
            }
        }
        if intact {
            assert!(serial.0 == expected && serial.1.is_none());
        }
    }
}

/// Decodes the file at `path`, and calls `before` with the decoder after the first block of `first` bytes.
/// Gives the bytes, and whether the serial decoder was needed.
fn decoded(
    path: &Path,
    workers: Workers,
    first: usize,
    before: impl FnOnce(&mut BlockDecoder<'_>),
) -> (Vec<u8>, bool) {
    let meter = SharedMeter::default();
    let trailing = TrailingBytes::default();
    let opened = BlockDecoder::new(path, workers, Rc::clone(&meter), (0, &Silent), trailing);
    let mut decoder = opened.unwrap();
    let mut decoded = vec![0; first];
    decoder.read_exact(&mut decoded).unwrap();
    before(&mut decoder);
    decoder.read_to_end(&mut decoded).unwrap();
    assert_eq!(meter.borrow().bytes, fs::metadata(path).unwrap().len());
    (decoded, decoder.serial.is_some())
}

/// Each block lists the bytes that it uses, in three maps of 16 bits for the bytes from 0x40 on. For these
/// bytes the maps are the mark of a block.
#[test]
fn a_block_that_contains_a_mark_is_decoded_whole() {
    let used = b"BCGIOQSTWZ]^acfgiklo";
    // No byte follows itself: a run's length would be one more byte.
    let mut at = 0;
    let steps = (0..250_000_u64).map(|at| at.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40);
    let text: Vec<u8> = steps
        .map(|step| {
            at = (at + 1 + step as usize % (used.len() - 1)) % used.len();
            used[at]
        })
        .collect();
    let file = compressed(&text, 1);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.bz2");
    fs::write(&path, &file).unwrap();
    let mut scanner = Scanner::new(File::open(&path).unwrap());
    // After the head of the stream and the block's mark, which is the only one that is meant.
    assert_eq!(scanner.find_mark(32).unwrap(), Some(32));
    assert_eq!(scanner.find_mark(33).unwrap(), Some(153));
    let serial = outcome(&path, None);
    assert!(serial.0 == text);
    for threads in [1, 2] {
        Workers::with(threads, |workers| {
            assert!(outcome(&path, Some(&workers)) == serial);
            assert!(decoded(&path, workers, 0, |_| ()) == (text.clone(), true));
        })
        .unwrap();
    }
}

/// The first blocks are delivered, and what comes later is left to the serial decoder.
#[test]
fn an_error_of_reading_waits_for_its_turn() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.bz2");
    // Of noise, so that the scanner has not read all of it when the first block is delivered.
    let text: Vec<u8> = (0..2_000_000_u64)
        .map(|at| (at.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 51) as u8)
        .collect();
    fs::write(&path, compressed(&text, 1)).unwrap();
    for threads in [1, 3] {
        Workers::with(threads, |workers| {
            let found = decoded(&path, workers, 1, |decoder| {
                assert!(!decoder.scanner.at_end);
                // A folder can be opened, but not read.
                decoder.scanner.file = File::open(folder.path()).unwrap();
            });
            assert!(found == (text.clone(), true), "{threads}");
        })
        .unwrap();
    }
}

#[test]
fn what_follows_the_last_stream_may_look_like_a_block() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.bz2");
    let text = content(250_000, 7);
    let mut file = compressed(&text, 1);
    file.extend([0x31, 0x41, 0x59, 0x26, 0x53, 0x59, 1, 2, 3]);
    fs::write(&path, &file).unwrap();
    let parallel = Workers::with(2, |workers| outcome(&path, Some(&workers))).unwrap();
    assert!(parallel.0 == text && parallel.1.is_none());
    assert_eq!((parallel.2, parallel.4), (file.len() as u64, 9));
}

#[test]
fn marks_are_found_at_every_bit() {
    for mark in MARKS {
        for bit in 0..40 {
            let mut bytes = vec![0xA5; 16];
            for at in 0..MARK_BITS {
                let (place, shift) = ((bit + at) / 8, 7 - (bit + at) % 8);
                let value = (mark >> (MARK_BITS - 1 - at) & 1) as u8;
                bytes[place] = bytes[place] & !(1 << shift) | value << shift;
            }
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("bytes");
            fs::write(&path, &bytes).unwrap();
            let mut scanner = Scanner::new(File::open(&path).unwrap());
            assert_eq!(scanner.find_mark(0).unwrap(), Some(bit));
            let mut scanner = Scanner::new(File::open(&path).unwrap());
            assert_eq!(scanner.find_mark(bit + 1).unwrap(), None);
        }
    }
}

#[test]
fn intact_files_are_decoded_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.bz2");
    let text = content(600_000, 5);
    let file = [
        compressed(&text, 1),
        compressed(b"", 9),
        compressed(&text, 9),
    ]
    .concat();
    fs::write(&path, &file).unwrap();
    let twice = [text.clone(), text.clone()].concat();
    let found = Workers::with(2, |workers| decoded(&path, workers, 0, |_| ()));
    assert!(found.unwrap() == (twice, false));
}
