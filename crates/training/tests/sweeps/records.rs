//! Records of searches: how settings keep their numbers and losses.

use learned_dropout_training::experiments::{SEARCH_FILE, SearchRecord};

use super::*;

/// Losses that runs would have.
fn finish(record: &mut SearchRecord, losses: &[&[f64]]) {
    for (arm, losses) in record.arms.iter_mut().zip(losses) {
        for (setting, loss) in arm.settings.iter_mut().zip(*losses) {
            setting
                .runs
                .iter_mut()
                .for_each(|run| run.validation_loss = Some(*loss));
        }
    }
    record.choose();
}

#[test]
fn settings_keep_their_numbers_when_lists_change() {
    let out = tempfile::tempdir().unwrap();
    let numbers = |record: &SearchRecord, arm: usize| -> Vec<u32> {
        record.arms[arm]
            .settings
            .iter()
            .map(|of| of.number)
            .collect()
    };
    let mut first = experiment(STUDY);
    let mut record = first.search_record(out.path()).unwrap().unwrap();
    assert_eq!(numbers(&record, 0), [1, 2, 3, 4]);
    assert_eq!(numbers(&record, 1), [1, 2]);
    assert_eq!(record.arms.len(), 2);
    assert!(!record.is_over() && record.arms[0].chosen.is_none());
    first.use_choices(&record);
    let runs = |experiment: &Experiment| -> Vec<String> {
        let runs = experiment.runs(Path::new("")).into_iter();
        runs.map(|run| run.folder.display().to_string()).collect()
    };
    assert_eq!(
        runs(&first),
        ["runs/c/seed-3", "runs/c/seed-4"],
        "the others have no setting"
    );
    finish(&mut record, &[&[3.0, 2.0, 1.0, 2.0], &[1.0, 2.0]]);
    record.write(out.path()).unwrap();
    first.use_choices(&record);
    assert_eq!(runs(&first).len(), 6);
    assert_eq!(first.configs[0].train.optimizer.learning_rate, 2e-3);
    assert_eq!(first.configs[0].train.schedule.warmup, 0);
    assert_eq!(first.configs[1].train.optimizer.learning_rate, 1e-3);

    // Nothing is left to do with the same file.
    let again = first.search_record(out.path()).unwrap().unwrap();
    assert_eq!(again, record);
    // Values in other words are the same; new ones get new numbers, and losses are kept.
    let more = STUDY.replace("[1e-3, 2e-3]", "[4e-3, 0.001, 0.002]");
    let second = experiment(&more);
    let record = second.search_record(out.path()).unwrap().unwrap();
    assert_eq!(numbers(&record, 0), [5, 6, 1, 2, 3, 4]);
    assert_eq!(record.arms[0].settings[4].loss(), Some(1.0));
    assert!(!record.is_over() && record.arms[0].chosen.is_none());
    // Numbers of settings and arms that are gone are not given to others.
    let less = STUDY
        .replace("[1e-3, 2e-3]", "[8e-3]")
        .replace("sweep = false", "");
    let less = less.replace("name = 'b'", "name = 'd'");
    record.write(out.path()).unwrap();
    let third = experiment(&less)
        .search_record(out.path())
        .unwrap()
        .unwrap();
    assert_eq!(numbers(&third, 0), [7, 8]);
    let names: Vec<&str> = third.arms.iter().map(|arm| arm.name.as_str()).collect();
    assert_eq!(names, ["a", "d", "c", "b"]);
    assert!(third.arms[3].settings.is_empty());
    third.write(out.path()).unwrap();
    let fourth = second.search_record(out.path()).unwrap().unwrap();
    assert_eq!(numbers(&fourth, 0), [5, 6, 1, 2, 3, 4]);
    assert_eq!(fourth.arms[0].settings[4].loss(), Some(1.0));
    assert_eq!(numbers(&fourth, 1), numbers(&record, 1));
}

#[test]
fn damaged_records_are_named() {
    let out = tempfile::tempdir().unwrap();
    std::fs::write(out.path().join(SEARCH_FILE), "{").unwrap();
    let error = experiment(STUDY)
        .search_record(out.path())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("search.json: not the record of a search"),
        "{error}"
    );
    assert!(
        experiment("base = 'base.toml'\n[[arm]]\nname = 'a'\n")
            .search_record(out.path())
            .unwrap()
            .is_none()
    );
}
