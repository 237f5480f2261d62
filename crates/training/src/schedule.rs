//! The learning rate at every step: a linear warm-up, then constant, and a decay to a minimum.

use std::f64::consts::PI;

use crate::config::{DecayShape, ScheduleKind, TrainConfig};

/// The learning rate at every step.
///
/// With `w` warm-up steps, the highest rate `h`, and a decay from step `a` to step `d` with the lowest
/// rate `l` and the shape `f`, step `s` (the first is 0) has the rate
/// - `h (s + 1) / (w + 1)` for `s < w`: never 0, and `h` is reached at `s = w`;
/// - `h` for `w ≤ s < a`, and for all later steps without a decay;
/// - `l + (h − l) f((s − a) / (d − a))` for `a ≤ s ≤ d`;
/// - `l` for `s > d`.
///
/// The schedule "cosine" decays from the end of the warm-up on (`a = w`). The shapes are
/// `(1 + cos πx) / 2`, `1 − x` and `1 − √x`; the last is best in Hägele et al., "Scaling Laws and
/// Compute-Optimal Training Beyond Fixed Training Durations" (2024).
///
/// ```
/// use learned_dropout_training::config::DecayShape;
/// use learned_dropout_training::schedule::{Decay, Schedule};
/// let decay = Decay { start: 4, end: 8, lowest: 0.1, shape: DecayShape::SquareRoot };
/// let schedule = Schedule { highest: 1.1, warmup: 3, decay: Some(decay) };
/// assert_eq!(schedule.learning_rate(0), 1.1 / 4.0);
/// assert_eq!(schedule.learning_rate(4), 1.1);
/// assert_eq!(schedule.learning_rate(5), 0.6);
/// assert_eq!(schedule.learning_rate(8), 0.1);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// The highest rate.
    pub highest: f64,
    /// Steps of the warm-up.
    pub warmup: u64,
    /// The decay; none for a constant rate.
    pub decay: Option<Decay>,
}

/// The decay of a schedule.
#[derive(Clone, Debug, PartialEq)]
pub struct Decay {
    /// The step at which it begins; at least the warm-up.
    pub start: u64,
    /// The step at which the lowest rate is reached.
    pub end: u64,
    /// The rate at the end and after it.
    pub lowest: f64,
    /// How the rate falls.
    pub shape: DecayShape,
}

impl DecayShape {
    /// What is left of the difference to the lowest rate when a share `x` of the decay is done.
    fn left(self, x: f64) -> f64 {
        match self {
            Self::SquareRoot => 1.0 - x.sqrt(),
            Self::Linear => 1.0 - x,
            Self::Cosine => 0.5 * (1.0 + (PI * x).cos()),
        }
    }
}

impl Schedule {
    /// The schedule of a configuration.
    pub fn new(config: &TrainConfig) -> Self {
        let schedule = &config.schedule;
        let decay = |start: u64, shape: DecayShape| Decay {
            start: start.max(schedule.warmup),
            end: schedule.decay_steps.unwrap_or(config.steps),
            lowest: config.optimizer.minimum_learning_rate.unwrap_or(0.0),
            shape,
        };
        let start = schedule.decay_start.unwrap_or(schedule.warmup);
        Self {
            highest: config.optimizer.learning_rate,
            warmup: schedule.warmup,
            decay: match schedule.kind {
                ScheduleKind::Cosine => Some(decay(schedule.warmup, DecayShape::Cosine)),
                ScheduleKind::Wsd => Some(decay(start, schedule.decay_shape.unwrap_or_default())),
                ScheduleKind::Constant => None,
            },
        }
    }

    /// The rate of the next step after `step` completed ones.
    pub fn learning_rate(&self, step: u64) -> f64 {
        if step < self.warmup {
            return self.highest * (step + 1) as f64 / (self.warmup + 1) as f64;
        }
        let Some(decay) = self.decay.as_ref().filter(|decay| step >= decay.start) else {
            return self.highest;
        };
        if step > decay.end {
            return decay.lowest;
        }
        // The decay may have no length; its only point is then its start.
        let length = (decay.end - decay.start).max(1) as f64;
        let done = (step - decay.start) as f64 / length;
        decay.lowest + (self.highest - decay.lowest) * decay.shape.left(done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn close(found: f64, expected: f64) {
        assert!(
            (found - expected).abs() < 1e-15,
            "{found} is not {expected}"
        );
    }

    fn cosine(highest: f64, lowest: f64, warmup: u64, end: u64) -> Schedule {
        let decay = Decay {
            start: warmup,
            end,
            lowest,
            shape: DecayShape::Cosine,
        };
        Schedule {
            highest,
            warmup,
            decay: Some(decay),
        }
    }

    #[test]
    fn warms_up_linearly_and_falls_along_a_cosine() {
        let schedule = cosine(8.0, 2.0, 3, 9);
        for (step, expected) in [(0, 2.0), (1, 4.0), (2, 6.0), (3, 8.0)] {
            close(schedule.learning_rate(step), expected);
        }
        // Thirds of the way: cos(π/3) = 1/2, cos(π/2) = 0, cos(2π/3) = −1/2.
        close(schedule.learning_rate(5), 2.0 + 6.0 * 0.75);
        close(schedule.learning_rate(6), 5.0);
        close(schedule.learning_rate(7), 2.0 + 6.0 * 0.25);
        for step in [9, 10, 1_000_000] {
            close(schedule.learning_rate(step), 2.0);
        }
    }

    #[test]
    fn works_without_a_warm_up_and_without_a_cosine() {
        let none = cosine(1.0, 0.0, 0, 2);
        close(none.learning_rate(0), 1.0);
        close(none.learning_rate(1), 0.5);
        let short = cosine(1.0, 0.5, 2, 2);
        close(short.learning_rate(2), 1.0);
        close(short.learning_rate(3), 0.5);
    }

    #[test]
    fn published_settings_stay_nearly_constant() {
        let published = cosine(9e-4, 9e-5, 300, 700_000);
        close(published.learning_rate(299), 9e-4 * 300.0 / 301.0);
        let last = published.learning_rate(25_999);
        assert!(last < 9e-4 && last > 8.9e-4, "{last}");
    }

    #[test]
    fn stays_the_highest_until_the_decay_begins() {
        let with_shape = |shape: DecayShape| Schedule {
            highest: 6.0,
            warmup: 2,
            decay: Some(Decay {
                start: 10,
                end: 18,
                lowest: 2.0,
                shape,
            }),
        };
        // A quarter and a half of the way: √(1/4) = 1/2; cos(π/4) = √(1/2), cos(π/2) = 0.
        let root_of_half = 0.5_f64.sqrt();
        for (shape, quarter, half) in [
            (DecayShape::SquareRoot, 0.5, 1.0 - root_of_half),
            (DecayShape::Linear, 0.75, 0.5),
            (DecayShape::Cosine, (1.0 + root_of_half) / 2.0, 0.5),
        ] {
            let schedule = with_shape(shape);
            for (step, expected) in [(0, 2.0), (1, 4.0), (2, 6.0), (9, 6.0), (10, 6.0)] {
                close(schedule.learning_rate(step), expected);
            }
            close(schedule.learning_rate(12), 2.0 + 4.0 * quarter);
            close(schedule.learning_rate(14), 2.0 + 4.0 * half);
            for step in [18, 19, 1_000_000] {
                close(schedule.learning_rate(step), 2.0);
            }
        }
    }

    #[test]
    fn a_constant_rate_stays_after_the_warm_up() {
        let schedule = Schedule {
            highest: 3.0,
            warmup: 2,
            decay: None,
        };
        for (step, expected) in [(0, 1.0), (1, 2.0), (2, 3.0), (3, 3.0), (1 << 30, 3.0)] {
            close(schedule.learning_rate(step), expected);
        }
    }
}
