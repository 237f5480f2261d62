//! Checks the measurements in an experiment file.

use model::problem::{Allowed, Checks};

use super::Reader;
use crate::config::RunConfig;
use crate::config::reading::add_check_problems;
use crate::experiments::SpeedPlan;
use crate::experiments::measurements::Plans;

impl Reader<'_> {
    pub(super) fn check_measurements(&mut self, plans: Plans<'_>, names: &[&str]) {
        let mut checks = Checks::default();
        if let Some(speed) = plans.speed {
            checks.table("speed", |checks| {
                checks.range("decode", speed.decode, 1..);
                checks.range("prefill", speed.prefill, 1..);
                checks.range("rounds", speed.rounds, 1..);
                checks.range("threads", speed.threads, 1..);
                checks.range("seeds", speed.seeds, 1..);
            });
        }
        if let Some(masks) = plans.masks {
            checks.table("masks", |checks| {
                checks.range("max_tokens", masks.max_tokens, 1..);
                checks.range("seeds", masks.seeds, 1..);
            });
        }
        if let Some(threshold) = plans.threshold {
            self.known_arms(&["threshold", "arms"], &threshold.arms, names);
            for &share in &threshold.sparsity {
                let shares = Allowed::from(0.0..=1.0).called("shares");
                checks.range("threshold.sparsity", share, shares);
            }
        }
        add_check_problems(&mut self.problems, self.root, checks);
    }

    /// Checks that every arm's context is long enough for the measurements of speed.
    pub(super) fn check_lengths(
        &mut self,
        speed: &SpeedPlan,
        names: &[&str],
        configs: &[RunConfig],
    ) {
        let contexts = names.iter().zip(configs);
        let shortest = contexts.min_by_key(|(_, config)| config.model.context);
        let Some((name, config)) = shortest else {
            return;
        };
        let context = config.model.context;
        for (key, tokens) in [("decode", speed.decode), ("prefill", speed.prefill)] {
            if let Some(tokens) = tokens.filter(|&tokens| tokens as usize > context) {
                self.problem(
                    &format!("speed.{key}"),
                    format!(
                        "`speed.{key}` is {tokens}: expected at most {context}, the context of arm \
                         `{name}`"
                    ),
                );
            }
        }
    }
}
