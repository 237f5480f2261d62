//! The learning rate at every step: linear warm-up, then a cosine down to a minimum.

use std::f64::consts::PI;

use crate::config::TrainConfig;

/// The learning rate at every step.
///
/// With `w` warm-up steps, the cosine's end `d`, the highest rate `h` and the lowest `l`, step
/// `s` (the first is 0) has the rate
/// - `h (s + 1) / (w + 1)` for `s < w`: never 0, and `h` is reached at `s = w`;
/// - `l + (h − l) (1 + cos(π (s − w) / (d − w))) / 2` for `w ≤ s ≤ d`;
/// - `l` for `s > d`.
///
/// ```
/// use learned_dropout_training::schedule::Schedule;
/// let schedule = Schedule { highest: 1.0, lowest: 0.1, warmup: 3, decay_steps: 5 };
/// assert_eq!(schedule.learning_rate(0), 0.25);
/// assert_eq!(schedule.learning_rate(3), 1.0);
/// assert_eq!(schedule.learning_rate(6), 0.1);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// The highest rate.
    pub highest: f64,
    /// The rate at the end of the cosine and after it.
    pub lowest: f64,
    /// Steps of the warm-up.
    pub warmup: u64,
    /// The step at which the cosine ends.
    pub decay_steps: u64,
}

impl Schedule {
    /// The schedule of a configuration.
    pub fn new(config: &TrainConfig) -> Self {
        Self {
            highest: config.optimizer.learning_rate,
            lowest: config.optimizer.minimum_learning_rate,
            warmup: config.schedule.warmup,
            decay_steps: config.schedule.decay_steps,
        }
    }

    /// The rate of the next step after `step` completed ones.
    pub fn learning_rate(&self, step: u64) -> f64 {
        if step < self.warmup {
            return self.highest * (step + 1) as f64 / (self.warmup + 1) as f64;
        }
        if step > self.decay_steps {
            return self.lowest;
        }
        // The cosine may have no length; its only point is then its start.
        let length = (self.decay_steps - self.warmup).max(1) as f64;
        let done = (step - self.warmup) as f64 / length;
        self.lowest + (self.highest - self.lowest) * 0.5 * (1.0 + (PI * done).cos())
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

    #[test]
    fn warms_up_linearly_and_falls_along_a_cosine() {
        let schedule = Schedule {
            highest: 8.0,
            lowest: 2.0,
            warmup: 3,
            decay_steps: 9,
        };
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
        let none = Schedule {
            highest: 1.0,
            lowest: 0.0,
            warmup: 0,
            decay_steps: 2,
        };
        close(none.learning_rate(0), 1.0);
        close(none.learning_rate(1), 0.5);
        let short = Schedule {
            highest: 1.0,
            lowest: 0.5,
            warmup: 2,
            decay_steps: 2,
        };
        close(short.learning_rate(2), 1.0);
        close(short.learning_rate(3), 0.5);
    }

    #[test]
    fn published_settings_stay_nearly_constant() {
        let published = Schedule {
            highest: 9e-4,
            lowest: 9e-5,
            warmup: 300,
            decay_steps: 700_000,
        };
        close(published.learning_rate(299), 9e-4 * 300.0 / 301.0);
        let last = published.learning_rate(25_999);
        assert!(last < 9e-4 && last > 8.9e-4, "{last}");
    }
}
