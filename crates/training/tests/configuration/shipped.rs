//! The configurations of this repository.

use learned_dropout_training::config::RunConfig;

use crate::seed_configs;

/// Counts from the published tables; the one of the pre-computed masks follows from the shapes:
/// three matrices' worth of queries, keys and values and one of outputs, 4 · 144², more.
#[test]
fn the_published_runs_have_the_published_sizes() {
    let runs = [
        ("shift-0", 15_335_424, 26_000),
        ("no-penalty", 15_335_424, 26_000),
        ("shift-half-pi", 15_335_424, 26_000),
        ("shift-pi", 15_335_424, 26_000),
        ("precomputed", 15_418_368, 28_000),
        ("baseline", 15_441_192, 26_000),
        ("baseline-dropout-0.2", 15_441_192, 26_000),
        ("baseline-dropout-0.3", 15_441_192, 26_000),
        ("baseline-dropout-0.4", 15_441_192, 26_000),
    ];
    for (name, parameters, steps) in runs {
        let path = seed_configs().join(format!("{name}.toml"));
        let config = RunConfig::read(&path, &[]).unwrap();
        let model = config.model.transformer(Some(50_257)).unwrap();
        assert_eq!(model.parameters_without_positions(), parameters, "{name}");
        assert_eq!(config.train.steps, steps, "{name}");
        assert_eq!(config.tokens_per_step(), 160_000, "{name}");
        let penalty = model.learned_dropout.and_then(|mask| mask.penalty);
        let penalized = name.starts_with("shift") || name == "precomputed";
        assert_eq!(
            penalty.map(|penalty| penalty.coefficient),
            penalized.then_some(0.1),
            "{name}"
        );
    }
    assert_eq!(
        std::fs::read_dir(seed_configs()).unwrap().count(),
        runs.len()
    );
}

#[test]
fn the_quick_start_is_a_valid_configuration() {
    let path = seed_configs().join("../quickstart.toml");
    let config = RunConfig::read(&path, &[]).unwrap();
    assert!(config.model.learned_dropout.is_some());
    config.model.transformer(Some(2048)).unwrap();
}

/// The sizes that their comments promise.
#[test]
fn the_competitors_are_valid_configurations() {
    let model = |name: &str| {
        let path = seed_configs().join(format!("../competitors/{name}.toml"));
        let config = RunConfig::read(&path, &[]).unwrap();
        config.model.transformer(Some(2048)).unwrap()
    };
    let (dense, narrow) = (model("dense"), model("narrow"));
    let (experts, routed) = (model("mixture-of-experts"), model("relu-routed-experts"));
    let router = 4 * 8 * 128;
    assert_eq!(experts.active_parameters() - router, narrow.parameters());
    assert_eq!(routed.active_parameters() - router, narrow.parameters());
    // Twice the units of the dense model.
    let feed_forwards = 4 * 2 * 128 * 512;
    assert_eq!(
        experts.parameters() - router,
        dense.parameters() + feed_forwards
    );
    assert_eq!(model("relu").parameters(), dense.parameters());
    assert_eq!(model("dropout").parameters(), dense.parameters());
}

/// Counted by hand: 50,257 embeddings of 768; per block twelve 768² matrices' worth and two norms;
/// the last norm.
#[test]
fn gpt2_has_its_size() {
    let path = seed_configs().join("../gpt2-124m.toml");
    let model = RunConfig::read(&path, &[]).unwrap().model;
    let model = model.transformer(None).unwrap();
    assert_eq!(model.context, 1024);
    assert_eq!(model.parameters_without_positions(), 123_551_232);
}
