//! Whole runs of a tiny model: stopping, resuming, damage, divergence.

mod support;

use std::path::Path;

use learned_dropout_training::checkpoints::{BEST, LATEST};
use learned_dropout_training::config::RunConfig;
use learned_dropout_training::metrics::{
    EnvironmentMetrics, EvaluationMetrics, Metrics, StepMetrics,
};
use learned_dropout_training::run_folder::RunFolderError;
use learned_dropout_training::trainer::{Setup, TrainError};
use support::{Place, finish, train};

/// The names of the checkpoints of a run.
fn checkpoints(run: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(run.join("checkpoints"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// The metrics that do not depend on the clock.
fn metrics(run: &Path) -> Vec<String> {
    std::fs::read_to_string(run.join("metrics.jsonl"))
        .unwrap()
        .lines()
        .map(|line| match serde_json::from_str(line).unwrap() {
            Metrics::Step(step) => format!("{} {} {}", step.step, step.loss, step.gradient_norm),
            Metrics::Evaluation(of) => {
                format!("{} {} {}", of.step, of.train_loss, of.validation_loss)
            }
            Metrics::Sample(sample) => format!("{} {}", sample.step, sample.text),
            Metrics::Environment(of) => {
                format!("{:?}", EnvironmentMetrics { time: None, ..of })
            }
            other => format!("{other:?}"),
        })
        .collect()
}

#[test]
fn a_run_learns_and_reports() {
    let place = Place::new();
    let run = place.run("run");
    let mut trainer = place
        .start(
            &run,
            &[
                "train.steps=60",
                "train.evaluate.every=30",
                "train.log_every=20",
            ],
        )
        .unwrap();
    let (outcome, saved, samples, _) = train(&mut trainer, None);
    let outcome = outcome.unwrap();
    assert_eq!((outcome.state.step, outcome.state.micro_batches), (60, 120));
    assert_eq!(outcome.state.tokens, 60 * 2 * 2 * 8);
    assert_eq!(samples.len(), 2);
    assert!(samples[0].starts_with("ab 4 "), "{samples:?}");
    assert!(saved.iter().any(|saved| saved.best));
    let lines: Vec<Metrics> = std::fs::read_to_string(run.join("metrics.jsonl"))
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let steps: Vec<&StepMetrics> = lines
        .iter()
        .filter_map(|line| {
            if let Metrics::Step(step) = line {
                Some(step)
            } else {
                None
            }
        })
        .collect();
    assert_eq!(
        steps.iter().map(|step| step.step).collect::<Vec<_>>(),
        [1, 20, 40, 60]
    );
    // A new model finds all 256 tokens equally likely.
    assert!(
        (steps[0].loss - 256_f64.ln()).abs() < 0.5,
        "{}",
        steps[0].loss
    );
    assert!(steps[3].loss < steps[0].loss - 0.5, "{}", steps[3].loss);
    let mask = steps[1].mask.as_ref().unwrap();
    assert_eq!(mask.layers.len(), 2);
    assert!((0.0..=1.0).contains(&mask.mean.kept) && mask.mean.changed.is_some());
    assert!(steps[1].penalty.is_some() && steps[1].penalty_coefficient == Some(0.1));
    assert!(steps[1].model_flops_utilization.is_some());
    for file in [
        "config.json",
        "tokenizer.json",
        "generation_config.json",
        "trainer_state.json",
    ] {
        assert!(
            outcome.latest.as_ref().unwrap().join(file).exists(),
            "{file}"
        );
    }
    let again = RunConfig::read(&run.join("config.toml"), &[]).unwrap();
    assert_eq!(&again, trainer.config());
    assert_eq!(again.model.vocabulary, Some(256));
    model::model_folder::read(&outcome.latest.unwrap()).unwrap();
}

#[test]
fn a_stopped_run_resumes_with_the_same_bits() {
    let place = Place::new();
    // Also on processors without bf16.
    let bf16 = ["train.precision=bf16"];
    let whole = finish(place.start(&place.run("whole"), &bf16).unwrap());
    for stop_at in 1..6 {
        let run = place.run(&format!("stopped-{stop_at}"));
        let mut trainer = place.start(&run, &bf16).unwrap();
        let outcome = train(&mut trainer, Some(stop_at)).0.unwrap();
        assert!(outcome.stopped);
        assert_eq!(outcome.state.step, stop_at);
        assert!(matches!(
            place.resume(&run, &[]),
            Err(TrainError::RunFolder(RunFolderError::Busy { .. }))
        ));
        drop(trainer);
        assert_eq!(
            finish(place.resume(&run, &[]).unwrap()),
            whole,
            "stopped at {stop_at}"
        );
        assert_eq!(metrics(&run), metrics(&place.run("whole")));
    }
}

#[test]
fn a_killed_run_resumes_with_the_same_bits() {
    let place = Place::new();
    let whole = finish(place.start(&place.run("whole"), &[]).unwrap());
    // The folder of a process that was killed while it wrote the checkpoint of step 4: the checkpoints
    // of steps 3 and 2, a temporary folder, and metrics with an incomplete line.
    let run = place.run("killed");
    drop(finish(
        place.start(&run, &["train.checkpoint.keep=9"]).unwrap(),
    ));
    let folder = run.join("checkpoints");
    std::fs::remove_dir_all(folder.join("step-00000006")).unwrap();
    std::fs::rename(
        folder.join("step-00000004"),
        folder.join(".tmp-step-00000004"),
    )
    .unwrap();
    let lines = std::fs::read(run.join("metrics.jsonl")).unwrap();
    std::fs::write(run.join("metrics.jsonl"), &lines[..lines.len() - 30]).unwrap();
    let again = finish(place.resume(&run, &["train.checkpoint.keep=2"]).unwrap());
    assert_eq!(again, whole);
    assert_eq!(metrics(&run), metrics(&place.run("whole")));
    assert!(!checkpoints(&run).iter().any(|name| name.starts_with('.')));
    // A run that was killed before its first checkpoint.
    let run = place.run("early");
    drop(place.start(&run, &[]).unwrap());
    assert_eq!(finish(place.resume(&run, &[]).unwrap()), whole);
}

#[test]
fn a_damaged_checkpoint_is_named_and_the_one_before_it_used() {
    let place = Place::new();
    let run = place.run("run");
    let whole = finish(place.start(&run, &["train.checkpoint.keep=9"]).unwrap());
    let newest = run.join("checkpoints/step-00000006/model.safetensors");
    let bytes = std::fs::read(&newest).unwrap();
    std::fs::write(&newest, &bytes[..bytes.len() - 1]).unwrap();
    let mut trainer = place.resume(&run, &[]).unwrap();
    assert_eq!(trainer.state().step, 4);
    let (outcome, _, _, damaged) = train(&mut trainer, None);
    assert_eq!(damaged, 1);
    assert_eq!(
        std::fs::read(outcome.unwrap().latest.unwrap().join("model.safetensors")).unwrap(),
        whole[0]
    );
    drop(trainer);
    for name in checkpoints(&run) {
        std::fs::write(run.join("checkpoints").join(name).join("config.json"), "{}").unwrap();
    }
    let error = place.resume(&run, &[]).err().unwrap();
    assert!(matches!(error, TrainError::AllDamaged { .. }), "{error}");
    assert!(
        error
            .to_string()
            .contains("step-00000006/config.json: 2 bytes, expected "),
        "{error}"
    );
}

#[test]
fn a_diverging_run_stops_and_keeps_what_it_has() {
    let place = Place::new();
    let run = place.run("run");
    let overrides = [
        "train.optimizer.learning_rate=1e30",
        "train.schedule.warmup=0",
        "train.optimizer.minimum_learning_rate=0.0",
    ];
    let mut trainer = place.start(&run, &overrides).unwrap();
    let error = train(&mut trainer, None).0.unwrap_err();
    let TrainError::Diverged { step, .. } = error else {
        panic!("{error}")
    };
    assert!((1..=4).contains(&step), "{error}");
    assert!(
        error
            .to_string()
            .contains("Try a lower train.optimizer.learning_rate"),
        "{error}"
    );
    // The coefficient is 0 in the first step and more than an f32 holds in the second.
    let run = place.run("later");
    let penalty = "model.learned_dropout.penalty={coefficient=1e300, exponential_rate=200.0}";
    let mut trainer = place
        .start(&run, &[penalty, "train.checkpoint.every=1"])
        .unwrap();
    let error = train(&mut trainer, None).0.unwrap_err();
    let message = error.to_string();
    assert!(
        message.starts_with("step 2: the norm of the gradients is "),
        "{message}"
    );
    assert!(message.contains("the last checkpoint is "), "{message}");
    drop(trainer);
    assert_eq!(checkpoints(&run), ["step-00000001"]);
    assert_eq!(place.resume(&run, &[]).unwrap().state().step, 1);
}

#[test]
fn the_last_checkpoints_and_the_best_are_kept() {
    let place = Place::new();
    let run = place.run("run");
    let overrides = [
        "train.steps=12",
        "train.checkpoint.every=1",
        "train.evaluate.every=2",
    ];
    drop(finish(place.start(&run, &overrides).unwrap()));
    let read = |file: &str| {
        std::fs::read_to_string(run.join(file))
            .unwrap()
            .trim()
            .to_string()
    };
    assert_eq!(read(LATEST), "step-00000012");
    let mut expected = vec!["step-00000011".to_string(), read(LATEST), read(BEST)];
    expected.sort();
    expected.dedup();
    assert_eq!(checkpoints(&run), expected);
    let evaluations: Vec<EvaluationMetrics> = std::fs::read_to_string(run.join("metrics.jsonl"))
        .unwrap()
        .lines()
        .filter_map(|line| match serde_json::from_str(line).unwrap() {
            Metrics::Evaluation(evaluation) => Some(evaluation),
            _ => None,
        })
        .collect();
    assert_eq!(evaluations.len(), 6);
    let best = evaluations
        .iter()
        .min_by(|left, right| left.validation_loss.total_cmp(&right.validation_loss))
        .unwrap();
    assert_eq!(read(BEST), format!("step-{:08}", best.step));
}

#[test]
fn only_harmless_keys_may_differ_on_resuming() {
    let place = Place::new();
    let run = place.run("run");
    drop(finish(place.start(&run, &[]).unwrap()));
    let error = place
        .resume(&run, &["train.batch=3", "seed=4", "train.steps=7"])
        .err()
        .unwrap();
    let TrainError::ConfigChanged { keys, .. } = error else {
        panic!("{error}")
    };
    assert_eq!(keys, ["seed", "train.batch"]);
    let mut longer = place.resume(&run, &["train.steps=8"]).unwrap();
    assert_eq!(train(&mut longer, None).0.unwrap().state.step, 8);
    drop(longer);
    assert_eq!(
        RunConfig::read(&run.join("config.toml"), &[])
            .unwrap()
            .train
            .steps,
        8
    );
    let text = std::fs::read_to_string(run.join("config.toml")).unwrap();
    std::fs::write(
        run.join("config.toml"),
        text.replace("weight_decay = 0.1", "weight_decay = 0.2"),
    )
    .unwrap();
    assert!(matches!(
        place.resume(&run, &[]),
        Err(TrainError::ConfigEdited { .. })
    ));
    assert!(matches!(
        place.start(&run, &[]),
        Err(TrainError::RunFolder(RunFolderError::Occupied { .. }))
    ));
}

#[test]
fn a_model_that_does_not_fit_the_data_is_refused_before_anything_is_written() {
    let place = Place::new();
    let run = place.run("run");
    assert!(matches!(
        place.start(&run, &["model.vocabulary=99"]),
        Err(TrainError::Model(_))
    ));
    assert!(matches!(
        place.start(&run, &["model.context=1000000"]),
        Err(TrainError::Data(_))
    ));
    assert!(!run.exists());
}

#[test]
fn a_resumed_run_keeps_its_default_schedule() {
    let place = Place::new();
    let run = place.run("run");
    let file = place.run("config.toml");
    std::fs::create_dir_all(&run).unwrap();
    let text = "
        data.path = 'data'
        model = { vocabulary = 9, context = 8, width = 8, heads = 2, layers = 1 }
        train = { steps = 600, batch = 1 }
    ";
    std::fs::write(&file, text).unwrap();
    let begun = RunConfig::read(&file, &[]).unwrap();
    begun.write(&run.join("config.toml")).unwrap();
    let more = "train.steps=900".to_string();
    let resumed = |overrides: &[String]| Setup::resumed_config(&run, &file, overrides).unwrap();
    let raised = resumed(std::slice::from_ref(&more));
    assert_eq!(raised.train.steps, 900);
    assert_eq!(raised.train.schedule, begun.train.schedule);
    let own = resumed(&[more, "train.schedule.warmup=5".into()]);
    assert_eq!(own.train.schedule.warmup, 5);
    let error = Setup::resumed_config(&place.run("none"), &file, &[]);
    assert!(matches!(
        error,
        Err(TrainError::RunFolder(RunFolderError::Empty { .. }))
    ));
}

/// The file describes a cosine; the run began, or went on, with another kind.
#[test]
fn a_resumed_run_keeps_the_lowest_rate_of_its_schedule() {
    let place = Place::new();
    let file = place.run("config.toml");
    let text = "
        data.path = 'data'
        model = { vocabulary = 9, context = 8, width = 8, heads = 2, layers = 1 }
        train = { steps = 600, batch = 1, optimizer = { learning_rate = 1e-3 } }
    ";
    std::fs::write(&file, text).unwrap();
    let begin = |name: &str, overrides: &[&str]| {
        let run = place.run(name);
        std::fs::create_dir_all(&run).unwrap();
        let overrides: Vec<String> = overrides.iter().map(ToString::to_string).collect();
        let begun = RunConfig::read(&file, &overrides).unwrap();
        begun.write(&run.join("config.toml")).unwrap();
        (run, begun)
    };
    let resumed = |run: &std::path::Path, overrides: &[&str]| {
        let overrides: Vec<String> = overrides.iter().map(ToString::to_string).collect();
        Setup::resumed_config(run, &file, &overrides).unwrap()
    };
    let minimum = |config: &RunConfig| config.train.optimizer.minimum_learning_rate;
    let constant = "train.schedule.kind=constant";
    let wsd = "train.schedule.kind=wsd";
    let own = "train.optimizer.minimum_learning_rate=5e-5";
    for (name, overrides, expected) in [
        ("constant", &[constant][..], None),
        ("wsd", &[wsd], Some(0.0)),
        ("wsd-own", &[wsd, own], Some(5e-5)),
        ("cosine-own", &[own], Some(5e-5)),
    ] {
        let (run, begun) = begin(name, overrides);
        let same = resumed(&run, &[]);
        assert_eq!(same, begun, "{name}");
        assert_eq!(minimum(&same), expected, "{name}");
    }
    let (run, begun) = begin("wsd-more", &[wsd]);
    let raised = resumed(&run, &["train.steps=900"]);
    assert_eq!(begun.differing_keys(&raised), ["train.steps"]);
    // What is given counts, and another rate has the default for the kind of the run.
    let given = "train.optimizer.minimum_learning_rate=2e-5";
    assert_eq!(minimum(&resumed(&run, &[given])), Some(2e-5));
    let rate = "train.optimizer.learning_rate=1e-5";
    assert_eq!(minimum(&resumed(&run, &[rate])), Some(0.0));
    let (run, _) = begin("constant-rate", &[constant]);
    assert_eq!(minimum(&resumed(&run, &[rate])), None);
}

#[test]
fn a_configuration_that_could_not_be_read_again_is_not_written() {
    let place = Place::new();
    let run = place.run("run");
    drop(place.start(&run, &[]).unwrap());
    let file = run.join("config.toml");
    let before = std::fs::read(&file).unwrap();
    let mut config = RunConfig::read(&file, &[]).unwrap();
    config.train.optimizer.minimum_learning_rate = Some(1.0);
    let error = config.write(&file).unwrap_err().to_string();
    assert!(error.contains("minimum_learning_rate"), "{error}");
    assert_eq!(std::fs::read(&file).unwrap(), before);
}
