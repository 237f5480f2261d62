//! Speeds from the times of rounds.
//!
//! The median round gives the speed, because other work on the machine makes single rounds slow. How far
//! the rounds lie apart says how far it can be trusted; there too single rounds must not decide, so it is
//! measured by the median distance from the median.

use crate::median::median;
use crate::report::Spread;

/// Of a normal distribution the standard deviation, in units of the median distance from the median.
const NORMAL: f64 = 1.4826;

/// How far the values of rounds lie apart: 1.4826 times the median distance from their median. That is the
/// standard deviation, if they are distributed normally; but a few values far off hardly change it. None of
/// less than two values.
///
/// ```
/// use learned_dropout_training::rounds::deviation;
/// // The median is 3, the distances from it are 2, 1, 0, 1 and 97.
/// assert_eq!(deviation(&[1.0, 2.0, 3.0, 4.0, 100.0]), Some(1.4826));
/// assert_eq!(deviation(&[1.0]), None);
/// ```
pub fn deviation(values: &[f64]) -> Option<f64> {
    let middle = median(values);
    let distances: Vec<f64> = values.iter().map(|value| (value - middle).abs()).collect();
    (values.len() > 1).then(|| NORMAL * median(&distances))
}

/// The speed of work that takes so many seconds in each round: that of the median round, and the spread of
/// the rounds' speeds. None without rounds.
///
/// ```
/// use learned_dropout_training::rounds::speed;
/// // 100, 50 and 25 tokens a second, which are 50, 0 and 25 from the median.
/// let speed = speed(100.0, &[1.0, 2.0, 4.0]).unwrap();
/// assert_eq!((speed.mean, speed.deviation), (50.0, Some(1.4826 * 25.0)));
/// ```
pub fn speed(amount: f64, seconds: &[f64]) -> Option<Spread> {
    of_rounds(
        amount / median(seconds),
        seconds.iter().map(|of| amount / of),
    )
}

/// How many times as fast as `slow` the rounds `fast` are, which were timed in alternation with them: the
/// ratio of the median times, and the spread of the rounds' own ratios. None if they are not as many, or
/// none at all.
///
/// ```
/// use learned_dropout_training::rounds::speed_up;
/// // Medians 4 and 1; the rounds' ratios are 2, 2.5 and 4, which are 0.5, 0 and 1.5 from their median.
/// let ratio = speed_up(&[2.0, 5.0, 4.0], &[1.0, 2.0, 1.0]).unwrap();
/// assert_eq!((ratio.mean, ratio.count), (4.0, 3));
/// assert_eq!(ratio.deviation, Some(1.4826 * 0.5));
/// assert_eq!(speed_up(&[2.0], &[1.0, 2.0]), None);
/// ```
pub fn speed_up(slow: &[f64], fast: &[f64]) -> Option<Spread> {
    let ratios = ratios(slow, fast)?;
    of_rounds(median(slow) / median(fast), ratios.into_iter())
}

/// The ratio of each round's times. None if they are not as many, or none at all.
pub(crate) fn ratios(slow: &[f64], fast: &[f64]) -> Option<Vec<f64>> {
    let is_paired = !slow.is_empty() && slow.len() == fast.len();
    let ratio = |(slow, fast): (&f64, &f64)| slow / fast;
    is_paired.then(|| slow.iter().zip(fast).map(ratio).collect())
}

fn of_rounds(middle: f64, rounds: impl Iterator<Item = f64>) -> Option<Spread> {
    let rounds: Vec<f64> = rounds.collect();
    (!rounds.is_empty()).then(|| Spread {
        mean: middle,
        deviation: deviation(&rounds),
        count: rounds.len(),
    })
}
