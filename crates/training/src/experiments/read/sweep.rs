//! Reads the tables `sweep` of an experiment file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use model::problem::Checks;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{ArmTable, PATHS, Reader, resolve, single_value};
use crate::config::document::{Node, Value};
use crate::config::keys::with_tables;
use crate::config::nearest::nearest;
use crate::config::reading::{MOST_PROBLEMS, add_check_problems, is_within};
use crate::config::{EvaluatedPart, Origin, Problem, RunConfig};
use crate::experiments::search::{Candidate, Search};
use crate::experiments::sweep::{
    MOST_KEYS, MOST_RUNS, MOST_VALUES, Setting, SweptKey, combinations, in_words, json, settings,
    shown,
};

/// Keys that a search cannot try values of, and why. Tables stand for all their keys.
const NOT_SWEPT: [(&str, &str); 5] = [
    (
        "seed",
        "every setting is tried with the first `sweep.seeds`",
    ),
    ("data", "all runs of an arm need the same text"),
    ("train.steps", "`sweep.steps` gives the steps of the search"),
    ("train.evaluate", "the losses would not be measured alike"),
    ("train.checkpoint", "it has no effect on the result"),
];

/// The table `[sweep]`, as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SweepTable {
    steps: u64,
    #[serde(default = "one")]
    seeds: usize,
    samples: Option<u64>,
    #[serde(default)]
    shared: bool,
    #[serde(rename = "set")]
    _set: Option<IgnoredAny>,
}

fn one() -> usize {
    1
}

/// The swept keys of one arm; none if it is not searched.
type Swept = Vec<SweptKey>;

impl Reader<'_> {
    /// The search that the file asks for: its candidates for every arm, given the arms' configurations as
    /// documents. Adds the problems of all candidates to `found`, those of each arm.
    pub(super) fn search(
        &mut self,
        table: Option<&SweepTable>,
        arms: &[ArmTable],
        documents: &[Node],
        (seeds, found): (&[u64], &mut [Vec<Problem>]),
    ) -> Option<Search> {
        let Some(table) = table else {
            self.refuse_arms_without_sweep(arms);
            return None;
        };
        let mut checks = Checks::default();
        checks.table("sweep", |checks| {
            checks.range("steps", table.steps, 1..=1 << 30);
            checks.range("seeds", table.seeds, 1..=seeds.len());
            checks.range("samples", table.samples, 1..);
        });
        let before = self.problems.len();
        add_check_problems(&mut self.problems, self.root, checks);
        let is_sound = self.problems.len() == before;
        let shared = self.shared_keys();
        let swept: Vec<Swept> = (0..arms.len())
            .map(|arm| self.keys_of_arm((arm, &arms[arm]), &shared, table.shared))
            .collect();
        if swept.iter().all(Vec::is_empty) {
            if self.problems.len() == before {
                let message = "`sweep`: nothing to search; add lists of values, for example \
                               [sweep.set] with \"train.optimizer.learning_rate\" = [1e-3, 2e-3]";
                self.problem("sweep", message);
            }
            return None;
        }
        if !is_sound || !self.has_few_runs(&swept, table) {
            return None;
        }
        let mut candidates = Vec::new();
        for ((swept, document), found) in swept.iter().zip(documents).zip(found) {
            if swept.is_empty() {
                candidates.push(Vec::new());
                continue;
            }
            let taken = settings(swept, table.samples, seeds[0]);
            let of_arm = self.candidates(swept, &taken, (document, table.steps), found);
            found.extend(measured_differently(swept, &of_arm));
            candidates.push(of_arm);
        }
        Some(Search {
            steps: table.steps,
            seeds: table.seeds,
            shared: table.shared,
            keys: self.keys_in_order(arms.len()),
            candidates,
            unchosen: Vec::new(),
        })
    }

    /// The keys with lists of values in the order of the file: those of `sweep.set`, then those of each arm.
    /// Keys of one line are in alphabetical order.
    fn keys_in_order(&self, arms: usize) -> Vec<String> {
        let of_arms = (0..arms).map(|arm| format!("arm.{arm}.sweep"));
        let mut keys = Vec::new();
        for path in ["sweep.set".to_string()].into_iter().chain(of_arms) {
            let mut lists = Vec::new();
            if let Some(table) = self.root.get(path.split('.')) {
                collect_lists(table, "", &mut lists);
            }
            lists.retain(|(_, node)| matches!(node.value, Value::Array(_)));
            lists.sort_by_key(|(_, node)| match node.origin {
                Origin::Line(line) => line,
                _ => 0,
            });
            for (key, _) in lists {
                if !keys.contains(&key) {
                    keys.push(key);
                }
            }
        }
        keys
    }

    fn refuse_arms_without_sweep(&mut self, arms: &[ArmTable]) {
        for (index, arm) in arms.iter().enumerate() {
            let path = format!("arm.{index}.sweep");
            if !self.root.has("sweep") && self.root.has(&path) {
                let message = format!(
                    "arm `{}`: `sweep`: expected a table [sweep] with the `steps` of the search",
                    arm.name
                );
                self.problem(&path, message);
            }
        }
    }

    /// Reports a search of too many runs.
    fn has_few_runs(&mut self, swept: &[Swept], table: &SweepTable) -> bool {
        let of_arm = |swept: &Swept| match swept.is_empty() {
            true => 0,
            false => combinations(swept).min(table.samples.unwrap_or(u64::MAX)),
        };
        let settings = swept.iter().map(of_arm).fold(0, u64::saturating_add);
        let runs = settings.saturating_mul(table.seeds as u64);
        if runs > MOST_RUNS {
            let message = format!(
                "`sweep`: expected at most {MOST_RUNS} runs of the search, found {runs}; shorten the \
                 lists, or give `samples`, the number of random combinations of each arm"
            );
            self.problem("sweep", message);
        }
        runs <= MOST_RUNS
    }

    fn shared_keys(&mut self) -> Swept {
        let root = self.root;
        match root.get(["sweep", "set"]) {
            Some(node) => self.swept_keys(node, "`sweep.set`"),
            None => Vec::new(),
        }
    }

    fn keys_of_arm(&mut self, arm: (usize, &ArmTable), shared: &Swept, is_shared: bool) -> Swept {
        let (index, name) = (arm.0, &arm.1.name);
        let path = format!("arm.{index}.sweep");
        let root = self.root;
        let Some(node) = root.get(path.split('.')) else {
            self.refuse_replaced(arm, is_shared, shared.iter());
            return shared.clone();
        };
        let problem = match &node.value {
            Value::Boolean(false) => return Vec::new(),
            Value::Table(_) if is_shared => {
                "`sweep.shared` gives all arms the same setting, so an arm has no lists of its own; \
                 expected false, or nothing"
            }
            Value::Table(_) => {
                let own = self.swept_keys(node, &format!("arm `{name}`: `sweep`"));
                let other = |of: &&SweptKey| own.iter().all(|own| own.key != of.key);
                self.refuse_replaced(arm, is_shared, shared.iter().filter(other));
                let mut keys: Swept = shared.iter().filter(other).cloned().collect();
                keys.extend(own);
                keys.sort_by(|left, right| left.key.cmp(&right.key));
                return keys;
            }
            _ => "expected a table of keys with lists of values, or false",
        };
        self.problem(&path, format!("arm `{name}`: `sweep`: {problem}"));
        Vec::new()
    }

    /// Reports keys of `sweep.set` that would replace what an arm sets or removes itself. All arms would then
    /// be trained alike, under different names.
    fn refuse_replaced<'a>(
        &mut self,
        (index, arm): (usize, &ArmTable),
        is_shared: bool,
        shared: impl Iterator<Item = &'a SweptKey>,
    ) {
        let path = format!("arm.{index}.set");
        let (root, mut own) = (self.root, Vec::new());
        if let Some(set) = root.get(path.split('.')) {
            collect_lists(set, "", &mut own);
        }
        let unset = root.origin(&format!("arm.{index}.unset"));
        let set = own.iter().map(|(key, node)| ("set", key, &node.origin));
        let unset = arm.unset.iter().map(|key| ("unset", key, &unset));
        let own: Vec<_> = set.chain(unset).collect();
        let advice = if is_shared {
            "take the key out of `sweep.set`, or leave the arm out of the search with `sweep = false`"
        } else {
            "give the arm its own list in `arm.sweep`, or leave it out of the search with `sweep = false`"
        };
        for swept in shared.map(|of| of.key.as_str()) {
            let replaced = |key: &str| is_within(key, swept) || is_within(swept, key);
            let Some((how, key, origin)) = own.iter().find(|(_, key, _)| replaced(key)) else {
                continue;
            };
            let (name, gives) = (&arm.name, if *how == "set" { "gives" } else { "removes" });
            let message = format!(
                "arm `{name}`: `{how}` {gives} `{key}`, which `{swept}` of `sweep.set` would replace; {advice}"
            );
            self.problems.push(Problem::new(&path, origin, message));
        }
    }

    /// The keys in a table with their lists, without those that have problems.
    fn swept_keys(&mut self, table: &Node, place: &str) -> Swept {
        let mut lists = Vec::new();
        if !matches!(table.value, Value::Table(_)) {
            let message = format!("{place}: expected a table of keys with lists of values");
            self.problems
                .push(Problem::new("sweep", &table.origin, message));
        }
        collect_lists(table, "", &mut lists);
        let known = with_tables(RunConfig::keys());
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        let (mut keys, mut wrong) = (BTreeMap::new(), 0);
        for (key, node) in lists {
            let problem = match list_problem(&key, node, &known) {
                None if keys.contains_key(&key) => Some(format!("`{key}` is there twice")),
                problem => problem,
            };
            if let Some(problem) = problem {
                let message = format!("{place}: {problem}");
                self.problems
                    .push(Problem::new("sweep", &node.origin, message));
                wrong += 1;
                if wrong >= MOST_PROBLEMS {
                    break;
                }
            } else if let Value::Array(values) = &node.value {
                keys.insert(key, values.clone());
            }
        }
        if keys.len() > MOST_KEYS {
            let message = format!(
                "{place}: expected at most {MOST_KEYS} keys, found {}",
                keys.len()
            );
            self.problems
                .push(Problem::new("sweep", &table.origin, message));
            return Vec::new();
        }
        keys.into_iter()
            .map(|(key, values)| SweptKey { key, values })
            .collect()
    }

    /// The candidates of an arm. Problems that all of them have become those of the arm, others are
    /// reported with the setting.
    fn candidates(
        &mut self,
        swept: &Swept,
        taken: &[Vec<usize>],
        (document, steps): (&Node, u64),
        found: &mut Vec<Problem>,
    ) -> Vec<Candidate> {
        let (mut candidates, mut failed) = (Vec::new(), Vec::new());
        let mut common: Option<Vec<Problem>> = None;
        for taken in taken {
            let values = swept.iter().zip(taken);
            let values = values.map(|(of, &index)| (of.key.as_str(), &of.values[index]));
            let values: Vec<(&str, &Node)> = values.collect();
            let setting: Setting = values
                .iter()
                .map(|(key, node)| ((*key).to_string(), json(&node.value)))
                .collect();
            let steps = self.steps_node(steps);
            let (configs, problems) = tried((document, self.folder), &values, steps);
            match &mut common {
                None => common = Some(problems.clone()),
                Some(common) => common.retain(|problem| problems.contains(problem)),
            }
            if let Some((short, full)) = configs.filter(|_| problems.is_empty()) {
                candidates.push(Candidate {
                    values: setting,
                    short,
                    full,
                });
            } else {
                failed.push((setting, problems));
                if failed.len() >= MOST_PROBLEMS {
                    break;
                }
            }
        }
        let common = common.unwrap_or_default();
        let mut told = BTreeSet::new();
        for (setting, problems) in failed {
            for problem in problems.iter().filter(|problem| !common.contains(problem)) {
                // One value can be impossible with many others.
                if told.insert((problem.key.clone(), problem.message.clone())) {
                    let message = format!("with {}: {}", in_words(&setting), problem.message);
                    found.push(Problem::new(&problem.key, &problem.origin, message));
                }
            }
        }
        found.extend(common);
        candidates
    }

    /// `sweep.steps` with its place.
    fn steps_node(&self, steps: u64) -> Node {
        Node {
            value: Value::Integer(steps as i64),
            origin: self.root.origin("sweep.steps"),
        }
    }
}

/// The configurations of a setting, for the search and for the full runs, and all their problems.
fn tried(
    (document, folder): (&Node, &Path),
    values: &[(&str, &Node)],
    steps: Node,
) -> (Option<(RunConfig, RunConfig)>, Vec<Problem>) {
    let mut document = document.clone();
    let set = |document: &mut Node, key: &str, node: Node| {
        let mut table = single_value(key, node.value);
        table.origin = node.origin.clone();
        if let Value::Table(table) = &mut table.value {
            table
                .values_mut()
                .for_each(|of| of.origin = node.origin.clone());
        }
        document.apply_overrides(&table);
    };
    for (key, node) in values {
        let mut node = (*node).clone();
        // The setting keeps the path as it is written.
        if PATHS.contains(key) {
            resolve(folder, &mut node);
        }
        set(&mut document, key, node);
    }
    let (full, mut problems) = RunConfig::from_document(&document);
    set(&mut document, "train.steps", steps);
    // What a search needs of its runs is their last loss.
    for (key, value) in [
        ("train.evaluate.sample.tokens", 0),
        ("train.checkpoint.keep", 1),
    ] {
        document.apply_overrides(&single_value(key, Value::Integer(value)));
    }
    let (short, of_short) = RunConfig::from_document(&document);
    for problem in of_short {
        if !problems.contains(&problem) {
            let message = format!("in the search, {}", problem.message);
            problems.push(Problem::new(&problem.key, &problem.origin, message));
        }
    }
    (short.zip(full), problems)
}

/// The problem of lists whose settings would be evaluated on different parts of the text.
fn measured_differently(swept: &Swept, candidates: &[Candidate]) -> Option<Problem> {
    let mut parts = candidates.iter().map(|of| EvaluatedPart::of(&of.short));
    let first = parts.next()?;
    let other = parts.find(|part| *part != first)?;
    let sizes = ["train.batch", "model.context"];
    let is_size = |of: &&SweptKey| sizes.iter().any(|size| is_within(size, &of.key));
    let SweptKey { key, values } = swept.iter().find(is_size)?;
    let message = format!(
        "`{key}` cannot be searched for like this: some settings would be evaluated on {first} and others on \
         {other}, so the losses would not be measured alike; set `train.evaluate.batches` to \"all\""
    );
    Some(Problem::new(key, &values.first()?.origin, message))
}

/// The values that are not tables, with the paths of their keys.
fn collect_lists<'a>(node: &'a Node, path: &str, into: &mut Vec<(String, &'a Node)>) {
    let Value::Table(table) = &node.value else {
        return;
    };
    for (key, node) in table {
        let parts: Vec<&str> = key.split('.').map(str::trim).collect();
        let key = parts.join(".");
        let key = match path {
            "" => key,
            path => format!("{path}.{key}"),
        };
        match &node.value {
            Value::Table(_) => collect_lists(node, &key, into),
            _ => into.push((key, node)),
        }
    }
}

/// What is wrong with the values of a key.
fn list_problem(key: &str, node: &Node, known: &[&str]) -> Option<String> {
    if !known.contains(&key) {
        let near = nearest(key, known);
        let near = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
        return Some(format!("no configuration has the key `{key}`{near}"));
    }
    let is_part = |(table, _): &&(&str, &str)| is_within(key, table) || is_within(table, key);
    if let Some((_, reason)) = NOT_SWEPT.iter().find(is_part) {
        return Some(format!("`{key}` cannot be searched for: {reason}"));
    }
    let Value::Array(values) = &node.value else {
        let found = shown(&json(&node.value));
        return Some(format!(
            "`{key}` is {found}: expected a list of values, [{found}]"
        ));
    };
    if values.is_empty() {
        return Some(format!("`{key}`: expected at least one value"));
    }
    if values.len() > MOST_VALUES {
        let found = values.len();
        return Some(format!(
            "`{key}`: expected at most {MOST_VALUES} values, found {found}"
        ));
    }
    let mut seen = BTreeSet::new();
    let texts = values.iter().map(|node| shown(&json(&node.value)));
    let mut repeated = texts.filter(|text| !seen.insert(text.clone()));
    let repeated = repeated.next()?;
    Some(format!("`{key}` has {repeated} twice"))
}
