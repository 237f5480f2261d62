//! The analysis of masks by `ldrop inspect`.

mod support;

use serde_json::Value;

use support::{failure, json, prepare, run};

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value}"))
}

#[test]
fn masks_of_texts_are_analysed() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path();
    prepare(folder);
    run(folder, &["train", "--config", "tiny.toml", "--out", "run"]);
    let inspect = |arguments: &[&str]| {
        json(
            folder,
            &[&["inspect", "--model", "run"], arguments].concat(),
        )
    };

    // A text as long as the context: the analysis agrees with the statistics of inference.
    let short = "line 5: القط";
    assert_eq!(short.len(), 16);
    let plain = inspect(&["--prompt", short]);
    assert!(plain.get("analysis").is_none());
    let analysed = inspect(&["--prompt", short, "--masks"]);
    let analysis = &analysed["analysis"];
    assert_eq!(analysis["tokens"], 16);
    assert!((number(&analysis["kept"]) - number(&plain["kept"])).abs() < 1e-12);
    let masks = analysis["masks"].as_array().expect("a list");
    let kept: Vec<f64> = masks.iter().map(|mask| number(&mask["kept"])).collect();
    let measured = plain["masks"].as_array().expect("a list").iter();
    let measured: Vec<f64> = measured.map(|mask| number(&mask["kept"])).collect();
    assert_eq!(kept, measured);
    let positions = analysis["by_position"].as_array().expect("a list");
    let mean = positions.iter().map(number).sum::<f64>() / positions.len() as f64;
    assert!((mean - number(&analysis["kept"])).abs() < 1e-12);
    let classes = analysis["classes"].as_array().expect("a list").iter();
    assert_eq!(classes.map(|of| number(&of["tokens"])).sum::<f64>(), 16.0);

    // A longer text is read in windows, each of which begins with an empty context.
    std::fs::write(folder.join("two.txt"), short.repeat(2)).expect("written");
    let page = ["--file", "two.txt", "--html", "page.html"];
    let twice = &inspect(&page)["analysis"];
    assert_eq!(twice["tokens"], 32);
    assert_eq!(twice["by_position"], analysis["by_position"]);
    let html = std::fs::read_to_string(folder.join("page.html")).expect("a page");
    assert!(html.contains("Masks of run") && html.contains("32 tokens of two.txt"));

    let picture = ["--file", "two.txt", "--svg", "masks.svg", "--theme", "dark"];
    assert_eq!(inspect(&picture)["analysis"], *twice);
    let svg = std::fs::read_to_string(folder.join("masks.svg")).expect("a picture");
    assert!(
        svg.contains("the masks of run") && svg.contains(&short.repeat(2)),
        "{svg}"
    );

    let data = inspect(&["--data", "data", "--max-tokens", "40"]);
    assert_eq!(data["analysis"]["tokens"], 40);
    assert_eq!(
        data["analysis"]["by_position"].as_array().map(Vec::len),
        Some(16)
    );
    assert!(data.get("logits").is_none());
    let words = run(folder, &["inspect", "--model", "run", "--data", "data"]).stdout;
    let words = String::from_utf8(words).expect("text");
    assert!(
        words.contains("overlap of two tokens") && words.contains("white space"),
        "{words}"
    );
}

#[test]
fn what_cannot_be_analysed_is_refused() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path();
    prepare(folder);
    let train = ["train", "--config", "tiny.toml", "--out", "run", "--set"];
    run(folder, &[&train[..], &["model.learned_dropout="]].concat());
    let inspect = ["inspect", "--model", "run"];
    let refused = |arguments: &[&str]| failure(folder, &[&inspect[..], arguments].concat());
    let (code, message) = refused(&["--prompt", "abc", "--html", "page.html"]);
    assert!(
        code == 2 && message.contains("no learned masks"),
        "{message}"
    );
    assert!(!folder.join("page.html").exists());
    let (code, message) = refused(&["--file", "none.txt"]);
    assert!(code == 1 && message.contains("none.txt"), "{message}");
    let (code, _) = refused(&["--prompt", "abc", "--data", "data"]);
    assert_eq!(code, 2);
    let other = [
        "data",
        "prepare",
        "text.txt",
        "--out",
        "other",
        "--tokenizer",
        "char",
    ];
    run(folder, &other);
    let (code, message) = refused(&["--data", "other"]);
    assert!(code == 1 && message.contains("tokenizer"), "{message}");
}
