//! Checks the counts that the pages of a Parquet column hold under compression, before the decoder
//! reserves memory for them.
//!
//! The two delta encodings of texts begin with blocks of lengths, and each block of lengths with how many
//! there are ("Encodings" in the specification of Parquet). A few bytes can claim billions.

use parquet::basic::Encoding;
use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::errors::{ParquetError, Result};

use super::parquet_pages::LARGEST_PAGE;
use super::parquet_thrift;

/// Bytes that the decoder reserves for each length.
const LENGTH_BYTES: u64 = 4;

/// A reader of pages that refuses pages with false counts.
pub(super) struct CheckedPages {
    pub(super) pages: Box<dyn PageReader>,
    /// The highest definition level of the column; it has no repetition levels.
    pub(super) present: i16,
}

impl Iterator for CheckedPages {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

impl PageReader for CheckedPages {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        let page = self.pages.get_next_page()?;
        if let Some(page) = &page
            && !counts_are_possible(page, self.present)
        {
            return Err(ParquetError::General(
                "the file is damaged: a page claims more texts than it can hold".to_owned(),
            ));
        }
        Ok(page)
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        self.pages.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<()> {
        self.pages.skip_next_page()
    }

    fn at_record_boundary(&mut self) -> Result<bool> {
        self.pages.at_record_boundary()
    }
}

fn counts_are_possible(page: &Page, present: i16) -> bool {
    let (bytes, values, encoding) = match page {
        Page::DataPage {
            buf,
            num_values,
            encoding,
            def_level_encoding,
            ..
        } => {
            let levels = levels_length(buf, *def_level_encoding, *num_values, present);
            (levels.and_then(|at| buf.get(at..)), num_values, encoding)
        }
        Page::DataPageV2 {
            buf,
            num_values,
            encoding,
            def_levels_byte_len,
            rep_levels_byte_len,
            ..
        } => {
            let levels = u64::from(*def_levels_byte_len) + u64::from(*rep_levels_byte_len);
            (buf.get(levels as usize..), num_values, encoding)
        }
        Page::DictionaryPage { .. } => return true,
    };
    let blocks = match encoding {
        Encoding::DELTA_LENGTH_BYTE_ARRAY => 1,
        // Lengths of shared beginnings, then those of the rest.
        Encoding::DELTA_BYTE_ARRAY => 2,
        _ => return true,
    };
    let Some(bytes) = bytes else { return false };
    let most = u64::from(*values).min(LARGEST_PAGE / LENGTH_BYTES);
    let mut reader = Bytes { bytes, at: 0 };
    (0..blocks).all(|_| reader.skip_lengths(most).is_some())
}

/// The bytes of the levels before the values of a page of the first version.
fn levels_length(bytes: &[u8], encoding: Encoding, values: u32, present: i16) -> Option<usize> {
    if present == 0 {
        return Some(0);
    }
    if encoding == Encoding::RLE {
        let length = u32::from_le_bytes(bytes.get(..4)?.try_into().ok()?);
        return (length as usize).checked_add(4);
    }
    // Bit-packed, with as many bits as the highest level takes.
    let bits = u64::from(16 - present.leading_zeros());
    usize::try_from((u64::from(values) * bits).div_ceil(8)).ok()
}

struct Bytes<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bytes<'_> {
    /// Passes over a block of lengths (delta binary packing); none if it is damaged or holds more than
    /// `most`.
    fn skip_lengths(&mut self, most: u64) -> Option<()> {
        let (block, parts) = (self.number()?, self.number()?);
        let count = self.number()?;
        self.number()?;
        if count > most || parts == 0 || block == 0 || block % parts != 0 || parts > block {
            return None;
        }
        let part = block / parts;
        let mut left = count.saturating_sub(1);
        while left > 0 {
            self.number()?;
            let widths = self.at;
            self.at = self.at.checked_add(usize::try_from(parts).ok()?)?;
            for place in 0..parts {
                let width = *self.bytes.get(widths + place as usize)?;
                if left == 0 {
                    continue;
                }
                let bits = u64::from(width).checked_mul(part)?;
                self.at = self
                    .at
                    .checked_add(usize::try_from(bits.div_ceil(8)).ok()?)?;
                left = left.saturating_sub(part);
            }
        }
        (self.at <= self.bytes.len()).then_some(())
    }

    fn number(&mut self) -> Option<u64> {
        parquet_thrift::number(self.bytes, &mut self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(encoding: Encoding, values: u32, bytes: &[u8]) -> Page {
        Page::DataPage {
            buf: bytes.to_vec().into(),
            num_values: values,
            encoding,
            def_level_encoding: Encoding::RLE,
            rep_level_encoding: Encoding::RLE,
            statistics: None,
        }
    }

    #[test]
    fn counts_are_compared_with_those_of_the_page() {
        // Blocks of 128 lengths in 4 parts, 3 lengths, the first is 2; then a block of differences of
        // which each takes one bit of a part of 32.
        let lengths = [0x80, 0x01, 4, 3, 4, 0, 1, 0, 0, 0, 0, 0, 0, 0];
        let encoding = Encoding::DELTA_LENGTH_BYTE_ARRAY;
        assert!(counts_are_possible(&page(encoding, 3, &lengths), 0));
        assert!(!counts_are_possible(&page(encoding, 2, &lengths), 0));
        assert!(!counts_are_possible(&page(encoding, 3, &lengths[..10]), 0));
        // With levels: their length and one byte.
        let levels = [&[1, 0, 0, 0, 9][..], &lengths].concat();
        assert!(counts_are_possible(&page(encoding, 3, &levels), 1));
        // Two blocks, of which the second claims 2^28 lengths.
        let many = [0x80, 0x01, 4, 0x80, 0x80, 0x80, 0x80, 0x01, 4];
        let two = [&lengths[..], &many].concat();
        let encoding = Encoding::DELTA_BYTE_ARRAY;
        assert!(!counts_are_possible(&page(encoding, u32::MAX, &two), 0));
        let two = [&lengths[..], &lengths].concat();
        assert!(counts_are_possible(&page(encoding, 3, &two), 0));
        assert!(counts_are_possible(&page(Encoding::PLAIN, 3, &many), 0));
    }
}
