//! What happens before the runs of an experiment, and what is left to measure after them.

use std::path::Path;

use burn::tensor::Device;
use data::progress::Silent;
use learned_dropout_training::experiments::{
    DefaultBase, Experiment, ExperimentError, Measurement, Measurements, PlannedRun,
};
use learned_dropout_training::precision::PrecisionChoice;

const BASE: &str = "
data.path = 'none'
model = { context = 8, width = 8, heads = 2, layers = 1 }
train = { steps = 6, batch = 2 }
";

const STUDY: &str = "
seeds = [1, 2]
data = { sources = ['my.txt'], tokenizer = 'byte' }
[[arm]]
name = 'only'
[speed]
decode = 3
rounds = 1
";

fn read(folder: &Path, text: &str) -> Experiment {
    let file = folder.join("study.toml");
    std::fs::write(&file, text).unwrap();
    let base = DefaultBase {
        text: BASE,
        name: "the default",
    };
    Experiment::read(&file, base).unwrap_or_else(|error| panic!("{error}"))
}

/// An experiment whose text is prepared in the folder `out`.
fn prepared(folder: &Path) -> (Experiment, std::path::PathBuf) {
    let experiment = read(folder, STUDY);
    let out = folder.join("out");
    std::fs::write(folder.join("my.txt"), "a text ".repeat(50)).unwrap();
    std::fs::create_dir(&out).unwrap();
    experiment.prepare_data(&out, 1, &Silent).unwrap();
    experiment.outline.write(&out).unwrap();
    (experiment, out)
}

#[test]
fn text_is_prepared_once_and_in_one_way() {
    let place = tempfile::tempdir().unwrap();
    let (experiment, out) = prepared(place.path());
    experiment.check_preparation(&out).unwrap();
    // What is there is not prepared again, even if its source is gone.
    std::fs::remove_file(place.path().join("my.txt")).unwrap();
    experiment.prepare_data(&out, 1, &Silent).unwrap();

    let changed = read(place.path(), &STUDY.replace("'byte'", "'char'"));
    let error = changed.check_preparation(&out).unwrap_err();
    let ExperimentError::PreparedOtherwise { before, now, .. } = &error else {
        panic!("{error}")
    };
    assert!(before.contains("tokenizer byte") && now.contains("tokenizer char"));
}

#[test]
fn a_source_that_does_not_exist_is_named() {
    let place = tempfile::tempdir().unwrap();
    let experiment = read(place.path(), STUDY);
    let out = place.path().join("out");
    let error = experiment.prepare_data(&out, 1, &Silent).unwrap_err();
    assert!(matches!(error, ExperimentError::NoSource { .. }), "{error}");
    assert!(error.to_string().contains("my.txt"), "{error}");
    assert!(!out.exists());
}

#[test]
fn a_validation_text_of_its_own_is_prepared() {
    let place = tempfile::tempdir().unwrap();
    let own = "sources = ['my.txt'], validation_sources = ['own.txt']";
    let experiment = read(place.path(), &STUDY.replace("sources = ['my.txt']", own));
    let preparation = &experiment.outline.preparation;
    assert!(
        preparation.contains("my.txt, tokenizer byte, for validation "),
        "{preparation}"
    );
    std::fs::write(place.path().join("my.txt"), "a text").unwrap();
    let out = place.path().join("out");
    let error = experiment
        .prepare_data(&out, 1, &Silent)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("`data.validation_sources`: there is no "),
        "{error}"
    );
    std::fs::write(place.path().join("own.txt"), "of its own").unwrap();
    experiment.prepare_data(&out, 1, &Silent).unwrap();
    let data = data::DataFolder::open(out.join("data")).unwrap();
    let meta = data.meta();
    assert_eq!((meta.train.tokens, meta.validation.tokens), (6, 10));
    assert_eq!((meta.sources.len(), meta.validation_sources.len()), (1, 1));
}

/// Of every arm and every setting that is searched, before any run; once for arms that share a problem.
#[test]
fn data_that_does_not_fit_is_told_of_all_arms_together() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    let prepare = |name: &str, tokenizer: &str, text: &str| {
        let source = folder.join(format!("{name}.txt"));
        std::fs::write(&source, text).unwrap();
        let tokenizer = tokenizer.parse().unwrap();
        let options = data::PrepareOptions {
            tokenizer,
            validation: 0.5,
            ..data::PrepareOptions::new(
                vec![data::sources::Source::Path(source)],
                folder.join(name),
            )
        };
        data::prepare(&options, &Silent).unwrap();
    };
    // 25 tokens for each part, of which a window of 8 needs 9.
    prepare("good", "byte", &"words".repeat(10));
    prepare("short", "byte", &"words".repeat(2));
    prepare("characters", "char", &"words".repeat(10));
    let study = "
seeds = [1]
set.data.path = 'good'
[sweep]
steps = 2
[[arm]]
name = 'fits'
sweep = false
set.train.evaluate.sets = { own = 'good' }
[[arm]]
name = 'long'
sweep = false
set.model.context = 25
[[arm]]
name = 'absent'
sweep = false
set.data.path = 'nowhere'
[[arm]]
name = 'sets'
sweep = false
set.train.evaluate.sets = { short = 'short', other = 'characters', none = 'nothing' }
[[arm]]
name = 'again'
sweep = false
set.train.evaluate.sets = { short = 'short' }
[[arm]]
name = 'words'
sweep = false
set.model.vocabulary = 99
[[arm]]
name = 'searched'
sweep.train.from = ['good', 'no-model']
";
    let experiment = read(folder, study);
    let out = folder.join("out");
    let error = experiment.check_data(&out).unwrap_err().to_string();
    let lines: Vec<&str> = error.lines().collect();
    let at = |path: &str| folder.join(path).display().to_string();
    let expected = [
        format!("{}: arms do not fit their data:", at("study.toml")),
        format!(
            "  arm `long`: `model.context` is 25: {} has 25 tokens, but 26 are needed; prepare",
            at("good/train.bin")
        ),
        format!(
            "  arm `absent`: `data.path`: {}: there is no such file or folder; name a data folder",
            at("nowhere")
        ),
        format!(
            "  arm `sets`: train.evaluate.sets.none: {}: there is no such folder; make one with `ldrop",
            at("nothing")
        ),
        format!(
            "  arm `sets`: train.evaluate.sets.other: {} was prepared with another tokenizer",
            at("characters")
        ),
        format!(
            "  arms `sets`, `again`: train.evaluate.sets.short: {} has 5 tokens, but 9 are needed; prepare",
            at("short/val.bin")
        ),
        "  arm `words`: ".into(),
        format!(
            "  arm `searched`: train.from: {}: neither a model folder",
            at("good")
        ),
        format!(
            "  arm `searched`: train.from: {}: there is no such folder; expected a model folder",
            at("no-model")
        ),
    ];
    assert_eq!(lines.len(), expected.len(), "{error}");
    for (line, expected) in lines.iter().zip(&expected) {
        assert!(line.starts_with(expected), "{line}\n{expected}");
    }
    let words = lines[6];
    assert!(
        words.contains("99") && words.contains("256") && words.contains("vocabulary"),
        "{words}"
    );
    let only = |name: &str| {
        let arms = study.split("[[arm]]");
        let arms = arms.filter(|arm| arm.contains(&format!("'{name}'")) || !arm.contains("name"));
        let study = arms.collect::<Vec<_>>().join("[[arm]]");
        read(
            folder,
            &study
                .replace("[sweep]\nsteps = 2\n", "")
                .replace("sweep = false\n", ""),
        )
    };
    only("fits").check_data(&out).unwrap();
}

#[test]
fn runs_have_what_they_would_decide_themselves() {
    let place = tempfile::tempdir().unwrap();
    let (experiment, out) = prepared(place.path());
    let decided = |precision| experiment.decided_runs(&out, &Device::flex(), precision);
    let runs = decided(None).unwrap();
    assert_eq!(runs.len(), 2);
    for run in &runs {
        assert_eq!(run.config.model.vocabulary, Some(256));
        assert_ne!(run.config.train.precision, PrecisionChoice::Auto);
    }
    runs[0].set_up().unwrap();
    let bf16 = decided(Some(PrecisionChoice::Bf16));
    let f32 = decided(Some(PrecisionChoice::F32));
    // The run that is set up has one of the two; the other is a change.
    assert!(bf16.is_ok() != f32.is_ok());
    let error = bf16.err().or(f32.err()).unwrap();
    let ExperimentError::Changed(changed) = &error else {
        panic!("{error}")
    };
    assert_eq!(changed.len(), 1);
    assert!(error.to_string().contains("train.precision was"), "{error}");
}

/// Two arms, two seeds; the runs of which are finished.
fn two_finished_arms(folder: &Path) -> (Experiment, Vec<PlannedRun>) {
    let (mut experiment, out) = prepared(folder);
    let mut second = experiment.outline.arms[0].clone();
    second.name = "other".into();
    experiment.outline.arms.push(second);
    experiment.configs.push(experiment.configs[0].clone());
    let runs = experiment
        .decided_runs(&out, &Device::flex(), None)
        .unwrap();
    assert!(experiment.remaining_measurements(&runs).unwrap().is_empty());
    for run in &runs {
        finish(run);
    }
    (experiment, runs)
}

fn finish(run: &PlannedRun) {
    std::fs::create_dir_all(&run.folder).unwrap();
    let evaluated = "{\"kind\": \"evaluation\", \"step\": 6, \"train_loss\": 1.0, \
                     \"validation_loss\": 1.0, \"best\": true, \"mask\": null}\n";
    std::fs::write(run.folder.join("metrics.jsonl"), evaluated).unwrap();
}

#[test]
fn only_what_is_planned_and_not_made_yet_is_measured() {
    let place = tempfile::tempdir().unwrap();
    let (experiment, runs) = two_finished_arms(place.path());
    let first = &runs[..1];
    let mut remaining = experiment.remaining_measurements(first).unwrap();
    assert_eq!(remaining.len(), 1);
    let bench = remaining.remove(0);
    assert_eq!(
        bench.planned.arguments.join(" "),
        "bench decode --tokens 3 --rounds 1"
    );

    let old = Measurement {
        arguments: vec!["eval".into()],
        sparsity: None,
        together: Vec::new(),
        result: 1.into(),
    };
    Measurements(vec![old]).write(&first[0].folder).unwrap();
    bench.keep(vec![2.into()]).unwrap();
    assert!(experiment.remaining_measurements(first).unwrap().is_empty());
    let made = bench.planned.with_result(2.into(), &[]);
    assert_eq!(Measurements::read(&first[0].folder).0, [made]);
}

/// Speeds are compared between arms, so a process times all arms; and a speed that was measured without an arm
/// which is there now does not count.
#[test]
fn speeds_of_all_arms_are_measured_by_one_process() {
    let place = tempfile::tempdir().unwrap();
    let (experiment, runs) = two_finished_arms(place.path());
    // The first arm alone, as before the second one was added, and as older programs did it.
    let alone = experiment.remaining_measurements(&runs[..1]).unwrap();
    alone[0].keep(vec![1.into()]).unwrap();
    let remaining = experiment.remaining_measurements(&runs).unwrap();
    // Speeds are measured with the first seed only.
    assert_eq!(remaining.len(), 1);
    let arms: Vec<(usize, u64)> = remaining[0]
        .runs
        .iter()
        .map(|of| (of.arm, of.seed))
        .collect();
    assert_eq!(arms, [(0, 1), (1, 1)]);
    remaining[0].keep(vec![2.into(), 3.into()]).unwrap();
    assert!(experiment.remaining_measurements(&runs).unwrap().is_empty());
    for (run, result) in runs[..2].iter().zip([2, 3]) {
        let Measurements(made) = Measurements::read(&run.folder);
        assert_eq!(made.len(), 1);
        assert_eq!(made[0].result, result);
        assert_eq!(made[0].together, ["only", "other"]);
    }
}
