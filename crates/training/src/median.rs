//! The median of measured numbers.

/// The number in the middle, or the mean of the two in the middle; NaN of nothing.
///
/// ```
/// use learned_dropout_training::median::median;
/// assert_eq!(median(&[5.0, 1.0, 3.0]), 3.0);
/// assert_eq!(median(&[4.0, 1.0, 2.0, 9.0]), 3.0);
/// assert!(median(&[]).is_nan());
/// ```
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        count if count.is_multiple_of(2) => (sorted[middle - 1] + sorted[middle]) / 2.0,
        _ => sorted[middle],
    }
}
