//! Runs that end before their last step.

use std::path::Path;

use learned_dropout_training::config::RunConfig;
use learned_dropout_training::early_stop::EndReason;
use learned_dropout_training::experiments::{Status, status};
use learned_dropout_training::metrics::{EndMetrics, Metrics};
use learned_dropout_training::report::RunRecord;

use crate::support::{Place, finish, train};
use crate::{learning_rates, metrics};

/// Evaluations after steps 2, 4 and 6, of which only the first counts: the run ends after step 6, in its
/// decay.
const PATIENT: [&str; 9] = [
    "train.steps=60",
    "train.evaluate.every=2",
    "train.stop.patience=2",
    "train.stop.threshold=100.0",
    "train.schedule.kind=wsd",
    "train.schedule.warmup=1",
    "train.schedule.decay_start=3",
    "train.schedule.decay_steps=12",
    "train.schedule.decay_shape=linear",
];

fn ends(run: &Path) -> Vec<EndMetrics> {
    let end = |line: Metrics| match line {
        Metrics::End(end) => Some(end),
        _ => None,
    };
    metrics(run).into_iter().filter_map(end).collect()
}

/// How far a run is by its own configuration.
fn stored_status(run: &Path) -> Status {
    let config = RunConfig::read(&run.join("config.toml"), &[]).unwrap();
    status(run, &config.train)
}

/// The metrics without what depends on the clock and on where a run was interrupted.
fn timeless(run: &Path) -> Vec<String> {
    let line = |line: Metrics| match line {
        Metrics::Step(step) => format!("{} {} {}", step.step, step.loss, step.learning_rate),
        Metrics::Evaluation(of) => format!("{} {}", of.step, of.validation_loss),
        Metrics::Sample(of) => format!("{} {}", of.step, of.text),
        other => format!("{other:?}"),
    };
    metrics(run).into_iter().map(line).collect()
}

#[test]
fn a_run_that_ends_early_and_is_interrupted_ends_with_the_same_bits() {
    let place = Place::new();
    let whole = place.run("whole");
    let files = finish(place.start(&whole, &PATIENT).unwrap());
    let end = &ends(&whole)[..];
    assert_eq!(end.len(), 1);
    assert_eq!((end[0].step, end[0].end.reason), (6, EndReason::Patience));
    assert_eq!(
        end[0].to_string(),
        "stopped early at step 6: no validation loss lower by more than 100 in 2 evaluations"
    );
    assert_eq!(stored_status(&whole), Status::Finished);
    // Step s, the first is 0: 1e-2 for s = 1 to 3, then 1e-2 (1 − (s − 3) / 9).
    let expected = [0.5, 1.0, 1.0, 1.0, 8.0 / 9.0, 7.0 / 9.0];
    for ((step, rate), expected) in learning_rates(&whole).into_iter().zip(expected) {
        assert!((rate - 1e-2 * expected).abs() < 1e-15, "{step}: {rate}");
    }
    for stop_at in 1..6 {
        let run = place.run(&format!("stopped-{stop_at}"));
        let mut trainer = place.start(&run, &PATIENT).unwrap();
        assert!(train(&mut trainer, Some(stop_at)).0.unwrap().stopped);
        drop(trainer);
        assert_eq!(stored_status(&run), Status::Begun(stop_at));
        assert_eq!(finish(place.resume(&run, &[]).unwrap()), files, "{stop_at}");
        assert_eq!(timeless(&run), timeless(&whole));
    }
    // A process that was killed after it wrote the end, and before its last checkpoint.
    let run = place.run("killed");
    drop(finish(place.start(&run, &PATIENT).unwrap()));
    std::fs::remove_dir_all(run.join("checkpoints/step-00000006")).unwrap();
    std::fs::write(run.join("latest"), "step-00000004\n").unwrap();
    assert_eq!(stored_status(&run), Status::Begun(6));
    assert_eq!(finish(place.resume(&run, &[]).unwrap()), files);
    assert_eq!(timeless(&run), timeless(&whole));
}

#[test]
fn a_run_that_has_ended_early_goes_on_only_with_other_bounds() {
    let place = Place::new();
    let run = place.run("run");
    let files = finish(place.start(&run, &PATIENT).unwrap());
    let before = metrics(&run);
    let mut again = place.resume(&run, &[]).unwrap();
    let (outcome, saved, _, _) = train(&mut again, None);
    let outcome = outcome.unwrap();
    assert!(!outcome.stopped && saved.is_empty());
    assert_eq!(outcome.early_end(), Some(ends(&run).remove(0)));
    drop(again);
    assert_eq!(metrics(&run), before);
    assert_eq!(finish(place.resume(&run, &[]).unwrap()), files);

    // It waits anew, until the evaluations after steps 8 and 10. A process that is killed at once has
    // stored the new bound.
    drop(place.resume(&run, &["train.steps=61"]).unwrap());
    assert_eq!(stored_status(&run), Status::Begun(6));
    let mut longer = place.resume(&run, &[]).unwrap();
    let outcome = train(&mut longer, None).0.unwrap();
    assert_eq!((outcome.state.step, outcome.stopped), (10, false));
    drop(longer);
    assert_eq!(ends(&run).len(), 2);
    assert_eq!(stored_status(&run), Status::Finished);
    // Its old bounds do not make it finished at step 6.
    let old = RunConfig::read(&run.join("config.toml"), &["train.steps=60".into()]).unwrap();
    assert_eq!(status(&run, &old.train), Status::Begun(10));

    let mut unbounded = place
        .resume(&run, &["train.stop=", "train.steps=13"])
        .unwrap();
    let outcome = train(&mut unbounded, None).0.unwrap();
    assert_eq!((outcome.state.step, outcome.early_end()), (13, None));
    assert_eq!(outcome.state.stop, Default::default());
    drop(unbounded);
    let record = RunRecord::read(&run).unwrap();
    assert!(record.is_finished() && record.early_end().is_none());
}

#[test]
fn a_bound_on_time_is_summed_over_resumes() {
    let place = Place::new();
    let run = place.run("run");
    let minutes = ["train.stop.minutes=1000.0", "train.steps=9"];
    let mut trainer = place.start(&run, &minutes).unwrap();
    let stopped = train(&mut trainer, Some(4)).0.unwrap();
    drop(trainer);
    let first = stopped.state.stop.seconds.unwrap();
    assert!(first > 0.0);
    let mut trainer = place.resume(&run, &[]).unwrap();
    let stopped = train(&mut trainer, Some(5)).0.unwrap();
    drop(trainer);
    let second = stopped.state.stop.seconds.unwrap();
    assert!(second > first);
    // One step is made at least; what was spent before counts.
    let bound = format!("train.stop.minutes={:?}", second / 60.0);
    let mut trainer = place.resume(&run, &[&bound]).unwrap();
    let outcome = train(&mut trainer, None).0.unwrap();
    drop(trainer);
    assert_eq!((outcome.state.step, outcome.stopped), (5, false));
    // The last step is evaluated, whatever `evaluate.every` is.
    assert_eq!(outcome.state.evaluated, Some(5));
    assert_eq!(ends(&run)[0].end.reason, EndReason::Minutes);
    assert_eq!(stored_status(&run), Status::Finished);
    let record = RunRecord::read(&run).unwrap();
    assert!(record.is_finished());
    let words = record.early_end().unwrap().to_string();
    assert!(
        words.ends_with(" minutes of training have passed"),
        "{words}"
    );
    let mut trainer = place.resume(&run, &["train.stop="]).unwrap();
    assert_eq!(train(&mut trainer, None).0.unwrap().state.step, 9);
    drop(trainer);

    let run = place.run("short");
    let mut trainer = place.start(&run, &["train.stop.minutes=1e-9"]).unwrap();
    assert_eq!(train(&mut trainer, None).0.unwrap().state.step, 1);
}

#[test]
fn states_without_bounds_have_no_trace_of_them() {
    let place = Place::new();
    let run = place.run("run");
    drop(finish(place.start(&run, &[]).unwrap()));
    let state = run.join("checkpoints/step-00000006/trainer_state.json");
    assert!(!std::fs::read_to_string(state).unwrap().contains("stop"));
    let config = std::fs::read_to_string(run.join("config.toml")).unwrap();
    for key in ["stop", "schedule.kind", "decay_start", "changes"] {
        assert!(!config.contains(key), "{key}");
    }
}
