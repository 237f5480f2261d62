//! From values to pixels, and the round values that an axis shows.

use crate::report::charts::Axis;
use crate::report::table::Unit;

/// A linear scale.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    low: f64,
    high: f64,
    /// The pixel of the low end and that of the high end.
    pixels: (f64, f64),
}

impl Scale {
    pub(super) fn new((low, high): (f64, f64), pixels: (f64, f64)) -> Self {
        Self { low, high, pixels }
    }

    pub(super) fn at(&self, value: f64) -> f64 {
        let share = (value - self.low) / (self.high - self.low);
        self.pixels.0 + share * (self.pixels.1 - self.pixels.0)
    }

    pub(super) fn high(&self) -> f64 {
        self.high
    }

    /// About so many round values, with their texts.
    pub(super) fn ticks(&self, axis: &Axis, count: usize) -> Vec<(f64, String)> {
        let mut step = round_step((self.high - self.low) / count as f64);
        if axis.whole {
            step = step.round().max(1.0);
        }
        let first = (self.low / step).ceil() as i64;
        let last = (self.high / step).floor() as i64;
        (first..=last)
            .map(|n| n as f64 * step)
            .map(|value| (value, tick_text(axis, value, step)))
            .collect()
    }
}

/// The smallest of 1, 2 and 5 times a power of ten that is at least this large.
fn round_step(rough: f64) -> f64 {
    let power = 10f64.powi(rough.log10().floor() as i32);
    let factors = [1.0, 2.0, 5.0, 10.0];
    let factor = factors
        .iter()
        .find(|&&factor| factor * power >= rough * (1.0 - 1e-9));
    power * factor.unwrap_or(&10.0)
}

/// The text of a tick where ticks lie a step apart.
fn tick_text(axis: &Axis, value: f64, step: f64) -> String {
    if axis.whole {
        return whole(value, step);
    }
    let (shown, step) = if axis.share {
        (value * 100.0, step * 100.0)
    } else {
        (value, step)
    };
    let decimals = (-(step + 1e-12).log10().floor()).clamp(0.0, 6.0) as usize;
    let unit = if axis.share { "%" } else { "" };
    format!("{shown:.decimals$}{unit}")
}

/// A whole number, large ones in thousands or millions; all ticks with as many decimals.
fn whole(value: f64, step: f64) -> String {
    for (size, unit) in [(1e9_f64, "G"), (1e6, "M"), (1e3, "k")] {
        if value.abs() >= size.max(1e4) && step >= size / 100.0 {
            let decimals = usize::from(step < size) + usize::from(step < size / 10.0);
            return format!("{:.decimals$}{unit}", value / size);
        }
    }
    Unit::Count.show(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axis(share: bool, whole: bool) -> Axis {
        Axis {
            label: "",
            share,
            whole,
        }
    }

    #[test]
    fn ticks_are_round() {
        let texts = |low, high, axis: Axis| -> Vec<String> {
            let ticks = Scale::new((low, high), (0.0, 1.0)).ticks(&axis, 4);
            ticks.into_iter().map(|(_, text)| text).collect()
        };
        let whole = || axis(false, true);
        assert_eq!(
            texts(0.0, 4000.0, whole()),
            ["0", "1,000", "2,000", "3,000", "4,000"]
        );
        assert_eq!(texts(8000.0, 22_000.0, whole()), ["10k", "15k", "20k"]);
        assert_eq!(
            texts(1.3e6, 3.0e6, whole()),
            ["1.5M", "2.0M", "2.5M", "3.0M"]
        );
        assert_eq!(texts(0.0, 3.0, whole()), ["0", "1", "2", "3"]);
        assert_eq!(
            texts(3.42, 3.61, axis(false, false)),
            ["3.45", "3.50", "3.55", "3.60"]
        );
        assert_eq!(texts(0.0, 1.0, axis(true, false)), ["0%", "50%", "100%"]);
    }
}
