//! Which values of a run configuration are possible.

use model::ConfigProblem;

use super::RunConfig;

const MOST_STEPS: u64 = 1 << 30;
const MOST_PER_STEP: u64 = 1 << 16;
/// The numbers of micro-batches key random streams, which have room for 40 bits.
const MOST_MICRO_BATCHES: u64 = 1 << 40;

/// Every value that no run can have.
pub(super) fn check(config: &RunConfig) -> Vec<ConfigProblem> {
    let mut problems = Vec::new();
    let (train, optimizer) = (&config.train, &config.train.optimizer);
    let mut whole = |key: &str, value: u64, least: u64, most: u64| {
        if !(least..=most).contains(&value) {
            let expected = format!("expected a whole number from {least} to {most}");
            problems.push(ConfigProblem::new(key, value, expected));
        }
    };
    whole("seed", config.seed, 0, i64::MAX as u64);
    whole("train.steps", train.steps, 1, MOST_STEPS);
    whole("train.batch", train.batch as u64, 1, MOST_PER_STEP);
    whole(
        "train.accumulate",
        train.accumulate as u64,
        1,
        MOST_PER_STEP,
    );
    whole("train.log_every", train.log_every, 1, MOST_STEPS);
    whole(
        "train.schedule.warmup",
        train.schedule.warmup,
        0,
        MOST_STEPS,
    );
    whole(
        "train.schedule.decay_steps",
        train.schedule.decay_steps,
        1,
        MOST_STEPS,
    );
    whole("train.evaluate.every", train.evaluate.every, 1, MOST_STEPS);
    whole(
        "train.evaluate.batches",
        train.evaluate.batches,
        1,
        MOST_STEPS,
    );
    whole(
        "train.evaluate.sample.tokens",
        train.evaluate.sample.tokens as u64,
        0,
        MOST_PER_STEP,
    );
    whole(
        "train.checkpoint.every",
        train.checkpoint.every,
        1,
        MOST_STEPS,
    );
    whole(
        "train.checkpoint.keep",
        train.checkpoint.keep as u64,
        1,
        MOST_PER_STEP,
    );
    let mut number = |key: &str, value: f64, good: bool, expected: &str| {
        if !(good && value.is_finite()) {
            problems.push(ConfigProblem::new(
                key,
                value,
                format!("expected {expected}"),
            ));
        }
    };
    let key = |name: &str| format!("train.optimizer.{name}");
    let (rate, minimum) = (optimizer.learning_rate, optimizer.minimum_learning_rate);
    number(&key("learning_rate"), rate, rate > 0.0, "a number above 0");
    number(
        &key("minimum_learning_rate"),
        minimum,
        (0.0..=rate).contains(&minimum) || !rate.is_finite(),
        "a number from 0 to the learning rate",
    );
    for beta in optimizer.betas {
        number(
            &key("betas"),
            beta,
            (0.0..1.0).contains(&beta),
            "two numbers of at least 0 and below 1",
        );
    }
    let (decay, epsilon) = (optimizer.weight_decay, optimizer.epsilon);
    number(
        &key("weight_decay"),
        decay,
        decay >= 0.0,
        "a number of at least 0",
    );
    number(&key("epsilon"), epsilon, epsilon > 0.0, "a number above 0");
    if let Some(clip) = train.clip {
        number(
            "train.clip",
            clip,
            clip > 0.0,
            "a number above 0; leave it out for no clipping",
        );
    }
    if train.steps.saturating_mul(train.accumulate as u64) >= MOST_MICRO_BATCHES {
        problems.push(ConfigProblem::new(
            "train.accumulate",
            train.accumulate,
            format!("expected steps times accumulate to be below {MOST_MICRO_BATCHES}"),
        ));
    }
    if train.schedule.warmup > train.schedule.decay_steps {
        problems.push(ConfigProblem::new(
            "train.schedule.warmup",
            train.schedule.warmup,
            format!(
                "expected at most decay_steps, {}; lower it, or leave it out for a tenth of the steps",
                train.schedule.decay_steps
            ),
        ));
    }
    // The vocabulary may not be known yet; any will do for the other checks.
    problems.extend(
        config
            .model
            .transformer(config.model.vocabulary.or(Some(1)))
            .err()
            .unwrap_or_default(),
    );
    problems
}
