//! What is wrong with the measurements that an experiment file asks for.

use super::Reader;
use crate::experiments::measurements::{SpeedPlan, ThresholdPlan};

impl Reader<'_> {
    pub(super) fn check_measurements(
        &mut self,
        speed: Option<&SpeedPlan>,
        threshold: Option<&ThresholdPlan>,
        names: &[String],
    ) {
        if let Some(node) = self.root.get(&["speed"]) {
            let zero = |number: Option<u64>| number == Some(0);
            let numbers = speed.map(|speed| {
                [
                    ("decode", speed.decode.map(u64::from)),
                    ("prefill", speed.prefill.map(u64::from)),
                    ("rounds", Some(speed.rounds.into())),
                    ("threads", speed.threads.map(u64::from)),
                    ("seeds", Some(speed.seeds as u64)),
                ]
            });
            for (key, _) in numbers.into_iter().flatten().filter(|of| zero(of.1)) {
                let origin = node.get(&[key]).map(|node| node.origin.clone());
                let message = format!("`speed.{key}` is 0: expected at least 1");
                self.problem(
                    &format!("speed.{key}"),
                    &origin.unwrap_or_default(),
                    message,
                );
            }
        }
        if let Some((node, plan)) = self.root.get(&["threshold"]).zip(threshold) {
            self.known_arms("threshold.arms", node, &plan.arms, names);
            let is_share = |share: &&f64| !(0.0..=1.0).contains(*share);
            if let Some(share) = plan.sparsity.iter().find(is_share) {
                let origin = node.get(&["sparsity"]).map(|node| node.origin.clone());
                let message =
                    format!("`threshold.sparsity` has {share}: expected shares from 0 to 1");
                self.problem("threshold.sparsity", &origin.unwrap_or_default(), message);
            }
        }
    }
}
