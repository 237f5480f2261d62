//! The measured speeds of trained models. The spread of a speed is that over the rounds of all measured seeds:
//! it says how far the measurement can be trusted.

use super::arm::Arm;
use super::run_record::RunRecord;
use super::spread::Spread;
use crate::experiments::Measurement;
use crate::median::median;
use crate::rounds;

/// Which benchmark, and with which share of inputs taken as 0.
#[derive(Clone, Copy, Debug)]
pub(super) struct Benchmark<'a> {
    /// `decode` or `prefill`.
    pub kind: &'a str,
    /// None without thresholds.
    pub sparsity: Option<f64>,
}

/// The benchmark without thresholds.
pub(super) fn benchmark(kind: &str) -> Benchmark<'_> {
    let sparsity = None;
    Benchmark { kind, sparsity }
}

impl Benchmark<'_> {
    fn of<'r>(&self, run: &'r RunRecord) -> Option<&'r Measurement> {
        let mut all = run.measurements.0.iter();
        all.find(|of| of.kind() == self.kind && of.sparsity == self.sparsity)
    }

    /// Tokens per second of an engine, `dense` or `sparse`.
    pub(super) fn speed(&self, arm: &Arm, engine: &str) -> Option<Spread> {
        over_models(arm.finished().filter_map(|run| {
            let measured = self.of(run)?;
            let speed = measured.number(&[engine, "tokens_per_second"])?;
            let rounds = measured.seconds(engine);
            if rounds.is_empty() {
                return Some((speed, vec![speed]));
            }
            let tokens = speed * crate::median::median(&rounds);
            Some((speed, rounds.iter().map(|of| tokens / of).collect()))
        }))
    }

    /// How many times as fast as with everything computed the models are.
    pub(super) fn speed_up_over_dense(&self, arm: &Arm) -> Option<Spread> {
        over_models(arm.finished().filter_map(|run| {
            let measured = self.of(run)?;
            let ratio = measured.number(&["speed_up"])?;
            let (dense, sparse) = (measured.seconds("dense"), measured.seconds("sparse"));
            let ratios = rounds::ratios(&dense, &sparse).unwrap_or(vec![ratio]);
            Some((ratio, ratios))
        }))
    }

    /// How many times as fast as those of another arm with the same seeds the models are; only of those that
    /// were timed in alternation. None for the other arm itself.
    pub(super) fn speed_up_over(&self, arm: &Arm, other: &Arm) -> Option<Spread> {
        if arm.name == other.name {
            return None;
        }
        over_models(arm.finished().filter_map(|run| {
            let mut others = other.finished();
            let of_other = others.find(|of| of.config.seed == run.config.seed)?;
            let (fast, slow) = (self.of(run)?, self.of(of_other)?);
            let is_together = fast.together == slow.together && fast.together.contains(&other.name);
            let (slow, fast) = (slow.seconds("sparse"), fast.seconds("sparse"));
            let ratios = rounds::ratios(&slow, &fast).filter(|_| is_together)?;
            Some((median(&slow) / median(&fast), ratios))
        }))
    }
}

/// The mean of the values of several models, and how far all their rounds lie apart.
fn over_models(models: impl Iterator<Item = (f64, Vec<f64>)>) -> Option<Spread> {
    let (values, rounds): (Vec<f64>, Vec<Vec<f64>>) = models.unzip();
    let mean = Spread::of_values(values)?.mean;
    let rounds = rounds.concat();
    Some(Spread {
        mean,
        deviation: rounds::deviation(&rounds),
        count: rounds.len(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The mean of 10 and 20 is 15; the rounds 9, 10, 11, 19, 20 and 21 have the median 15, and the distances
    /// 6, 5, 4, 4, 5 and 6.
    #[test]
    fn the_rounds_of_all_seeds_make_the_spread() {
        let models = [
            (10.0, vec![9.0, 10.0, 11.0]),
            (20.0, vec![19.0, 20.0, 21.0]),
        ];
        let spread = over_models(models.into_iter()).unwrap();
        assert_eq!((spread.mean, spread.count), (15.0, 6));
        assert_eq!(spread.deviation, Some(5.0 * 1.4826));
        assert_eq!(over_models(std::iter::empty()), None);
    }
}
