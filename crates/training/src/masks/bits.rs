//! Rows of bits: the values of a mask that each token keeps.

/// Bits of a word.
const BITS: usize = u64::BITS as usize;

/// Rows of `width` bits each; a row begins with a new word.
#[derive(Clone, Debug)]
pub(super) struct BitRows {
    width: usize,
    words: Vec<u64>,
}

impl BitRows {
    pub(super) fn new(width: usize) -> Self {
        Self {
            width,
            words: Vec::new(),
        }
    }

    /// Adds rows of mask values: those of at least `kept_from` are kept.
    pub(super) fn extend(&mut self, values: &[f32], kept_from: f32) {
        for row in values.chunks_exact(self.width) {
            for values in row.chunks(BITS) {
                let bits = values.iter().enumerate();
                let word = bits.fold(0, |word, (bit, &value)| {
                    word | u64::from(value >= kept_from) << bit
                });
                self.words.push(word);
            }
        }
    }

    fn words_per_row(&self) -> usize {
        self.width.div_ceil(BITS)
    }

    pub(super) fn rows(&self) -> usize {
        self.words.len() / self.words_per_row()
    }

    pub(super) fn row(&self, row: usize) -> &[u64] {
        let words = self.words_per_row();
        &self.words[row * words..][..words]
    }

    /// Share of ones in a row.
    pub(super) fn share(&self, row: usize) -> f64 {
        let ones: u32 = self.row(row).iter().map(|word| word.count_ones()).sum();
        f64::from(ones) / self.width as f64
    }

    /// Share of ones in each column.
    pub(super) fn column_shares(&self) -> Vec<f64> {
        let rows = self.rows();
        let share = |column: usize| {
            let is_one = |&row: &usize| self.row(row)[column / BITS] >> (column % BITS) & 1 == 1;
            (0..rows).filter(is_one).count() as f64 / rows as f64
        };
        (0..self.width).map(share).collect()
    }

    /// The Jaccard index of two rows: the number of ones in both, divided by the number in either; none
    /// if both are empty.
    pub(super) fn jaccard(&self, left: usize, right: usize) -> Option<f64> {
        let words = self.row(left).iter().zip(self.row(right));
        let (common, all) = words.fold((0, 0), |(common, all), (left, right)| {
            (
                common + (left & right).count_ones(),
                all + (left | right).count_ones(),
            )
        });
        (all > 0).then(|| f64::from(common) / f64::from(all))
    }

    /// The first rows, at most `most`; each begins with a new byte, its lowest bit first.
    pub(super) fn bytes(&self, most: usize) -> Vec<u8> {
        let bytes = self.width.div_ceil(8);
        let row = |row: usize| {
            let words = self.row(row).iter().flat_map(|word| word.to_le_bytes());
            words.take(bytes)
        };
        (0..self.rows().min(most)).flat_map(row).collect()
    }
}
