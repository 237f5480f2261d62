//! Runs that go on with another configuration.

use std::path::Path;

use learned_dropout_training::checkpoints::OPTIMIZER_FILE;
use learned_dropout_training::config::{Change, RunConfig, ScheduleKind};
use learned_dropout_training::metrics::Metrics;
use learned_dropout_training::trainer::{Setup, TrainError, Trainer};
use model::Site;

use crate::support::{Place, finish, train};
use crate::{finish_with_notes, learning_rates, metrics};

const CONSTANT: [&str; 2] = ["train.schedule.kind=constant", "train.schedule.warmup=0"];

const LOWER: [&str; 1] = ["train.optimizer.learning_rate=0.005"];

/// Begins a run with a constant rate of 0.01, and stops it after step 3.
fn begin(place: &Place, run: &Path) {
    let mut trainer = place.start(run, &CONSTANT).unwrap();
    assert!(train(&mut trainer, Some(3)).0.unwrap().stopped);
}

fn changes(run: &Path) -> Vec<Change> {
    let change = |line: Metrics| match line {
        Metrics::Changes(change) => Some(change),
        _ => None,
    };
    metrics(run).into_iter().filter_map(change).collect()
}

/// The weights and the optimizer's state after the last step.
fn result(run: &Path) -> [Vec<u8>; 2] {
    let folder = run.join("checkpoints/step-00000006");
    ["model.safetensors", OPTIMIZER_FILE].map(|file| std::fs::read(folder.join(file)).unwrap())
}

/// The same rates come from a decay of no length, in one run that was never changed: all of the state but
/// the rate is therefore that of before.
#[test]
fn a_changed_rate_holds_from_the_next_step_on_and_the_moments_stay() {
    let place = Place::new();
    let (changed, whole) = (place.run("changed"), place.run("whole"));
    begin(&place, &changed);
    drop(finish(place.resume_changed(&changed, &LOWER).unwrap()));
    let steps = [
        "train.schedule.kind=wsd",
        "train.schedule.warmup=0",
        "train.schedule.decay_start=2",
        "train.schedule.decay_steps=2",
        "train.optimizer.minimum_learning_rate=0.005",
    ];
    drop(finish(place.start(&whole, &steps).unwrap()));
    let expected = [0.01, 0.01, 0.01, 0.005, 0.005, 0.005];
    let rates = learning_rates(&changed);
    assert!(
        rates.iter().map(|(_, rate)| *rate).eq(expected),
        "{rates:?}"
    );
    assert_eq!(rates, learning_rates(&whole));
    assert!(result(&changed) == result(&whole));
}

#[test]
fn a_change_is_recorded_in_the_configuration_and_in_the_metrics() {
    let place = Place::new();
    let run = place.run("run");
    begin(&place, &run);
    let typed = ["train.optimizer.learning_rate=0.005", "train.clip="];
    drop(finish(place.resume_changed(&run, &typed).unwrap()));
    let found = changes(&run);
    let [change] = &found[..] else {
        panic!("{found:?}");
    };
    assert_eq!(change.step, 3);
    assert_eq!(
        change.to_string(),
        "train.clip from 1.0 to unset, train.optimizer.learning_rate from 0.01 to 0.005"
    );
    let text = std::fs::read_to_string(run.join("config.toml")).unwrap();
    let end = "\n[[changes]]\nstep = 3\n\n[changes.before]\n\"train.clip\" = 1.0\n\
               \"train.optimizer.learning_rate\" = 0.01\n\n[changes.after]\n\
               \"train.optimizer.learning_rate\" = 0.005\n";
    assert!(text.ends_with(end), "{text}");
    let config = RunConfig::read(&run.join("config.toml"), &[]).unwrap();
    assert_eq!(config.train.optimizer.learning_rate, 0.005);
    assert_eq!(config.train.clip, None);

    // Other changes keep it, and a second one comes after it.
    drop(place.resume(&run, &["train.steps=8"]).unwrap());
    drop(place.resume_changed(&run, &["model.dropout=0.2"]).unwrap());
    let steps: Vec<u64> = changes(&run).iter().map(|change| change.step).collect();
    assert_eq!(steps, [3, 6]);
    let mut trainer = place.resume(&run, &[]).unwrap();
    assert_eq!(train(&mut trainer, None).0.unwrap().state.step, 8);
    drop(trainer);
    assert_eq!(changes(&run).len(), 2);
    // What is neither the configuration nor one of its past is still found.
    let text = std::fs::read_to_string(run.join("config.toml")).unwrap();
    let edited = text.replace("weight_decay = 0.1", "weight_decay = 0.2");
    std::fs::write(run.join("config.toml"), edited).unwrap();
    assert!(matches!(
        place.resume(&run, &[]),
        Err(TrainError::ConfigEdited { .. })
    ));
}

#[test]
fn the_dropout_of_one_site_may_change() {
    let place = Place::new();
    let masks = "model.learned_dropout={ site = [\"attention-heads\", \"feed-forward-output\"], \
                 input = \"layer-input\", rank = 4, at.attention-heads.dropout = 0.1 }";
    let run = place.run("run");
    let mut trainer = place
        .start(&run, &[masks, CONSTANT[0], CONSTANT[1]])
        .unwrap();
    assert!(train(&mut trainer, Some(3)).0.unwrap().stopped);
    drop(trainer);
    let key = "model.learned_dropout.at.attention-heads.dropout";
    let typed = format!("{key}=0.5");
    assert!(place.resume(&run, &[&typed]).is_err());
    drop(finish(place.resume_changed(&run, &[&typed]).unwrap()));
    let found = changes(&run);
    assert_eq!(found[0].to_string(), format!("{key} from 0.1 to 0.5"));
    let config = RunConfig::read(&run.join("config.toml"), &[]).unwrap();
    let model = config.model.transformer(None).unwrap();
    let dropout = [Site::AttentionHeads, Site::FeedForwardOutput]
        .map(|site| model.masks_at(site).unwrap().dropout);
    assert_eq!(dropout, [0.5, 0.0]);
}

#[test]
fn what_may_not_change_is_named_and_what_may_is_listed() {
    let place = Place::new();
    let run = place.run("run");
    begin(&place, &run);
    let before = std::fs::read_to_string(run.join("config.toml")).unwrap();
    let typed = ["train.batch=3", "train.optimizer.learning_rate=0.005"];
    let refused = |changed: bool, typed: &[&str]| {
        let resumed = match changed {
            true => place.resume_changed(&run, typed),
            false => place.resume(&run, typed),
        };
        resumed.err().unwrap().to_string()
    };
    let message = refused(true, &typed);
    for part in [
        "differs from the run's own in train.batch; ",
        "start a new run in another folder",
        "with --allow-changes: train.optimizer.*, train.schedule.*, train.clip, model.dropout, \
         model.learned_dropout.dropout, model.learned_dropout.at.*.dropout, \
         model.learned_dropout.penalty.*, model.learned_dropout.noise_steps",
    ] {
        assert!(message.contains(part), "{message}");
    }
    let message = refused(false, &typed);
    let keys = "own in train.batch, train.optimizer.learning_rate; ";
    assert!(message.contains(keys), "{message}");
    let message = refused(false, &LOWER);
    let advice = "or allow the change with --allow-changes";
    assert!(message.ends_with(advice), "{message}");
    let after = std::fs::read_to_string(run.join("config.toml")).unwrap();
    assert_eq!(after, before);
}

#[test]
fn a_kill_while_a_change_is_recorded_leaves_a_run_that_resumes() {
    let place = Place::new();
    let whole = place.run("whole");
    begin(&place, &whole);
    let files = finish(place.resume_changed(&whole, &LOWER).unwrap());

    // Killed after the configuration was written, and before the line of metrics.
    let run = place.run("before-metrics");
    begin(&place, &run);
    let lines = std::fs::read(run.join("metrics.jsonl")).unwrap();
    drop(place.resume_changed(&run, &LOWER).unwrap());
    std::fs::write(run.join("metrics.jsonl"), lines).unwrap();
    assert_eq!(finish(place.resume(&run, &[]).unwrap()), files);
    assert_eq!(changes(&run), changes(&whole));
    // The same command again changes nothing more.
    drop(place.resume_changed(&run, &LOWER).unwrap());
    assert_eq!(changes(&run), changes(&whole));

    // Killed before the first checkpoint after the change.
    let run = place.run("before-checkpoint");
    begin(&place, &run);
    drop(place.resume_changed(&run, &LOWER).unwrap());
    assert_eq!(finish(place.resume(&run, &[]).unwrap()), files);

    // The checkpoint that was changed is lost: the change holds from an older one on. Its line is about
    // that step, so that no later line is removed with it.
    let run = place.run("older");
    begin(&place, &run);
    drop(place.resume_changed(&run, &LOWER).unwrap());
    let newest = run.join("checkpoints/step-00000003/model.safetensors");
    std::fs::write(newest, "").unwrap();
    let mut trainer = place.resume(&run, &[]).unwrap();
    assert_eq!(trainer.state().step, 2);
    assert!(!train(&mut trainer, None).0.unwrap().stopped);
    drop(trainer);
    assert_eq!(changes(&run)[0].step, 2);
    let rates = learning_rates(&run);
    let expected = [0.01, 0.01, 0.005, 0.005, 0.005, 0.005];
    assert!(
        rates.iter().map(|(_, rate)| *rate).eq(expected),
        "{rates:?}"
    );
}

#[test]
fn another_kind_of_schedule_leaves_out_what_it_does_not_use() {
    let place = Place::new();
    let run = place.run("run");
    let mut trainer = place.start(&run, &[]).unwrap();
    train(&mut trainer, Some(3)).0.unwrap();
    drop(trainer);
    let trainer = place.resume_changed(&run, &["train.schedule.kind=\"constant\""]);
    drop(finish(trainer.unwrap()));
    assert_eq!(
        changes(&run)[0].to_string(),
        "train.optimizer.minimum_learning_rate from 0.001 to unset, \
         train.schedule.decay_steps from 6 to unset, train.schedule.kind from \"cosine\" to \"constant\""
    );
    let config = RunConfig::read(&run.join("config.toml"), &[]).unwrap();
    assert_eq!(config.train.schedule.kind, ScheduleKind::Constant);
    assert_eq!(learning_rates(&run)[3..], [(4, 0.01), (5, 0.01), (6, 0.01)]);
}

#[test]
fn a_warm_up_that_is_too_long_is_shortened_and_stays_so() {
    let place = Place::new();
    let run = place.run("run");
    let long = ["train.schedule.kind=constant", "train.schedule.warmup=50"];
    let mut trainer = place.start(&run, &long).unwrap();
    assert_eq!(trainer.config().train.schedule.warmup, 6);
    train(&mut trainer, Some(3)).0.unwrap();
    drop(trainer);
    // The schedule does not change when the run becomes longer.
    drop(finish(place.resume(&run, &["train.steps=8"]).unwrap()));
    let expected = (1..=8).map(|step| (step, 1e-2 * step.min(7) as f64 / 7.0));
    assert!(learning_rates(&run).into_iter().eq(expected));
}

/// The configuration file of the run has no schedule: that of the run stays, with its rates.
#[test]
fn a_file_without_a_schedule_changes_none() {
    let place = Place::new();
    let run = place.run("run");
    let file = place.run("file.toml");
    begin(&place, &run);
    let stored = std::fs::read_to_string(run.join("config.toml")).unwrap();
    // `CONSTANT` was typed, and is not in the file.
    let schedule = "[train.schedule]\nkind = \"constant\"\nwarmup = 0\n";
    assert!(stored.contains(schedule), "{stored}");
    std::fs::write(&file, stored.replace(schedule, "")).unwrap();
    let setup = |overrides: &[&str]| {
        let overrides: Vec<String> = overrides.iter().map(ToString::to_string).collect();
        place.setup(Setup::resumed_config(&run, &file, &overrides).unwrap())
    };
    drop(Trainer::resume(setup(&[]), &run).unwrap());
    assert_eq!(changes(&run), []);
    drop(Trainer::resume_changed(setup(&LOWER), &run).unwrap());
    assert_eq!(
        changes(&run)[0].to_string(),
        "train.optimizer.learning_rate from 0.01 to 0.005"
    );
    drop(finish(place.resume(&run, &[]).unwrap()));
    let rates = learning_rates(&run);
    let expected = [0.01, 0.01, 0.01, 0.005, 0.005, 0.005];
    assert!(
        rates.iter().map(|(_, rate)| *rate).eq(expected),
        "{rates:?}"
    );
}

/// The default is another value than the run's, and was asked for: by an option, or by a file.
#[test]
fn a_kind_of_schedule_is_applied_though_it_is_the_default() {
    let place = Place::new();
    let file = place.run("file.toml");
    for (name, in_file, typed) in [
        ("stored", "", &["train.schedule.kind=cosine"][..]),
        ("typed", "", &["train.schedule.kind=cosine"]),
        ("table", "", &["train.schedule="]),
        (
            "file",
            "[train.schedule]\nkind = \"cosine\"\nwarmup = 0\n",
            &[],
        ),
    ] {
        let run = place.run(name);
        begin(&place, &run);
        let stored = std::fs::read_to_string(run.join("config.toml")).unwrap();
        let schedule = "[train.schedule]\nkind = \"constant\"\nwarmup = 0\n";
        std::fs::write(&file, stored.replace(schedule, in_file)).unwrap();
        let typed: Vec<String> = typed.iter().map(ToString::to_string).collect();
        let config = match name {
            "stored" => Setup::stored_config(&run, &typed).unwrap(),
            _ => Setup::resumed_config(&run, &file, &typed).unwrap(),
        };
        drop(Trainer::resume_changed(place.setup(config), &run).unwrap());
        let change = changes(&run)[0].to_string();
        let expected = "train.schedule.kind from \"constant\" to \"cosine\"";
        assert!(change.ends_with(expected), "{change}");
        // Steps 4 to 6 of a cosine from 0.01 to 0.001 over 6 steps without a warm-up.
        drop(finish(place.resume(&run, &[]).unwrap()));
        let rates = learning_rates(&run);
        for (step, rate) in &rates[3..] {
            let done = (*step - 1) as f64 / 6.0;
            let expected = 0.001 + 0.009 * (1.0 + (std::f64::consts::PI * done).cos()) / 2.0;
            assert!((rate - expected).abs() < 1e-15, "{name}, {step}: {rate}");
        }
    }
}

/// What a file names is applied, and what it does not name stays the run's.
#[test]
fn a_file_with_a_part_of_the_schedule_changes_that_part() {
    let place = Place::new();
    let (run, file) = (place.run("run"), place.run("file.toml"));
    let mut trainer = place.start(&run, &["train.schedule.warmup=2"]).unwrap();
    train(&mut trainer, Some(3)).0.unwrap();
    drop(trainer);
    let stored = std::fs::read_to_string(run.join("config.toml")).unwrap();
    let named = stored.replace("\ndecay_steps = 6\n", "\n");
    std::fs::write(&file, named.replace("\nsteps = 6\n", "\nsteps = 9\n")).unwrap();
    let config = Setup::resumed_config(&run, &file, &[]).unwrap();
    let schedule = &config.train.schedule;
    assert_eq!(
        (config.train.steps, schedule.warmup, schedule.decay_steps),
        (9, 2, Some(6))
    );
    drop(finish(Trainer::resume(place.setup(config), &run).unwrap()));
    assert_eq!(changes(&run), []);
}

#[test]
fn a_change_that_no_step_follows_is_refused_and_not_recorded() {
    let place = Place::new();
    let stop = [
        "train.stop.patience=1",
        "train.stop.threshold=100.0",
        "train.evaluate.every=1",
    ];
    for (name, begun, end, advice) in [
        ("all", &[][..], "all 6 steps are done", "raise train.steps"),
        (
            "early",
            &stop,
            "stopped early at step 2: no validation loss lower by more than 100 in 1 evaluation",
            "change train.stop or raise train.steps",
        ),
    ] {
        let run = place.run(name);
        drop(finish(place.start(&run, begun).unwrap()));
        let bytes =
            || ["config.toml", "metrics.jsonl"].map(|file| std::fs::read(run.join(file)).unwrap());
        let before = bytes();
        let error = place
            .resume_changed(&run, &LOWER)
            .err()
            .unwrap()
            .to_string();
        let expected = format!(
            "the run is finished: {end}. There is nothing left to train with the changed \
             train.optimizer.learning_rate, so nothing was changed; to go on, {advice}"
        );
        assert!(error.ends_with(&expected), "{error}");
        assert!(bytes() == before);
        // With more steps it is a change like any other.
        let more = [LOWER[0], "train.steps=8", "train.stop.patience="];
        let more = &more[..if begun.is_empty() { 2 } else { 3 }];
        let more = [more, &["train.stop.threshold=0.0"]].concat();
        drop(finish(place.resume_changed(&run, &more).unwrap()));
        assert_eq!(changes(&run).len(), 1);
        assert_eq!(learning_rates(&run).len(), 8);
    }
}

#[test]
fn a_warm_up_is_shortened_with_its_schedule() {
    let place = Place::new();
    let run = place.run("run");
    let long = [
        "train.steps=12",
        "train.schedule.warmup=9",
        "train.schedule.decay_steps=12",
    ];
    let mut trainer = place.start(&run, &long).unwrap();
    assert!(train(&mut trainer, Some(3)).0.unwrap().stopped);
    drop(trainer);
    let shorter = ["train.schedule.decay_steps=6"];
    let mut trainer = place.resume_changed(&run, &shorter).unwrap();
    assert_eq!(trainer.config().train.schedule.warmup, 6);
    let notes = finish_with_notes(&mut trainer);
    drop(trainer);
    assert!(
        notes[0].starts_with("the warm-up is shortened to 6 steps"),
        "{notes:?}"
    );
    // Step s, the first is 0: (s + 1) / 10 of the rate, then (s + 1) / 7, all of it at the end of the
    // warm-up, and the minimum after that.
    let climb = [0.1, 0.2, 0.3, 4.0 / 7.0, 5.0 / 7.0, 6.0 / 7.0, 1.0];
    let expected = [&climb[..], &[0.1; 5]].concat();
    let rates = learning_rates(&run);
    assert_eq!(rates.len(), expected.len());
    for ((step, rate), expected) in rates.into_iter().zip(expected) {
        assert!((rate - 1e-2 * expected).abs() < 1e-15, "{step}: {rate}");
    }
}

#[test]
fn steps_after_a_decay_to_nothing_are_told() {
    let place = Place::new();
    let run = place.run("run");
    let wsd = ["train.schedule.kind=wsd", "train.schedule.warmup=0"];
    let mut trainer = place.start(&run, &wsd).unwrap();
    assert!(finish_with_notes(&mut trainer).is_empty());
    drop(trainer);
    // The same steps again: nothing is left to do.
    let mut trainer = place.resume(&run, &[]).unwrap();
    let finished = "the run is finished: all 6 steps are done; to go on, raise train.steps";
    assert_eq!(finish_with_notes(&mut trainer), [finished]);
    drop(trainer);
    let mut trainer = place.resume(&run, &["train.steps=8"]).unwrap();
    let notes = finish_with_notes(&mut trainer);
    drop(trainer);
    let expected = "the schedule ends at step 6 with a learning rate of 0, so the 2 steps after it change \
                    nothing; to train longer, move train.schedule.decay_start and \
                    train.schedule.decay_steps with --allow-changes";
    assert_eq!(notes, [expected]);
    assert_eq!(learning_rates(&run)[6..], [(7, 0.0), (8, 0.0)]);
    // As advised, from before the end of the decay.
    let moved = [
        "train.steps=10",
        "train.schedule.decay_start=9",
        "train.schedule.decay_steps=10",
    ];
    let mut trainer = place.resume_changed(&run, &moved).unwrap();
    let notes = finish_with_notes(&mut trainer);
    assert!(
        notes.iter().all(|note| !note.contains("change nothing")),
        "{notes:?}"
    );
}

/// Without a target, the coefficient of the configuration counts again.
#[test]
fn a_penalty_without_its_target_forgets_the_adaptation() {
    let place = Place::new();
    let run = place.run("run");
    let target = ["model.learned_dropout.penalty.target_kept=0.5"];
    let mut trainer = place.start(&run, &target).unwrap();
    assert!(train(&mut trainer, Some(3)).0.unwrap().stopped);
    assert!(trainer.state().control.is_some());
    drop(trainer);
    let none = ["model.learned_dropout.penalty.target_kept="];
    let mut trainer = place.resume_changed(&run, &none).unwrap();
    assert_eq!(train(&mut trainer, None).0.unwrap().state.control, None);
    drop(trainer);
    let coefficient = |line: Metrics| match line {
        Metrics::Step(step) => step.penalty_coefficient,
        _ => None,
    };
    let found: Vec<f64> = metrics(&run).into_iter().filter_map(coefficient).collect();
    assert_eq!(found.len(), 6);
    assert_ne!(found[2], 0.1);
    assert_eq!(found[3..], [0.1; 3]);
}

#[test]
fn damaged_changes_are_answered_with_what_to_remove() {
    let place = Place::new();
    let run = place.run("run");
    begin(&place, &run);
    drop(place.resume_changed(&run, &LOWER).unwrap());
    let file = run.join("config.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("step = 3", "step = -1")).unwrap();
    let error = place.resume(&run, &[]).err().unwrap().to_string();
    let advice =
        "; if the values above the first [[changes]] are right, remove it and all that follows it";
    assert!(
        error.contains("`changes`: ") && error.ends_with(advice),
        "{error}"
    );
    let line = text.lines().position(|line| line == "step = 3").unwrap() + 1;
    assert!(error.contains(&format!("line {line}: ")), "{error}");
    // As advised, the run no longer fits its checkpoint, unless the values are those of before.
    let (values, _) = text.split_once("[[changes]]").unwrap();
    std::fs::write(
        &file,
        values.replace("learning_rate = 0.005", "learning_rate = 0.01"),
    )
    .unwrap();
    drop(finish(place.resume(&run, &[]).unwrap()));
}
