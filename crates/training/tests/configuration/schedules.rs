//! Schedules, warm-ups, and when a run ends early.

use learned_dropout_training::config::{DecayShape, ScheduleKind};

use crate::{SMALL, parse, problems};

#[test]
fn schedules_have_defaults_of_their_own() {
    let train = |overrides: &[&str]| parse(SMALL, overrides).unwrap().train;
    let wsd = train(&["train.schedule.kind=wsd"]);
    // 80% of 50 steps.
    assert_eq!(wsd.schedule.decay_start, Some(40));
    assert_eq!(wsd.schedule.decay_steps, Some(50));
    assert_eq!(wsd.schedule.decay_shape, Some(DecayShape::SquareRoot));
    assert_eq!(wsd.optimizer.minimum_learning_rate, Some(0.0));
    let short = train(&["train.schedule={kind=\"wsd\", decay_steps=7}"]);
    // 5.6 is rounded down; the warm-up is a tenth of the run.
    assert_eq!(
        (short.schedule.decay_start, short.schedule.warmup),
        (Some(5), 5)
    );
    let long_warmup = train(&["train.schedule={kind=\"wsd\", warmup=45}"]);
    assert_eq!(long_warmup.schedule.decay_start, Some(45));
    let constant = train(&["train.schedule.kind=constant"]);
    assert_eq!(constant.schedule.kind, ScheduleKind::Constant);
    assert_eq!(constant.schedule.decay_steps, None);
    assert_eq!(constant.optimizer.minimum_learning_rate, None);
    assert!(train(&[]).stop.is_never());
}

#[test]
fn configurations_with_other_schedules_read_back_as_themselves() {
    for typed in [
        "train.schedule={kind=\"wsd\", decay_shape=\"linear\"}",
        "train.schedule.kind=constant",
        "train.stop={patience=2, threshold=0.1, minutes=1.5}",
        "train.stop.minutes=3",
    ] {
        let config = parse(SMALL, &[typed]).unwrap();
        assert_eq!(parse(&config.to_toml().unwrap(), &[]).unwrap(), config);
    }
}

#[test]
fn keys_that_a_kind_does_not_use_are_problems() {
    let constant = problems(
        SMALL,
        &[
            "train.schedule.kind=constant",
            "train.schedule.decay_steps=9",
            "train.optimizer.minimum_learning_rate=0.0",
        ],
    );
    assert_eq!(
        constant,
        [
            "--set train.optimizer.minimum_learning_rate=0.0: `train.optimizer.minimum_learning_rate` \
             is 0: train.schedule.kind = \"constant\" does not use it; leave it out",
            "--set train.schedule.decay_steps=9: `train.schedule.decay_steps` is 9: \
             train.schedule.kind = \"constant\" does not use it; leave it out",
        ]
    );
    let cosine = problems(SMALL, &["train.schedule.decay_shape=linear"]);
    assert_eq!(
        cosine,
        [
            "--set train.schedule.decay_shape=linear: `train.schedule.decay_shape` is \"linear\": \
          train.schedule.kind = \"cosine\" does not use it; leave it out"
        ]
    );
    let late = problems(SMALL, &["train.schedule={kind=\"wsd\", decay_start=51}"]);
    assert!(
        late[0].ends_with(
            "`train.schedule.decay_start` is 51: expected a step from the end of the warm-up, 5, to \
             decay_steps, 50"
        ),
        "{late:?}"
    );
}

#[test]
fn bounds_on_a_run_are_checked() {
    let found = problems(
        SMALL,
        &[
            "train.stop.patience=0",
            "train.stop.minutes=0",
            "train.stop.threshold=-1",
        ],
    );
    let ends = [
        "`train.stop.patience` is 0: expected a whole number from 1 to 1073741824",
        "`train.stop.threshold` is -1: expected a number of at least 0",
        "`train.stop.minutes` is 0: expected a number above 0; leave it out for no bound",
    ];
    assert_eq!(found.len(), 3, "{found:?}");
    for (message, end) in found.iter().zip(ends) {
        assert!(message.ends_with(end), "{message}");
    }
    let alone = problems(SMALL, &["train.stop.threshold=0.1"]);
    assert!(
        alone[0].ends_with("only train.stop.patience uses it; set that too, or leave it out"),
        "{alone:?}"
    );
}

#[test]
fn warm_ups_longer_than_the_schedule_are_shortened_with_a_note() {
    let shorten = |overrides: &[&str]| {
        let mut train = parse(SMALL, overrides).unwrap().train;
        let note = train.shorten_warmup();
        (train.schedule.warmup, note)
    };
    assert_eq!(shorten(&["train.schedule.warmup=50"]), (50, None));
    let note = "the warm-up is shortened to 50 steps: train.schedule.warmup is 300, more than \
                train.schedule.decay_steps, 50";
    assert_eq!(
        shorten(&["train.schedule.warmup=300"]),
        (50, Some(note.into()))
    );
    let note = "the warm-up is shortened to 50 steps: train.schedule.warmup is 51, more than \
                train.steps, 50";
    assert_eq!(
        shorten(&["train.schedule={kind=\"constant\", warmup=51}"]),
        (50, Some(note.into()))
    );
}
