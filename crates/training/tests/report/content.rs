//! What reports say, compared with numbers that were worked out by hand.

use std::path::{Path, PathBuf};

use learned_dropout_training::experiments::{Column, SpeedPlan, Table};
use learned_dropout_training::report::{Format, Report, ReportError, Section};

use crate::study;

pub fn report(folders: &[&Path]) -> Report {
    let folders: Vec<PathBuf> = folders.iter().map(|&folder| folder.into()).collect();
    Report::read(&folders).expect("a report")
}

pub fn study() -> (tempfile::TempDir, Report) {
    let place = tempfile::tempdir().expect("a folder");
    study::write(place.path());
    let report = report(&[place.path()]);
    (place, report)
}

/// Losses 3.0 and 3.2: mean 3.1, deviation √(0.01 + 0.01) = 0.141. Train losses are 0.5 lower.
/// Shares 0.25 and 0.5: mean 0.375, deviation √(2 · 0.125²) = 0.177.
///
/// Parameters of the baseline, without positions: 20 (tokens), 2 layers of 2 + 2 (norms), 12 + 4
/// (attention), 16 + 16 (feed-forward), 2 (the last norm): 126. The masks add 12 + 2 a layer: 154.
/// FLOPs: 2 · 126 + 2 · 4 · 4 · 2 = 316; 2 · 154 + 4 · 4 · 4 · 2 = 436, of which 120 for the masks.
/// These are known after what they mask, so nothing is left out.
#[test]
fn tables_have_the_means_and_spreads() {
    let (_place, report) = study();
    let markdown = report.write(Format::Markdown { all_columns: true });
    let line = |start: &str| {
        let line = markdown.lines().find(|line| line.starts_with(start));
        line.unwrap_or_else(|| panic!("{start}: {markdown}"))
    };
    assert_eq!(
        line("| Learned"),
        "| Learned <dropout> & more | 2/2 | 2.600 ± 0.141 | 2.900 | 3.100 ± 0.141 | 3.400 | – | 3.100 \
         ± 0.141 | 37.5 ± 17.7% | 62.0% | 154 | 436 | 436 | 120 | 800 | 150 ± 0 |"
    );
    // 3.3 − 3.0 and 3.3 − 3.2: 0.3 and 0.1.
    assert_eq!(
        line("| Baseline"),
        "| Baseline | 2/2 | 2.800 ± 0.000 | – | 3.300 ± 0.000 | – | 0.200 ± 0.141 | 3.300 ± 0.000 | – | – | 126 | \
         316 | 316 | – | 800 | 150 ± 0 |"
    );
    assert!(line("| Broken").contains("| 0/2, 1 failed | – |"));
    assert!(markdown.contains("Failed: Broken, seed 1: step 11: the loss is NaN"));
    assert!(markdown.contains("- ldrop 9, A processor, 2 threads\n- precision f32\n"));
    assert!(markdown.contains("$ ldrop experiment 'study file.toml' --out "));
}

/// Of the third arm no run is finished, so their number is shown too.
#[test]
fn a_table_of_which_no_columns_are_asked_for_is_narrow() {
    let (_place, report) = study();
    let markdown = report.write(Format::Markdown { all_columns: false });
    for line in [
        "| Arm | Runs | Validation loss | Kept | Executed FLOPs per token |",
        "| Learned <dropout> & more | 2/2 | 3.100 ± 0.141 | 37.5 ± 17.7% | 436 |",
        "| Broken | 0/2, 1 failed | – | – | – |",
        "Further columns (`--all-columns`): Train loss; Published train loss; Published validation loss; \
         Difference from the first arm; Lowest validation loss; Published kept; Parameters; Dense FLOPs per \
         token; FLOPs per token for masks; Tokens; Training, tokens/s.",
    ] {
        assert!(markdown.contains(line), "{line}: {markdown}");
    }
    let page = report.write(Format::Html);
    assert_eq!(page.matches("<summary>All columns</summary>").count(), 1);
    let narrow = page.find("Executed FLOPs").expect("a column");
    assert!(page.find("Lowest validation loss").expect("a column") > narrow);
}

/// The losses of the seeds are 3.0 and 3.2 at the end, and 0.3 more at the first evaluation. On the set they
/// are twice as large: 6.0 and 6.4, of which the deviation is 0.283.
#[test]
fn losses_on_further_sets_have_a_table_and_a_chart() {
    let (place, before) = study();
    let section = &before.sections[0];
    let (tables, plots) = (section.tables().len(), section.plots().len());
    for seed in [1, 2] {
        let file = place
            .path()
            .join(format!("runs/learned/seed-{seed}/metrics.jsonl"));
        let lines = std::fs::read_to_string(&file).expect("metrics");
        let with_set = |line: &str| {
            let Ok(mut line) = serde_json::from_str::<serde_json::Value>(line) else {
                return line.to_string();
            };
            if line["kind"] == "evaluation" {
                let loss = line["validation_loss"].as_f64().expect("a loss");
                line["sets"] = serde_json::json!({"news": 2.0 * loss});
            }
            line.to_string()
        };
        let lines: Vec<String> = lines.lines().map(with_set).collect();
        std::fs::write(&file, lines.join("\n")).expect("written");
    }
    let report = report(&[place.path()]);
    let section = &report.sections[0];
    let markdown = report.write(Format::Markdown { all_columns: true });
    assert_eq!(section.tables().len(), tables + 1);
    assert!(
        markdown.contains("| Arm | Validation loss | news |"),
        "{markdown}"
    );
    let line = "| Learned <dropout> & more | 3.100 ± 0.141 | 6.200 ± 0.283 |";
    assert!(markdown.contains(line), "{markdown}");
    assert!(
        markdown.contains("| Baseline | 3.300 ± 0.000 | – |"),
        "{markdown}"
    );
    assert!(
        markdown.contains(
            "\n\nLearned <dropout> & more: loss on news 6.200 ± 0.283. 2 seeds. Without a loss on news: \
                           Baseline. Without a finished run: Broken.\n\n| Arm | Validation loss | news |"
        ),
        "{markdown}"
    );
    let csv = report.write(Format::Csv);
    let fields = |start: &str| -> Vec<&str> {
        let line = csv.lines().find(|line| line.starts_with(start));
        let fields: Vec<&str> = line.expect("a line").split(',').collect();
        fields[fields.len() - 3..].to_vec()
    };
    assert_eq!(
        fields("arm,"),
        ["sets.news", "sets.news_deviation", "sets.news_count"]
    );
    let numbers: Vec<f64> = fields("Learned")
        .iter()
        .map(|of| of.parse().expect("a number"))
        .collect();
    assert!((numbers[0] - 6.2).abs() < 1e-9 && (numbers[1] - 0.08_f64.sqrt()).abs() < 1e-9);
    assert_eq!(numbers[2], 2.0);
    assert_eq!(fields("Baseline"), ["", "", ""]);
    let found = section.plots();
    assert_eq!(found.len(), plots + 1);
    let chart = found.last().expect("a chart");
    assert_eq!(chart.title, "Loss on news");
    let tokens = chart.series[0].tokens.as_ref().expect("tokens");
    assert_eq!(tokens, &[200.0, 400.0, 600.0, 800.0]);
    assert_eq!(chart.series.len(), 1);
    let first = &chart.series[0].points[0];
    assert_eq!(first[0], 10.0);
    assert!((first[1] - 6.8).abs() < 1e-9, "{first:?}");
}

/// Losses of the learned arm: 3.3, 3.2, 3.1, 3.0 at steps 10 to 40, and 0.2 more for the second seed,
/// whose 3.2 is the first of at most 3.25. The baseline ends at 3.3.
#[test]
fn the_first_step_below_a_target_is_found() {
    let (_place, mut report) = study();
    let section = &mut report.sections[0];
    section.outline.tables = vec![Table {
        columns: vec![Column::StepsToTarget],
        target: Some(3.25),
        ..Table::default()
    }];
    let table = &section.tables()[0];
    assert_eq!(table.headings, ["Arm", "Steps to validation loss 3.25"]);
    let shown: Vec<String> = table.rows.iter().map(|row| row[1].show()).collect();
    assert_eq!(shown, ["30 ± 14", "–", "–"]);
}

#[test]
fn csv_has_all_digits() {
    let (_place, report) = study();
    let csv = report.write(Format::Csv);
    let mut lines = csv.split("\r\n");
    let header: Vec<&str> = lines.next().expect("a header").split(',').collect();
    let baseline: Vec<&str> = lines.nth(1).expect("a row").split(',').collect();
    let value = |key: &str| {
        let column = header.iter().position(|name| *name == key);
        baseline[column.unwrap_or_else(|| panic!("{key}: {header:?}"))]
    };
    assert_eq!(value("arm"), "Baseline");
    assert_eq!(value("validation_loss"), "3.3");
    assert_eq!(value("validation_loss_deviation"), "0");
    assert_eq!(value("validation_loss_count"), "2");
    assert_eq!(value("kept"), "");
    assert_eq!(value("forward_flops_per_token"), "316");
}

#[test]
fn charts_are_means_over_the_seeds() {
    let (_place, report) = study();
    let plots = report.sections[0].plots();
    let titles: Vec<&str> = plots.iter().map(|plot| plot.title.as_str()).collect();
    assert_eq!(
        titles,
        [
            "Loss",
            "Kept activations",
            "Kept activations by layer",
            "Validation loss against computation"
        ]
    );
    let near = |point: &[f64], expected: &[f64]| {
        let off = point.iter().zip(expected).map(|(a, b)| (a - b).abs());
        assert!(
            point.len() == expected.len() && off.fold(0.0, f64::max) < 1e-9,
            "{point:?}"
        );
    };
    let deviation = 0.02_f64.sqrt();
    let first = &plots[0].series[0];
    assert_eq!(first.points.len(), 4);
    near(
        &first.points[0],
        &[10.0, 3.4, 3.4 - deviation, 3.4 + deviation],
    );
    assert_eq!((first.part, first.thin), (Some("validation"), false));
    let training = &plots[0].series[1];
    assert_eq!((training.part, training.thin), (Some("training"), true));
    assert_eq!((training.style, training.points.len()), (first.style, 4));
    near(
        &training.points[0],
        &[10.0, 2.9, 2.9 - deviation, 2.9 + deviation],
    );
    // Only of the arms with masks; at the end 0.25 and 0.5, the layers 0.05 up and down.
    let layers = &plots[2].series[0];
    let deviation = 0.031_25_f64.sqrt();
    near(
        &layers.points[0],
        &[0.0, 0.425, 0.425 - deviation, 0.425 + deviation],
    );
    assert_eq!(plots[3].series.len(), 2);
    assert_eq!(plots[3].series[1].points[0][..2], [316.0, 3.3]);
    assert_eq!(plots[3].series[1].style, 1, "the same style in every chart");
}

/// A step has 5 · 4 = 20 tokens. The first twenty steps, at 100 tokens a second, take a fifth of a second
/// each, the next twenty, at 300, a fifteenth; the broken arm's ten steps take 2 seconds. Old runs tell
/// the time too, because it comes from the speeds, and what happens between the lines does not count.
#[test]
fn steps_have_their_tokens_and_their_time() {
    let (_place, report) = study();
    let plots = report.sections[0].plots();
    for series in &plots[0].series[..4] {
        let tokens = series.tokens.as_ref().expect("tokens");
        assert_eq!(tokens, &[200.0, 400.0, 600.0, 800.0]);
        let seconds = series.seconds.as_ref().expect("seconds");
        for (found, expected) in seconds
            .iter()
            .zip([2.0, 4.0, 4.0 + 2.0 / 3.0, 4.0 + 4.0 / 3.0])
        {
            assert!((found - expected).abs() < 1e-9, "{seconds:?}");
        }
    }
    assert!(plots[2].series[0].seconds.is_none(), "layers are not steps");
    let course = report.sections[0].course_plots();
    let titles: Vec<&str> = course.iter().map(|plot| plot.title.as_str()).collect();
    assert_eq!(
        titles,
        ["Learning rate", "Norm of the gradient", "Speed of training"]
    );
    let rates = &course[0].series[1];
    assert_eq!((rates.name.as_str(), rates.points.len()), ("Baseline", 40));
    assert_eq!(rates.points[19], [20.0, 5e-4]);
    let speeds = &course[2].series[0].points;
    assert_eq!(
        (&speeds[19][..], &speeds[20][..]),
        (&[20.0, 100.0][..], &[21.0, 300.0][..])
    );
}

#[test]
fn the_page_is_one_file_that_asks_for_nothing() {
    let (_place, report) = study();
    let page = report.write(Format::Html);
    for part in ["http:", "https:", "url(", "src=", "@import", "<link"] {
        // Neither the name of a namespace nor a place in the page itself is asked for.
        let page = page
            .replace("http://www.w3.org/2000/svg", "")
            .replace("url(#", "");
        assert!(!page.contains(part), "{part}");
    }
    for part in [
        "Learned &lt;dropout&gt; &amp; more",
        "First &lt;/script&gt; paragraph.",
        "Once &lt;upon&gt;\na time",
        "step 11: the loss is NaN, &lt;not&gt; a number",
        "1 run is not done yet",
        "default-src 'none'",
    ] {
        assert!(page.contains(part), "{part}");
    }
    assert_eq!(page.matches("</script>").count(), 2);
}

#[test]
fn keys_that_differ_are_listed() {
    let (_place, report) = study();
    let differences = report.sections[0].differences();
    let keys: Vec<String> = differences.rows.iter().map(|row| row[0].show()).collect();
    assert!(
        keys.contains(&"model.learned_dropout.rounding".to_string()),
        "{keys:?}"
    );
    assert!(
        !keys.iter().any(|key| key == "seed" || key == "model.width"),
        "{keys:?}"
    );
    let rounding = keys
        .iter()
        .position(|key| key == "model.learned_dropout.rounding");
    let row = &differences.rows[rounding.expect("listed")];
    assert_eq!(
        (row[1].show().as_str(), row[2].show().as_str()),
        ("stochastic", "–")
    );
}

#[test]
fn single_runs_are_arms_of_their_own() {
    let (place, _) = study();
    let runs = place.path().join("runs");
    let (learned, baseline) = (runs.join("learned/seed-1"), runs.join("baseline/seed-2"));
    let both = report(&[&learned, &baseline]);
    let [Section { arms, .. }] = both.sections.as_slice() else {
        panic!("one section")
    };
    assert_eq!(
        [arms[0].label.as_str(), arms[1].label.as_str()],
        ["learned/seed-1", "baseline/seed-2"]
    );
    let csv = both.write(Format::Csv);
    assert!(
        csv.contains("\r\nbaseline/seed-2,1/1,2.8,,1,3.3,,1,"),
        "{csv}"
    );
    let with_study = report(&[place.path(), &learned]);
    assert_eq!(with_study.sections.len(), 2);
    assert!(
        with_study
            .write(Format::Html)
            .contains("<h2>Run learned/seed-1</h2>")
    );
}

#[test]
fn a_folder_of_something_else_is_named() {
    let place = tempfile::tempdir().expect("a folder");
    let error = Report::read(&[place.path().into()]).expect_err("nothing to report");
    assert!(matches!(error, ReportError::NoRun { .. }));
    let folder = place.path().display().to_string();
    assert_eq!(
        error.to_string(),
        format!(
            "{folder}: neither the folder of a run (no config.toml) nor that of an experiment (no \
             experiment.json)"
        )
    );
    let missing = place.path().join("nothere");
    let error = Report::read(&[missing]).expect_err("nothing to report");
    assert!(matches!(error, ReportError::NoFolder { .. }));
    assert_eq!(
        error.to_string(),
        format!(
            "{folder}/nothere: there is no such folder; expected the folder of a run or an experiment"
        )
    );
    let file = place.path().join("report.html");
    std::fs::write(&file, "").expect("written");
    let error = Report::read(&[file]).expect_err("nothing to report");
    assert!(
        error
            .to_string()
            .contains("report.html: this is a file; expected")
    );
    // The folder above runs.
    let inner = place.path().join("runs");
    for run in ["b c", "a"] {
        std::fs::create_dir_all(inner.join(run)).expect("made");
        std::fs::write(inner.join(run).join("config.toml"), "").expect("written");
    }
    let error = Report::read(&[inner]).expect_err("nothing to report");
    let expected = format!(
        "(no experiment.json); name the folders in it: ldrop report {folder}/runs/a '{folder}/runs/b c'"
    );
    assert!(error.to_string().ends_with(&expected), "{error}");
    std::fs::write(place.path().join("experiment.json"), "{").expect("written");
    let error = Report::read(&[place.path().into()]).expect_err("damaged");
    assert!(
        error.to_string().contains("run `ldrop experiment` again"),
        "{error}"
    );
}

#[test]
fn reports_tell_of_early_ends_and_of_changes() {
    let (place, _) = study();
    let run = place.path().join("runs/baseline/seed-1");
    let metrics = run.join("metrics.jsonl");
    let lines = std::fs::read_to_string(&metrics).expect("metrics");
    let lines: Vec<&str> = lines.lines().collect();
    // The run ends after the evaluation at step 30, of its 40 steps.
    let is_early = |line: &&&str| {
        let line: Option<serde_json::Value> = serde_json::from_str(line).ok();
        line.is_some_and(|line| line["step"].as_u64() <= Some(30))
    };
    let mut early: Vec<&str> = lines.iter().filter(is_early).copied().collect();
    early.push(
        r#"{"kind":"changes","step":20,"before":{"train.clip":1.0},"after":{"train.clip":2.0}}"#,
    );
    early.push(
        r#"{"kind":"end","step":30,"explanation":"no new lowest validation loss in 2 evaluations","reason":"patience","steps":40,"stop":{"patience":2,"threshold":0.0}}"#,
    );
    std::fs::write(&metrics, early.join("\n")).expect("written");
    let changed = "Baseline, seed 1: changed after step 20: train.clip from 1.0 to 2.0.";
    let ended = "Baseline, seed 1: stopped early at step 30: no new lowest validation loss in 2 \
                 evaluations.";
    // The end is not that of the run's configuration: it was to go on.
    let before = report(&[place.path()]).write(Format::Markdown { all_columns: true });
    assert!(before.contains(changed) && !before.contains("stopped early"));
    assert!(before.contains("| Baseline | 1/2 |"), "{before}");
    let config = run.join("config.toml");
    let text = std::fs::read_to_string(&config).expect("a configuration");
    let text = format!("{text}\n[train.stop]\npatience = 2\n");
    std::fs::write(&config, text).expect("written");
    let after = report(&[place.path()]);
    let page = after.write(Format::Html);
    let after = after.write(Format::Markdown { all_columns: true });
    assert!(after.contains(ended) && page.contains(ended), "{after}");
    assert!(page.contains(changed));
    assert!(after.contains("| Baseline | 2/2 |"), "{after}");
}

/// 200 batches of 5 windows, and of 6.
#[test]
fn reports_tell_which_arms_were_evaluated_on_other_windows() {
    let (place, before) = study();
    let note = "The losses were not all measured alike";
    assert!(!before.write(Format::Html).contains(note));
    for seed in [1, 2] {
        let file = place
            .path()
            .join(format!("runs/baseline/seed-{seed}/config.toml"));
        let config = std::fs::read_to_string(&file).expect("a configuration");
        std::fs::write(&file, config.replace("batch = 5", "batch = 6")).expect("written");
    }
    let markdown = report(&[place.path()]).write(Format::Markdown { all_columns: false });
    let expected = "\nThe losses were not all measured alike, so they differ by more than the models. Evaluations \
                    read 1000 random windows of 4 tokens: Learned <dropout> & more, Broken; 1200 random windows \
                    of 4 tokens: Baseline.\n";
    assert!(markdown.contains(expected), "{markdown}");
}

/// Speeds are known by the number of threads: another one would measure them anew.
#[test]
fn the_command_of_an_experiment_names_the_threads_of_its_speeds() {
    let (_place, mut report) = study();
    let command = |report: &Report| report.sections[0].commands().remove(0);
    assert!(!command(&report).contains("--threads"));
    let threads = Some(2);
    report.sections[0].outline.speed = Some(SpeedPlan {
        threads,
        ..SpeedPlan::default()
    });
    let command = command(&report);
    assert!(command.ends_with(" --threads 2"), "{command}");
}

/// The command would train with the last values from the first step on.
#[test]
fn a_run_that_was_changed_on_the_way_has_no_command() {
    let (place, _) = study();
    let runs = place.path().join("runs");
    let (learned, baseline) = (runs.join("learned/seed-1"), runs.join("baseline/seed-2"));
    let metrics = baseline.join("metrics.jsonl");
    let lines = std::fs::read_to_string(&metrics).expect("metrics");
    let change =
        r#"{"kind":"changes","step":20,"before":{"train.clip":1.0},"after":{"train.clip":2.0}}"#;
    std::fs::write(&metrics, format!("{change}\n{lines}")).expect("written");
    let report = report(&[&learned, &baseline]);
    let commands = report.sections[0].commands();
    assert_eq!(commands.len(), 1);
    assert!(commands[0].contains("learned/seed-1"), "{commands:?}");
    let note = "No single command does these again, because their configurations were changed on the way: \
                baseline/seed-2, seed 2.";
    for format in [Format::Html, Format::Markdown { all_columns: false }] {
        assert!(report.write(format).contains(note));
    }
}
