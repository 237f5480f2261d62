//! The shape of an attention.

/// The shape of an attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Sequences.
    pub batch: usize,
    /// Tokens of a sequence.
    pub time: usize,
    /// Heads.
    pub heads: usize,
    /// Channels of a head.
    pub size: usize,
}

impl Shape {
    /// Channels of all heads.
    pub(super) fn width(&self) -> usize {
        self.heads * self.size
    }

    pub(super) fn check(&self, packed: &[f32], gradient: Option<&[f32]>) {
        assert!(
            self.time > 0 && self.heads > 0 && self.size > 0,
            "an empty attention"
        );
        let elements = self.batch * self.time * self.width();
        assert_eq!(
            packed.len(),
            3 * elements,
            "packed queries, keys and values"
        );
        assert!(
            gradient.is_none_or(|gradient| gradient.len() == elements),
            "one gradient per channel"
        );
    }

    /// What scores are multiplied by.
    pub(super) fn scale(&self) -> f32 {
        1.0 / (self.size as f32).sqrt()
    }
}
