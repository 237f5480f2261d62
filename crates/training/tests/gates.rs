//! Runs of a tiny model with gates: moving thresholds, targets, resuming, and dense models that get gates.

mod support;

use std::path::Path;

use learned_dropout_training::checkpoints::model_folder_of;
use learned_dropout_training::metrics::{EvaluationMetrics, Metrics, StepMetrics};
use model::mask_control::ThresholdControl;
use model::model_folder;
use model::weights::Weights;
use support::{Place, finish, train};

/// Gates on heads and on groups of hidden units, with thresholds that move fast.
const GATES: [&str; 2] = [
    r#"model.feed_forward={ kind = "relu", hidden = [32, 8], penalty = 0.1 }"#,
    r#"model.learned_dropout={
        site = ["attention-heads", "feed-forward-hidden"], input = "layer-input", generator = "linear",
        group = 4, rounding = "carried", function = { kind = "cosine", shift = "fixed", shift_init = 1.5708 },
        control = { kind = "threshold", target = 0.4, rate = 0.01 },
        at.attention-heads.control = { kind = "threshold", target = 0.7, rate = 0.01, over = "site" },
        at.attention-heads.rounding = "threshold",
    }"#,
];

fn overrides(others: &[&str]) -> Vec<String> {
    let all = GATES.iter().chain(others);
    all.map(|one| one.replace('\n', " ")).collect()
}

fn lines(run: &Path) -> Vec<Metrics> {
    let text = std::fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
    lines.collect()
}

fn steps(run: &Path) -> Vec<StepMetrics> {
    let step = |line| match line {
        Metrics::Step(step) => Some(step),
        _ => None,
    };
    lines(run).into_iter().filter_map(step).collect()
}

/// The thresholds of the heads and of the hidden units, layer by layer.
fn thresholds(weights: &Weights) -> [[f32; 2]; 2] {
    ["attention.head", "feed_forward.hidden"].map(|site| {
        [0, 1].map(|layer| {
            weights[&format!("blocks.{layer}.{site}_learned_dropout.threshold")].values[0]
        })
    })
}

/// The thresholds after steps that kept these shares: those of the heads move together.
fn moved(steps: &[StepMetrics]) -> [[f32; 2]; 2] {
    let control = |target| ThresholdControl {
        rate: 0.01,
        ..ThresholdControl::new(target)
    };
    let mut found = [[0.0; 2]; 2];
    for step in steps {
        // In the order of the forward pass: heads and units of the first block, then of the second.
        let &[first_heads, first_units, second_heads, second_units] = &step.kept_by_controlled[..]
        else {
            panic!("{:?}", step.kept_by_controlled)
        };
        let heads = (first_heads + second_heads) / 2.0;
        found[0] = found[0].map(|threshold| control(0.7).next(threshold, heads));
        found[1][0] = control(0.4).next(found[1][0], first_units);
        found[1][1] = control(0.4).next(found[1][1], second_units);
    }
    found
}

#[test]
fn thresholds_move_with_what_was_kept_and_resume_with_the_same_bits() {
    let place = Place::new();
    let overrides = overrides(&[]);
    let overrides: Vec<&str> = overrides.iter().map(String::as_str).collect();
    let whole = finish(place.start(&place.run("whole"), &overrides).unwrap());
    let expected = steps(&place.run("whole"));
    let (_, weights) = model_folder::read(&model_folder_of(&place.run("whole")).unwrap()).unwrap();
    // The best checkpoint is that of an evaluated step.
    let found = thresholds(&weights);
    let possible: Vec<_> = (0..=expected.len())
        .map(|count| moved(&expected[..count]))
        .collect();
    assert!(possible[3..].contains(&found), "{found:?} {possible:?}");
    assert_ne!(found, [[0.0; 2]; 2]);
    for stop_at in 1..6 {
        let run = place.run(&format!("stopped-{stop_at}"));
        let mut trainer = place.start(&run, &overrides).unwrap();
        train(&mut trainer, Some(stop_at)).0.unwrap();
        drop(trainer);
        let again = finish(place.resume(&run, &[]).unwrap());
        assert_eq!(again, whole, "stopped at {stop_at}");
        let kept = |steps: &[StepMetrics]| -> Vec<Vec<f64>> {
            steps
                .iter()
                .map(|step| step.kept_by_controlled.clone())
                .collect()
        };
        assert_eq!(kept(&steps(&run)), kept(&expected), "stopped at {stop_at}");
    }
}

#[test]
fn every_mask_reaches_its_target() {
    let place = Place::new();
    let overrides = overrides(&[
        "train.steps=300",
        "train.evaluate.every=300",
        "train.evaluate.sample.tokens=0",
        "train.checkpoint.every=300",
        "train.accumulate=1",
        "train.batch=8",
    ]);
    let overrides: Vec<&str> = overrides.iter().map(String::as_str).collect();
    let run = place.run("run");
    train(&mut place.start(&run, &overrides).unwrap(), None)
        .0
        .unwrap();
    let steps = steps(&run);
    let last = &steps[steps.len() - 100..];
    let mean = |mask: usize| {
        let kept = last.iter().map(|step| step.kept_by_controlled[mask]);
        kept.sum::<f64>() / last.len() as f64
    };
    // In the order of the forward pass; heads share one threshold.
    let heads = (mean(0) + mean(2)) / 2.0;
    for (kept, target) in [(heads, 0.7), (mean(1), 0.4), (mean(3), 0.4)] {
        assert!((kept - target).abs() < 0.08, "{kept} instead of {target}");
    }
    let mut evaluations = lines(&run).into_iter().filter_map(|line| match line {
        Metrics::Evaluation(evaluation) => Some(evaluation),
        _ => None,
    });
    let last: EvaluationMetrics = evaluations.next_back().unwrap();
    let (_, weights) = model_folder::read(&model_folder_of(&run).unwrap()).unwrap();
    let [heads, units] = thresholds(&weights);
    let measured: Vec<Option<f64>> = last
        .mask
        .unwrap()
        .layers
        .iter()
        .map(|mask| mask.threshold)
        .collect();
    let expected = [heads[0], units[0], heads[1], units[1]];
    assert_eq!(measured, expected.map(|threshold| Some(threshold.into())));
    let density = last.feed_forward.unwrap().density;
    assert!(density > 0.0 && density < 1.0, "{density}");
}

/// The penalty adapts to the masks without a control alone.
#[test]
fn a_penalty_and_a_control_act_on_different_masks() {
    let place = Place::new();
    let table = r#"model.learned_dropout={ site = ["attention-heads", "feed-forward-output"], rank = 4,
        input = "layer-input", penalty = { target_kept = 0.5 },
        at.attention-heads = { rounding = "threshold", control = { kind = "threshold", target = 0.7 } } }"#;
    let run = place.run("run");
    drop(finish(
        place.start(&run, &[&table.replace('\n', " ")]).unwrap(),
    ));
    for step in steps(&run) {
        assert_eq!(step.kept_by_controlled.len(), 2);
        let penalty = step.penalty.unwrap();
        assert!(penalty > 0.0 && penalty <= 0.5, "{penalty}");
        assert!(step.kept_at_inference.is_some());
    }
}
