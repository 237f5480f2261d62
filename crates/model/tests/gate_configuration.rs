//! Gates with a threshold, linear generators, settings by site and hidden units by layer, in a configuration.

use learned_dropout_model::initialization::{continued_weights, initial_weights};
use learned_dropout_model::layout::layout;
use learned_dropout_model::tensor_spec::TensorRole;
use learned_dropout_model::{Rounding, Site, TransformerConfig};
use serde_json::{Value, json};

fn read(config: Value) -> TransformerConfig {
    serde_json::from_value(config).unwrap()
}

/// The recipe: gates on heads and groups of hidden units, thresholds, ReLU, hidden units by layer.
fn recipe() -> Value {
    json!({
        "vocabulary": 11, "context": 6, "width": 8, "heads": 2, "layers": 2,
        "feed_forward": {"kind": "relu", "hidden": [24, 4], "penalty": 0.1},
        "learned_dropout": {
            "site": ["attention-heads", "feed-forward-hidden"],
            "input": "layer-input",
            "generator": "linear",
            "group": 4,
            "function": {"kind": "cosine", "shift": "fixed", "shift_init": 1.5},
            "rounding": "carried",
            "control": {"kind": "threshold", "target": 0.5},
            "at": {"attention-heads": {
                "function": {"kind": "cosine", "shift": "fixed", "shift_init": 0.75},
                "control": {"kind": "threshold", "target": 0.75, "over": "site"},
            }},
        },
    })
}

#[test]
fn sites_have_their_own_settings_and_tensors() {
    let config = read(recipe());
    config.validate().unwrap();
    let tensors: Vec<(String, Vec<usize>)> = layout(&config)
        .filter(|spec| spec.role.belongs_to_one_mask())
        .map(|spec| (spec.name, spec.shape))
        .collect();
    let mut expected = Vec::new();
    for (layer, groups) in [(0, 6), (1, 1)] {
        for (site, values) in [("attention.head", 2), ("feed_forward.hidden", groups)] {
            let name = |tensor| format!("blocks.{layer}.{site}_learned_dropout.{tensor}");
            expected.push((name("output.weight"), vec![values, 8]));
            expected.push((name("shift"), vec![values]));
            expected.push((name("threshold"), vec![1]));
        }
    }
    assert_eq!(tensors, expected);
    let weights = initial_weights(&config, 3);
    let values = |name: &str| &weights[&format!("blocks.1.{name}")].values;
    assert_eq!(
        values("attention.head_learned_dropout.shift")[..],
        [0.75; 2]
    );
    assert_eq!(
        values("feed_forward.hidden_learned_dropout.shift")[..],
        [1.5]
    );
    assert_eq!(
        values("feed_forward.hidden_learned_dropout.threshold")[..],
        [0.0]
    );
    assert_eq!(weights["blocks.0.feed_forward.up.weight"].shape, [24, 8]);
    assert_eq!(weights["blocks.1.feed_forward.down.weight"].shape, [8, 4]);
}

#[test]
fn settings_read_back_as_they_were_written() {
    let config = read(recipe());
    let written = serde_json::to_value(&config).unwrap();
    assert_eq!(read(written.clone()), config);
    assert_eq!(written["feed_forward"]["hidden"], json!([24, 4]));
    let at = &written["learned_dropout"]["at"]["attention-heads"];
    assert_eq!(at.as_object().unwrap().len(), 2);
}

/// 11 · 8 + 6 · 8 + 8 outside, and in each block 2 · 8 + 4 · 64, the hidden units, and the masks.
#[test]
fn parameters_are_counted_layer_by_layer() {
    let masks = |groups: usize| (2 * 8 + 2 + 1) + (groups * 8 + groups + 1);
    let block = |hidden: usize, groups| 2 * 8 + 4 * 64 + 2 * 8 * hidden + masks(groups);
    let expected = 11 * 8 + 6 * 8 + 8 + block(24, 6) + block(4, 1);
    assert_eq!(read(recipe()).parameters(), expected);
}

fn assert_refused(pointer: &str, value: Value, key: &str, reason: &str) {
    let mut config = recipe();
    let (table, name) = pointer.rsplit_once('/').unwrap();
    config.pointer_mut(table).unwrap()[name] = value;
    let problems = read(config).validate().expect_err(pointer);
    let found: Vec<String> = problems.iter().map(ToString::to_string).collect();
    let named = problems.iter().position(|problem| problem.key == key);
    let named = named.unwrap_or_else(|| panic!("{key}: {found:?}"));
    assert!(found[named].contains(reason), "{found:?}");
}

#[test]
fn what_makes_no_sense_is_refused_with_its_key() {
    let mask = "/learned_dropout";
    let refused = |name: &str, value: Value, key: &str, reason: &str| {
        assert_refused(
            &format!("{mask}/{name}"),
            value,
            &format!("learned_dropout.{key}"),
            reason,
        );
    };
    refused("rank", json!(4), "rank", "only the generator \"attention\"");
    refused(
        "rounding",
        json!("stochastic"),
        "control.kind",
        "moves only with",
    );
    refused("penalty", json!({}), "penalty", "have no penalty");
    refused("dropout", json!(1.0), "dropout", "a rate");
    refused(
        "at/attention-heads/dropout",
        json!(-0.5),
        "at.attention-heads.dropout",
        "a rate",
    );
    refused("group", json!(8), "group", "divisor of the 4 channels");
    refused(
        "at",
        json!({"embedding": {"group": 2}}),
        "at",
        "no masks at embedding",
    );
    refused(
        "at/attention-heads/rounding",
        json!("sigmoid"),
        "at.attention-heads.control.kind",
        "moves only with",
    );
    refused(
        "at/attention-heads/rank",
        json!(4),
        "at.attention-heads.rank",
        "only the generator",
    );
    refused(
        "at/attention-heads/control",
        json!({"kind": "threshold", "target": 1.0}),
        "at.attention-heads.control.target",
        "below 1",
    );
    refused(
        "control",
        json!({"kind": "threshold", "target": 0.5, "rate": 0.0}),
        "control.rate",
        "above 0",
    );
    let mut linear = recipe();
    linear["learned_dropout"]["function"] = json!({"kind": "linear"});
    read(linear.clone()).validate().unwrap();
    linear["learned_dropout"]["rounding"] = json!("none");
    let problems = read(linear).validate().unwrap_err();
    let key = "learned_dropout.function.kind";
    assert!(problems.iter().any(|problem| problem.key == key));
    let hidden = "/feed_forward/hidden";
    for (value, reason) in [
        (json!([24]), "one number for each of the 2 layers, found 1"),
        (json!([24, 0]), "from 1 to"),
    ] {
        assert_refused(hidden, value, "feed_forward.hidden", reason);
    }
    assert_refused(
        "/feed_forward/power",
        json!(3),
        "feed_forward.power",
        "from 1 to 2",
    );
    let mut experts = recipe();
    experts["feed_forward"] = json!({"kind": "relu-routed-experts"});
    let problems = read(experts).validate().unwrap_err();
    assert_eq!(problems[0].key, "learned_dropout.site");
}

/// A list of a wrong length is a problem at once, however many layers there should be.
#[test]
fn an_absurd_number_of_layers_is_refused_at_once() {
    let mut config = recipe();
    config["layers"] = json!(900_000_000_000_000_u64);
    let problems = read(config).validate().unwrap_err();
    let keys: Vec<&str> = problems.iter().map(|problem| &*problem.key).collect();
    assert!(
        keys.contains(&"layers") && keys.contains(&"feed_forward.hidden"),
        "{keys:?}"
    );
}

/// Settings of all masks that a site cannot have do not hold there.
#[test]
fn a_site_is_free_of_what_does_not_fit_it() {
    let mut config = recipe();
    let masks = &mut config["learned_dropout"];
    masks.as_object_mut().unwrap().remove("control");
    masks["generator"] = json!("attention");
    masks["rank"] = json!(4);
    masks["rounding"] = json!("stochastic");
    masks["noise_steps"] = json!(10);
    masks["at"] = json!({"attention-heads": {"generator": "linear", "rounding": "carried"}});
    let config = read(config);
    config.validate().unwrap();
    assert_eq!(
        config
            .mask_shape(Site::AttentionHeads, 0)
            .unwrap()
            .attention,
        None
    );
    let units = config.mask_shape(Site::FeedForwardHidden, 0).unwrap();
    assert_eq!(units.attention.unwrap().width, 4);
}

/// Thresholds that were those of single masks become one where masks share it.
#[test]
fn shared_thresholds_are_one_from_the_start() {
    let config = read(recipe());
    let mut given = initial_weights(&config, 7);
    let name =
        |layer: usize, site: &str| format!("blocks.{layer}.{site}_learned_dropout.threshold");
    for (layer, threshold) in [(0, 0.25), (1, 0.75)] {
        for site in ["attention.head", "feed_forward.hidden"] {
            given.get_mut(&name(layer, site)).unwrap().values = vec![threshold];
        }
    }
    let weights = continued_weights(&config, 3, given).unwrap();
    for (layer, own) in [(0, 0.25), (1, 0.75)] {
        assert_eq!(weights[&name(layer, "attention.head")].values, [0.5]);
        assert_eq!(weights[&name(layer, "feed_forward.hidden")].values, [own]);
    }
}

/// A model without masks that goes on with gates: they begin near 1.
#[test]
fn gates_that_are_added_begin_by_keeping_everything() {
    let config = read(recipe());
    let plain = TransformerConfig {
        learned_dropout: None,
        ..config.clone()
    };
    let mut added = recipe();
    added["learned_dropout"]["function"] = json!({"kind": "cosine", "shift_init": 1.5});
    added["learned_dropout"]["at"] = json!({"attention-heads": {"function": {"kind": "linear"}}});
    let added = read(added);
    added.validate().unwrap();
    let weights = continued_weights(&added, 3, initial_weights(&plain, 7)).unwrap();
    for spec in layout(&added) {
        let values = &weights[&spec.name].values;
        let expected = match (spec.role, spec.name.contains("head_")) {
            (TensorRole::MaskFunction(_), true) => 1.0,
            (TensorRole::MaskFunction(_) | TensorRole::MaskThreshold, _) => 0.0,
            _ => continue,
        };
        assert!(
            values.iter().all(|&value| value == expected),
            "{}",
            spec.name
        );
    }
}

#[test]
fn roundings_that_leave_work_out() {
    let leaves_out = [Rounding::Stochastic, Rounding::Threshold, Rounding::Carried];
    assert!(leaves_out.iter().all(Rounding::drops_whole));
    let all = [Rounding::Sigmoid, Rounding::SigmoidDetached, Rounding::None];
    assert!(!all.iter().any(Rounding::drops_whole));
    let masks = read(recipe()).learned_dropout.unwrap();
    assert!(masks.for_site(Site::AttentionHeads).is_kept_only());
}
