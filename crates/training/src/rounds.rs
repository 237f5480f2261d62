//! Speeds from the times of rounds.
//!
//! The median round gives the speed, because other work on the machine makes single rounds slow. How far
//! the rounds lie apart says how far it can be trusted.

use crate::median::median;
use crate::report::Spread;

/// The speed of work that takes so many seconds in each round: that of the median round, and the spread of
/// the rounds' speeds. None without rounds.
///
/// ```
/// use learned_dropout_training::rounds::speed;
/// // 100, 50 and 25 tokens a second; their mean is 58.3, squares of the distances 1736 + 69 + 1111.
/// let speed = speed(100.0, &[1.0, 2.0, 4.0]).unwrap();
/// assert_eq!(speed.mean, 50.0);
/// assert!((speed.deviation.unwrap() - 38.188).abs() < 1e-3);
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
/// // Medians 4 and 2; the rounds' ratios are 2, 2 and 3 with the mean 7/3 and the deviation √(1/3).
/// let ratio = speed_up(&[2.0, 4.0, 9.0], &[1.0, 2.0, 3.0]).unwrap();
/// assert_eq!((ratio.mean, ratio.count), (2.0, 3));
/// assert!((ratio.deviation.unwrap() - (1.0_f64 / 3.0).sqrt()).abs() < 1e-12);
/// assert_eq!(speed_up(&[2.0], &[1.0, 2.0]), None);
/// ```
pub fn speed_up(slow: &[f64], fast: &[f64]) -> Option<Spread> {
    if slow.len() != fast.len() {
        return None;
    }
    let ratios = slow.iter().zip(fast).map(|(slow, fast)| slow / fast);
    of_rounds(median(slow) / median(fast), ratios)
}

fn of_rounds(middle: f64, rounds: impl Iterator<Item = f64>) -> Option<Spread> {
    Some(Spread {
        mean: middle,
        ..Spread::of_values(rounds)?
    })
}
