//! One printable character for each byte, as GPT-2's vocabulary file writes them.
//!
//! Tokens are byte strings, but JSON strings are text. By convention the printable characters of
//! Latin-1 represent themselves, and U+0100 and the characters after it represent the other 68 bytes
//! in order.

/// The character that represents a byte.
pub(crate) fn symbol(byte: u8) -> char {
    match byte {
        b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF => char::from(byte),
        _ => {
            let rank = match byte {
                0..=0x20 => u32::from(byte),
                0x7F..=0xA0 => u32::from(byte) - 0x7F + 33,
                _ => 67,
            };
            char::from_u32(0x100 + rank).expect("U+0100 to U+0143 are characters")
        }
    }
}

/// The byte that a character represents.
pub(crate) fn byte(symbol: char) -> Option<u8> {
    match u32::from(symbol) {
        code @ (0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF) => u8::try_from(code).ok(),
        code @ 0x100..=0x120 => u8::try_from(code - 0x100).ok(),
        code @ 0x121..=0x142 => u8::try_from(code - 0x121 + 0x7F).ok(),
        0x143 => Some(0xAD),
        _ => None,
    }
}

/// A byte string as text.
pub(crate) fn to_symbols(bytes: &[u8]) -> String {
    bytes.iter().copied().map(symbol).collect()
}

/// The byte string that a text represents; none if a character represents no byte.
pub(crate) fn to_bytes(symbols: &str) -> Option<Vec<u8>> {
    symbols.chars().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_symbols_are_those_of_the_tokenizers_crate() {
        let theirs = tokenizers::pre_tokenizers::byte_level::ByteLevel::alphabet();
        let ours: std::collections::BTreeSet<char> = (0..=255).map(symbol).collect();
        assert_eq!(ours, theirs.into_iter().collect());
        // Their decoder gives the byte of each.
        use tokenizers::Decoder;
        let decoder = tokenizers::pre_tokenizers::byte_level::ByteLevel::default();
        for value in 0..128 {
            let text = decoder.decode(vec![symbol(value).to_string()]).unwrap();
            assert_eq!(text.as_bytes(), [value]);
        }
        for value in 0..=255 {
            assert_eq!(byte(symbol(value)), Some(value));
        }
        assert_eq!(byte('\u{144}'), None);
        assert_eq!(byte(' '), None);
    }
}
