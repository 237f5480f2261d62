//! Executed operations in reports, compared with numbers that were worked out by hand.

use std::path::Path;

use learned_dropout_training::report::{Format, Report, RunRecord};
use serde_json::{Value, json};

/// Writes a run of a model with 10 tokens, width 2, one head, 2 layers and a context of 4, whose
/// only evaluation has these statistics.
fn write_run(folder: &Path, model: &str, statistics: Value) {
    std::fs::create_dir_all(folder).expect("made");
    let config = format!(
        "data.path = 'data'\n[model]\nvocabulary = 10\ncontext = 4\nwidth = 2\nheads = 1\n\
         layers = 2\n{model}[train]\nsteps = 1\nbatch = 5\nprecision = 'f32'\n"
    );
    std::fs::write(folder.join("config.toml"), config).expect("written");
    let mut line = json!({
        "kind": "evaluation", "step": 1, "train_loss": 2.0, "validation_loss": 3.0, "best": true,
    });
    let statistics = statistics.as_object().expect("an object").clone();
    line.as_object_mut().expect("an object").extend(statistics);
    std::fs::write(folder.join("metrics.jsonl"), format!("{line}\n")).expect("written");
}

fn executed(model: &str, statistics: Value) -> Option<f64> {
    let place = tempfile::tempdir().expect("a folder");
    write_run(place.path(), model, statistics);
    let run = RunRecord::read(place.path()).expect("a run");
    run.executed_flops()
}

const MASKS: &str = "[model.learned_dropout]\nsite = ['attention-heads', 'feed-forward-hidden']\ninput = \
                     'layer-input'\nrank = 1\n";

fn masks(layers: &Value) -> Value {
    json!({"mask": {"kept": 0.4, "layers": layers}})
}

/// The plain model has 126 weights outside the positions and 2 · 4 · 4 · 2 operations in its
/// attentions: 316. Each mask has an attention of rank 1 on inputs of width 2.
///
/// Heads are kept by 0.25 and 0.75, a mean of a half: a layer saves half of the queries (8), of the
/// output projection (8), of the scores (16) and of the sums (16). Of the hidden units a fifth and two
/// fifths are kept, 0.3: a layer saves 0.7 of the up (32) and of the down projection (32).
#[test]
fn masks_count_by_their_sites() {
    let site = |site: &str, kept: f64| json!({"site": site, "kept": kept});
    let layers = json!([
        site("attention-heads", 0.25),
        site("feed-forward-hidden", 0.2),
        site("attention-heads", 0.75),
        site("feed-forward-hidden", 0.4),
        site("of a later version", 0.0),
    ]);
    let place = tempfile::tempdir().expect("a folder");
    write_run(place.path(), MASKS, masks(&layers));
    let report = Report::read(&[place.path().into()]).expect("a report");
    let arm = &report.sections[0].arms[0];
    let (dense, of_masks) = (arm.forward_flops().unwrap(), arm.mask_flops().unwrap());
    assert_eq!(dense - of_masks, 316.0);
    let saved = 2.0 * (0.5 * 48.0 + 0.7 * 64.0);
    let executed = arm.executed_flops().unwrap();
    assert!((dense - executed.mean - saved).abs() < 1e-9, "{executed:?}");
}

#[test]
fn what_was_not_measured_is_not_known() {
    assert_eq!(executed(MASKS, json!({})), None);
    let heads = json!([{"site": "attention-heads", "kept": 0.25}]);
    assert_eq!(executed(MASKS, masks(&heads)), None);
    assert_eq!(executed("", json!({})), Some(316.0));
    let relu = "[model.feed_forward]\nkind = 'relu'\n";
    assert_eq!(executed(relu, json!({})), None);
}

/// A quarter of the 8 units of each of the 2 layers is used: 6 rows of 2 weights are not.
#[test]
fn units_that_are_zero_are_left_out() {
    let relu = "[model.feed_forward]\nkind = 'relu'\n";
    let used = json!({"feed_forward": {"density": 0.25}});
    assert_eq!(executed(relu, used), Some(316.0 - 2.0 * 2.0 * 12.0));
}

/// 4 experts of 3 hidden units: 12 weights each, and a router of 8. A model without feed-forwards
/// has 316 − 2 · 2 · 32 = 188 operations, the router's and the experts' weights add 2 · 2 · 56.
/// Half of the experts was used, though the configuration chooses a quarter: 2 · 12 weights a layer
/// are left out.
#[test]
fn experts_count_as_they_were_chosen() {
    let experts = "[model.feed_forward]\nkind = 'mixture-of-experts'\nexperts = 4\nactive = 1\n\
                   hidden = 3\n";
    let used = json!({"feed_forward": {"density": 0.5}});
    let dense = 188.0 + 2.0 * 2.0 * 56.0;
    assert_eq!(executed(experts, used), Some(dense - 2.0 * 2.0 * 24.0));
    assert_eq!(
        executed(experts, json!({})),
        Some(dense - 2.0 * 2.0 * 36.0),
        "as the configuration wants it"
    );
}

/// Gates on heads and on the hidden units of layers with 6 and 2 units: of the 8, 0.5 · 6 + 1.0 · 2 are kept.
#[test]
fn kept_units_and_heads_have_columns_of_their_own() {
    let gates = "[model.feed_forward]\nkind = 'relu'\nhidden = [6, 2]\n[model.learned_dropout]\n\
                 site = ['attention-heads', 'feed-forward-hidden']\ninput = 'layer-input'\n\
                 generator = 'linear'\nrounding = 'carried'\n";
    let site =
        |site: &str, block: usize, kept: f64| json!({"site": site, "block": block, "kept": kept});
    let layers = json!([
        site("attention-heads", 0, 0.75),
        site("feed-forward-hidden", 0, 0.5),
        site("attention-heads", 1, 0.25),
        site("feed-forward-hidden", 1, 1.0),
    ]);
    let statistics = json!({
        "mask": {"kept": 0.625, "layers": layers},
        "feed_forward": {"density": 0.3, "layers": [{"density": 0.4}, {"density": 0.2}]},
    });
    let place = tempfile::tempdir().expect("a folder");
    write_run(place.path(), gates, statistics);
    let report = Report::read(&[place.path().into()]).expect("a report");
    let csv = report.write(Format::Csv);
    let table: Vec<Vec<&str>> = csv.lines().map(|line| line.split(',').collect()).collect();
    let value = |key: &str| {
        let place = table[0].iter().position(|name| *name == key);
        table[1][place.unwrap_or_else(|| panic!("{key}: {csv}"))]
    };
    assert_eq!(value("kept_hidden_units"), "0.625");
    assert_eq!(value("kept_heads"), "0.5");
    // In the first layer 0.5 of 6 units are kept and 0.4 of these are not 0; in the second all 2, and 0.2:
    // 3 · 0.4 + 2 · 0.2 of 5. Of all 8 units these 1.6 are 0.625 · 0.32.
    assert_eq!(value("nonzero_units"), "0.32");
    let arm = &report.sections[0].arms[0];
    let (dense, executed) = (arm.forward_flops().unwrap(), arm.executed_flops().unwrap());
    let heads = (0.25 + 0.75) * 48.0;
    let units = 4.0 * (6.0 * (0.5 + 0.8) + 2.0 * (0.0 + 0.8));
    assert!(
        (dense - executed.mean - heads - units).abs() < 1e-9,
        "{dense} {executed:?}"
    );
}
