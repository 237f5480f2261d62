//! What happened while arms were trained, step by step, and the tokens and the time that the steps took.

use super::arm::Arm;
use super::run_record::{RunRecord, StepPoint};
use super::spread::Spread;

/// Values of the logged steps, as means over the runs that charts show, up to the last step that all of them have.
pub(super) fn over_steps(arm: &Arm, value: impl Fn(&StepPoint) -> Option<f64>) -> Vec<Vec<f64>> {
    let runs: Vec<&RunRecord> = arm.shown().filter(|run| !run.steps.is_empty()).collect();
    let Some((first, others)) = runs.split_first() else {
        return Vec::new();
    };
    let at = |run: &RunRecord, step: u64| {
        let found = run.steps.binary_search_by_key(&step, |point| point.step);
        value(&run.steps[found.ok()?])
    };
    let mean = |point: &StepPoint| {
        let others = others.iter().map(|run| at(run, point.step));
        // A mean over other runs than before would look like a change.
        let values: Option<Vec<f64>> = std::iter::once(value(point)).chain(others).collect();
        Some(vec![point.step as f64, Spread::of_values(values?)?.mean])
    };
    first.steps.iter().filter_map(mean).collect()
}

/// The tokens that have been trained on after so many steps.
pub(super) fn tokens(arm: &Arm, steps: &[f64]) -> Option<Vec<f64>> {
    let per_step = arm.runs.first()?.config.tokens_per_step() as f64;
    Some(steps.iter().map(|step| step * per_step).collect())
}

/// The seconds that so many steps take, the mean over the shown runs that tell them; none if no run does.
pub(super) fn seconds(arm: &Arm, steps: &[f64]) -> Option<Vec<f64>> {
    let told = arm.shown().map(seconds_of_steps);
    let told: Vec<Vec<(f64, f64)>> = told.filter(|told| told.len() > 1).collect();
    let at = |step: &f64| {
        let mean = Spread::of_values(told.iter().map(|told| between(told, *step)))?;
        Some(mean.mean)
    };
    steps.iter().map(at).collect()
}

/// Steps, and the seconds of training until then.
fn seconds_of_steps(run: &RunRecord) -> Vec<(f64, f64)> {
    let told = run.training_time();
    let told = told.iter().map(|of| (of.step as f64, of.seconds));
    [(0.0, 0.0)].into_iter().chain(told).collect()
}

/// The value at a place between known ones, at least two, on the line between its neighbours; beyond the last
/// one on the line through the last two.
fn between(known: &[(f64, f64)], at: f64) -> f64 {
    let after = known.partition_point(|(x, _)| *x < at);
    let after = after.clamp(1, known.len() - 1);
    let ((x0, y0), (x1, y1)) = (known[after - 1], known[after]);
    y0 + (at - x0) * (y1 - y0) / (x1 - x0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_lie_on_the_line_between_their_neighbours() {
        let known = [(0.0, 0.0), (10.0, 5.0), (20.0, 25.0)];
        let found = [0.0, 4.0, 10.0, 15.0, 20.0, 25.0].map(|at| between(&known, at));
        assert_eq!(found, [0.0, 2.0, 5.0, 15.0, 25.0, 35.0]);
    }
}
