//! The mean over seeds, or the middle of rounds, and how far they lie apart.

/// A mean over several runs; of a measured speed, the middle of several rounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The mean; of rounds the value of the median round.
    pub mean: f64,
    /// The sample standard deviation, with n − 1 in the denominator; of rounds
    /// [that of their bulk](crate::rounds::deviation). None for one run or round.
    pub deviation: Option<f64>,
    /// Number of runs or rounds.
    pub count: usize,
}

impl Spread {
    /// Of some values; none of no values.
    ///
    /// ```
    /// use learned_dropout_training::report::Spread;
    /// // Mean 4; squares of the distances 4 + 0 + 4 = 8, over 2: the root of 4.
    /// let spread = Spread::of_values([2.0, 4.0, 6.0]).unwrap();
    /// assert_eq!((spread.mean, spread.deviation, spread.count), (4.0, Some(2.0), 3));
    /// assert_eq!(Spread::of_values([7.0]).unwrap().deviation, None);
    /// assert_eq!(Spread::of_values([0.1, 0.1, 0.1]).unwrap().deviation, Some(0.0));
    /// assert_eq!(Spread::of_values([]), None);
    /// ```
    pub fn of_values(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let values: Vec<f64> = values.into_iter().collect();
        let count = values.len();
        if count == 0 {
            return None;
        }
        let is_same = values.iter().all(|value| *value == values[0]);
        // Rounding must not tell equal values apart.
        let mean = match is_same {
            true => values[0],
            false => values.iter().sum::<f64>() / count as f64,
        };
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        Some(Self {
            mean,
            deviation: (count > 1).then(|| (squares / (count - 1) as f64).sqrt()),
            count,
        })
    }

    /// The ends of mean ± deviation.
    pub fn range(&self) -> (f64, f64) {
        let deviation = self.deviation.unwrap_or(0.0);
        (self.mean - deviation, self.mean + deviation)
    }
}
