//! The sentences above tables, worked out by hand.

use std::path::Path;

use learned_dropout_training::experiments::Table;
use learned_dropout_training::report::{Format, Report};
use serde_json::json;

use crate::study;

/// An arm and the last validation losses of its seeds; one that is not a number is that of a failed run.
type Losses<'a> = (&'a str, &'a [f64]);

/// The headline of a study with these arms.
fn headline(arms: &[Losses<'_>]) -> Option<String> {
    let place = tempfile::tempdir().expect("a folder");
    write(place.path(), arms);
    let report = Report::read(&[place.path().into()]).expect("a report");
    report.sections[0].tables()[0].headline.clone()
}

fn write(folder: &Path, arms: &[Losses<'_>]) {
    let seeds = arms
        .iter()
        .map(|(_, losses)| losses.len())
        .max()
        .unwrap_or(0);
    let outline = json!({
        "title": "Losses", "seeds": (1..=seeds).collect::<Vec<usize>>(),
        "arms": arms.iter().map(|(name, _)| json!({"name": name, "label": name.to_uppercase()}))
            .collect::<Vec<_>>(),
    });
    std::fs::write(folder.join("experiment.json"), outline.to_string()).expect("written");
    for (name, losses) in arms {
        for (index, loss) in losses.iter().enumerate() {
            let run = folder.join(format!("runs/{name}/seed-{}", index + 1));
            std::fs::create_dir_all(&run).expect("made");
            let config = format!(
                "seed = {}\ndata.path = 'data'\nmodel = {{ vocabulary = 10, context = 4, width = 2, \
                 heads = 1, layers = 1 }}\ntrain = {{ steps = 5, batch = 1, precision = 'f32' }}\n",
                index + 1
            );
            std::fs::write(run.join("config.toml"), config).expect("written");
            if !loss.is_finite() {
                std::fs::write(run.join("failure.txt"), "it failed").expect("written");
                continue;
            }
            let line = json!({
                "kind": "evaluation", "step": 5, "train_loss": 1.0, "validation_loss": loss,
            });
            std::fs::write(run.join("metrics.jsonl"), format!("{line}\n")).expect("written");
        }
    }
}

/// Means 3.1, 3.5 and 4.0. Deviations: 0.1 · √2 = 0.141, 0 and 0.2 · √2 = 0.283. Of the first two the pooled
/// one is √((0.02 + 0) / 2) = 0.1: their distance of 0.4 is 4 times that. Of the best and the first arm
/// it is √((0.02 + 0.08) / 2) = 0.2236: 0.9 is 4.02 times that.
#[test]
fn the_best_arm_is_compared_with_the_next_and_with_the_first() {
    assert_eq!(
        headline(&[
            ("first", &[3.8, 4.2]),
            ("best", &[3.0, 3.2]),
            ("next", &[3.5, 3.5])
        ])
        .unwrap(),
        "BEST has the lowest validation loss, 3.100 ± 0.141: 0.400 (4.0 times the spread) lower than NEXT, \
         the next one. BEST is 0.900 (4.0 times the spread) lower than FIRST, the first arm. 2 seeds each."
    );
}

#[test]
fn the_first_arm_may_be_the_best_or_the_next() {
    assert_eq!(
        headline(&[("a", &[3.0, 3.2]), ("b", &[3.5, 3.5])]).unwrap(),
        "A, the first arm, has the lowest validation loss, 3.100 ± 0.141: 0.400 (4.0 times the spread) lower \
         than B, the next one. 2 seeds each."
    );
    assert_eq!(
        headline(&[("b", &[3.5, 3.5]), ("a", &[3.0, 3.2]), ("c", &[9.0, 9.0])]).unwrap(),
        "A has the lowest validation loss, 3.100 ± 0.141: 0.400 (4.0 times the spread) lower than B, the next \
         one and the first arm. 2 seeds each."
    );
    assert_eq!(
        headline(&[("a", &[3.0, 3.0]), ("b", &[3.5, 3.5])]).unwrap(),
        "A, the first arm, has the lowest validation loss, 3.000 ± 0.000: 0.500 (the seeds do not differ) \
         lower than B, the next one. 2 seeds each."
    );
}

/// Means 3.1, 3.15 and 4. Pooled of the first two: √((0.02 + 0.045) / 2) = 0.180, of which 0.05 is 0.28.
#[test]
fn arms_within_the_spread_are_tied() {
    assert_eq!(
        headline(&[("far", &[4.0, 4.0]), ("a", &[3.0, 3.2]), ("b", &[3.0, 3.3])]).unwrap(),
        "A and B are tied: the lowest validation loss is 3.100 ± 0.141, and they are at most 0.050 apart, \
         0.3 times the spread. A is 0.900 (9.0 times the spread) lower than FAR, the first arm. 2 seeds each."
    );
    assert_eq!(
        headline(&[("a", &[3.0, 3.2]), ("b", &[3.0, 3.3])]).unwrap(),
        "A (the first arm) and B are tied: the lowest validation loss is 3.100 ± 0.141, and they are at most \
         0.050 apart, 0.3 times the spread. 2 seeds each."
    );
}

/// Means 3.005, 3.105 and 3.35. Deviations: 0.00707, 0.00707 and 1.202. Of the first two the pooled one is 0.00707:
/// 0.1 is 14.1 times that. The third arm's is so wide that 0.345 is within it: √((0.00005 + 1.445) / 2) = 0.85.
#[test]
fn a_wide_spread_behind_a_clear_distance_is_no_tie() {
    assert_eq!(
        headline(&[
            ("best", &[3.0, 3.01]),
            ("near", &[3.1, 3.11]),
            ("wild", &[2.5, 4.2])
        ])
        .unwrap(),
        "BEST, the first arm, has the lowest validation loss, 3.005 ± 0.007: 0.100 (14.1 times the spread) lower \
         than NEAR, the next one. 2 seeds each."
    );
}

#[test]
fn one_seed_has_no_spread() {
    assert_eq!(
        headline(&[("a", &[3.2]), ("b", &[3.0]), ("c", &[3.1])]).unwrap(),
        "B has the lowest validation loss, 3.000: 0.100 lower than C, the next one. B is 0.200 lower than A, \
         the first arm. One seed each, so the spread between seeds is not known."
    );
    assert_eq!(
        headline(&[("a", &[3.0]), ("b", &[3.0])]).unwrap(),
        "A (the first arm) and B are tied: the lowest validation loss is 3.000, and they are at most 0.000 \
         apart. One seed each, so the spread between seeds is not known."
    );
}

/// The third seed of `b` has failed: its two others have the mean 3.5 and the deviation 0.141; those of `a` 3.1
/// and 0.1. Pooled: √((2 · 0.01 + 1 · 0.02) / 3) = 0.1155, of which 0.4 is 3.46.
#[test]
fn failed_arms_are_named() {
    let failed = f64::NAN;
    assert_eq!(
        headline(&[
            ("a", &[3.0, 3.1, 3.2]),
            ("b", &[3.4, 3.6, failed]),
            ("c", &[failed, failed, failed]),
            ("d", &[failed, failed, failed]),
        ])
        .unwrap(),
        "A, the first arm, has the lowest validation loss, 3.100 ± 0.100: 0.400 (3.5 times the spread) lower \
         than B, the next one. 2 to 3 seeds each. Without a finished run: C and D."
    );
    assert_eq!(
        headline(&[("a", &[3.0, 3.2]), ("b", &[failed, failed])]).unwrap(),
        "A: validation loss 3.100 ± 0.141. 2 seeds. Without a finished run: B."
    );
    assert_eq!(headline(&[("a", &[failed]), ("b", &[failed])]), None);
}

#[test]
fn a_headline_stands_above_the_first_table_of_the_same_arms() {
    let place = tempfile::tempdir().expect("a folder");
    study::write(place.path());
    let mut report = Report::read(&[place.path().into()]).expect("a report");
    let expected = "Learned <dropout> & more, the first arm, has the lowest validation loss, 3.100 ± 0.141: \
                    0.200 (2.0 times the spread) lower than Baseline, the next one. 2 seeds each. Without a \
                    finished run: Broken.";
    let markdown = report.write(Format::Markdown { all_columns: false });
    assert!(
        markdown.contains(&format!("# Results\n\n{expected}\n\n| Arm |")),
        "{markdown}"
    );
    let page = report.write(Format::Html);
    assert!(
        page.contains("<p class=\"headline\">Learned &lt;dropout&gt; &amp; more, the first arm,")
    );
    let baseline = Table {
        arms: vec!["baseline".into()],
        ..Table::default()
    };
    report.sections[0].outline.tables = vec![Table::default(), baseline, Table::default()];
    let headlines: Vec<Option<String>> = report.sections[0]
        .tables()
        .into_iter()
        .map(|table| table.headline)
        .collect();
    let of_baseline = "Baseline: validation loss 3.300 ± 0.000. 2 seeds.";
    assert_eq!(
        headlines,
        [Some(expected.into()), Some(of_baseline.into()), None]
    );
}
