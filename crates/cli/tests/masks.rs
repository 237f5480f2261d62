//! Masks whose function is a Fourier series, in all commands.

mod support;

use support::{failure, json, prepare, run};

#[test]
fn series_become_a_model_that_can_be_used() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path();
    prepare(folder);
    let table = "model.learned_dropout={ site = [\"feed-forward-hidden\", \"attention-heads\"], \
                 input = \"layer-input\", rank = 4, group = 8, gradient = \"kept-only\", \
                 function = { kind = \"fourier\", terms = 3, shift_init = 0.5 }, \
                 penalty = { target_kept = 0.5 } }";
    let train = ["train", "--config", "tiny.toml", "--out", "run", "--set"];
    let trained = json(folder, &[&train[..], &[table]].concat());
    assert_eq!(trained["step"], 12);
    let raised = [
        "train",
        "--out",
        "run",
        "--resume",
        "--set",
        "train.steps=14",
    ];
    assert_eq!(json(folder, &raised)["step"], 14);

    let one_term = table.replace("terms = 3", "terms = 1");
    let parameters = |arguments: &[&str]| {
        let info = json(folder, &[&["info"], arguments].concat());
        info["parameters"].as_u64().expect("a count")
    };
    let cosine = ["--config", "tiny.toml", "--set", &one_term];
    // Amplitude and phase of 2 terms for 8 groups of hidden units and 2 heads in each of 2 layers.
    let more = parameters(&["--model", "run"]) - parameters(&cosine);
    assert_eq!(more, 2 * 2 * (8 + 2) * 2);

    let evaluated = json(folder, &["eval", "--model", "run"]);
    let loss = evaluated["loss"].as_f64().expect("a loss");
    assert!(loss < 6.0, "{evaluated}");
    let inspect = ["inspect", "--model", "run", "--prompt", "line 1: the cat"];
    let sparse = json(folder, &inspect);
    let dense = json(folder, &[&inspect[..], &["--dense"]].concat());
    assert_eq!(sparse["masks"], dense["masks"]);
    assert_eq!(sparse["masks"].as_array().map(Vec::len), Some(4));
    let generate = [
        "generate",
        "--model",
        "run",
        "--prompt",
        "line",
        "--max-tokens",
        "20",
    ];
    assert_eq!(json(folder, &generate)["tokens"], 20);

    let export = ["export", "--model", "run", "--out", "file", "--format"];
    let (code, message) = failure(folder, &[&export[..], &["pt-names"]].concat());
    assert!(
        code == 1 && message.contains("learned_dropout."),
        "{message}"
    );
    run(folder, &[&export[..], &["safetensors"]].concat());

    let published = "model.learned_dropout={ function = { kind = \"fourier\" } }";
    run(
        folder,
        &[
            "train",
            "--config",
            "tiny.toml",
            "--out",
            "other",
            "--set",
            published,
        ],
    );
    let export = [
        "export", "--model", "other", "--out", "file.pt", "--format", "pt-names",
    ];
    let (code, message) = failure(folder, &export);
    assert_eq!(code, 1);
    assert!(
        message.contains("`learned_dropout.function.kind` is fourier"),
        "{message}"
    );
    let too_long = "model.learned_dropout={ function = { kind = \"fourier\", terms = 17 } }";
    let (code, message) = failure(folder, &[&train[..], &[too_long]].concat());
    assert!(
        code == 2 && message.contains("`model.learned_dropout.function.terms` is 17"),
        "{message}"
    );
}
