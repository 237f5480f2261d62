//! Runs of experiments: whether they fit the file, where their sets are, and when they are finished.

use super::*;

#[test]
fn a_changed_arm_is_reported_with_both_values() {
    let arm = |extra: &str| format!("base = 'base.toml'\n[[arm]]\nname = 'a'\n{extra}");
    let (place, experiment) = read(&arm("")).unwrap();
    let out = place.path().join("out");
    let run = |experiment: &Experiment| experiment.runs(&out).remove(0);
    let first = run(&experiment);
    assert!(first.changed().unwrap().is_none(), "nothing is there yet");
    first.set_up().unwrap();
    assert!(first.changed().unwrap().is_none());
    let (_place, harmless) = read(&arm("set.train.checkpoint.keep = 7")).unwrap();
    assert!(run(&harmless).changed().unwrap().is_none());
    let (_place, other) = read(&arm("set.train.steps = 7\nset.model.dropout = 0.5")).unwrap();
    let changed = run(&other).changed().unwrap().unwrap().to_string();
    for part in [
        "train.steps was 6, is 7",
        "model.dropout was 0.0, is 0.5",
        "delete the folder",
    ] {
        assert!(changed.contains(part), "{part}: {changed}");
    }
}

/// An arm that is the same in both versions is not advised to be undone.
#[test]
fn runs_that_are_older_than_fixed_windows_are_told_how_to_go_on() {
    let arm = |extra: &str| format!("base = 'base.toml'\n[set]\n{extra}\n[[arm]]\nname = 'a'");
    let (place, experiment) = read(&arm("")).unwrap();
    let run = |experiment: &Experiment| experiment.runs(&place.path().join("out")).remove(0);
    let begun = run(&experiment);
    begun.set_up().unwrap();
    let file = begun.folder.join("config.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let older = text.replace("windows = \"fixed\"\n", "");
    assert_ne!(older, text);
    std::fs::write(&file, older).unwrap();
    let changed = begun.changed().unwrap().unwrap().to_string();
    let advice = "train.evaluate.windows was \"random\", is \"fixed\"\n  An earlier version began this \
                  run, which read random windows. To go on with it, write train.evaluate.windows = \
                  \"random\" under [set] in the experiment file";
    assert!(changed.ends_with(advice), "{changed}");
    let (_place, steps) = read(&arm("train.steps = 7")).unwrap();
    let changed = run(&steps).changed().unwrap().unwrap().to_string();
    assert!(
        changed.contains("in the experiment file. For the rest: Undo"),
        "{changed}"
    );
    // The advice works.
    let (_place, followed) = read(&arm("train.evaluate.windows = 'random'")).unwrap();
    assert!(run(&followed).changed().unwrap().is_none());
    // Of a run that was begun with random windows, the file has changed.
    let (_place, random) = read(&arm("train.evaluate.windows = 'random'")).unwrap();
    std::fs::remove_file(&file).unwrap();
    run(&random).set_up().unwrap();
    let changed = begun.changed().unwrap().unwrap().to_string();
    assert!(
        changed.contains("is \"fixed\"\n  Undo the change"),
        "{changed}"
    );
}

#[test]
fn sets_are_relative_to_the_experiment_file_and_found_again() {
    let text = "
base = 'base.toml'
set.train.evaluate.sets.shared = '../texts/shared'
[[arm]]
name = 'a'
[[arm]]
name = 'b'
set.'train.evaluate.sets.own' = 'own'
";
    let (place, experiment) = read(text).unwrap();
    let sets = |arm: usize| experiment.configs[arm].train.evaluate.sets.clone();
    let above = place.path().parent().unwrap();
    let shared = ("shared".to_string(), above.join("texts/shared"));
    let own = ("own".to_string(), place.path().join("own"));
    assert!(sets(0).into_iter().eq([shared.clone()]));
    assert!(sets(1).into_iter().eq([own, shared]));
    // Those of a base file are relative to the working folder, like its data.
    let base = format!("{BASE}evaluate.sets.old = 'data/old'\n");
    std::fs::write(place.path().join("base.toml"), base).unwrap();
    let file = place.path().join("study.toml");
    let base = DefaultBase {
        text: BASE,
        name: "the default",
    };
    let again = Experiment::read(&file, base).unwrap();
    let old = &again.configs[0].train.evaluate.sets["old"];
    assert_eq!(old, Path::new("data/old"));

    // The run stores a path that holds in any working folder; here it is the tests'.
    let mut run = again.runs(&place.path().join("out")).remove(0);
    run.set_up().unwrap();
    let stored = RunConfig::read(&run.folder.join("config.toml"), &[]).unwrap();
    let working = std::env::current_dir().unwrap();
    let found = &stored.train.evaluate.sets["old"];
    assert_eq!(*found, working.join("data/old"));

    // The same folder under another path is no change, another folder is one.
    let real = place.path().join("real");
    std::fs::create_dir_all(&real).unwrap();
    std::fs::write(real.join("meta.json"), "{}").unwrap();
    let mut moved = stored.clone();
    moved.train.evaluate.sets.insert("old".into(), real.clone());
    moved.write(&run.folder.join("config.toml")).unwrap();
    let wanted = &mut run.config.train.evaluate.sets;
    wanted.insert("old".into(), place.path().join("out/../real"));
    assert!(run.changed().unwrap().is_none());
    run.config
        .train
        .evaluate
        .sets
        .insert("old".into(), "other".into());
    let changed = run.changed().unwrap().unwrap().to_string();
    assert!(changed.contains("train.evaluate.sets.old was"), "{changed}");
}

/// Wherever they stand in the file, and not those of the base file.
#[test]
fn all_paths_of_the_experiment_file_are_relative_to_it() {
    let text = "
seeds = [1]
set.train.from = 'models/shared'
set.train.evaluate.sets = { news = '../news' }
[base]
data.path = '../data/base'
model = { context = 8, width = 8, heads = 2, layers = 2 }
train = { steps = 6, batch = 2 }
[sweep]
steps = 2
[[arm]]
name = 'base'
sweep = false
[[arm]]
name = 'own'
set.data.path = 'data/own'
set.train.from = '/models/absolute'
sweep = false
[[arm]]
name = 'searched'
sweep.train.from = ['models/first', '../second']
";
    let (place, experiment) = read(text).unwrap();
    let (here, above) = (place.path(), place.path().parent().unwrap());
    let paths = |config: &RunConfig| {
        let train = &config.train;
        let from = train.from.clone().unwrap();
        (
            config.data.path.clone(),
            from,
            train.evaluate.sets["news"].clone(),
        )
    };
    let (base, news) = (above.join("data/base"), above.join("news"));
    let expected = (base.clone(), here.join("models/shared"), news.clone());
    assert_eq!(paths(&experiment.configs[0]), expected);
    let expected = (
        here.join("data/own"),
        "/models/absolute".into(),
        news.clone(),
    );
    assert_eq!(paths(&experiment.configs[1]), expected);
    let search = experiment.search.unwrap();
    let settings = &search.candidates[2];
    let from = [here.join("models/first"), above.join("second")];
    for (setting, from) in settings.iter().zip(from) {
        let expected = (base.clone(), from, news.clone());
        assert_eq!(paths(&setting.short), expected);
        assert_eq!(paths(&setting.full), expected);
    }
    // Settings are known by what the file says, whatever the place of the file.
    assert_eq!(settings[1].values["train.from"], "../second");

    let text = "base = 'base.toml'\n[[arm]]\nname = 'a'\n";
    let (_place, experiment) = read(text).unwrap();
    assert_eq!(experiment.configs[0].data.path, Path::new("data/base"));
}

#[test]
fn a_run_is_finished_when_it_is_evaluated_and_saved() {
    let place = tempfile::tempdir().unwrap();
    let run: PathBuf = place.path().into();
    let of_steps = |steps: u64| {
        let overrides = [format!("train.steps={steps}")];
        let config = RunConfig::parse(BASE, Path::new("base.toml"), &overrides).unwrap();
        status(&run, &config.train)
    };
    assert_eq!(of_steps(2), Status::Waiting);
    let step = |step: u64| {
        format!(
            "{{\"kind\":\"step\",\"step\":{step},\"tokens\":1,\"loss\":1.0,\"learning_rate\":0.1,\
             \"gradient_norm\":1.0,\"tokens_per_second\":1.0}}\n"
        )
    };
    let evaluation = "{\"kind\":\"evaluation\",\"step\":2,\"train_loss\":1.0,\
                      \"validation_loss\":1.0,\"best\":true}\n";
    let metrics = run.join("metrics.jsonl");
    std::fs::write(&metrics, step(1) + "{\"kind\":\"st").unwrap();
    assert_eq!(of_steps(2), Status::Begun(1));
    std::fs::write(&metrics, step(1) + &step(2) + evaluation).unwrap();
    assert_eq!(
        of_steps(2),
        Status::Finished,
        "of old runs the metrics are enough"
    );
    assert_eq!(of_steps(3), Status::Begun(2));
    // Killed before the last checkpoint was complete.
    std::fs::create_dir(run.join("checkpoints")).unwrap();
    assert_eq!(of_steps(2), Status::Begun(2));
    std::fs::write(run.join("latest"), "step-00000002\n").unwrap();
    assert_eq!(of_steps(2), Status::Finished);
    std::fs::write(run.join(FAILURE_FILE), "out of memory\n").unwrap();
    assert_eq!(of_steps(2), Status::Failed("out of memory".into()));
}
