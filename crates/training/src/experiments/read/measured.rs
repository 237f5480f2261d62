//! Checks the measurements in an experiment file.

use super::Reader;
use crate::experiments::measurements::Plans;

impl Reader<'_> {
    pub(super) fn check_measurements(&mut self, plans: Plans<'_>, names: &[String]) {
        let speed = plans.speed.map(|speed| {
            vec![
                ("decode", speed.decode.map(u64::from)),
                ("prefill", speed.prefill.map(u64::from)),
                ("rounds", Some(speed.rounds.into())),
                ("threads", speed.threads.map(u64::from)),
                ("seeds", Some(speed.seeds as u64)),
            ]
        });
        let masks = plans.masks.map(|masks| {
            vec![
                ("max_tokens", Some(masks.max_tokens)),
                ("seeds", Some(masks.seeds as u64)),
            ]
        });
        for (table, numbers) in [("speed", speed), ("masks", masks)] {
            let numbers = numbers.into_iter().flatten();
            for (key, _) in numbers.filter(|(_, number)| *number == Some(0)) {
                let node = self.root.get(&[table, key]);
                let origin = node.map(|node| node.origin.clone()).unwrap_or_default();
                let name = format!("{table}.{key}");
                let message = format!("`{name}` is 0: expected at least 1");
                self.problem(&name, &origin, message);
            }
        }
        let threshold = plans.threshold;
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
