//! The zip archive that `torch.save` writes. Its structure is checked before anything is read from it.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use zip::CompressionMethod;
use zip::read::ZipReadOptions;

use super::error::PytorchError;
use super::pickle::Pickle;
use crate::weights::WeightsError;

/// Size of the largest pickle that is read. The pickle of a model with a thousand tensors and the state of
/// its optimizer has about 300 kB.
const LARGEST_PICKLE: u64 = 4 << 20;
/// The name of the pickle, under a folder named after the file.
const PICKLE: &str = "data.pkl";

/// The content of an archive that is needed to read its tensors.
pub(super) struct Archive {
    pub pickle: Pickle,
    /// The size of the file in bytes.
    pub size: u64,
}

/// Reads the pickle of a checkpoint.
pub(super) fn open(path: &Path) -> Result<Archive, PytorchError> {
    let unreadable = |source| WeightsError::File {
        path: path.into(),
        source,
    };
    let format = |reason: String| PytorchError::Format {
        path: path.into(),
        reason,
    };
    let damaged = |reason: String| PytorchError::Damaged {
        path: path.into(),
        reason,
    };
    let mut file = File::open(path).map_err(unreadable)?;
    let size = file.metadata().map_err(unreadable)?.len();
    let mut start = Vec::new();
    file.by_ref()
        .take(4)
        .read_to_end(&mut start)
        .map_err(unreadable)?;
    if start != b"PK\x03\x04" {
        return Err(format("it does not begin as a zip archive".into()));
    }
    let mut archive = zip::ZipArchive::new(BufReader::new(file))
        .map_err(|error| damaged(format!("its table of contents is unreadable ({error})")))?;
    let mut pickles = Vec::new();
    for index in 0..archive.len() {
        let entry = archive
            .by_index_raw(index)
            .map_err(|error| damaged(format!("entry {index} is unreadable ({error})")))?;
        // `torch.save` does not compress, so no entry can be larger than the file. This check prevents a
        // small file from allocating much memory.
        if entry.compression() != CompressionMethod::Stored || entry.size() > size {
            return Err(format(format!(
                "entry {index} of the archive is compressed"
            )));
        }
        if entry.name_raw().ends_with(PICKLE.as_bytes()) {
            pickles.push((index, entry.size()));
        }
        // A checksum of 0 means that none was saved.
        let unchecked = entry.crc32() == 0;
        drop(entry);
        // Checksums are compared at the end of an entry, so each entry is read to its end. Reading only
        // a tensor that is a part of its storage would skip the check.
        let options = ZipReadOptions::new().ignore_crc32(unchecked);
        archive
            .by_index_with_options(index, options)
            .map_err(std::io::Error::from)
            .and_then(|mut entry| std::io::copy(&mut entry, &mut std::io::sink()))
            .map_err(|error| damaged(format!("entry {index} is unreadable ({error})")))?;
    }
    let &[(index, pickle_size)] = pickles.as_slice() else {
        return Err(format(format!(
            "{} `{PICKLE}` in the archive",
            pickles.len()
        )));
    };
    if pickle_size > LARGEST_PICKLE {
        return Err(format(format!(
            "its `{PICKLE}` has {pickle_size} bytes, more than the {LARGEST_PICKLE} of any model"
        )));
    }
    let mut bytes = Vec::new();
    archive
        .by_index_with_options(index, ZipReadOptions::new().ignore_crc32(true))
        .map_err(|error| damaged(format!("`{PICKLE}` is unreadable ({error})")))?
        .take(LARGEST_PICKLE)
        .read_to_end(&mut bytes)
        .map_err(|error| damaged(format!("`{PICKLE}` is unreadable ({error})")))?;
    let pickle = Pickle::read(&bytes).map_err(|error| {
        damaged(format!(
            "`{PICKLE}`, byte {}: {}",
            error.offset, error.reason
        ))
    })?;
    Ok(Archive { pickle, size })
}
