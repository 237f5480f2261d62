//! A PyTorch checkpoint.
//!
//! A checkpoint that is imported has a valid configuration and its tensors in their shapes. If the author's
//! format has the configuration, it is exported and imported again unchanged.

use std::io::{Cursor, Write};

use model::pytorch::{export, import};
use zip::write::{SimpleFileOptions, ZipWriter};

use crate::{model_folder, place};

/// The first byte of an input that is a whole file; with any other first byte it is a pickle and the
/// lengths of storages.
pub(crate) const WHOLE: u8 = b'P';

/// Bounds of what a pickle's input stands for. Large files would be slow to read and find nothing more.
const MOST_STORAGES: usize = 64;
const LONGEST_STORAGE: usize = 4096;

/// Imports a checkpoint.
///
/// In a whole file nearly every change breaks a checksum. Other inputs become a file with right
/// checksums: two bytes with the length of the pickle, the pickle, and two bytes for the length of each
/// storage.
pub fn run(bytes: &[u8]) {
    let file = match bytes.first() {
        Some(&WHOLE) => bytes.to_vec(),
        Some(_) => archive(&bytes[1..]),
        None => return,
    };
    let path = place::file("model.pt", &file);
    match import(&path) {
        Ok(imported) => {
            model_folder::check(&imported.config, &imported.weights);
            assert!(
                imported
                    .weights
                    .values()
                    .map(|tensor| tensor.values.len())
                    .sum::<usize>()
                    <= file.len()
            );
            let path = place::folder().join("again.pt");
            if export(&path, &imported.config, &imported.weights).is_ok() {
                let again = import(&path).expect("what was exported can be imported");
                assert_eq!(again.config, imported.config);
                assert!(model_folder::same_bits(&again.weights, &imported.weights));
            }
        }
        Err(error) => {
            let message = error.to_string();
            assert!(message.contains("model.pt"), "no file name in: {message}");
        }
    }
    place::clear();
}

/// A length of two bytes and the rest.
fn length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    Some((u16::from_le_bytes(*length).into(), rest))
}

/// The archive with a pickle and with storages of the given lengths, as `torch.save` writes it.
fn archive(bytes: &[u8]) -> Vec<u8> {
    let (pickle, mut storages) = length(bytes).unwrap_or_default();
    let (pickle, rest) = storages.split_at(pickle.min(storages.len()));
    storages = rest;
    let mut lengths = Vec::new();
    while let Some((next, rest)) = length(storages)
        && lengths.len() < MOST_STORAGES
    {
        lengths.push(next.min(LONGEST_STORAGE));
        storages = rest;
    }
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let mut entry = |name: &str, contents: &[u8]| {
        writer
            .start_file(format!("archive/{name}"), SimpleFileOptions::default())
            .and_then(|()| Ok(writer.write_all(contents)?))
            .expect("memory can be written");
    };
    entry("data.pkl", pickle);
    entry("byteorder", b"little");
    for (index, length) in lengths.into_iter().enumerate() {
        entry(&format!("data/{index}"), &vec![0x3c; length]);
    }
    entry("version", b"3\n");
    writer.finish().expect("memory can be written").into_inner()
}

/// The input that is a pickle with storages.
pub(crate) fn input(pickle: &[u8], storages: &[usize]) -> Vec<u8> {
    let length = |length: usize| u16::try_from(length).expect("a small seed").to_le_bytes();
    let mut bytes = vec![b'p'];
    bytes.extend(length(pickle.len()));
    bytes.extend(pickle);
    bytes.extend(storages.iter().flat_map(|&storage| length(storage)));
    bytes
}
