//! The search in reports: an experiment whose losses are chosen, so that everything can be worked out by
//! hand.

use std::path::Path;

use learned_dropout_training::experiments::ChartKind;
use learned_dropout_training::report::{Format, Report, ReportError, Theme};
use serde_json::{Value, json};

/// A setting with the losses of seeds 1 and 2; none of a failed run.
fn setting(number: u32, values: &Value, losses: [Option<f64>; 2]) -> Value {
    let run = |(index, loss): (usize, &Option<f64>)| match loss {
        Some(loss) => json!({"seed": index + 1, "validation_loss": loss}),
        None => {
            json!({"seed": index + 1, "validation_loss": null, "error": "step 3: the loss is NaN; try less\nmore"})
        }
    };
    let runs: Vec<Value> = losses.iter().enumerate().map(run).collect();
    json!({"number": number, "values": values, "runs": runs})
}

/// Writes an experiment of three arms: two with learning rates, one of which has also dropouts, and one
/// that was not searched.
pub fn write(folder: &Path) {
    let arms = ["rates", "both", "plain"]
        .map(|name| json!({"name": name, "label": format!("Arm <{name}>")}));
    let outline = json!({
        "title": "A search", "file": "search.toml", "seeds": [1, 2], "arms": arms, "search": true,
    });
    std::fs::write(folder.join("experiment.json"), outline.to_string()).expect("written");
    let rate = |rate: f64| json!({"train.optimizer.learning_rate": rate});
    let both = |rate: f64, dropout: f64| json!({"train.optimizer.learning_rate": rate, "model.dropout": dropout});
    let same = |loss: f64| [Some(loss), Some(loss)];
    let rates = [
        setting(1, &rate(1e-4), [Some(3.5), Some(3.7)]),
        setting(2, &rate(1e-3), [Some(3.0), Some(3.2)]),
        setting(3, &rate(4e-3), [Some(3.2), Some(3.2)]),
        setting(4, &rate(1.0), [Some(3.0), None]),
    ];
    let pairs = [
        setting(1, &both(1e-3, 0.0), same(3.3)),
        setting(2, &both(2e-3, 0.0), same(3.2)),
        setting(3, &both(4e-3, 0.0), same(3.1)),
        setting(4, &both(1e-3, 0.2), same(3.4)),
        setting(5, &both(2e-3, 0.2), [None, None]),
        setting(6, &both(4e-3, 0.2), same(3.2)),
    ];
    let record = json!({
        "steps": 300, "seeds": [1, 2], "shared": false,
        "arms": [
            {"name": "rates", "settings": rates, "chosen": 2},
            {"name": "both", "settings": pairs, "chosen": 3},
        ],
    });
    std::fs::write(folder.join("search.json"), record.to_string()).expect("written");
}

fn report() -> Report {
    let place = tempfile::tempdir().expect("a folder");
    write(place.path());
    Report::read(&[place.path().into()]).expect("a report")
}

/// Means and deviations as in the tables of results: 3.6 ± √(2 · 0.1²) = 0.141.
#[test]
fn tables_have_the_settings_by_their_losses() {
    let markdown = report().write(Format::Markdown { all_columns: true });
    let start = markdown.find("## Search\n").expect("a search");
    let expected = "## Search

10 settings were tried for 300 steps with the seeds 1, 2. Each arm gets its setting with the lowest of the \
last validation losses.

Chosen for Arm <rates>: learning_rate 0.001.

Chosen for Arm <both>: learning_rate 0.004, dropout 0.

Arm <rates>: 1 of 4 settings failed, and could not be chosen.

Arm <both>: 1 of 6 settings failed, and could not be chosen.

Arm <both>: 0.004 is the highest learning_rate tried; a better one may lie beyond.

| Arm | Setting | learning_rate | dropout | Validation loss | Result |
| --- | ---: | --- | --- | ---: | --- |
| Arm <rates> | 2 | 0.001 | – | 3.100 ± 0.141 | chosen |
| Arm <rates> | 3 | 0.004 | – | 3.200 ± 0.000 |  |
| Arm <rates> | 1 | 1e-4 | – | 3.600 ± 0.141 |  |
| Arm <rates> | 4 | 1 | – | – | failed: step 3: the loss is NaN |
| Arm <both> | 3 | 0.004 | 0 | 3.100 ± 0.000 | chosen |
| Arm <both> | 2 | 0.002 | 0 | 3.200 ± 0.000 |  |
| Arm <both> | 6 | 0.004 | 0.2 | 3.200 ± 0.000 |  |
| Arm <both> | 1 | 0.001 | 0 | 3.300 ± 0.000 |  |
| Arm <both> | 4 | 0.001 | 0.2 | 3.400 ± 0.000 |  |
| Arm <both> | 5 | 0.002 | 0.2 | – | failed: step 3: the loss is NaN |
";
    assert!(markdown[start..].starts_with(expected), "{markdown}");
    let section = &report().sections[0];
    let short = section.search_table(1).expect("a table");
    assert_eq!(short.rows.len(), 2, "the best of each arm");
    assert_eq!(
        short.keys[2..4],
        ["train.optimizer.learning_rate", "model.dropout"]
    );
}

/// Without the list of keys, as in records of older versions, the arms' own order would have
/// `learning_rate` first.
#[test]
fn columns_are_in_the_order_of_the_file() {
    let place = tempfile::tempdir().expect("a folder");
    write(place.path());
    let file = place.path().join("search.json");
    let text = std::fs::read_to_string(&file).expect("a record");
    let mut record: Value = serde_json::from_str(&text).expect("JSON");
    record["keys"] = json!([
        "model.dropout",
        "model.width",
        "train.optimizer.learning_rate"
    ]);
    std::fs::write(&file, record.to_string()).expect("written");
    let report = Report::read(&[place.path().into()]).expect("a report");
    let table = report.sections[0].search_table(1).expect("a table");
    let expected = [
        "Arm",
        "Setting",
        "dropout",
        "learning_rate",
        "Validation loss",
        "Result",
    ];
    assert_eq!(table.headings, expected, "no setting has a width");
    assert_eq!(table.rows[0][3].show(), "0.001");
    assert_eq!(table.most_needed, ["result", "loss"]);
    let notes = report.sections[0].search_notes();
    let chosen = "Chosen for Arm <both>: dropout 0, learning_rate 0.004.";
    assert!(notes.iter().any(|note| note == chosen), "{notes:?}");
}

/// The full runs of the arms tell what they were measured on, or before them those of the search.
#[test]
fn a_picture_of_arms_on_other_data_warns() {
    let place = tempfile::tempdir().expect("a folder");
    write(place.path());
    let file = place.path().join("search.json");
    let text = std::fs::read_to_string(&file).expect("a record");
    let mut record: Value = serde_json::from_str(&text).expect("JSON");
    record["arms"][1]["settings"] = record["arms"][0]["settings"].clone();
    std::fs::write(&file, record.to_string()).expect("written");
    let warns = || {
        let report = Report::read(&[place.path().into()]).expect("a report");
        let picture = report.picture(Some(ChartKind::Search), Theme::Light);
        let picture = picture.expect("a picture");
        assert!(picture.contains(">Validation loss by learning_rate"));
        picture.contains("not comparable)</text>")
    };
    assert!(!warns());
    let run = |folder: &str, data: &str| {
        let folder = place.path().join(folder);
        std::fs::create_dir_all(&folder).expect("made");
        let config = format!(
            "seed = 1\ndata.path = '{data}'\nmodel = {{ vocabulary = 10, context = 4, width = 2, heads = 1, \
             layers = 1 }}\ntrain = {{ steps = 5, batch = 1, precision = 'f32' }}\n"
        );
        std::fs::write(folder.join("config.toml"), config).expect("written");
    };
    run("search/rates/001-seed-1", "data/a");
    run("search/both/002-seed-1", "data/a");
    assert!(!warns());
    run("runs/both/seed-1", "data/b");
    assert!(warns());
}

#[test]
fn a_search_that_goes_on_says_how_far_it_is() {
    let place = tempfile::tempdir().expect("a folder");
    write(place.path());
    let file = place.path().join("search.json");
    let text = std::fs::read_to_string(&file).expect("a record");
    let mut record: Value = serde_json::from_str(&text).expect("JSON");
    record["arms"][0]["settings"][1]["runs"][1]["validation_loss"] = Value::Null;
    record["arms"][0]["chosen"] = Value::Null;
    record["arms"][1]["chosen"] = Value::Null;
    std::fs::write(&file, record.to_string()).expect("written");
    let markdown = || {
        let report = Report::read(&[place.path().into()]).expect("a report");
        report.write(Format::Markdown { all_columns: true })
    };
    let text = markdown();
    assert!(
        text.contains("\n19 of 20 runs of the search are done.\n"),
        "{text}"
    );
    assert!(text.contains("| 2 | 0.001 | – | – | 1/2 runs |"), "{text}");
    assert!(!text.contains("Chosen for") && !text.contains("has no full runs"));
    // Nothing worked.
    record["arms"][0]["settings"] = json!([setting(4, &json!({"a.b": 1}), [None, None])]);
    std::fs::write(&file, record.to_string()).expect("written");
    assert!(markdown().contains("Arm <rates> has no full runs: no setting reached"));
    std::fs::write(&file, "[]").expect("written");
    let error = Report::read(&[place.path().into()]).expect_err("damaged");
    assert!(matches!(error, ReportError::Search(_)), "{error}");
}

/// Two keys of one arm end alike, and only one of the chosen values is at an edge.
#[test]
fn values_at_an_edge_have_names_that_mean_one_key() {
    let place = tempfile::tempdir().expect("a folder");
    write(place.path());
    let widths = |number, model: u32, hidden: u32, loss: f64| {
        let values = json!({"model.width": model, "model.feed_forward.width": hidden});
        setting(number, &values, [Some(loss), Some(loss)])
    };
    let settings = [
        widths(1, 8, 16, 3.2),
        widths(2, 16, 32, 3.0),
        widths(3, 16, 64, 3.1),
    ];
    let record = json!({
        "steps": 300, "seeds": [1, 2], "shared": false,
        "arms": [{"name": "rates", "settings": settings, "chosen": 2}],
    });
    std::fs::write(place.path().join("search.json"), record.to_string()).expect("written");
    let report = Report::read(&[place.path().into()]).expect("a report");
    let notes = report.sections[0].search_notes();
    let edge = "Arm <rates>: 16 is the highest model.width tried; a better one may lie beyond.";
    assert_eq!(notes.last().expect("a note"), edge);
}

#[test]
fn the_page_and_the_picture_draw_the_search() {
    let page = report().write(Format::Html);
    let picture = report()
        .picture(Some(ChartKind::Search), Theme::Light)
        .expect("a picture");
    for text in [&page, &picture] {
        for part in [
            ">Validation loss by learning_rate</text>",
            ">Validation loss, Arm &lt;both&gt;</text>",
            ">1e-4</text>",
            ">failed</text>",
            ">×</text>",
            "Chosen: Arm &lt;rates&gt;: 0.001 (3.100).",
            "Chosen: learning_rate 0.004, dropout 0: 3.100.",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains("NaN\"") && !text.contains("inf"));
    }
    // The page's pictures take its colours; no style of theirs reaches further.
    assert!(page.contains(".picture .ink{fill:var(--ink)}") && !page.contains("\n.ink{"));
    assert!(picture.contains(".ink{fill:#1c1f23}"));
    let none = crate::pictures::report().picture(Some(ChartKind::Search), Theme::Light);
    assert_eq!(none, None, "nothing was searched");
}
