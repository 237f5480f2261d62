//! Feed-forwards in a configuration: SwiGLU, and experts with ReLU.

use learned_dropout_model::TransformerConfig;
use learned_dropout_model::layout::layout;
use serde_json::{Value, json};

fn read(feed_forward: Value) -> TransformerConfig {
    let config = json!({
        "vocabulary": 11, "context": 6, "width": 16, "heads": 2, "layers": 2,
        "feed_forward": feed_forward,
    });
    serde_json::from_value(config).unwrap()
}

/// 8/3 of 16 is 42.7, and 48 the next multiple of 8.
#[test]
fn swiglu_has_three_matrices_of_eight_thirds_of_the_width() {
    let config = read(json!({"kind": "swiglu"}));
    config.validate().unwrap();
    let tensors = layout(&config).filter_map(|spec| {
        let name = spec.name.strip_prefix("blocks.1.feed_forward.")?;
        Some((name.to_string(), spec.shape))
    });
    let expected = [
        ("gate.weight", [48, 16]),
        ("up.weight", [48, 16]),
        ("down.weight", [16, 48]),
    ];
    let expected = expected.map(|(name, shape)| (name.to_string(), shape.to_vec()));
    assert_eq!(tensors.collect::<Vec<_>>(), expected);
    let hidden = |width| config.feed_forward.hidden(width, 0);
    assert_eq!([3, 24, 25, 192, 768].map(hidden), [8, 64, 72, 512, 2048]);
    let written = serde_json::to_value(&config.feed_forward).unwrap();
    assert_eq!(written, json!({"kind": "swiglu"}));
    assert_eq!(config.active_parameters(), config.parameters());
}

#[test]
fn swiglu_has_hidden_units_by_layer_and_no_masks_on_them() {
    let mut config = read(json!({"kind": "swiglu", "hidden": [24, 5]}));
    config.validate().unwrap();
    assert_eq!(config.feed_forward.hidden(16, 1), 5);
    let short = read(json!({"kind": "swiglu", "hidden": [24]}));
    let problems = short.validate().unwrap_err();
    assert_eq!(problems[0].key, "feed_forward.hidden");
    let masks = |site: &str| serde_json::from_value(json!({"site": site, "rank": 4})).unwrap();
    for site in ["attention-heads", "attention-output", "feed-forward-output"] {
        config.learned_dropout = Some(masks(site));
        config.validate().unwrap();
    }
    config.learned_dropout = Some(masks("feed-forward-hidden"));
    let problems = config.validate().unwrap_err();
    let message = problems[0].to_string();
    assert_eq!(problems[0].key, "learned_dropout.site");
    assert!(
        message.contains("\"swiglu\" has no hidden units for a mask"),
        "{message}"
    );
}

#[test]
fn experts_have_an_activation_and_a_penalty_with_relu() {
    let table = json!({"kind": "relu-routed-experts", "activation": "relu", "penalty": 0.25});
    let config = read(table.clone());
    config.validate().unwrap();
    assert_eq!(config.feed_forward.unit_penalty(), Some(0.25));
    let written = serde_json::to_value(&config.feed_forward).unwrap();
    assert_eq!(written["activation"], "relu");
    assert_eq!(written["penalty"], 0.25);
    for kind in ["relu-routed-experts", "mixture-of-experts"] {
        let config = read(json!({"kind": kind}));
        assert_eq!(config.feed_forward.unit_penalty(), None);
        let written = serde_json::to_value(&config.feed_forward).unwrap();
        let keys = written.as_object().unwrap();
        assert!(!keys.contains_key("activation") && !keys.contains_key("penalty"));
    }
    let without = |key: &str| {
        let mut table = table.clone();
        table.as_object_mut().unwrap().remove(key);
        read(table).validate()
    };
    without("penalty").unwrap();
    let problems = without("activation").unwrap_err();
    assert_eq!(problems[0].key, "feed_forward.penalty");
    assert!(problems[0].to_string().contains("activation = \"relu\""));
}
