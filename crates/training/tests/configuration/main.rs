//! Run configurations: what they resolve to, and how their problems are told.

mod arbitrary;
mod schedules;
mod shipped;

use std::path::{Path, PathBuf};

use learned_dropout_training::config::{ConfigError, Origin, RunConfig};
use learned_dropout_training::precision::PrecisionChoice;

const SMALL: &str = r#"
[data]
path = "data/x"
[model]
context = 8
width = 4
heads = 2
layers = 1
[train]
steps = 50
batch = 2
"#;

fn parse(text: &str, overrides: &[&str]) -> Result<RunConfig, ConfigError> {
    let overrides: Vec<String> = overrides.iter().map(ToString::to_string).collect();
    RunConfig::parse(text, Path::new("run.toml"), &overrides)
}

/// The messages of all problems.
#[track_caller]
fn problems(text: &str, overrides: &[&str]) -> Vec<String> {
    match parse(text, overrides) {
        Err(ConfigError::Invalid { problems, .. }) => {
            problems.iter().map(ToString::to_string).collect()
        }
        other => panic!("expected problems, not {other:?}"),
    }
}

#[test]
fn what_is_left_out_has_a_default() {
    let config = parse(SMALL, &[]).unwrap();
    assert_eq!(config.seed, 1337);
    assert_eq!(config.model.vocabulary, None);
    assert_eq!(config.train.accumulate, 1);
    assert_eq!(config.train.clip, None);
    assert_eq!(config.train.precision, PrecisionChoice::Auto);
    assert_eq!(config.train.optimizer.learning_rate, 9e-4);
    assert_eq!(
        config.train.optimizer.minimum_learning_rate,
        Some(9e-4 / 10.0)
    );
    assert_eq!(config.train.optimizer.betas, [0.9, 0.95]);
    assert_eq!(config.train.schedule.warmup, 5);
    assert_eq!(config.train.schedule.decay_steps, Some(50));
    assert_eq!(config.train.checkpoint.every, config.train.evaluate.every);
    assert_eq!(config.tokens_per_step(), 16);
}

#[test]
fn unknown_keys_name_the_nearest_known_one() {
    let text = SMALL.replace("steps = 50", "stepz = 50\nsteps = 5\nlearning_rate = 1e-3");
    let found = problems(
        &text,
        &[
            "model.learned_dropout.roundin=none",
            "optimizer.epsilon=1",
            "model.seed=1",
            "sparsity=1",
        ],
    );
    for expected in [
        "line 10: unknown key `train.stepz`; did you mean `train.steps`?",
        "line 12: unknown key `train.learning_rate`; did you mean `train.optimizer.learning_rate`?",
        "--set model.learned_dropout.roundin=none: unknown key `model.learned_dropout.roundin`; \
         did you mean `model.learned_dropout.rounding`?",
        "--set optimizer.epsilon=1: unknown key `optimizer`; did you mean `train.optimizer`?",
        "--set model.seed=1: unknown key `model.seed`; did you mean `seed` at the top of the file?",
        "--set sparsity=1: unknown key `sparsity`; the keys here are `seed`, `data`, `model`, `train`",
    ] {
        assert!(
            found.iter().any(|problem| problem == expected),
            "{expected}\n{found:#?}"
        );
    }
    assert_eq!(found.len(), 6, "{found:#?}");
}

/// A name that several tables have means something only with its table.
#[test]
fn suggestions_stay_in_related_tables() {
    for (typed, expected) in [
        (
            "train.optimizer.kind=adamw",
            "unknown key `train.optimizer.kind`; the keys here are `learning_rate`, \
             `minimum_learning_rate`, `betas`, `weight_decay`, `epsilon`",
        ),
        (
            "train.kind=cosine",
            "unknown key `train.kind`; did you mean `train.schedule.kind`?",
        ),
        (
            "train.every=3",
            "unknown key `train.every`; did you mean `train.checkpoint.every` or \
             `train.evaluate.every`?",
        ),
        (
            "train.evaluate.warmup=3",
            "unknown key `train.evaluate.warmup`; the keys here are ",
        ),
        (
            "train.schedule.learning_rate=3",
            "unknown key `train.schedule.learning_rate`; did you mean \
             `train.optimizer.learning_rate`?",
        ),
        (
            "train.schedule.steps=3",
            "unknown key `train.schedule.steps`; did you mean `train.steps`?",
        ),
        (
            "model.learned_dropout.kind=linear",
            "unknown key `model.learned_dropout.kind`; did you mean \
             `model.learned_dropout.control.kind`, `model.learned_dropout.function.kind` or \
             `model.learned_dropout.penalty.kind`?",
        ),
        (
            "train.schedule.kind=linear",
            "`train.schedule.kind` is \"linear\": expected one of `cosine`, `wsd`, `constant`",
        ),
    ] {
        let found = problems(SMALL, &[typed]);
        assert_eq!(found.len(), 1, "{found:#?}");
        let message = found[0].strip_prefix(&format!("--set {typed}: "));
        let message = message.unwrap_or(&found[0]);
        assert!(message.starts_with(expected), "{message}\n{expected}");
    }
}

#[test]
fn all_problems_are_reported_together() {
    let text = r#"
seed = -1
[model]
context = "long"
width = 6
heads = 4
layers = 0
dropout = 1.0
[model.learned_dropout]
rounding = "stochastik"
function = { kind = "cosine", shift_init = 4.0, slope = 1 }
[train]
steps = 10
batch = 0
clip = -1.0
precision = "bf15"
[train.optimizer]
betas = [0.9, 0.95, 0.99]
minimum_learning_rate = 1.0
"#;
    let found = problems(text, &["train.evaluate.every=1979-05-27"]);
    for expected in [
        "line 2: `seed` is integer `-1`: expected a whole number of at least 0",
        "line 4: `model.context` is string \"long\": expected a whole number of at least 0",
        "line 6: `model.heads` is 4: expected a divisor of the width, 6",
        "line 7: `model.layers` is 0: expected a whole number from 1 to 16777216",
        "line 8: `model.dropout` is 1: expected a rate of at least 0 and below 1",
        "line 10: `model.learned_dropout.rounding` is \"stochastik\": did you mean `stochastic`?",
        "line 11: unknown key `model.learned_dropout.function.slope`; the keys here are `shift_init`, `shift`",
        "line 11: `model.learned_dropout.function.shift_init` is 4: expected a value from 0 to π \
         (3.14159…)",
        "line 14: `train.batch` is 0: expected a whole number from 1 to 65536",
        "line 15: `train.clip` is -1: expected a number above 0; leave it out for no clipping",
        "line 16: `train.precision` is \"bf15\": did you mean `bf16`?",
        "line 18: `train.optimizer.betas`: 3 values where 2 are expected",
        "line 19: `train.optimizer.minimum_learning_rate` is 1: expected a number from 0 to the \
         learning rate",
        "--set train.evaluate.every=1979-05-27: `train.evaluate.every` is `1979-05-27`: expected a \
         whole number of at least 0",
        "`data.path` is missing",
    ] {
        assert!(
            found.iter().any(|problem| problem == expected),
            "{expected}\n{found:#?}"
        );
    }
    assert_eq!(found.len(), 15, "{found:#?}");
}

#[test]
fn what_is_not_toml_is_reported_with_its_line() {
    let error = parse("seed = 1\n[data\npath = 1\n", &[])
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("run.toml: "), "{error}");
    assert!(error.contains("line 2: not valid TOML"), "{error}");
    assert!(!problems("seed = 1\nseed = 2\n", &[]).is_empty());
}

#[test]
fn overrides_come_after_the_file_and_take_words_as_strings() {
    let overrides = [
        "train.optimizer.learning_rate = 1e-2",
        "model.learned_dropout.rounding=threshold",
        "model.learned_dropout.penalty = { kind = \"linear\" }",
        "data.path=elsewhere/x y",
        "train.evaluate.sample.prompt=\"2\"",
    ];
    let config = parse(SMALL, &overrides).unwrap();
    assert_eq!(config.train.optimizer.learning_rate, 1e-2);
    assert_eq!(config.data.path, Path::new("elsewhere/x y"));
    assert_eq!(config.train.evaluate.sample.prompt, "2");
    let mask = config.model.learned_dropout.unwrap();
    assert_eq!(mask.rounding, model::rounding::Rounding::Threshold);
    assert_eq!(
        mask.penalty.unwrap().kind,
        model::penalty::PenaltyKind::Linear
    );
}

#[test]
fn an_override_without_value_removes_the_key() {
    let with_masks = format!("{SMALL}[model.learned_dropout]\nrounding = \"none\"\n");
    assert!(
        parse(&with_masks, &[])
            .unwrap()
            .model
            .learned_dropout
            .is_some()
    );
    assert_eq!(
        parse(&with_masks, &["model.learned_dropout="])
            .unwrap()
            .model
            .learned_dropout,
        None
    );
}

#[test]
fn overrides_that_are_none_are_reported() {
    let found = problems(SMALL, &["steps", "=1", "train.steps.x=1", "seed=a\nb = 1"]);
    assert_eq!(found.len(), 4, "{found:#?}");
    assert!(found[0].contains("expected key=value"), "{found:#?}");
    assert!(
        found[2].contains("`steps` in `train.steps.x` is a value, not a table"),
        "{found:#?}"
    );
}

#[test]
fn lines_are_known_to_code_too() {
    let Err(ConfigError::Invalid { problems, .. }) = parse(&format!("{SMALL}x = 1"), &[]) else {
        panic!("an unknown key was accepted");
    };
    assert_eq!(
        (problems[0].key.as_str(), &problems[0].origin),
        ("train.x", &Origin::Line(12))
    );
}

#[test]
fn the_vocabulary_must_agree_with_the_data() {
    let config = parse(SMALL, &[]).unwrap();
    assert_eq!(config.model.transformer(Some(300)).unwrap().vocabulary, 300);
    assert!(config.model.transformer(None).is_err());
    let own = parse(SMALL, &["model.vocabulary=100"]).unwrap();
    assert_eq!(own.model.transformer(None).unwrap().vocabulary, 100);
    assert_eq!(own.model.transformer(Some(100)).unwrap().vocabulary, 100);
    let problem = &own.model.transformer(Some(99)).unwrap_err()[0];
    assert_eq!(problem.key, "model.vocabulary");
}

#[test]
fn differing_keys_are_named_in_full() {
    let (one, other) = (
        parse(SMALL, &[]).unwrap(),
        parse(SMALL, &["train.clip=1.0", "seed=2"]).unwrap(),
    );
    assert_eq!(one.differing_keys(&other), ["seed", "train.clip"]);
    assert!(one.differing_keys(&one.clone()).is_empty());
}

#[test]
fn every_documented_key_exists_and_every_key_is_documented() {
    let document = include_str!("../../../../docs/configuration.md");
    let documented: std::collections::BTreeSet<&str> = document
        .lines()
        .filter_map(|line| {
            line.strip_prefix("| `")?
                .split_once('`')
                .map(|(key, _)| key)
        })
        .collect();
    let known = RunConfig::keys();
    let known: std::collections::BTreeSet<&str> = known.iter().map(String::as_str).collect();
    assert_eq!(documented, known);
}

#[test]
fn the_page_about_other_trainers_names_keys_that_exist() {
    let document = include_str!("../../../../docs/from-other-trainers.md");
    let known = RunConfig::keys();
    let named: Vec<&str> = document
        .split('`')
        .skip(1)
        .step_by(2)
        .map(|code| code.split(" = ").next().unwrap_or(code))
        .filter(|code| {
            ["data.", "model.", "train."]
                .iter()
                .any(|table| code.starts_with(table))
        })
        .filter(|code| !["model.generate", "train.bin", "train.py"].contains(code))
        .collect();
    assert!(named.len() > 25, "{named:?}");
    for key in named {
        assert!(known.contains(key), "{key}");
    }
    let (_, example) = document.split_once("```toml\n").unwrap();
    let (example, _) = example.split_once("```").unwrap();
    let config = parse(example, &[]).unwrap();
    assert_eq!(config.train.optimizer.betas, [0.9, 0.99]);
}

#[test]
fn impossible_feed_forwards_are_problems_of_their_keys() {
    for (typed, key) in [
        ("{hidden=8}", "model.feed_forward"),
        ("{kind=\"sparse\"}", "model.feed_forward.kind"),
        ("{kind=\"dense\", hidden=0}", "model.feed_forward.hidden"),
        ("{kind=\"dense\", experts=4}", "model.feed_forward.experts"),
        (
            "{kind=\"mixture-of-experts\", experts=2, active=3}",
            "model.feed_forward.active",
        ),
        (
            "{kind=\"mixture-of-experts\", balance=-1}",
            "model.feed_forward.balance",
        ),
        (
            "{kind=\"mixture-of-experts\", scaling=0}",
            "model.feed_forward.scaling",
        ),
        (
            "{kind=\"relu-routed-experts\", target_density=0}",
            "model.feed_forward.target_density",
        ),
        (
            "{kind=\"relu-routed-experts\", coefficient_factor=1}",
            "model.feed_forward.coefficient_factor",
        ),
        ("{kind=\"relu\", penalty=nan}", "model.feed_forward.penalty"),
    ] {
        let problem = parse(SMALL, &[&format!("model.feed_forward={typed}")]).unwrap_err();
        assert!(
            problem.to_string().contains(&format!("`{key}")),
            "{problem}"
        );
    }
}

#[test]
fn the_default_feed_forward_leaves_no_trace() {
    let plain = parse(SMALL, &[]).unwrap();
    let dense = parse(SMALL, &["model.feed_forward={kind=\"dense\"}"]).unwrap();
    assert_eq!(plain, dense);
    assert!(!plain.to_toml().unwrap().contains("feed_forward]"));
    let model = plain.model.transformer(Some(7)).unwrap();
    assert!(
        !serde_json::to_string(&model)
            .unwrap()
            .contains("\"feed_forward\"")
    );
}

/// The keys come from probing the types: here from a configuration that has nearly all.
#[test]
fn every_value_has_a_known_key() {
    let every = parse(
        SMALL,
        &[
            "model.vocabulary=4",
            "train.from=model",
            "train.clip=1.0",
            "train.schedule={kind=\"wsd\"}",
            "train.stop={patience=3, minutes=5}",
            "model.feed_forward={kind=\"mixture-of-experts\", hidden=3}",
            "model.learned_dropout={rank=2, group=2, noise_steps=9, gradient=\"kept-only\"}",
            "model.learned_dropout.function={kind=\"fourier\", terms=3}",
            "model.learned_dropout.penalty={target_kept=0.5, target_steps=3, floor=0.1}",
        ],
    );
    let known = RunConfig::keys();
    for key in every.unwrap().values().keys() {
        assert!(known.contains(key), "{key}");
    }
}

/// One placeholder for all that is missing would make problems of its own; none may be told.
#[test]
fn what_is_missing_is_told_key_by_key_and_nothing_follows_from_it() {
    let missing = |keys: &[&str]| -> Vec<String> {
        keys.iter()
            .map(|key| format!("`{key}` is missing"))
            .collect()
    };
    let model = [
        "model.context",
        "model.width",
        "model.heads",
        "model.layers",
    ];
    let train = ["train.steps", "train.batch"];
    assert_eq!(
        problems("", &[]),
        missing(&[&["data.path"][..], &model, &train].concat())
    );
    assert_eq!(
        problems(SMALL, &["model.feed_forward.hidden=8", "train.batch="]),
        [
            "line 9: `train.batch` is missing",
            "--set model.feed_forward.hidden=8: `model.feed_forward.kind` is missing",
        ]
    );
    let wrong = ["data=[1]", "model=3", "train.steps=many", "train.clip=-1"];
    assert_eq!(
        problems(SMALL, &wrong),
        [
            "--set data=[1]: `data` is a list: expected a table",
            "--set model=3: `model` is integer `3`: expected a table",
            "--set train.steps=many: `train.steps` is string \"many\": expected a whole number of at \
             least 0",
            "--set train.clip=-1: `train.clip` is -1: expected a number above 0; leave it out for no \
             clipping",
        ]
    );
}

fn seed_configs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/seed")
}
