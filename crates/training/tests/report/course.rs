//! The course of training: the time that steps take, and means over runs, worked out by hand.

use crate::content::{report, study};

/// 200 tokens of 10 lines that tell no speed count at that of the next line, 100 a second. The last 200 tokens
/// tell none either, so 600 tokens took 400 / 100 + 200 / 300 seconds; at that of the last line all 800 take
/// 4 + 4 / 3.
#[test]
fn lines_without_a_speed_count_alike_everywhere() {
    let (place, _) = study();
    for seed in [1, 2] {
        let run = format!("runs/baseline/seed-{seed}/metrics.jsonl");
        let metrics = place.path().join(run);
        let lines = std::fs::read_to_string(&metrics).expect("metrics");
        let without = |line: &str| -> Option<String> {
            let mut line: serde_json::Value = serde_json::from_str(line).ok()?;
            let step = line["step"].as_u64()?;
            if line["kind"] == "step" && (step <= 10 || step > 30) {
                line["tokens_per_second"] = 0.0.into();
            }
            Some(format!("{line}\n"))
        };
        let lines: String = lines.lines().filter_map(without).collect();
        std::fs::write(&metrics, lines).expect("written");
    }
    let report = report(&[place.path()]);
    let section = &report.sections[0];
    let speed = section.arms[1].runs[0].tokens_per_second();
    let expected = 600.0 / (4.0 + 2.0 / 3.0);
    assert!(
        (speed.expect("a speed") - expected).abs() < 1e-9,
        "{speed:?}"
    );
    let plots = section.plots();
    let baseline = plots[0].series.iter().find(|of| of.name == "Baseline");
    let seconds = baseline.and_then(|of| of.seconds.clone());
    let seconds = seconds.expect("seconds");
    for (found, expected) in seconds
        .iter()
        .zip([2.0, 4.0, 4.0 + 2.0 / 3.0, 4.0 + 4.0 / 3.0])
    {
        assert!((found - expected).abs() < 1e-9, "{seconds:?}");
    }
}

/// Norms of the gradient are 0.5 with seed 1 and 9.5 with seed 2: their mean is 5. The times to step 20 are 4
/// seconds with seed 1 and, at half the speed, 8 with seed 2.
#[test]
fn the_course_is_a_mean_over_the_same_runs() {
    let (place, _) = study();
    let run = place.path().join("runs/learned/seed-2");
    let metrics = run.join("metrics.jsonl");
    let lines = std::fs::read_to_string(&metrics).expect("metrics");
    let other = |line: &str| -> Option<String> {
        let mut line: serde_json::Value = serde_json::from_str(line).ok()?;
        let is_early = line["step"].as_u64() <= Some(20);
        if line["kind"] == "step" {
            line["gradient_norm"] = 9.5.into();
            line["tokens_per_second"] = 50.0.into();
        }
        is_early.then(|| format!("{line}\n"))
    };
    std::fs::write(
        &metrics,
        lines.lines().filter_map(other).collect::<String>(),
    )
    .expect("written");
    let course = || {
        let section = &report(&[place.path()]).sections[0];
        let seconds = section.plots()[0].series[0].seconds.clone();
        let gradient = section.course_plots()[1].series[0].points.clone();
        (gradient, seconds.expect("seconds")[1])
    };
    // The second run has not come farther yet, or has ended there.
    let (gradient, seconds) = course();
    assert_eq!(gradient.len(), 20);
    assert!(gradient.iter().all(|point| point[1] == 5.0), "{gradient:?}");
    assert!((seconds - 6.0).abs() < 1e-9, "{seconds}");
    // A failed run decides nothing.
    std::fs::write(run.join("failure.txt"), "step 21: the loss is NaN").expect("written");
    let (gradient, seconds) = course();
    assert_eq!(gradient.len(), 40);
    assert!(gradient.iter().all(|point| point[1] == 0.5), "{gradient:?}");
    assert!((seconds - 4.0).abs() < 1e-9, "{seconds}");
}
