//! Model folders: what is written comes back, and damage is an error that names the file.

use std::path::Path;

use learned_dropout_model::initialization::initial_weights;
use learned_dropout_model::model_folder::{self, CONFIG_FILE, WEIGHTS_FILE};
use learned_dropout_model::{MaskConfig, Penalty, TransformerConfig};
use proptest::prelude::*;

fn config() -> TransformerConfig {
    TransformerConfig {
        vocabulary: 7,
        context: 4,
        width: 4,
        heads: 2,
        layers: 1,
        dropout: 0.25,
        feed_forward: Default::default(),
        learned_dropout: Some(MaskConfig {
            penalty: Some(Penalty::default()),
            ..MaskConfig::default()
        }),
    }
}

fn written() -> tempfile::TempDir {
    let place = tempfile::tempdir().expect("a folder");
    let weights = initial_weights(&config(), 5);
    model_folder::write(place.path(), &config(), &weights).expect("written");
    place
}

#[track_caller]
fn assert_error_names(folder: &Path, file: &str) {
    let error = model_folder::read(folder).expect_err("damaged").to_string();
    assert!(error.contains(file), "{error}");
}

#[test]
fn a_model_comes_back() {
    let place = written();
    let (found, weights) = model_folder::read(place.path()).expect("whole");
    assert_eq!(found, config());
    assert_eq!(weights, initial_weights(&config(), 5));
}

#[test]
fn every_feed_forward_comes_back() {
    for (text, tensor, shape) in [
        (
            r#"{"kind": "dense", "hidden": 6}"#,
            "down.weight",
            vec![4, 6],
        ),
        (
            r#"{"kind": "relu", "penalty": 0.5}"#,
            "up.weight",
            vec![16, 4],
        ),
        (
            r#"{"kind": "mixture-of-experts", "hidden": 6, "shared": 3}"#,
            "experts.down",
            vec![8, 4, 6],
        ),
        (
            r#"{"kind": "relu-routed-experts", "experts": 3}"#,
            "router.weight",
            vec![3, 4],
        ),
    ] {
        let config = TransformerConfig {
            feed_forward: serde_json::from_str(text).expect("a feed-forward"),
            ..config()
        };
        let weights = initial_weights(&config, 5);
        assert_eq!(
            weights[&format!("blocks.0.feed_forward.{tensor}")].shape,
            shape
        );
        let place = tempfile::tempdir().expect("a folder");
        model_folder::write(place.path(), &config, &weights).expect("written");
        assert_eq!(
            model_folder::read(place.path()).expect("whole"),
            (config.clone(), weights.clone())
        );
    }
}

/// What older programs wrote has no `feed_forward`, and means the dense one.
#[test]
fn the_default_feed_forward_is_not_written() {
    let place = written();
    let text = std::fs::read_to_string(place.path().join(CONFIG_FILE)).expect("written");
    assert!(!text.contains("\"feed_forward\""), "{text}");
    let weights = initial_weights(&config(), 5);
    assert_eq!(weights["blocks.0.feed_forward.up.weight"].shape, [16, 4]);
}

#[test]
fn files_cut_off_at_every_length_are_errors() {
    for file in [CONFIG_FILE, WEIGHTS_FILE] {
        let place = written();
        let path = place.path().join(file);
        let bytes = std::fs::read(&path).expect("written");
        // The last byte of the configuration is a line break.
        for length in 0..bytes.len() - 1 {
            std::fs::write(&path, &bytes[..length]).expect("written");
            assert_error_names(place.path(), file);
        }
    }
}

#[test]
fn impossible_configurations_are_refused_at_once() {
    let place = written();
    for (key, value) in [
        ("width", "0"),
        ("width", "5"),
        ("layers", "99999999999999"),
        ("layers", "16777216"),
        ("vocabulary", "-1"),
        ("heads", "\"two\""),
        ("dropout", "1.5"),
        ("model_type", "\"gpt2\""),
        ("colour", "3"),
    ] {
        let path = place.path().join(CONFIG_FILE);
        let text = serde_json::to_value(config()).expect("a table");
        let mut table = text.as_object().expect("a table").clone();
        table.insert("model_type".into(), "learned-dropout".into());
        table.insert(key.into(), serde_json::from_str(value).expect("a value"));
        let text = serde_json::to_string(&table).expect("text");
        std::fs::write(&path, text).expect("written");
        assert_error_names(place.path(), "");
    }
}

#[test]
fn weights_of_another_model_are_refused() {
    let place = written();
    let wider = TransformerConfig {
        width: 8,
        ..config()
    };
    model_folder::write_config(place.path(), &wider).expect("written");
    assert_error_names(place.path(), "token_embedding.weight");
    let plain = TransformerConfig {
        learned_dropout: None,
        ..config()
    };
    model_folder::write_config(place.path(), &plain).expect("written");
    assert_error_names(place.path(), "learned_dropout");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn flipped_bits_are_errors_or_values(position in any::<prop::sample::Index>(), bit in 0u8..8) {
        for file in [CONFIG_FILE, WEIGHTS_FILE] {
            let place = written();
            let path = place.path().join(file);
            let mut bytes = std::fs::read(&path).expect("written");
            let position = position.index(bytes.len());
            bytes[position] ^= 1 << bit;
            std::fs::write(&path, bytes).expect("written");
            if let Ok((config, weights)) = model_folder::read(place.path()) {
                prop_assert!(config.validate().is_ok());
                prop_assert!(!weights.is_empty());
            }
        }
    }
}
