//! The bytes of every token, by id.

/// The bytes of each token, in one allocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TokenTable {
    bytes: Vec<u8>,
    /// The end of each token's bytes.
    ends: Vec<usize>,
}

impl TokenTable {
    /// The number of tokens.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// The bytes of a token; none if there is no such token.
    pub fn get(&self, id: u32) -> Option<&[u8]> {
        let id = usize::try_from(id).ok()?;
        let end = *self.ends.get(id)?;
        let start = if id == 0 { 0 } else { self.ends[id - 1] };
        Some(&self.bytes[start..end])
    }

    /// All tokens in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut start = 0;
        self.ends
            .iter()
            .map(move |&end| &self.bytes[std::mem::replace(&mut start, end)..end])
    }
}

impl<T: AsRef<[u8]>> FromIterator<T> for TokenTable {
    fn from_iter<I: IntoIterator<Item = T>>(tokens: I) -> Self {
        let mut table = Self {
            bytes: Vec::new(),
            ends: Vec::new(),
        };
        for token in tokens {
            table.bytes.extend_from_slice(token.as_ref());
            table.ends.push(table.bytes.len());
        }
        table
    }
}
