//! Losses of different texts, tokenizers or windows are not compared, worked out by hand.

use std::path::Path;

use learned_dropout_training::experiments::ChartKind;
use learned_dropout_training::report::{DataTable, Format, Report, Section, Theme};
use serde_json::{Value, json};

/// A run of an arm: what its configuration names, what its metrics record, and its losses.
#[derive(Clone)]
struct Run {
    arm: &'static str,
    data: &'static str,
    vocabulary: usize,
    batch: usize,
    /// Fingerprints of the validation split and of the set `news`.
    fingerprints: Option<[&'static str; 2]>,
    /// Tokens of the validation split. Its windows are fixed if this is not 0.
    tokens: u64,
    loss: f64,
    /// The folder of the set `news`, and the loss on it.
    news: Option<(&'static str, f64)>,
}

/// A run on `data/a`, without a set.
fn run(arm: &'static str, loss: f64) -> Run {
    Run {
        arm,
        data: "data/a",
        vocabulary: 10,
        batch: 1,
        fingerprints: None,
        tokens: 0,
        loss,
        news: None,
    }
}

fn write(folder: &Path, runs: &[Run], preparation: &str) {
    let arms: Vec<Value> = runs
        .iter()
        .map(|run| json!({"name": run.arm, "label": run.arm.to_uppercase()}))
        .collect();
    let outline = json!({"title": "Runs", "seeds": [1], "arms": arms, "preparation": preparation});
    std::fs::write(folder.join("experiment.json"), outline.to_string()).expect("written");
    for run in runs {
        let path = folder.join("runs").join(run.arm).join("seed-1");
        std::fs::create_dir_all(&path).expect("made");
        let windows = if run.tokens > 0 { "fixed" } else { "random" };
        let sets = run.news.map_or(String::new(), |(data, _)| {
            format!("[train.evaluate.sets]\nnews = '{data}'\n")
        });
        let config = format!(
            "seed = 1\ndata.path = '{}'\n\
             model = {{ vocabulary = {}, context = 4, width = 2, heads = 1, layers = 1 }}\n\
             [train]\nsteps = 5\nbatch = {}\nprecision = 'f32'\nevaluate.windows = '{windows}'\n{sets}",
            run.data, run.vocabulary, run.batch
        );
        std::fs::write(path.join("config.toml"), config).expect("written");
        let mut environment = json!({
            "kind": "environment", "step": 0, "program": "p", "processor": "c", "device": "cpu",
            "threads": 1,
        });
        if let Some([validation, news]) = run.fingerprints {
            let text =
                |fingerprint: &str| json!({"fingerprint": fingerprint, "tokens": run.tokens});
            environment["data"] = json!({
                "train": text(run.arm), "validation": text(validation), "sets": {"news": text(news)},
            });
        }
        let mut evaluation = json!({
            "kind": "evaluation", "step": 5, "train_loss": run.loss, "validation_loss": run.loss,
        });
        if let Some((_, loss)) = run.news {
            evaluation["sets"] = json!({"news": loss});
        }
        let lines = format!("{environment}\n{evaluation}\n");
        std::fs::write(path.join("metrics.jsonl"), lines).expect("written");
    }
}

fn section_of(runs: &[Run], preparation: &str) -> Section {
    let place = tempfile::tempdir().expect("a folder");
    write(place.path(), runs, preparation);
    let mut report = Report::read(&[place.path().into()]).expect("a report");
    report.sections.remove(0)
}

fn section(runs: &[Run]) -> Section {
    section_of(runs, "")
}

fn headline(table: &DataTable) -> &str {
    table.headline.as_deref().expect("a headline")
}

const OTHER_TEXT: &str = "No arm is the best of all: the losses were measured on different texts, or with \
                          different tokenizers, so they cannot be compared.";

#[test]
fn arms_on_other_data_are_not_compared() {
    let other = |arm, loss| Run {
        data: "data/b",
        ..run(arm, loss)
    };
    let section = section(&[
        run("a", 3.2),
        other("b", 2.0),
        run("c", 3.0),
        other("d", 2.25),
        Run {
            data: "data/c",
            ..run("e", 1.0)
        },
    ]);
    let table = &section.tables()[0];
    assert_eq!(
        headline(table),
        format!(
            "{OTHER_TEXT} Of A and C, measured alike: C has the lowest validation loss, 3.000: 0.200 lower than A, \
             the next one and the first arm. Of B and D, measured alike: B has the lowest validation loss, \
             2.000: 0.250 lower than D, the next one. E: validation loss 1.000. One seed each, so the spread \
             between seeds is not known."
        )
    );
    // Nor is a difference from the first arm shown where there is none to speak of.
    let column = table
        .keys
        .iter()
        .position(|key| key == "validation_loss_difference");
    let column = column.expect("a column");
    let shown: Vec<String> = table.rows.iter().map(|row| row[column].show()).collect();
    assert_eq!(shown, ["–", "–", "-0.200", "–", "–"]);
}

#[test]
fn another_vocabulary_or_other_windows_are_told_too() {
    let tokenizer = section(&[
        run("a", 3.2),
        Run {
            vocabulary: 20,
            ..run("b", 3.0)
        },
    ]);
    assert!(headline(&tokenizer.tables()[0]).starts_with(OTHER_TEXT));
    let windows = section(&[
        run("a", 3.2),
        Run {
            batch: 2,
            ..run("b", 3.0)
        },
    ]);
    assert_eq!(
        headline(&windows.tables()[0]),
        "No arm is the best of all: the losses were measured on different windows of the text, so they cannot be \
         compared. A: validation loss 3.200. B: validation loss 3.000. One seed each, so the spread between \
         seeds is not known."
    );
}

/// Fingerprints tell the same tokens in two folders from other ones in one folder.
#[test]
fn recorded_fingerprints_decide() {
    let with = |run: Run, validation| Run {
        fingerprints: Some([validation, "n"]),
        ..run
    };
    let elsewhere = Run {
        data: "data/b",
        ..run("b", 3.0)
    };
    let copied = section(&[with(run("a", 3.2), "v"), with(elsewhere.clone(), "v")]);
    assert_eq!(
        headline(&copied.tables()[0]),
        "B has the lowest validation loss, 3.000: 0.200 lower than A, the next one and the first arm. One seed \
         each, so the spread between seeds is not known."
    );
    let replaced = section(&[with(run("a", 3.2), "v"), with(run("b", 3.0), "w")]);
    assert!(headline(&replaced.tables()[0]).starts_with(OTHER_TEXT));
    // Their training data differ, which is no reason not to compare them; but their training losses are not.
    let title = |kind| copied.plot(Some(kind)).expect("a plot").title;
    assert_eq!(title(ChartKind::ValidationLoss), "Validation loss");
    assert_eq!(
        title(ChartKind::TrainLoss),
        "Train loss (measured on different texts: not comparable)"
    );
}

/// 200 batches of one or two windows. A text of 800 tokens has 199 windows of 4 whose tokens are all predicted, so
/// both read all of it; one of 801 tokens has 200.
#[test]
fn evaluations_of_a_whole_text_are_alike() {
    let with = |arm, loss, batch, tokens| Run {
        batch,
        tokens,
        fingerprints: Some(["v", "n"]),
        ..run(arm, loss)
    };
    let both = |tokens| section(&[with("a", 3.2, 1, tokens), with("b", 3.0, 2, tokens)]);
    let (short, long) = (both(800), both(801));
    assert!(headline(&short.tables()[0]).starts_with("B has the lowest"));
    assert!(headline(&long.tables()[0]).contains("measured on different windows of the text"));
}

/// All runs of an experiment that prepares its own text have that text, also one that came from another
/// experiment. A prepared folder may have been replaced in the file since.
#[test]
fn an_experiment_that_prepares_its_text_has_one() {
    let runs = [
        run("a", 3.2),
        Run {
            data: "elsewhere/data",
            ..run("b", 3.0)
        },
    ];
    let own = section_of(&runs, "my.txt, tokenizer char");
    assert!(headline(&own.tables()[0]).starts_with("B has the lowest"));
    let folder = section_of(&runs, "the data folder data/a");
    assert!(headline(&folder.tables()[0]).starts_with(OTHER_TEXT));
}

#[test]
fn a_set_of_one_name_may_be_two_texts() {
    let news = |arm, folder, loss| Run {
        news: Some((folder, loss)),
        ..run(arm, 3.0)
    };
    let section = section(&[
        news("a", "news/a", 4.0),
        news("b", "news/a", 4.5),
        news("c", "news/c", 1.0),
        run("d", 3.0),
    ]);
    let sets = &section.tables()[1];
    assert_eq!(
        headline(sets),
        format!(
            "{OTHER_TEXT} Of A and B, measured alike: A, the first arm, has the lowest loss on news, 4.000: 0.500 \
             lower than B, the next one. C: loss on news 1.000. One seed each, so the spread between seeds is \
             not known. Without a loss on news: D."
        )
    );
    // Their validation losses are of one text.
    assert!(headline(&section.tables()[0]).starts_with("A (the first arm), B, C and D are tied"));
    let titles: Vec<String> = section.plots().into_iter().map(|plot| plot.title).collect();
    assert_eq!(
        titles.last().expect("a plot"),
        "Loss on news (measured on different texts: not comparable)"
    );
    assert_eq!(titles[0], "Loss");
}

/// Whatever shows the losses together says that they cannot be compared, and marks none as the lowest.
#[test]
fn page_picture_and_document_warn() {
    let place = tempfile::tempdir().expect("a folder");
    let other = Run {
        data: "data/b",
        ..run("b", 3.0)
    };
    let read = || Report::read(&[place.path().into()]).expect("a report");
    write(place.path(), &[run("a", 3.2), run("b", 3.0)], "");
    let best = "class=\"number best\"";
    assert!(read().write(Format::Html).contains(best));
    write(place.path(), &[run("a", 3.2), other], "");
    let report = read();
    let page = report.write(Format::Html);
    assert!(!page.contains(best));
    let heading = "Loss (measured on different texts: not comparable)";
    assert!(page.contains(&format!("<figcaption>{heading}</figcaption>")));
    let picture = report.picture(None, Theme::Light).expect("a picture");
    assert!(picture.contains(&format!(">{heading}</text>")), "{picture}");
    let note = "\nThe losses were not all measured alike, so they differ by more than the models. Evaluations read \
                200 random windows of 4 tokens in data/a: A; 200 random windows of 4 tokens in data/b: B.\n";
    let document = report.write(Format::Markdown { all_columns: true });
    assert!(document.contains(note), "{document}");
    // Other things than losses can be compared.
    let kept = report.sections[0].course_plots();
    assert!(kept.iter().all(|plot| !plot.title.contains("comparable")));
}
