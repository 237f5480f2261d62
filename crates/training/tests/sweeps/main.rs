//! Sweeps in experiment files: which settings are tried, and what is refused.

#[path = "../support/experiment_file.rs"]
mod experiment_file;
mod records;

use std::path::Path;

use experiment_file::read;
use learned_dropout_training::experiments::{Experiment, Search, in_words};

fn experiment(text: &str) -> Experiment {
    let (_place, experiment) = read(text).unwrap_or_else(|error| panic!("{error}"));
    experiment
}

/// The settings of an arm in words.
fn settings(search: &Search, arm: usize) -> Vec<String> {
    let candidates = search.candidates[arm].iter();
    candidates.map(|of| in_words(&of.values)).collect()
}

const STUDY: &str = "
base = 'base.toml'
seeds = [3, 4]
[sweep]
steps = 4
[sweep.set]
'train.optimizer.learning_rate' = [1e-3, 2e-3]
train.schedule.warmup = [0, 1]

[[arm]]
name = 'a'
[[arm]]
name = 'b'
[arm.sweep]
model.dropout = [0.5]
train.schedule.warmup = [2]
[[arm]]
name = 'c'
sweep = false
";

#[test]
fn arms_have_all_combinations_of_their_lists() {
    let experiment = experiment(STUDY);
    let search = experiment.search.as_ref().unwrap();
    assert!(experiment.outline.search);
    assert_eq!((search.steps, search.seeds, search.shared), (4, 1, false));
    assert_eq!(
        settings(search, 0),
        [
            "learning_rate 0.001, warmup 0",
            "learning_rate 0.001, warmup 1",
            "learning_rate 0.002, warmup 0",
            "learning_rate 0.002, warmup 1",
        ]
    );
    // An arm's own list stands beside or instead of the shared ones.
    assert_eq!(
        settings(search, 1),
        [
            "dropout 0.5, learning_rate 0.001, warmup 2",
            "dropout 0.5, learning_rate 0.002, warmup 2",
        ]
    );
    assert_eq!(settings(search, 2), [""; 0]);
    // What follows from the steps follows from those of the search. The base has 6 steps.
    let candidate = &search.candidates[1][1];
    let (short, full) = (&candidate.short.train, &candidate.full.train);
    assert_eq!((short.steps, full.steps), (4, 6));
    assert_eq!(
        (short.schedule.decay_steps, full.schedule.decay_steps),
        (Some(4), Some(6))
    );
    assert_eq!(
        (short.evaluate.sample.tokens, full.evaluate.sample.tokens),
        (0, 64)
    );
    assert_eq!((short.checkpoint.keep, full.checkpoint.keep), (1, 2));
    assert_eq!(full.optimizer.learning_rate, 2e-3);
    assert_eq!(full.optimizer.minimum_learning_rate, Some(2e-4));
    assert_eq!(candidate.full.model.dropout, 0.5);
    assert_eq!(candidate.full.seed, 3);
    assert_eq!(experiment.configs[2].train.schedule.warmup, 0);
}

/// The keys of `sweep.set` first, then those that only an arm has.
#[test]
fn the_record_has_the_keys_in_the_order_of_the_file() {
    let keys = |text: &str| {
        let record = experiment(text).search_record(Path::new("")).unwrap();
        record.unwrap().keys
    };
    let rate = "train.optimizer.learning_rate";
    let warmup = "train.schedule.warmup";
    assert_eq!(keys(STUDY), [rate, warmup, "model.dropout"]);
    let lists = "'train.optimizer.learning_rate' = [1e-3, 2e-3]\ntrain.schedule.warmup = [0, 1]\n";
    let other = STUDY.replace(
        lists,
        "[sweep.set.train]\nschedule.warmup = [0, 1]\noptimizer.learning_rate = [1e-3]\n",
    );
    assert_ne!(other, STUDY);
    assert_eq!(keys(&other), [warmup, rate, "model.dropout"]);
}

#[test]
fn lists_may_have_words_lists_and_tables() {
    let text = "
base = 'base.toml'
[sweep]
steps = 4
[sweep.set]
'model.learned_dropout.penalty' = [{ coefficient = 0.1 }, { kind = 'linear', coefficient = 1 }]
model.learned_dropout.rounding = ['threshold']
train.optimizer.betas = [[0.9, 0.95], [0.9, 0.99]]
[[arm]]
name = 'a'
";
    let experiment = experiment(text);
    let search = experiment.search.as_ref().unwrap();
    let found = settings(search, 0);
    assert_eq!(found.len(), 4);
    assert_eq!(
        found[3],
        "penalty { coefficient = 1, kind = linear }, rounding threshold, betas [0.9, 0.99]"
    );
    assert_eq!(
        search.candidates[0][3].full.train.optimizer.betas,
        [0.9, 0.99]
    );
}

#[test]
fn the_example_in_the_documents_is_valid() {
    let document = include_str!("../../../../docs/experiments.md");
    let blocks = document.split("```toml\n").skip(1);
    let mut blocks = blocks.filter_map(|block| block.split("```").next());
    let block = blocks.find(|block| block.contains("[sweep]")).unwrap();
    let experiment = experiment(block);
    let search = experiment.search.as_ref().unwrap();
    let counts: Vec<usize> = search.candidates.iter().map(Vec::len).collect();
    assert_eq!(counts, [3, 9], "as the document says");
}

/// A base that is complete only with the swept values is enough.
#[test]
fn the_searched_value_may_be_missing_in_the_base() {
    let text = "
[base]
data.path = 'd'
train = { steps = 5, batch = 2 }
model = { context = 8, heads = 2, layers = 1 }
[sweep]
steps = 2
set.model.width = [8, 16]
[[arm]]
name = 'a'
";
    let experiment = experiment(text);
    assert_eq!(
        experiment.configs[0].model.width, 8,
        "the first until one is chosen"
    );
}

#[test]
fn random_combinations_are_the_same_for_every_arm() {
    let text = STUDY.replace("steps = 4", "steps = 4\nsamples = 3");
    let random = experiment(&text);
    let search = random.search.as_ref().unwrap();
    let all = experiment(STUDY);
    let all = settings(all.search.as_ref().unwrap(), 0);
    let found = settings(search, 0);
    assert_eq!(found.len(), 3);
    assert!(found.iter().all(|of| all.contains(of)), "{found:?}");
    assert_eq!(settings(search, 1).len(), 2, "there are no more");
    let twins = text.replace(
        "[arm.sweep]\nmodel.dropout = [0.5]\ntrain.schedule.warmup = [2]\n",
        "",
    );
    let twins = experiment(&twins);
    let search = twins.search.as_ref().unwrap();
    assert_eq!(settings(search, 0), settings(search, 1));
    assert_eq!(settings(search, 0), found);
}

#[test]
fn all_problems_of_sweeps_are_reported_with_their_lines() {
    let text = "base = 'base.toml'
[sweep]
steps = 0
seeds = 2
sample = 3
[sweep.set]
model.dropuot = [0.1]
model.dropout = []
model.width = 8
train.steps = [1, 2]
train.evaluate.batches = [1]
train.batch = [2, 2.0]
[[arm]]
name = 'a'
sweep = true
[[arm]]
name = 'b'
[arm.sweep]
seed = [1]
model.head = [1]
";
    let problems = read(text).map(|_| ()).unwrap_err();
    let lines: Vec<&str> = problems.lines().skip(1).map(str::trim).collect();
    assert_eq!(
        lines,
        [
            "line 3: `sweep.steps` is 0: expected a whole number from 1 to 1073741824",
            "line 4: `sweep.seeds` is 2: expected a whole number from 1 to 1",
            "line 5: unknown key `sweep.sample`; did you mean `sweep.samples`?",
            "line 7: `sweep.set`: no configuration has the key `model.dropuot`; did you mean \
             `model.dropout`?",
            "line 8: `sweep.set`: `model.dropout`: expected at least one value",
            "line 9: `sweep.set`: `model.width` is 8: expected a list of values, [8]",
            "line 10: `sweep.set`: `train.steps` cannot be searched for: `sweep.steps` gives the steps of \
             the search",
            "line 11: `sweep.set`: `train.evaluate.batches` cannot be searched for: the losses would not \
             be measured alike",
            "line 12: `sweep.set`: `train.batch` has 2 twice",
            "line 15: arm `a`: `sweep`: expected a table of keys with lists of values, or false",
            "line 19: arm `b`: `sweep`: `seed` cannot be searched for: every setting is tried with the \
             first `sweep.seeds`",
            "line 20: arm `b`: `sweep`: no configuration has the key `model.head`; did you mean \
             `model.heads`?",
        ]
    );
}

/// The values of `sweep.set` would replace what makes an arm differ from the others.
#[test]
fn shared_lists_do_not_replace_what_an_arm_gives() {
    let text = "base = 'base.toml'
[sweep]
steps = 3
[sweep.set]
model.dropout = [0.2, 0.3]
model.learned_dropout.penalty = [{ coefficient = 0.1 }, { coefficient = 0.2 }]
[[arm]]
name = 'base'
[[arm]]
name = 'set'
set.model.dropout = 0.1
[[arm]]
name = 'below'
set.model.learned_dropout.penalty.coefficient = 0.3
[[arm]]
name = 'above'
unset = ['model.learned_dropout']
[[arm]]
name = 'own'
set.model.dropout = 0.1
[arm.sweep]
model.dropout = [0.1, 0.2]
[[arm]]
name = 'out'
set.model.dropout = 0.1
sweep = false
";
    let problems = read(text).map(|_| ()).unwrap_err();
    let lines: Vec<&str> = problems.lines().skip(1).map(str::trim).collect();
    let advice = "give the arm its own list in `arm.sweep`, or leave it out of the search with `sweep = false`";
    assert_eq!(
        lines,
        [
            format!(
                "line 11: arm `set`: `set` gives `model.dropout`, which `model.dropout` of `sweep.set` would \
                 replace; {advice}"
            ),
            format!(
                "line 14: arm `below`: `set` gives `model.learned_dropout.penalty.coefficient`, which \
                 `model.learned_dropout.penalty` of `sweep.set` would replace; {advice}"
            ),
            format!(
                "line 17: arm `above`: `unset` removes `model.learned_dropout`, which \
                 `model.learned_dropout.penalty` of `sweep.set` would replace; {advice}"
            ),
        ]
    );
    let shared = "base = 'base.toml'
[sweep]
steps = 3
shared = true
[sweep.set]
model.dropout = [0.2, 0.3]
[[arm]]
name = 'set'
set.model.dropout = 0.1
";
    let problems = read(shared).map(|_| ()).unwrap_err();
    assert!(
        problems.contains("take the key out of `sweep.set`, or leave the arm out"),
        "{problems}"
    );
}

/// An evaluation reads `batches` · `batch` windows of `context` tokens.
#[test]
fn settings_that_would_be_measured_differently_are_refused() {
    let study = |evaluate: &str, key: &str, values: &str| {
        let text = format!(
            "base = 'base.toml'\nset.train.evaluate = {evaluate}\n[sweep]\nsteps = 3\n[sweep.set]\n\
             {key} = {values}\n[[arm]]\nname = 'a'\n[[arm]]\nname = 'b'\n"
        );
        read(&text).map(|(_, experiment)| experiment)
    };
    let problems = study("{ batches = 4 }", "train.batch", "[1, 2]").unwrap_err();
    let lines: Vec<&str> = problems.lines().skip(1).map(str::trim).collect();
    assert_eq!(
        lines,
        [
            "line 6: `train.batch` cannot be searched for like this: some settings would be evaluated on 4 \
             fixed windows of 8 tokens and others on 8 fixed windows of 8 tokens, so the losses would not be \
             measured alike; set `train.evaluate.batches` to \"all\""
        ]
    );
    let problems = study("{ batches = 4 }", "model.context", "[8, 16]").unwrap_err();
    assert!(
        problems.contains("`model.context` cannot be searched"),
        "{problems}"
    );
    for key in ["train.batch", "model.context"] {
        let sound = study("{ batches = 'all' }", key, "[8, 16]").unwrap();
        assert_eq!(sound.search.unwrap().candidates[0].len(), 2);
        let one = study("{ batches = 4 }", key, "[8]").unwrap();
        assert_eq!(one.search.unwrap().candidates[0].len(), 1);
    }
}

#[test]
fn not_all_of_very_many_problems_are_reported() {
    let lines = |text: &str| {
        let problems = read(&format!("base = 'base.toml'\n{text}")).map(|_| ());
        problems.unwrap_err().lines().count() - 1
    };
    let arm = "[[arm]]\nname = 'a'\n";
    let keys: String = (0..5000).map(|of| format!("key-{of} = [1]\n")).collect();
    assert_eq!(
        lines(&format!("[sweep]\nsteps = 3\n[sweep.set]\n{keys}{arm}")),
        50
    );
    let heads: Vec<String> = (8..608).map(|of| of.to_string()).collect();
    let heads = heads.join(", ");
    let sweep = format!("[sweep]\nsteps = 3\nset.model.heads = [{heads}]\n");
    assert_eq!(lines(&format!("{sweep}{arm}")), 50);
}

#[test]
fn impossible_settings_are_named() {
    let text = "base = 'base.toml'
[sweep]
steps = 4
[sweep.set]
model.heads = [2,
  3]
model.width = [8, 12]
model.dropout = [1.5]
[[arm]]
name = 'a'
[[arm]]
name = 'b'
set.train.schedule = { kind = 'wsd', decay_start = 5 }
";
    let problems = read(text).map(|_| ()).unwrap_err();
    let lines: Vec<&str> = problems.lines().skip(1).map(str::trim).collect();
    // 3 divides 12, but not 8. The dropout is impossible with everything. Only the second arm's decay
    // begins too late for the search.
    for (line, expected) in lines.iter().zip([
        "line 6: with dropout 1.5, heads 3, width 8: `model.heads` is 3: expected a divisor",
        "line 8: `model.dropout` is 1.5: expected",
        "line 13: arm `b`: in the search, `train.schedule.decay_start` is 5: expected",
    ]) {
        assert!(line.starts_with(expected), "{line}\n{problems}");
    }
    assert_eq!(lines.len(), 3, "{problems}");
}

#[test]
fn a_sweep_needs_keys_and_few_runs() {
    let problem = |text: &str| {
        let text = format!("base = 'base.toml'\n{text}");
        let problems = read(&text).map(|_| ()).unwrap_err();
        assert_eq!(problems.lines().count(), 2, "{problems}");
        problems.lines().nth(1).unwrap().trim().to_string()
    };
    let arm = "[[arm]]\nname = 'a'\n";
    assert_eq!(
        problem(&format!("[sweep]\nsteps = 3\n{arm}")),
        "line 2: `sweep`: nothing to search; add lists of values, for example [sweep.set] with \
         \"train.optimizer.learning_rate\" = [1e-3, 2e-3]"
    );
    assert_eq!(
        problem(&format!("[sweep]\nset.model.dropout = [0.1]\n{arm}")),
        "line 2: `sweep.steps` is missing"
    );
    assert_eq!(
        problem(&format!("{arm}sweep.model.dropout = [0.1]\n")),
        "line 4: arm `a`: `sweep`: expected a table [sweep] with the `steps` of the search"
    );
    let own = "[sweep]\nsteps = 3\nshared = true\nset.model.dropout = [0.1]\n[[arm]]\nname = 'a'\n\
               sweep.model.dropout = [0.2]\n";
    let refused = problem(own);
    assert!(
        refused.contains("line 8: arm `a`: `sweep`: `sweep.shared` gives all arms"),
        "{refused}"
    );
    let values = |count: usize| {
        let values: Vec<String> = (0..count).map(|of| format!("{of}e-6")).collect();
        values.join(", ")
    };
    let lists = |seeds: usize, samples: &str| {
        format!(
            "seeds = [1, 2]\n[sweep]\nsteps = 3\nseeds = {seeds}\n{samples}[sweep.set]\nmodel.dropout = \
             [{}]\ntrain.optimizer.weight_decay = [{}]\n{arm}",
            values(100),
            values(101)
        )
    };
    assert_eq!(
        problem(&lists(2, "")),
        "line 3: `sweep`: expected at most 10000 runs of the search, found 20200; shorten the lists, or \
         give `samples`, the number of random combinations of each arm"
    );
    let sampled = experiment(&format!(
        "base = 'base.toml'\n{}",
        lists(2, "samples = 60\n")
    ));
    assert_eq!(sampled.search.unwrap().candidates[0].len(), 60);
    let long = format!(
        "[sweep]\nsteps = 3\nset.model.dropout = [{}]\n{arm}",
        values(1001)
    );
    assert!(problem(&long).contains("`model.dropout`: expected at most 1000 values, found 1001"));
}
