//! Which keys of a configuration may change when a run is resumed, and the fingerprints of the others.

use std::collections::BTreeMap;

use crate::checkpoints::hex;
use crate::config::{Change, RunConfig};

/// Keys that may always change: none of them affects the weights of a step. One that ends with a dot stands
/// for all keys of that table.
const HARMLESS: [&str; 6] = [
    "data.path",
    "train.steps",
    "train.log_every",
    "train.evaluate.",
    "train.checkpoint.",
    "train.stop.",
];

/// Keys that may change when a run is resumed with changes allowed. They affect the weights from then on, and
/// the weights and the optimizer's state fit any values of them. One that ends with a dot stands for all keys
/// of that table, and `*` between dots for any name.
pub const CHANGEABLE: [&str; 8] = [
    "train.optimizer.",
    "train.schedule.",
    "train.clip",
    "model.dropout",
    "model.learned_dropout.dropout",
    "model.learned_dropout.at.*.dropout",
    "model.learned_dropout.penalty.",
    "model.learned_dropout.noise_steps",
];

pub(super) fn is_harmless(key: &str) -> bool {
    is_in(&HARMLESS, key)
}

pub(super) fn is_changeable(key: &str) -> bool {
    is_in(&CHANGEABLE, key)
}

fn is_in(list: &[&str], key: &str) -> bool {
    let mut list = list.iter();
    list.any(|entry| stands_for(entry, key))
}

/// Whether an entry of a list stands for a key.
fn stands_for(entry: &str, key: &str) -> bool {
    match entry.split_once('*') {
        Some((before, after)) => {
            let name = key.strip_prefix(before);
            let name = name.and_then(|rest| rest.strip_suffix(after));
            name.is_some_and(|name| !name.is_empty() && !name.contains('.'))
        }
        None => key == entry || (entry.ends_with('.') && key.starts_with(entry)),
    }
}

/// The keys that may change, in words.
pub(super) fn changeable_in_words() -> String {
    let keys = CHANGEABLE.map(|key| match key.ends_with('.') {
        true => format!("{key}*"),
        false => key.to_string(),
    });
    keys.join(", ")
}

/// The hash of a configuration's keys that affect the weights.
pub(super) fn fingerprint(config: &RunConfig) -> String {
    of_values(config.values())
}

/// The fingerprints of a configuration as it is and as it was before each of its changes, the newest
/// first.
pub(super) fn fingerprints(config: &RunConfig, changes: &[Change]) -> Vec<String> {
    let mut values = config.values();
    let mut all = vec![of_values(values.clone())];
    for change in changes.iter().rev() {
        change.undo(&mut values);
        all.push(of_values(values.clone()));
    }
    all
}

fn of_values(mut values: BTreeMap<String, toml::Value>) -> String {
    values.retain(|key, _| !is_harmless(key));
    let precision = values.get("train.precision").and_then(toml::Value::as_str);
    if precision == Some("f32") {
        // Checkpoints that are older than the key do not have it.
        values.remove("train.precision");
    }
    let text: String = values
        .iter()
        .map(|(key, value)| format!("{key} = {value}\n"))
        .collect();
    hex(xxhash_rust::xxh3::xxh3_64(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// The `config.toml` of a run of a program without `train.schedule.kind` and `train.stop`.
    const OLD: &str = r#"
seed = 7

[data]
path = "data"

[model]
vocabulary = 256
context = 16
width = 16
heads = 2
layers = 2
dropout = 0.0

[model.learned_dropout]
site = "feed-forward-output"
input = "hidden"
detach_input = false
rounding = "stochastic"
sigmoid_scale = 60.0

[model.learned_dropout.function]
kind = "cosine"
shift_init = 0.0

[model.learned_dropout.penalty]
kind = "squared"
coefficient = 0.1

[train]
steps = 12
batch = 2
accumulate = 2
log_every = 1
precision = "f32"

[train.optimizer]
learning_rate = 0.0009
minimum_learning_rate = 0.00008999999999999999
betas = [0.9, 0.95]
weight_decay = 0.1
epsilon = 0.00000001

[train.schedule]
warmup = 1
decay_steps = 12

[train.evaluate]
every = 5
batches = 2

[train.evaluate.sample]
prompt = "line"
tokens = 8

[train.checkpoint]
every = 2
keep = 2
"#;

    fn config(overrides: &[&str]) -> RunConfig {
        let overrides: Vec<String> = overrides.iter().map(ToString::to_string).collect();
        RunConfig::parse(OLD, Path::new("config.toml"), &overrides).unwrap()
    }

    /// The fingerprints are those in the checkpoints that the older program wrote.
    #[test]
    fn fingerprints_of_older_runs_stay() {
        assert_eq!(fingerprint(&config(&[])), "51aeb74e5acc7d83");
        let bf16 = config(&["train.precision=bf16"]);
        assert_eq!(fingerprint(&bf16), "216793024167355f");
    }

    #[test]
    fn changes_lead_back_to_the_fingerprints_before_them() {
        let first = config(&["train.clip=1.0"]);
        let second = config(&["train.optimizer.learning_rate=2e-4"]);
        let third = config(&[
            "train.schedule.kind=constant",
            "train.schedule.decay_steps=",
            "train.optimizer.minimum_learning_rate=",
        ]);
        let change = |before: &RunConfig, after: &RunConfig| {
            Change::new(1, &before.differing_keys(after), before, after)
        };
        let changes = [change(&first, &second), change(&second, &third)];
        assert_eq!(
            fingerprints(&third, &changes),
            [&third, &second, &first].map(fingerprint)
        );
    }

    #[test]
    fn tables_stand_for_all_their_keys() {
        assert!(is_harmless("train.stop.patience") && is_harmless("train.steps"));
        assert!(is_changeable("train.schedule.kind") && is_changeable("train.clip"));
        assert!(is_changeable(
            "model.learned_dropout.at.attention-heads.dropout"
        ));
        for key in [
            "train.batch",
            "train.clips",
            "model.learned_dropout.at.attention-heads.rounding",
            "model.learned_dropout.at.attention-heads.control.dropout",
            "model.learned_dropout.at.dropout",
            "model.learned_dropout.rounding",
            "seed",
        ] {
            assert!(!is_harmless(key) && !is_changeable(key), "{key}");
        }
    }
}
