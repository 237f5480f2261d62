//! One of several parts of the sources' files, for one of several machines.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use super::SourceError;

/// One of `count` parts of the sources' files: whole files, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    /// The number of this part, from 1 to `count`.
    pub number: u64,
    /// The number of parts.
    pub count: u64,
}

/// A text does not name a shard.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is no shard: expected I/N with I from 1 to N, for example 1/8")]
pub struct InvalidShard {
    /// The text.
    pub found: String,
}

impl FromStr for Shard {
    type Err = InvalidShard;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let numbers = text.split_once('/').and_then(|(number, count)| {
            let (number, count) = (number.parse().ok()?, count.parse().ok()?);
            (1..=count)
                .contains(&number)
                .then_some(Self { number, count })
        });
        numbers.ok_or_else(|| InvalidShard { found: text.into() })
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.number, self.count)
    }
}

/// A file of the sources, as all machines see it.
pub(super) struct ListedFile {
    /// Its name without the folder, which may differ from machine to machine.
    pub(super) name: String,
    /// Its size on the disk in bytes; none for a file that is not on the disk yet.
    pub(super) bytes: Option<u64>,
}

impl Shard {
    /// The files of this shard. Each shard has at least one, and about the same number of bytes; if the
    /// size of any file is not known, about the same number of files.
    pub(super) fn files(self, listed: &[ListedFile]) -> Result<Range<usize>, SourceError> {
        let too_many = || SourceError::TooManyShards {
            shards: self.count,
            files: listed.len() as u64,
        };
        let count = usize::try_from(self.count).map_err(|_| too_many())?;
        if count > listed.len() {
            return Err(too_many());
        }
        let sizes: Option<Vec<u64>> = listed.iter().map(|file| file.bytes).collect();
        let sizes = sizes.unwrap_or_else(|| vec![1; listed.len()]);
        let total: u128 = sizes.iter().copied().map(u128::from).sum();
        let mut begins = vec![0];
        let (mut file, mut bytes) = (0, 0);
        for part in 1..count {
            let wanted = total * part as u128 / count as u128;
            let last = sizes.len() - (count - part);
            // A file belongs to the part that its middle falls into.
            while file < last
                && (file <= begins[part - 1] || bytes + u128::from(sizes[file]) / 2 < wanted)
            {
                bytes += u128::from(sizes[file]);
                file += 1;
            }
            begins.push(file);
        }
        begins.push(sizes.len());
        let own = self.number as usize - 1;
        Ok(begins[own]..begins[own + 1])
    }
}

/// A fingerprint of all files, for recognizing the shards of the same sources.
pub(super) fn fingerprint(listed: &[ListedFile]) -> String {
    let lines: String = listed
        .iter()
        .map(|file| format!("{} {:?}\n", file.name, file.bytes))
        .collect();
    format!("{:032x}", xxh3_128(lines.as_bytes()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn listed(sizes: &[Option<u64>]) -> Vec<ListedFile> {
        let file = |&bytes: &Option<u64>| ListedFile {
            name: "a".into(),
            bytes,
        };
        sizes.iter().map(file).collect()
    }

    fn parts(count: u64, sizes: &[Option<u64>]) -> Vec<Range<usize>> {
        (1..=count)
            .map(|number| Shard { number, count }.files(&listed(sizes)).unwrap())
            .collect()
    }

    #[test]
    fn shards_are_read_as_they_are_written() {
        for text in ["1/1", "3/8", "8/8"] {
            assert_eq!(text.parse::<Shard>().unwrap().to_string(), text);
        }
        for text in ["", "1", "0/3", "4/3", "a/b", "1/", "1/0", "-1/2", "1/2/3"] {
            let error = text.parse::<Shard>().unwrap_err().to_string();
            assert!(error.contains(&format!("`{text}`")), "{error}");
        }
    }

    #[test]
    fn parts_have_about_the_same_size() {
        let sizes = [10, 10, 10, 10, 40, 1, 1, 38].map(Some);
        assert_eq!(parts(3, &sizes), [0..4, 4..5, 5..8]);
        // The middle of the fifth file is that of all bytes.
        assert_eq!(parts(2, &sizes), [0..4, 4..8]);
        assert_eq!(parts(2, &[Some(100), Some(1), Some(1)]), [0..1, 1..3]);
        assert_eq!(parts(2, &[Some(1), Some(1), Some(100)]), [0..2, 2..3]);
        let unknown = [Some(1000), None, Some(1), Some(1)];
        assert_eq!(parts(2, &unknown), [0..2, 2..4]);
        assert_eq!(parts(3, &[Some(0); 3]), [0..1, 1..2, 2..3]);
    }

    #[test]
    fn more_shards_than_files_are_refused() {
        let shard = Shard {
            number: 2,
            count: 5,
        };
        let error = shard.files(&listed(&[Some(1); 4])).unwrap_err().to_string();
        assert!(error.contains('5') && error.contains("4 files"), "{error}");
    }

    proptest! {
        #[test]
        fn every_file_is_in_one_part(
            sizes in prop::collection::vec(prop_oneof![0_u64..20, 0_u64..10_000, Just(u64::MAX)], 1..40),
            count in any::<prop::sample::Index>(),
        ) {
            let count = count.index(sizes.len()) + 1;
            let sizes: Vec<Option<u64>> = sizes.into_iter().map(Some).collect();
            let parts = parts(count as u64, &sizes);
            prop_assert_eq!(parts[0].start, 0);
            prop_assert_eq!(parts[count - 1].end, sizes.len());
            prop_assert!(parts.windows(2).all(|pair| pair[0].end == pair[1].start));
            prop_assert!(parts.iter().all(|part| !part.is_empty()));
        }
    }
}
