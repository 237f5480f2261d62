//! Metrics files, read back by independent decoders.

use std::path::Path;

use learned_dropout_training::config::{Change, StopConfig};
use learned_dropout_training::early_stop::{EarlyEnd, EndReason};
use learned_dropout_training::metrics::{
    EndMetrics, EnvironmentMetrics, EvaluationMetrics, EventFile, LayerMetrics, MaskMetrics,
    Metrics, MetricsFile, MetricsLog, StepMetrics,
};
use model::Site;

fn step(step: u64, loss: f64) -> Metrics {
    let layer = |kept: f64| LayerMetrics {
        kept,
        entropy: 0.25,
        ..LayerMetrics::default()
    };
    Metrics::Step(StepMetrics {
        step,
        tokens: step * 100,
        loss,
        penalty: Some(0.3),
        learning_rate: 1e-3,
        kept_by_controlled: vec![0.5],
        mask: MaskMetrics::of_layers(vec![layer(0.5), layer(1.0)]),
        ..StepMetrics::default()
    })
}

fn evaluation(step: u64) -> Metrics {
    Metrics::Evaluation(EvaluationMetrics {
        step,
        train_loss: 1.5,
        validation_loss: 2.5,
        sets: [("news".to_string(), 3.5)].into(),
        best: true,
        ..EvaluationMetrics::default()
    })
}

fn lines(path: &Path) -> Vec<serde_json::Value> {
    std::fs::read_to_string(path)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn lines_have_the_documented_keys() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("metrics.jsonl");
    let mut file = MetricsFile::open(&path, 0).unwrap();
    file.append(&step(1, 0.1 + 0.2)).unwrap();
    file.append(&evaluation(1)).unwrap();
    let change = Change {
        step: 1,
        before: [("train.clip".to_string(), toml::Value::Float(1.0))].into(),
        after: [("train.clip".to_string(), toml::Value::Float(2.0))].into(),
    };
    file.append(&Metrics::Changes(change)).unwrap();
    let end = EarlyEnd {
        reason: EndReason::Minutes,
        steps: 9,
        stop: StopConfig {
            minutes: Some(2.0),
            ..StopConfig::default()
        },
    };
    file.append(&Metrics::End(EndMetrics::new(1, &end)))
        .unwrap();
    let mut lines = lines(&path);
    for line in &mut lines {
        let time = line.as_object_mut().unwrap().remove("time");
        // In seconds: 1.7e9 was in November 2023.
        assert!(time.unwrap().as_f64().unwrap() > 1.7e9);
    }
    assert_eq!(
        lines[2],
        serde_json::json!({
            "kind": "changes", "step": 1, "before": {"train.clip": 1.0}, "after": {"train.clip": 2.0},
        })
    );
    assert_eq!(
        lines[3],
        serde_json::json!({
            "kind": "end", "step": 1, "explanation": "2 minutes of training have passed",
            "reason": "minutes", "steps": 9, "stop": {"threshold": 0.0, "minutes": 2.0},
        })
    );
    assert_eq!(lines[0]["kind"], "step");
    assert_eq!(lines[0]["loss"], 0.1 + 0.2);
    assert_eq!(lines[0]["model_flops_utilization"], serde_json::Value::Null);
    assert_eq!(lines[0]["mask"]["kept"], 0.75);
    assert_eq!(lines[0]["mask"]["layers"][1]["kept"], 1.0);
    assert_eq!(
        lines[0]["mask"]["layers"][0]["changed"],
        serde_json::Value::Null
    );
    assert_eq!(lines[1]["kind"], "evaluation");
    assert_eq!(lines[1]["validation_loss"], 2.5);
    let document = include_str!("../../../docs/run-format.md");
    for line in &lines {
        for key in line.as_object().unwrap().keys() {
            assert!(
                document.contains(&format!("`{key}`")),
                "{key} is not documented"
            );
        }
    }
}

#[test]
fn a_resumed_run_removes_later_lines_and_an_incomplete_one() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("metrics.jsonl");
    let mut file = MetricsFile::open(&path, 0).unwrap();
    for number in 1..=4 {
        file.append(&step(number, number as f64)).unwrap();
        file.append(&evaluation(number)).unwrap();
    }
    let all = std::fs::read(&path).unwrap();
    let whole = |bytes: &[u8]| bytes.iter().filter(|&&byte| byte == b'\n').count();
    for end in 0..all.len() {
        std::fs::write(&path, &all[..end]).unwrap();
        let mut file = MetricsFile::open(&path, 3).unwrap();
        let kept = lines(&path);
        assert_eq!(kept.len(), whole(&all[..end]).min(6), "cut at {end}");
        file.append(&step(9, 9.0)).unwrap();
        assert_eq!(lines(&path).len(), kept.len() + 1);
    }
}

/// CRC-32C computed bit by bit from the polynomial.
fn checksum(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |sum, &byte| {
        (0..8).fold(sum ^ u32::from(byte), |sum, _| {
            if sum & 1 == 1 {
                sum >> 1 ^ 0x82F6_3B78
            } else {
                sum >> 1
            }
        })
    })
}

/// The records of an event file; checks the framing.
fn records(bytes: &[u8]) -> Vec<Vec<u8>> {
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let masked = |sum: u32| sum.rotate_right(15).wrapping_add(0xa282_ead8);
    assert_eq!(
        checksum(b"123456789"),
        0xE306_9283,
        "the published check value"
    );
    let (mut at, mut records) = (0, Vec::new());
    while at < bytes.len() {
        let length = u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()) as usize;
        assert_eq!(word(at + 8), masked(checksum(&bytes[at..at + 8])));
        let data = &bytes[at + 12..at + 12 + length];
        assert_eq!(word(at + 12 + length), masked(checksum(data)));
        records.push(data.to_vec());
        at += length + 16;
    }
    records
}

/// A field of a protocol buffer message: its number, and its bytes or those of its value.
type Field = (u64, Vec<u8>);

/// The fields of a protocol buffer message, decoded by hand.
fn fields(mut bytes: &[u8]) -> Vec<Field> {
    fn variable(bytes: &mut &[u8]) -> u64 {
        let mut value = 0;
        for shift in (0..).step_by(7) {
            let byte = bytes[0];
            *bytes = &bytes[1..];
            value |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                break;
            }
        }
        value
    }
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = variable(&mut bytes);
        let length = match key & 7 {
            0 => {
                fields.push((key >> 3, variable(&mut bytes).to_le_bytes().to_vec()));
                continue;
            }
            1 => 8,
            2 => variable(&mut bytes) as usize,
            5 => 4,
            other => panic!("wire type {other}"),
        };
        fields.push((key >> 3, bytes[..length].to_vec()));
        bytes = &bytes[length..];
    }
    fields
}

fn field(fields: &[Field], number: u64) -> Option<&[u8]> {
    fields
        .iter()
        .find(|field| field.0 == number)
        .map(|field| field.1.as_slice())
}

fn only_file(folder: &Path) -> Vec<u8> {
    let mut entries: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(entries.len(), 1);
    let entry = entries.remove(0);
    assert!(entry.file_name().to_string_lossy().contains("tfevents"));
    std::fs::read(entry.path()).unwrap()
}

#[test]
fn events_decode_to_what_was_written() {
    let place = tempfile::tempdir().unwrap();
    let mut events = EventFile::create(place.path(), 0).unwrap();
    events.append(&step(7, 0.5)).unwrap();
    events.append(&evaluation(300)).unwrap();
    events.append_text(300, "sample", "fn main()").unwrap();
    let records = records(&only_file(place.path()));
    assert_eq!(records.len(), 4);
    let first = fields(&records[0]);
    assert_eq!(field(&first, 3), Some(&b"brain.Event:2"[..]));

    let scalars = |record: &[u8]| -> (u64, Vec<(String, f32)>) {
        let event = fields(record);
        let step =
            field(&event, 2).map_or(0, |bytes| u64::from_le_bytes(bytes.try_into().unwrap()));
        let values = fields(field(&event, 5).unwrap())
            .into_iter()
            .map(|(_, value)| {
                let value = fields(&value);
                let tag = String::from_utf8(field(&value, 1).unwrap().to_vec()).unwrap();
                (
                    tag,
                    f32::from_le_bytes(field(&value, 2).unwrap().try_into().unwrap()),
                )
            });
        (step, values.collect())
    };
    let (number, values) = scalars(&records[1]);
    assert_eq!(number, 7);
    for (tag, expected) in [
        ("train/loss", 0.5),
        ("train/learning_rate", 1e-3),
        ("mask/kept", 0.75),
        ("mask/kept/layer_00", 0.5),
        ("mask/kept/layer_01", 1.0),
        ("mask/entropy", 0.25),
    ] {
        assert!(
            values.contains(&(tag.into(), expected)),
            "{tag} in {values:?}"
        );
    }
    assert!(
        !values
            .iter()
            .any(|(tag, _)| tag.contains("changed") || tag.contains("utilization"))
    );
    let (number, values) = scalars(&records[2]);
    assert_eq!(number, 300);
    assert!(values.contains(&("validation/loss".into(), 2.5)));
    assert!(values.contains(&("news/loss".into(), 3.5)));
    let text = fields(&records[3]);
    let summary = fields(field(&text, 5).unwrap());
    let tensor = fields(field(&fields(&summary[0].1), 8).unwrap());
    assert_eq!(field(&tensor, 8), Some(&b"fn main()"[..]));
}

/// The tags and values of the only step in an event file.
fn tags_of(step: StepMetrics) -> Vec<(String, f32)> {
    let place = tempfile::tempdir().unwrap();
    let mut events = EventFile::create(place.path(), 0).unwrap();
    events.append(&Metrics::Step(step)).unwrap();
    let records = records(&only_file(place.path()));
    let event = fields(&records[1]);
    let values = fields(field(&event, 5).unwrap()).into_iter();
    let value = values.map(|(_, value)| {
        let value = fields(&value);
        let tag = String::from_utf8(field(&value, 1).unwrap().to_vec()).unwrap();
        let bytes = field(&value, 2).unwrap().try_into().unwrap();
        (tag, f32::from_le_bytes(bytes))
    });
    value.collect()
}

/// Of masks at two sites those with a threshold have a control.
#[test]
fn kept_shares_of_masks_with_a_control_are_named_as_the_masks() {
    let mask = |site, block, threshold| LayerMetrics {
        site: Some(site),
        block: Some(block),
        threshold,
        ..LayerMetrics::default()
    };
    let (heads, units) = (Site::AttentionHeads, Site::FeedForwardHidden);
    let step = |layers, kept: &[f64]| StepMetrics {
        mask: MaskMetrics::of_layers(layers),
        kept_by_controlled: kept.into(),
        ..StepMetrics::default()
    };
    let shares = |step| {
        let all = tags_of(step).into_iter();
        let mut all: Vec<_> = all
            .filter(|(tag, _)| tag.starts_with("mask/kept_by_controlled"))
            .collect();
        all.sort_by(|one, other| one.0.cmp(&other.0));
        all
    };
    let two_sites = vec![
        mask(heads, 0, None),
        mask(units, 0, Some(0.25)),
        mask(heads, 1, None),
        mask(units, 1, Some(-0.5)),
    ];
    let name = |place: &str| format!("mask/kept_by_controlled/{place}");
    assert_eq!(
        shares(step(two_sites.clone(), &[0.5, 0.75])),
        [
            (name("feed-forward-hidden/layer_00"), 0.5),
            (name("feed-forward-hidden/layer_01"), 0.75)
        ]
    );
    let one_site = vec![mask(units, 0, Some(0.25)), mask(units, 1, Some(-0.5))];
    let of_one = step(one_site, &[0.5, 0.75]);
    assert_eq!(
        shares(of_one.clone()),
        [(name("layer_00"), 0.5), (name("layer_01"), 0.75)]
    );
    let thresholds = tags_of(of_one);
    assert!(thresholds.contains(&("mask/threshold/layer_01".into(), -0.5)));
    assert_eq!(shares(step(two_sites, &[])), []);
}

#[test]
fn a_resumed_run_makes_tensorboard_ignore_later_steps() {
    let place = tempfile::tempdir().unwrap();
    EventFile::create(place.path(), 41).unwrap();
    let records = records(&only_file(place.path()));
    let event = fields(&records[1]);
    assert_eq!(field(&event, 2), Some(&42_u64.to_le_bytes()[..]));
    let session = fields(field(&event, 7).unwrap());
    assert_eq!(field(&session, 1), Some(&1_u64.to_le_bytes()[..]), "START");
}

#[test]
fn the_environment_is_written_when_it_changes() {
    let place = tempfile::tempdir().unwrap();
    let (path, events) = (
        place.path().join("metrics.jsonl"),
        place.path().join("events"),
    );
    let environment = |step: u64, threads: usize| EnvironmentMetrics {
        step,
        threads,
        processor: "one".into(),
        ..EnvironmentMetrics::default()
    };
    let told = |from: u64, environment: EnvironmentMetrics| {
        let mut log = MetricsLog::open(&path, &events, from).unwrap();
        log.write_environment(environment).unwrap();
        log.write(&step(from + 1, 1.0)).unwrap();
        lines(&path)
            .iter()
            .filter(|line| line["kind"] == "environment")
            .map(|line| line["threads"].as_u64().unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(told(0, environment(0, 2)), [2]);
    assert_eq!(told(1, environment(1, 2)), [2]);
    assert_eq!(told(2, environment(2, 4)), [2, 4]);
    // A run that resumes from before the change writes it again.
    assert_eq!(told(1, environment(1, 4)), [2, 4]);
    assert_eq!(told(0, environment(0, 2)), [2]);
}
