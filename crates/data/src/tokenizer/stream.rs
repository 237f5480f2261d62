//! Text from tokens that arrive one by one.

use super::Tokenizer;

/// Turns token ids into text as they come.
///
/// A character may be spread over several tokens. Its bytes are held back until it is complete, so that
/// only whole characters are returned.
#[derive(Debug)]
pub struct TextStream<'a> {
    tokenizer: &'a Tokenizer,
    pending: Vec<u8>,
}

impl<'a> TextStream<'a> {
    /// A stream before its first token.
    pub fn new(tokenizer: &'a Tokenizer) -> Self {
        Self {
            tokenizer,
            pending: Vec::new(),
        }
    }

    /// Takes the next token and returns the text that it completes, which may be empty.
    ///
    /// Bytes that can never become a character are returned as U+FFFD. An id outside the vocabulary is
    /// ignored.
    pub fn push(&mut self, id: u32) -> String {
        self.pending
            .extend_from_slice(self.tokenizer.token_bytes(id).unwrap_or_default());
        let held_back = incomplete_tail(&self.pending);
        let rest = self.pending.split_off(self.pending.len() - held_back);
        let complete = std::mem::replace(&mut self.pending, rest);
        String::from_utf8_lossy(&complete).into_owned()
    }

    /// Ends the stream: bytes of a character that never became complete are returned as U+FFFD.
    pub fn finish(self) -> String {
        String::from_utf8_lossy(&self.pending).into_owned()
    }
}

/// Number of bytes at the end that are the beginning of a character which may still become complete.
fn incomplete_tail(bytes: &[u8]) -> usize {
    // The longest incomplete beginning is three bytes of a character of four.
    let window = bytes.len().saturating_sub(3);
    for start in (window..bytes.len()).rev() {
        // A continuation byte does not show where its character began.
        if bytes[start] & 0b1100_0000 == 0b1000_0000 {
            continue;
        }
        // `error_len` is `None` exactly if more bytes could make it valid.
        return match std::str::from_utf8(&bytes[start..]) {
            Err(error) if error.error_len().is_none() && error.valid_up_to() == 0 => {
                bytes.len() - start
            }
            _ => 0,
        };
    }
    0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_character_is_returned_when_its_last_byte_arrives() {
        let tokenizer = Tokenizer::byte();
        let mut stream = TextStream::new(&tokenizer);
        let pieces: Vec<String> = "aé€😀"
            .bytes()
            .map(|byte| stream.push(byte.into()))
            .collect();
        assert_eq!(pieces, ["a", "", "é", "", "", "€", "", "", "", "😀"]);
        assert_eq!(stream.finish(), "");
    }

    #[test]
    fn what_never_becomes_complete_is_replaced_at_the_end() {
        let tokenizer = Tokenizer::byte();
        let mut stream = TextStream::new(&tokenizer);
        assert_eq!(stream.push(0xF0), "");
        assert_eq!(stream.push(0x9F), "");
        assert_eq!(stream.push(256), "");
        assert_eq!(stream.finish(), "\u{FFFD}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn the_pieces_are_the_lossy_text(bytes in prop::collection::vec(
            prop_oneof![any::<u8>(), Just(0xF0), Just(0x9F), Just(0x98), Just(0xE2), Just(b'a')],
            0..40,
        )) {
            let tokenizer = Tokenizer::byte();
            let mut stream = TextStream::new(&tokenizer);
            let mut text: String =
                bytes.iter().map(|&byte| stream.push(byte.into())).collect();
            text.push_str(&stream.finish());
            prop_assert_eq!(text, String::from_utf8_lossy(&bytes));
        }
    }
}
