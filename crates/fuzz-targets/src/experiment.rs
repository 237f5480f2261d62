//! An experiment file.
//!
//! The configurations of an experiment that is read are valid, and its outline is written and read again
//! unchanged.

use training::experiments::{DefaultBase, Experiment, Outline, Trained, planned_measurements};

use crate::{place, run_config};

/// The configuration that arms of experiments without a `base` change.
pub(crate) const BASE: &str = include_str!("../../../configs/cpu-study.toml");

/// Reads an experiment file.
pub fn run(bytes: &[u8]) {
    let path = place::file("experiment.toml", bytes);
    let base = DefaultBase {
        text: BASE,
        name: "base.toml",
    };
    match Experiment::read(&path, base) {
        Ok(experiment) => check(&experiment),
        Err(error) => {
            let message = error.to_string();
            assert!(message.contains(".toml"), "no file name in: {message}");
        }
    }
}

fn check(experiment: &Experiment) {
    assert_eq!(experiment.configs.len(), experiment.outline.arms.len());
    experiment.configs.iter().for_each(run_config::check);
    let folder = place::folder();
    experiment
        .outline
        .write(&folder)
        .expect("the outline can be written");
    let again = Outline::read(&folder).expect("what was written can be read");
    assert_eq!(again.as_ref(), Some(&experiment.outline));
    for arm in &experiment.outline.arms {
        let trained = Trained {
            arm: &arm.name,
            seed: 0,
            masked: true,
        };
        planned_measurements(experiment.outline.plans(), trained);
    }
}
