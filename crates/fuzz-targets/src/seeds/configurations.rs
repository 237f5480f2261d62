//! Seeds of configurations.

use crate::{experiment, parts};

const CONFIGURATIONS: [&str; 8] = [
    experiment::BASE,
    include_str!("../../../../configs/gpt2-124m.toml"),
    include_str!("../../../../configs/quickstart.toml"),
    include_str!("../../../../configs/competitors/mixture-of-experts.toml"),
    include_str!("../../../../configs/competitors/relu-routed-experts.toml"),
    include_str!("../../../../configs/competitors/relu.toml"),
    include_str!("../../../../configs/seed/precomputed.toml"),
    include_str!("../../../../configs/sparse/hidden-groups.toml"),
];

const OVERRIDES: [&str; 6] = [
    "train.steps=100",
    "model.layers=",
    "model.feed_forward={ kind = 'relu' }",
    "model.learned_dropout.function={ kind = \"fourier\" }",
    "data.path=/a/b",
    "seed=18446744073709551615",
];

/// Configurations of runs, with overrides.
pub(crate) fn run_config() -> Vec<Vec<u8>> {
    let overrides = OVERRIDES.iter().cycle();
    let with_override =
        |(text, typed): (&&str, &&str)| parts::join(&[text.as_bytes(), typed.as_bytes()]);
    CONFIGURATIONS
        .iter()
        .zip(overrides)
        .map(with_override)
        .collect()
}

const EXPERIMENTS: [&str; 5] = [
    include_str!("../../../../experiments/digits.toml"),
    include_str!("../../../../experiments/fourier-masks.toml"),
    include_str!("../../../../experiments/penalty-schedule.toml"),
    include_str!("../../../../experiments/shakespeare.toml"),
    include_str!("../../../../experiments/sparsity.toml"),
];

const SMALL_EXPERIMENT: &str = r#"
title = "Small"
seeds = [1, 2]
unset = ["train.optimizer"]
base = { data.path = "d", model = { vocabulary = 9, context = 4, width = 4, heads = 2, layers = 1 }, train = { steps = 3, batch = 2 } }
[set]
model.layers = 2
[[arm]]
name = "one"
[[arm]]
name = "two"
label = "Two"
set = { model = { learned_dropout = {} } }
published = { validation = 1.5 }
[[chart]]
kind = "validation-loss"
[[table]]
columns = ["runs", "parameters"]
[speed]
decode = 8
[masks]
"#;

/// Experiment files.
pub(crate) fn experiment() -> Vec<Vec<u8>> {
    let small = std::iter::once(SMALL_EXPERIMENT);
    let all = EXPERIMENTS.into_iter().chain(small);
    all.map(|text| text.as_bytes().to_vec()).collect()
}
