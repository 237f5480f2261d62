//! Experiment files; `runs` looks at their runs.

#[path = "../support/experiment_file.rs"]
mod experiment_file;
mod runs;

use std::path::{Path, PathBuf};

use data::sources::Source;
use data::{TokenizerChoice, TokenizerOrigin};
use experiment_file::{BASE, read};
use learned_dropout_training::config::RunConfig;
use learned_dropout_training::experiments::{
    ChartKind, Column, DataChoice, DefaultBase, Experiment, FAILURE_FILE, Outline, Published,
    Status, status,
};

fn configs(text: &str) -> Vec<RunConfig> {
    read(text)
        .unwrap_or_else(|error| panic!("{error}"))
        .1
        .configs
}

#[test]
fn ten_lines_are_enough() {
    let text = "
data.sources = ['my.txt']
seeds = [1, 2, 3]

[[arm]]
name = 'learned'

[[arm]]
name = 'baseline'
unset = ['model.learned_dropout']
";
    let (place, experiment) = read(text).unwrap();
    let Some(DataChoice::Prepare(how)) = &experiment.data else {
        panic!("{:?}", experiment.data)
    };
    assert_eq!(how.sources, [Source::Path(place.path().join("my.txt"))]);
    assert_eq!(
        (how.tokenizer.clone(), how.validation),
        (TokenizerChoice::Bpe(2048).into(), 0.1)
    );
    assert_eq!(experiment.outline.title, "study");
    assert_eq!(experiment.outline.arms[1].label, "baseline");
    let runs = experiment.runs(Path::new("out"));
    let folders: Vec<&Path> = runs.iter().map(|run| run.folder.as_path()).collect();
    let expected = [
        "out/runs/learned/seed-1",
        "out/runs/baseline/seed-1",
        "out/runs/learned/seed-2",
        "out/runs/baseline/seed-2",
        "out/runs/learned/seed-3",
        "out/runs/baseline/seed-3",
    ];
    assert_eq!(folders, expected.map(Path::new));
    assert!(
        runs.iter()
            .all(|run| run.config.data.path == Path::new("out/data"))
    );
    assert!(runs[0].config.model.learned_dropout.is_some());
    assert!(runs[5].config.model.learned_dropout.is_none());
    assert_eq!(runs[5].config.seed, 3);
    assert_eq!(runs[0].tokens(), 6 * 2 * 8);
}

#[test]
fn arms_change_the_base_in_order() {
    let text = "
base = 'base.toml'
unset = ['model.learned_dropout.penalty']
[set]
train.steps = 9
model.layers = 3

[[arm]]
name = 'as-it-is'

[[arm]]
name = 'nested'
[arm.set.model]
layers = 4
learned_dropout.rounding = 'threshold'

[[arm]]
name = 'dotted'
unset = ['model.learned_dropout.function']
set = { 'model.width' = 16, 'train.optimizer.learning_rate' = 1e-3 }
";
    let arms = configs(text);
    let mask = |index: usize| arms[index].model.learned_dropout.clone().unwrap();
    assert_eq!(
        arms.iter().map(|arm| arm.train.steps).collect::<Vec<_>>(),
        [9, 9, 9]
    );
    assert_eq!(
        arms.iter().map(|arm| arm.model.layers).collect::<Vec<_>>(),
        [3, 4, 3]
    );
    assert!(mask(0).penalty.is_none());
    assert_eq!(
        mask(1).function,
        mask(0).function,
        "a table is laid over a table"
    );
    assert_ne!(mask(1).rounding, mask(0).rounding);
    assert_ne!(
        mask(2).function,
        mask(0).function,
        "unset gives the default back"
    );
    assert_eq!(
        (arms[2].model.width, arms[2].train.optimizer.learning_rate),
        (16, 1e-3)
    );
    assert_eq!(arms[0].data.path, Path::new("data/base"));
    assert_eq!(arms[0].seed, 5, "the base's seed where there are none");
}

#[test]
fn the_layout_of_the_report_is_read() {
    let text = "
title = 'A title'
base = 'base.toml'
data.path = '../prepared'
[[arm]]
name = 'a'
label = 'Arm A'
published = { train = 2.5, validation = 3 }
[[chart]]
kind = 'loss-against-flops'
title = 'Cost'
arms = ['a']
[[table]]
columns = ['validation-loss', 'kept']
";
    let (place, experiment) = read(text).unwrap();
    let prepared = place.path().parent().unwrap().join("prepared");
    assert_eq!(experiment.data, Some(DataChoice::Folder(prepared)));
    let outline = &experiment.outline;
    assert_eq!(
        outline.arms[0].published,
        Published {
            train: Some(2.5),
            validation: Some(3.0),
            kept: None
        }
    );
    assert_eq!(outline.charts[0].kind, ChartKind::LossAgainstFlops);
    assert_eq!(
        outline.tables[0].columns,
        [Column::ValidationLoss, Column::Kept]
    );
    outline.write(place.path()).unwrap();
    assert_eq!(Outline::read(place.path()).unwrap().as_ref(), Some(outline));
}

#[test]
fn all_problems_are_reported_together_with_their_lines() {
    let text = "base = 'base.toml'
seed = [1]
seeds = [1, 1]
data = { sources = ['a.txt'], tokenizer = 'words', validation = 1.5, validation_sources = ['hf:a'] }
unset = ['model.learned_dropuot']
[[arm]]
name = 'good'
set.train.bacth = 4
[[arm]]
name = 'Good'
set.model.heads = 3
lable = 'x'
[[arm]]
name = '../bad'
[[chart]]
kind = 'validation-lost'
arms = ['god']
";
    let problems = read(text).unwrap_err();
    for expected in [
        " problems in the configuration",
        "line 2: unknown key `seed`; did you mean `seeds`?",
        "line 3: `seeds`: expected at least one seed, and each only once",
        "line 4: `data.tokenizer`: no tokenizer is called `words`",
        "line 4: `data.validation` is 1.5",
        "line 4: `data`: give either `validation`, a share of `sources`, or `validation_sources`",
        "line 4: `data.validation_sources`: 'hf:a' is not",
        "line 5: `unset`: no configuration has the key `model.learned_dropuot`; did you mean `model.learned_dropout`?",
        "line 8: arm `good`: unknown key `train.bacth`; did you mean `train.batch`?",
        "line 10: arm `Good`: another arm has the same name",
        "line 11: arm `Good`: `model.heads` is 3",
        "line 12: arm `Good`: unknown key `lable`; did you mean `label`?",
        "line 14: arm `../bad`: `name` names a folder",
        "line 16: chart: `kind` is \"validation-lost\": did you mean `validation-loss`?",
        "line 17: `chart.arms`: no arm is called `god`; did you mean `good`?",
    ] {
        assert!(problems.contains(expected), "{expected}\n{problems}");
    }
}

#[test]
fn problems_in_lists_are_told_with_their_arm() {
    let text = "base = 'base.toml'
seeds = [1, 'two']
[[arm]]
label = 'no name'
[[arm]]
name = 'b'
label = 3
published.train = 'low'
[[chart]]
kind = 3
[[table]]
columns = ['kept', 'kep']
[speed]
decode = 0
[threshold]
sparsity = [0.5, 1.5]
title = 'late'
";
    let problems = read(text).unwrap_err();
    let lines: Vec<&str> = problems.lines().skip(1).map(str::trim).collect();
    assert_eq!(
        lines,
        [
            "line 2: `seeds` is string \"two\": expected a whole number of at least 0",
            "line 3: arm: `name` is missing",
            "line 7: arm `b`: `label` is integer `3`: expected a string",
            "line 8: arm `b`: `published.train` is string \"low\": expected a number",
            "line 10: chart: `kind` is integer `3`: expected one of `loss`, `validation-loss`, \
             `train-loss`, `step-loss`, `learning-rate`, `gradient-norm`, `throughput`, `kept`, `kept-by-layer`, `kept-by-position`, `loss-against-flops`, \
             `loss-against-speed`, `loss-against-decode-speed`, `loss-against-prefill-speed`, \
             `search`",
            "line 12: table: `columns` is \"kep\": did you mean `kept`?",
            "line 14: `speed.decode` is 0: expected a whole number of at least 1",
            "line 16: `threshold.sparsity` is 1.5: expected shares from 0 to 1",
            "line 17: unknown key `threshold.title`; did you mean `title` at the top of the file?",
        ]
    );
    let problems = read("base = 'base.toml'\n[arm]\nname = 'a'\n").unwrap_err();
    assert!(
        problems.contains("line 2: `arm` is a table: expected a list; the head of each table"),
        "{problems}"
    );
}

/// Found by fuzzing: the time, or the length of the message, grew with the square of the file.
#[test]
fn not_all_of_very_many_problems_are_reported() {
    let problems = |text: &str| {
        let message = read(text).map(|_| ()).unwrap_err();
        assert!(message.len() < 100_000, "{} bytes", message.len());
        // The first line is the file and the number of problems.
        message.lines().count() - 1
    };
    assert_eq!(problems(&"[[arm]]\n".repeat(5000)), 50);
    let arms: String = (0..50)
        .map(|arm| format!("[[arm]]\nname = 'a{arm}'\n"))
        .collect();
    let wrong: String = (0..5000).map(|arm| format!("'b{arm}', ")).collect();
    let data = "data.path = 'd'\n";
    assert_eq!(problems(&format!("unset = [{wrong}]\n{data}{arms}")), 50);
    let chart = format!("{data}{arms}[[chart]]\nkind = 'validation-loss'\narms = [{wrong}]\n");
    assert_eq!(problems(&chart), 50);
    // A name that is far longer than any is not compared with all keys.
    let long = format!("unset = ['{}']\n[[arm]]\nname = 'a'\n", "k".repeat(50_000));
    assert_eq!(problems(&long), 1);
    let more = (0..1001).map(|arm| format!("[[arm]]\nname = 'a{arm}'\n"));
    let message = read(&more.collect::<String>()).map(|_| ()).unwrap_err();
    assert!(
        message.contains("`arm`: expected at most 1000, found 1001"),
        "{message}"
    );
}

#[test]
fn problems_of_the_base_are_reported_once_with_its_name() {
    let text = "
base = 'broken.toml'
[[arm]]
name = 'a'
[[arm]]
name = 'b'
";
    let place = tempfile::tempdir().unwrap();
    let broken = BASE.replace("batch = 2", "bacth = 2");
    std::fs::write(place.path().join("broken.toml"), broken).unwrap();
    let file = place.path().join("study.toml");
    std::fs::write(&file, text).unwrap();
    let base = DefaultBase { text: "", name: "" };
    let error = Experiment::read(&file, base).unwrap_err().to_string();
    assert_eq!(
        error
            .matches("broken.toml, line 14: unknown key `train.bacth`")
            .count(),
        1,
        "{error}"
    );
    assert_eq!(
        error.matches("`train.batch` is missing").count(),
        1,
        "{error}"
    );

    std::fs::write(&file, "title = 'empty'").unwrap();
    let base = DefaultBase {
        text: BASE,
        name: "default",
    };
    let error = Experiment::read(&file, base).unwrap_err().to_string();
    assert!(
        error.contains("no arms: add at least one table [[arm]]"),
        "{error}"
    );
    std::fs::write(&file, "base = 'absent.toml'\n[[arm]]\nname = 'a'").unwrap();
    let error = Experiment::read(&file, base).unwrap_err().to_string();
    assert!(error.contains("absent.toml"), "{error}");
}

/// The experiment files of the repository are valid with every key.
#[test]
fn the_experiments_of_the_repository_can_be_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../experiments");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "toml") {
            let base = DefaultBase { text: "", name: "" };
            let experiment =
                Experiment::read(&path, base).unwrap_or_else(|error| panic!("{error}"));
            names.push(path.file_stem().unwrap().to_string_lossy().into_owned());
            if path
                .file_stem()
                .unwrap()
                .to_string_lossy()
                .starts_with("seed-")
            {
                assert_eq!(experiment.configs.len(), 9, "the nine published runs");
            }
        }
    }
    for name in ["seed-cpu", "seed-gpu-hour", "seed-full"] {
        assert!(names.iter().any(|found| found == name), "{name}: {names:?}");
    }
}

/// The first experiment file in a document.
fn example(document: &str) -> &str {
    let mut blocks = document.split("```toml\n").skip(1);
    let block = blocks.find(|block| block.contains("[[arm]]"));
    block.and_then(|block| block.split("```").next()).unwrap()
}

#[test]
fn the_examples_in_the_documents_are_valid() {
    let document = include_str!("../../../../docs/experiments.md");
    let (_place, experiment) = read(example(document)).unwrap();
    let dropout: Vec<f64> = experiment
        .configs
        .iter()
        .map(|of| of.model.dropout)
        .collect();
    assert_eq!(dropout, [0.0, 0.0, 0.2]);
    for key in Experiment::keys() {
        let last = key.rsplit('.').next().unwrap();
        let ways = [format!("`{key}`"), format!("`{last}`"), format!("{last} =")];
        assert!(
            ways.iter().any(|way| document.contains(way)),
            "{key} is not documented"
        );
    }
    let (_place, experiment) =
        read(example(include_str!("../../../../docs/getting-started.md"))).unwrap();
    assert_eq!(experiment.runs(Path::new("out")).len(), 6);
    let named = |value: serde_json::Value| {
        let name = format!("`{}`", value.as_str().unwrap());
        assert!(document.contains(&name), "{name} is not documented");
    };
    for column in Column::ALL {
        named(serde_json::to_value(column).unwrap());
    }
    for kind in ChartKind::ALL {
        let name = serde_json::to_value(kind).unwrap();
        assert_eq!(name, kind.name());
        named(name);
    }
}

#[test]
fn an_existing_tokenizer_is_found_from_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("study.toml");
    let read = |tokenizer: &str| {
        let text = format!(
            "data.sources = ['a.txt']\ndata.tokenizer = '{tokenizer}'\n[[arm]]\nname = 'a'\n"
        );
        std::fs::write(&file, text).unwrap();
        let base = DefaultBase {
            text: BASE,
            name: "the default",
        };
        let read = Experiment::read(&file, base);
        read.map(|experiment| match experiment.data {
            Some(DataChoice::Prepare(preparation)) => preparation.tokenizer,
            other => panic!("{other:?}"),
        })
    };
    let path = folder.path().join("run");
    assert_eq!(read("bpe:300").unwrap(), TokenizerChoice::Bpe(300).into());
    let error = read("run").unwrap_err().to_string();
    assert!(
        error.contains("line 2: `data.tokenizer`: no tokenizer is called `run`"),
        "{error}"
    );
    std::fs::create_dir(&path).unwrap();
    assert_eq!(read("run").unwrap(), TokenizerOrigin::File(path));
}

#[test]
fn speeds_beyond_a_context_are_problems_of_the_file() {
    let text = "base = 'base.toml'
[speed]
decode = 8
prefill = 9
[[arm]]
name = 'short'
";
    let error = read(text).unwrap_err();
    assert!(
        error.contains(
            "line 4: `speed.prefill` is 9: expected at most 8, the context of arm `short`"
        ),
        "{error}"
    );
    assert_eq!(error.lines().count(), 2, "{error}");
}
