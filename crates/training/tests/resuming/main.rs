//! Runs of a tiny model that end early, and runs that go on with another configuration.

mod changes;
mod early_stop;
#[path = "../support/mod.rs"]
mod support;

use std::path::Path;

use std::sync::atomic::AtomicBool;

use learned_dropout_training::metrics::Metrics;
use learned_dropout_training::trainer::{Hooks, Observer, Started, Trainer};

/// The lines of a run's metrics.
fn metrics(run: &Path) -> Vec<Metrics> {
    let text = std::fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The number and the learning rate of each logged step.
fn learning_rates(run: &Path) -> Vec<(u64, f64)> {
    let rate = |line: Metrics| match line {
        Metrics::Step(step) => Some((step.step, step.learning_rate)),
        _ => None,
    };
    metrics(run).into_iter().filter_map(rate).collect()
}

/// Trains to the end, and gives the notes that the run began with.
fn finish_with_notes(trainer: &mut Trainer<'_>) -> Vec<String> {
    struct Notes(Vec<String>);
    impl Observer for Notes {
        fn started(&mut self, started: &Started<'_>) {
            self.0 = started.notes.to_vec();
        }
    }
    let mut notes = Notes(Vec::new());
    let mut hooks = Hooks {
        observer: &mut notes,
        sampler: None,
        stop: &AtomicBool::new(false),
    };
    trainer.run(&mut hooks).unwrap();
    notes.0
}
