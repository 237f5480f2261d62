//! The table `[train.schedule]`: settings, defaults and checks.

use model::problem::Checks;
use serde::{Deserialize, Serialize};

use super::train::MOST_STEPS;

/// The warm-up of the published runs, the default for runs that are long enough.
const DEFAULT_WARMUP: u64 = 300;

/// How the learning rate goes on after the warm-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScheduleKind {
    /// It falls along half a cosine from the end of the warm-up on.
    #[default]
    Cosine,
    /// Warm-up, stable, decay: it stays the highest until the decay begins.
    Wsd,
    /// It stays the highest.
    Constant,
}

/// How the learning rate falls in the decay of [`ScheduleKind::Wsd`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DecayShape {
    /// 1 − √x: steeply at first; Hägele et al. (2024).
    #[default]
    SquareRoot,
    /// 1 − x.
    Linear,
    /// (1 + cos πx) / 2.
    Cosine,
}

/// The schedule of the learning rate; see [`crate::schedule`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ScheduleConfig {
    /// How the learning rate goes on after the warm-up.
    // Left out where it is the default, which configurations that are older than the key mean.
    #[serde(skip_serializing_if = "ScheduleKind::is_default")]
    pub kind: ScheduleKind,
    /// Steps of the linear warm-up; if left out, a tenth of the run's steps, but at most 300.
    pub warmup: u64,
    /// The step at which the minimum is reached; the last one if left out. None for a constant rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decay_steps: Option<u64>,
    /// The step at which the decay of "wsd" begins; 80% of `decay_steps` if left out. None for other
    /// kinds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decay_start: Option<u64>,
    /// The shape of the decay of "wsd"; "square-root" if left out. None for other kinds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decay_shape: Option<DecayShape>,
}

impl ScheduleKind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Cosine, Self::Wsd, Self::Constant];

    /// The name in a configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cosine => "cosine",
            Self::Wsd => "wsd",
            Self::Constant => "constant",
        }
    }

    /// The keys of `[train]` that this kind does not use, with dots between tables.
    pub(crate) fn unused_keys(self) -> &'static [&'static str] {
        match self {
            Self::Cosine => &["schedule.decay_start", "schedule.decay_shape"],
            Self::Wsd => &[],
            Self::Constant => &[
                "schedule.decay_steps",
                "schedule.decay_start",
                "schedule.decay_shape",
                "optimizer.minimum_learning_rate",
            ],
        }
    }

    /// Records a problem if a key that this kind does not use has a value.
    pub(super) fn check_unused(
        self,
        checks: &mut Checks,
        (table, key): (&str, &str),
        value: Option<String>,
    ) {
        let is_unused = self
            .unused_keys()
            .contains(&format!("{table}.{key}").as_str());
        if let Some(value) = value.filter(|_| is_unused) {
            let kind = self.name();
            let expected =
                format!("train.schedule.kind = \"{kind}\" does not use it; leave it out");
            checks.wrong(key, value, expected);
        }
    }

    /// The minimum of the learning rate where the configuration has none.
    pub(super) fn default_minimum(self, learning_rate: f64) -> Option<f64> {
        match self {
            Self::Cosine => Some(learning_rate / 10.0),
            Self::Wsd => Some(0.0),
            Self::Constant => None,
        }
    }

    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl DecayShape {
    /// The name in a configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::SquareRoot => "square-root",
            Self::Linear => "linear",
            Self::Cosine => "cosine",
        }
    }
}

impl ScheduleConfig {
    /// Fills in the defaults for a run of `steps` steps.
    pub(super) fn fill_in(&mut self, steps: u64, has_warmup: bool) {
        if !has_warmup {
            self.warmup = DEFAULT_WARMUP.min(steps / 10);
        }
        if self.kind == ScheduleKind::Constant {
            return;
        }
        let end = *self.decay_steps.get_or_insert(steps);
        if self.kind == ScheduleKind::Wsd {
            let warmed_up = self.warmup.min(end);
            let start = (end - end.div_ceil(5)).max(warmed_up);
            self.decay_start.get_or_insert(start);
            self.decay_shape.get_or_insert_default();
        }
    }

    pub(super) fn check(&self, checks: &mut Checks) {
        checks.range("warmup", self.warmup, 0..=MOST_STEPS);
        checks.range("decay_steps", self.decay_steps, 1..=MOST_STEPS);
        let unused = [
            ("decay_steps", self.decay_steps.map(|step| step.to_string())),
            ("decay_start", self.decay_start.map(|step| step.to_string())),
            (
                "decay_shape",
                self.decay_shape
                    .map(|shape| format!("\"{}\"", shape.name())),
            ),
        ];
        for (key, value) in unused {
            self.kind.check_unused(checks, ("schedule", key), value);
        }
        if let (ScheduleKind::Wsd, Some(start), Some(end)) =
            (self.kind, self.decay_start, self.decay_steps)
        {
            let warmed_up = self.warmup.min(end);
            checks.ensure(
                (warmed_up..=end).contains(&start),
                "decay_start",
                start,
                format!(
                    "expected a step from the end of the warm-up, {warmed_up}, to decay_steps, {end}"
                ),
            );
        }
    }
}
