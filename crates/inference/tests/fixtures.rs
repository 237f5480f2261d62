//! The engine against logits, losses and masks that PyTorch computed.
//!
//! The files and how they were made: `fixtures/README.md` in the tests of `model`.

use std::path::{Path, PathBuf};

use learned_dropout_inference::{Engine, Session};
use serde_json::Value;

const ALL: [&str; 5] = [
    "tiny-hidden",
    "tiny-embed",
    "tiny-base",
    "tiny-enums",
    "tiny-objects",
];

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../model/tests/fixtures")
        .join(name)
}

fn load(name: &str, threads: usize) -> (Engine, Value) {
    let text = std::fs::read_to_string(fixture(&format!("{name}.json"))).unwrap();
    let model = model::pytorch::import(&fixture(&format!("{name}.pt"))).unwrap();
    let engine = Engine::new(model.config, model.weights, threads).unwrap();
    (engine, serde_json::from_str(&text).unwrap())
}

fn rows<T>(value: &Value, element: fn(&Value) -> T) -> Vec<Vec<T>> {
    let rows = value.as_array().unwrap().iter();
    rows.map(|row| row.as_array().unwrap().iter().map(element).collect())
        .collect()
}

fn ids(value: &Value) -> Vec<Vec<u32>> {
    rows(value, |id| id.as_u64().unwrap() as u32)
}

fn logits(value: &Value) -> Vec<Vec<f32>> {
    rows(value, |logit| logit.as_f64().unwrap() as f32)
}

fn assert_close(found: &[f32], expected: &[f32], most: f32) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!(
            (found - expected).abs() < most,
            "{found}, expected {expected}"
        );
    }
}

#[test]
fn the_last_logits_are_those_of_pytorch() {
    for name in ALL {
        let (engine, case) = load(name, 1);
        let expected = logits(&case["eval"]["logits_last"]);
        for (ids, expected) in ids(&case["ids"]).iter().zip(&expected) {
            let found = engine.inspect(ids).unwrap();
            assert_close(&found.logits, expected, 2e-5);
            assert_eq!(found.dropped, 0);

            let mut session = Session::new(&engine).unwrap();
            for &id in ids {
                session.decode(id).unwrap();
            }
            assert_close(session.logits(), expected, 2e-5);
        }
    }
}

#[test]
fn loss_penalty_and_kept_share_are_those_of_pytorch() {
    for name in ALL {
        let (engine, case) = load(name, 2);
        let (ids, targets) = (ids(&case["ids"]), ids(&case["targets"]));
        let rows: Vec<_> = ids
            .iter()
            .zip(&targets)
            .map(|(ids, targets)| engine.loss(ids, targets).unwrap())
            .collect();
        let mean = |values: Vec<f64>| values.iter().sum::<f64>() / values.len() as f64;
        let loss = mean(rows.iter().map(|row| row.mean).collect());
        let expected = &case["eval"];
        assert!(
            (loss - expected["loss"].as_f64().unwrap()).abs() < 3e-6,
            "{name}: {loss}"
        );
        let masks: Vec<_> = rows.iter().filter_map(|row| row.masks.clone()).collect();
        if masks.is_empty() {
            assert!(expected.get("kept").is_none(), "{name}");
            continue;
        }
        let penalty = mean(masks.iter().map(|masks| masks.penalty).collect());
        assert!(
            (penalty - expected["penalty"].as_f64().unwrap()).abs() < 1e-6,
            "{name}: {penalty}"
        );
        let kept = mean(masks.iter().map(|masks| masks.kept).collect());
        // The same number of elements on each side: PyTorch divides it in f32, here it is f64.
        let config = engine.config();
        let elements = (config.layers * config.width * ids.len() * ids[0].len()) as f64;
        let expected = expected["kept"].as_f64().unwrap() * elements;
        assert_eq!((kept * elements).round(), expected.round(), "{name}");
        assert!((kept * elements - expected).abs() < 1e-3, "{name}: {kept}");
    }
}

#[test]
fn a_prompt_longer_than_the_context_is_cut_to_its_end() {
    let (engine, case) = load("tiny-hidden", 1);
    let expected = logits(&case["eval"]["logits_last"]);
    let row = &ids(&case["ids"])[0];
    let long = [&[5, 7, 9][..], row].concat();
    let found = engine.inspect(&long).unwrap();
    assert_eq!(found.dropped, 3);
    assert_close(&found.logits, &expected[0], 2e-5);
}
