//! Whole runs with every kind of feed-forward: they learn, report the shares that they used, and
//! resume with the same bits.

mod support;

use std::path::Path;

use learned_dropout_training::checkpoints::read_state;
use learned_dropout_training::metrics::{
    EvaluationMetrics, FeedForwardMetrics, Metrics, StepMetrics,
};
use support::{Place, finish, train};

const KINDS: [&str; 7] = [
    "{kind=\"dense\", hidden=12}",
    "{kind=\"mixture-of-experts\", experts=4, active=2, hidden=8, shared=4}",
    "{kind=\"relu-routed-experts\", experts=4, hidden=8, initial_coefficient=0.05}",
    "{kind=\"relu\", hidden=24, penalty=0.5}",
    "{kind=\"swiglu\", hidden=[12, 8]}",
    "{kind=\"relu-routed-experts\", experts=4, hidden=8, activation=\"relu\", penalty=0.05}",
    "{kind=\"mixture-of-experts\", experts=4, active=2, hidden=8, shared=4, activation=\"relu\"}",
];

fn overrides(kind: &str) -> Vec<String> {
    vec![
        format!("model.feed_forward={kind}"),
        "train.precision=f32".into(),
    ]
}

fn lines(run: &Path) -> Vec<Metrics> {
    std::fs::read_to_string(run.join("metrics.jsonl"))
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn steps(lines: &[Metrics]) -> Vec<&StepMetrics> {
    lines
        .iter()
        .filter_map(|line| match line {
            Metrics::Step(step) => Some(step),
            _ => None,
        })
        .collect()
}

#[test]
fn every_kind_resumes_with_the_same_bits() {
    for kind in KINDS {
        let place = Place::new();
        let set = overrides(kind);
        let set: Vec<&str> = set.iter().map(String::as_str).collect();
        let whole = finish(place.start(&place.run("whole"), &set).unwrap());
        let run = place.run("parts");
        let mut trainer = place.start(&run, &set).unwrap();
        assert!(train(&mut trainer, Some(3)).0.unwrap().stopped, "{kind}");
        drop(trainer);
        let parts = finish(place.resume(&run, &[]).unwrap());
        assert!(whole == parts, "{kind}");
        model::model_folder::read(&run.join("checkpoints/step-00000006")).unwrap();
    }
}

#[test]
fn every_kind_learns_and_reports_what_it_used() {
    let experts = [None, Some(4), Some(4), Some(0), None, Some(4), Some(4)];
    for (kind, experts) in KINDS.into_iter().zip(experts) {
        let place = Place::new();
        let run = place.run("run");
        let mut set = overrides(kind);
        set.push("model.learned_dropout=".into());
        set.extend(["train.steps=60".into(), "train.evaluate.every=60".into()]);
        let set: Vec<&str> = set.iter().map(String::as_str).collect();
        train(&mut place.start(&run, &set).unwrap(), None)
            .0
            .unwrap();
        let lines = lines(&run);
        let steps = steps(&lines);
        let (first, last) = (steps[0], steps[59]);
        assert!(last.loss < first.loss - 0.5, "{kind}: {}", last.loss);
        let evaluated = lines.iter().find_map(|line| match line {
            Metrics::Evaluation(EvaluationMetrics { feed_forward, .. }) => Some(feed_forward),
            _ => None,
        });
        let evaluated = evaluated.expect("an evaluation");
        let Some(experts) = experts else {
            assert_eq!((evaluated, &last.feed_forward), (&None, &None), "{kind}");
            continue;
        };
        let check = |used: &Option<FeedForwardMetrics>| {
            let used = used.as_ref().expect("statistics");
            assert!(used.density > 0.0 && used.density < 1.0, "{kind}: {used:?}");
            assert!(used.auxiliary > 0.0, "{kind}");
            assert_eq!(used.layers.len(), 2);
            for layer in &used.layers {
                assert_eq!(layer.load.len(), experts);
                let units = layer.unit_density;
                assert_eq!(units.is_some(), kind.contains("activation"), "{kind}");
                assert!(
                    units.is_none_or(|units| units > 0.0 && units < 1.0),
                    "{kind}"
                );
            }
        };
        check(&last.feed_forward);
        check(evaluated);
        assert!(last.feed_forward.as_ref().unwrap().coefficient.is_some());
        assert!(evaluated.as_ref().unwrap().coefficient.is_none());
    }
}

/// A stronger penalty makes the units sparser.
#[test]
fn a_penalty_on_the_units_of_experts_makes_them_sparse() {
    let place = Place::new();
    let densities = [0.0, 20.0].map(|penalty| {
        let run = place.run(&format!("penalty-{penalty}"));
        let mut set = overrides(KINDS[5]);
        set.push(format!("model.feed_forward.penalty={penalty}"));
        set.extend(["model.learned_dropout=".into(), "train.steps=60".into()]);
        let set: Vec<&str> = set.iter().map(String::as_str).collect();
        train(&mut place.start(&run, &set).unwrap(), None)
            .0
            .unwrap();
        let lines = lines(&run);
        let last = steps(&lines)[59].feed_forward.clone().unwrap();
        assert!(last.density > 0.1, "{last:?}");
        let layers = last.layers.iter();
        let units: Vec<f64> = layers.filter_map(|layer| layer.unit_density).collect();
        units.iter().sum::<f64>() / units.len() as f64
    });
    assert!(densities[1] < 0.7 * densities[0], "{densities:?}");
}

/// Half of the experts are used. The auxiliary loss is smallest if all have the same load: 1 in each
/// layer.
#[test]
fn a_mixture_uses_the_configured_share() {
    let place = Place::new();
    let run = place.run("run");
    let set = overrides(KINDS[1]);
    let set: Vec<&str> = set.iter().map(String::as_str).collect();
    train(&mut place.start(&run, &set).unwrap(), None)
        .0
        .unwrap();
    for step in steps(&lines(&run)) {
        let used = step.feed_forward.as_ref().unwrap();
        assert_eq!(used.coefficient, Some(0.01));
        assert!((used.density - 0.5).abs() < 1e-6);
        // The loads are nearly equal at first, because the router begins with small scores.
        assert!((used.auxiliary - 2.0).abs() < 0.2, "{}", used.auxiliary);
        for layer in &used.layers {
            assert!((layer.load.iter().sum::<f64>() - 2.0).abs() < 1e-6);
        }
    }
}

/// About half of the gates are positive at first, and the target is less. With this high learning rate
/// the density falls below the target.
#[test]
fn the_coefficient_of_relu_routing_follows_the_density() {
    let place = Place::new();
    let run = place.run("run");
    let mut set = overrides(KINDS[2]);
    set.push("train.steps=80".into());
    set.push("model.feed_forward.target_density=0.3".into());
    let set: Vec<&str> = set.iter().map(String::as_str).collect();
    let outcome = train(&mut place.start(&run, &set).unwrap(), None)
        .0
        .unwrap();
    let lines = lines(&run);
    let used: Vec<_> = steps(&lines)
        .into_iter()
        .map(|step| step.feed_forward.clone().unwrap())
        .collect();
    assert_eq!(used[0].coefficient, Some(0.05));
    assert!(used[0].density > 0.3, "{}", used[0].density);
    for pair in used.windows(2) {
        let [before, after] = [pair[0].coefficient.unwrap(), pair[1].coefficient.unwrap()];
        let factor = if pair[0].density > 0.3 {
            1.2
        } else {
            1.0 / 1.2
        };
        assert!((after / before - factor).abs() < 1e-9, "{before} {after}");
    }
    // The density has passed the target in both directions.
    assert!(used.iter().any(|used| used.density < 0.3));
    assert!(used[79].coefficient < used[60].coefficient);
    let state = read_state(&outcome.latest.unwrap()).unwrap();
    let last = used[79].coefficient.unwrap();
    assert_ne!(
        state.auxiliary_coefficient,
        Some(last),
        "that of the next step"
    );
    assert!(state.auxiliary_coefficient.is_some());
}
