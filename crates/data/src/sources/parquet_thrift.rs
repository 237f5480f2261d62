//! Thrift's compact protocol, in which the descriptions in Parquet files are written: as much of it as
//! the checks before decoding need.

/// The deepest nesting of structures. Real descriptions have a few levels.
const DEEPEST: u32 = 16;

/// Thrift's compact protocol. Everything gives none where the bytes end or are invalid.
pub(super) struct Thrift<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Thrift<'a> {
    pub(super) const I32: u8 = 5;
    pub(super) const LIST: u8 = 9;
    pub(super) const STRUCT: u8 = 12;

    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    fn byte(&mut self) -> Option<u8> {
        let byte = self.bytes.get(self.at).copied();
        self.at += 1;
        byte
    }

    fn number(&mut self) -> Option<u64> {
        number(self.bytes, &mut self.at)
    }

    /// A number whose lowest bit is its sign.
    pub(super) fn integer(&mut self) -> Option<i64> {
        let number = self.number()?;
        Some((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    /// A number that has to fit 32 bits. The decoder would take the lowest of more.
    pub(super) fn short_integer(&mut self) -> Option<i64> {
        let number = self.integer()?;
        i32::try_from(number).is_ok().then_some(number)
    }

    /// Begins the next field of a structure: gives its kind and changes `id`. The inner value is none at
    /// the structure's end.
    pub(super) fn field(&mut self, id: &mut i16) -> Option<Option<u8>> {
        let byte = self.byte()?;
        if byte == 0 {
            return Some(None);
        }
        *id = match byte >> 4 {
            0 => i16::try_from(self.integer()?).ok()?,
            step => id.checked_add(i16::from(step))?,
        };
        Some(Some(byte & 0x0F))
    }

    /// Begins a list or set: gives the kind and the number of its elements.
    pub(super) fn list(&mut self) -> Option<(u8, u64)> {
        let byte = self.byte()?;
        let count = match byte >> 4 {
            15 => self.number()?,
            count => u64::from(count),
        };
        Some((byte & 0x0F, count))
    }

    /// The bytes that have been read.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// Skips a value; `depth` is that of the structures around it.
    pub(super) fn skip(&mut self, kind: u8, depth: u32) -> Option<()> {
        if depth > DEEPEST {
            return None;
        }
        match kind {
            // The value of a boolean field is in its kind.
            1 | 2 => {}
            3 => self.at += 1,
            4..=6 => {
                self.number()?;
            }
            7 => self.at += 8,
            8 => {
                let length = usize::try_from(self.number()?).ok()?;
                self.at = self.at.checked_add(length)?;
            }
            Self::LIST | 10 => {
                let (kind, count) = self.list()?;
                self.skip_elements(kind, count, depth)?;
            }
            11 => {
                let count = self.number()?;
                let kinds = if count == 0 { 0 } else { self.byte()? };
                for _ in 0..count {
                    self.skip_elements(kinds >> 4, 1, depth)?;
                    self.skip_elements(kinds & 0x0F, 1, depth)?;
                }
            }
            Self::STRUCT => {
                let mut id = 0;
                while let Some(kind) = self.field(&mut id)? {
                    self.skip(kind, depth + 1)?;
                }
            }
            _ => return None,
        }
        (self.at <= self.bytes.len()).then_some(())
    }

    fn skip_elements(&mut self, kind: u8, count: u64, depth: u32) -> Option<()> {
        for _ in 0..count {
            match kind {
                // Unlike as a field, a boolean takes a byte here.
                1 | 2 => self.at += 1,
                kind => self.skip(kind, depth + 1)?,
            }
            if self.at > self.bytes.len() {
                return None;
            }
        }
        Some(())
    }
}

/// Reads the number that begins at `at`, in base 128 with the lowest digits first, as Thrift and the delta
/// encodings write it.
pub(super) fn number(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.get(*at)?;
        *at += 1;
        number |= u64::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}
