//! Reads experiment files, and reports all problems of a file together.

mod data;
mod measured;

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use ::data::TokenizerChoice;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use super::measurements::{MaskPlan, Plans, SpeedPlan, ThresholdPlan};
use super::outline::{ArmOutline, Chart, Outline, Published, Table};
use super::{DataChoice, DefaultBase, Experiment};
use crate::config::document::{Node, Value, parse};
use crate::config::problem::{ALIKE, nearest, suggestion};
use crate::config::{ConfigError, Origin, Problem, RunConfig, read_text, typed};

/// The tokenizer of an experiment that names none. Its vocabulary is small, so that small models spend
/// their work in their blocks.
const DEFAULT_TOKENIZER: TokenizerChoice = TokenizerChoice::Bpe(2048);

/// Keys of the experiment file by their full paths, for suggestions.
const KEYS: [&str; 40] = [
    "title",
    "description",
    "base",
    "seeds",
    "set",
    "unset",
    "data.path",
    "data.sources",
    "data.tokenizer",
    "data.validation",
    "data.max_text_bytes",
    "arm",
    "arm.name",
    "arm.label",
    "arm.set",
    "arm.unset",
    "arm.published",
    "chart",
    "chart.kind",
    "chart.title",
    "chart.arms",
    "table",
    "table.title",
    "table.arms",
    "table.columns",
    "table.target",
    "speed",
    "speed.decode",
    "speed.prefill",
    "speed.rounds",
    "speed.threads",
    "speed.seeds",
    "threshold",
    "threshold.arms",
    "threshold.sparsity",
    "threshold.inputs",
    "threshold.max_tokens",
    "masks",
    "masks.max_tokens",
    "masks.seeds",
];

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct TypedExperiment {
    title: Option<String>,
    description: String,
    seeds: Option<Vec<u64>>,
    unset: Vec<String>,
    data: Option<TypedData>,
    speed: Option<SpeedPlan>,
    threshold: Option<ThresholdPlan>,
    masks: Option<MaskPlan>,
    // Read from the document itself.
    #[serde(rename = "base")]
    _base: Option<IgnoredAny>,
    #[serde(rename = "set")]
    _set: Option<IgnoredAny>,
    #[serde(rename = "arm")]
    _arm: Option<IgnoredAny>,
    #[serde(rename = "chart")]
    _chart: Option<IgnoredAny>,
    #[serde(rename = "table")]
    _table: Option<IgnoredAny>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct TypedData {
    path: Option<PathBuf>,
    sources: Vec<String>,
    tokenizer: Option<TokenizerChoice>,
    validation: Option<f64>,
    max_text_bytes: Option<u64>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct TypedArm {
    name: String,
    label: Option<String>,
    unset: Vec<String>,
    published: Published,
    #[serde(rename = "set")]
    _set: Option<IgnoredAny>,
}

/// Reads the file at `path`.
pub(super) fn read(path: &Path, default_base: DefaultBase<'_>) -> Result<Experiment, ConfigError> {
    let text = read_text(path)?;
    let root = parse(&text).map_err(|problems| ConfigError::invalid(path, problems))?;
    let mut reader = Reader {
        folder: path.parent().unwrap_or(Path::new("")),
        root: &root,
        problems: Vec::new(),
    };
    let experiment = reader.experiment(path, default_base)?;
    match experiment {
        Some(experiment) if reader.problems.is_empty() => Ok(experiment),
        _ => {
            let mut problems = reader.problems;
            problems.sort_by_key(|problem| match problem.origin {
                Origin::Line(line) => line,
                _ => usize::MAX,
            });
            Err(ConfigError::invalid(path, problems))
        }
    }
}

struct Reader<'a> {
    folder: &'a Path,
    root: &'a Node,
    problems: Vec<Problem>,
}

/// Changes of a configuration: keys to remove, then values to set.
struct Changes<'a> {
    unset: &'a [String],
    set: Option<&'a Node>,
}

impl Reader<'_> {
    fn experiment(
        &mut self,
        path: &Path,
        default_base: DefaultBase<'_>,
    ) -> Result<Option<Experiment>, ConfigError> {
        let Some(typed) = self.read_as::<TypedExperiment>(self.root, "") else {
            return Ok(None);
        };
        let base = self.base(default_base)?;
        let data = self.data(typed.data);
        let seeds = self.seeds(typed.seeds, base.as_ref());
        let arms = self.arms();
        let names: Vec<String> = arms.iter().map(|(_, arm)| arm.name.clone()).collect();
        let charts = self.list::<Chart>("chart");
        let tables = self.list::<Table>("table");
        for (node, chart) in &charts {
            self.known_arms("chart.arms", node, &chart.arms, &names);
        }
        for (node, table) in &tables {
            self.known_arms("table.arms", node, &table.arms, &names);
        }
        let plans = Plans {
            speed: typed.speed.as_ref(),
            threshold: typed.threshold.as_ref(),
            masks: typed.masks.as_ref(),
        };
        self.check_measurements(plans, &names);
        let Some(base) = base else { return Ok(None) };
        let shared = Changes {
            unset: &typed.unset,
            set: self.root.get(&["set"]),
        };
        self.check_unset(self.root, &typed.unset);
        let configs = self.configs(&base, &shared, &arms, (&seeds, data.is_some()));
        let stem = path.file_stem().map(|stem| stem.to_string_lossy());
        let title = typed.title.or(stem.map(Into::into));
        let outline = Outline {
            title: title.unwrap_or_default(),
            description: typed.description,
            file: path.into(),
            preparation: data.as_ref().map(DataChoice::to_string).unwrap_or_default(),
            seeds,
            arms: arms
                .into_iter()
                .map(|(_, arm)| ArmOutline {
                    label: arm.label.unwrap_or_else(|| arm.name.clone()),
                    name: arm.name,
                    published: arm.published,
                })
                .collect(),
            charts: charts.into_iter().map(|(_, chart)| chart).collect(),
            tables: tables.into_iter().map(|(_, table)| table).collect(),
            speed: typed.speed,
            threshold: typed.threshold,
            masks: typed.masks,
        };
        Ok(configs.map(|configs| Experiment {
            outline,
            data,
            configs,
        }))
    }

    /// Reads a node, adding its problems; `place` is what they are prefixed with.
    fn read_as<T: DeserializeOwned>(&mut self, node: &Node, place: &str) -> Option<T> {
        let everywhere: Vec<String> = KEYS.iter().map(ToString::to_string).collect();
        let (value, problems) = crate::config::deserialize::read(node, &everywhere);
        for mut problem in problems {
            problem.message.insert_str(0, place);
            self.problems.push(problem);
        }
        value
    }

    fn problem(&mut self, key: &str, origin: &Origin, message: impl Into<String>) {
        self.problems.push(Problem::new(key, origin, message));
    }

    /// The base configuration's document; none if it has problems.
    fn base(&mut self, default_base: DefaultBase<'_>) -> Result<Option<Node>, ConfigError> {
        let (name, text) = match self.root.get(&["base"]) {
            None => (PathBuf::from(default_base.name), default_base.text.into()),
            Some(node) => match &node.value {
                Value::Table(_) => return Ok(Some(node.clone())),
                Value::String(file) => {
                    let file = resolve_path(self.folder, Path::new(file));
                    match read_text(&file) {
                        Ok(text) => (file, text),
                        Err(error) => {
                            let message = format!("`base`: {error}");
                            self.problem("base", &node.origin, message);
                            return Ok(None);
                        }
                    }
                }
                _ => {
                    let message = "`base`: expected the path of a configuration file, or a table";
                    self.problem("base", &node.origin, message);
                    return Ok(None);
                }
            },
        };
        let mut base = parse(&text).map_err(|problems| ConfigError::invalid(&name, problems))?;
        base.relocate(&name);
        Ok(Some(base))
    }

    fn seeds(&mut self, typed: Option<Vec<u64>>, base: Option<&Node>) -> Vec<u64> {
        let origin = self.root.get(&["seeds"]).map(|node| node.origin.clone());
        let Some(seeds) = typed else {
            let seed = base.and_then(|base| base.get(&["seed"]));
            return match seed.map(|node| &node.value) {
                Some(&Value::Integer(seed)) if seed >= 0 => vec![seed as u64],
                _ => vec![typed::DEFAULT_SEED],
            };
        };
        let origin = origin.unwrap_or_default();
        let different: BTreeSet<u64> = seeds.iter().copied().collect();
        if seeds.is_empty() || different.len() < seeds.len() {
            let message = "`seeds`: expected at least one seed, and each only once";
            self.problem("seeds", &origin, message);
        }
        if seeds.iter().any(|&seed| seed > i64::MAX as u64) {
            let message = format!("`seeds`: expected whole numbers from 0 to {}", i64::MAX);
            self.problem("seeds", &origin, message);
        }
        if seeds.is_empty() {
            return vec![typed::DEFAULT_SEED];
        }
        seeds
    }

    /// The tables `[[key]]`, each read on its own.
    fn list<T: DeserializeOwned>(&mut self, key: &str) -> Vec<(Node, T)> {
        let Some(node) = self.root.get(&[key]).cloned() else {
            return Vec::new();
        };
        let Value::Array(nodes) = node.value else {
            let message = format!("`{key}`: expected tables, each headed [[{key}]]");
            self.problem(key, &node.origin, message);
            return Vec::new();
        };
        let mut list = Vec::new();
        for node in nodes {
            let name = match node.get(&["name"]).map(|name| &name.value) {
                Some(Value::String(name)) => format!("{key} `{name}`: "),
                _ => format!("{key}: "),
            };
            if let Some(value) = self.read_as(&node, &name) {
                list.push((node, value));
            }
        }
        list
    }

    fn arms(&mut self) -> Vec<(Node, TypedArm)> {
        let arms = self.list::<TypedArm>("arm");
        if self.root.get(&["arm"]).is_none() {
            let message = "no arms: add at least one table [[arm]] with a `name`";
            self.problem("arm", &Origin::Nowhere, message);
        }
        let mut names = BTreeSet::new();
        for (node, arm) in &arms {
            let name = node
                .get(&["name"])
                .map_or(&node.origin, |name| &name.origin);
            if !is_folder_name(&arm.name) {
                let message = format!(
                    "arm `{}`: `name` names a folder: expected letters, digits, `-`, `_` and `.`, \
                     beginning with a letter or digit",
                    arm.name
                );
                self.problem("arm.name", &name.clone(), message);
            } else if !names.insert(arm.name.to_lowercase()) {
                let message = format!("arm `{}`: another arm has the same name", arm.name);
                self.problem("arm.name", &name.clone(), message);
            }
            self.check_unset(node, &arm.unset);
        }
        arms
    }

    fn known_arms(&mut self, key: &str, node: &Node, arms: &[String], known: &[String]) {
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        let origin = node.get(&["arms"]).map(|arms| arms.origin.clone());
        for arm in arms.iter().filter(|arm| !known.contains(&arm.as_str())) {
            let message = format!(
                "`{key}`: no arm is called `{arm}`; {}",
                suggestion(arm, &known)
            );
            self.problem(key, &origin.clone().unwrap_or_default(), message);
        }
    }

    /// Reports keys in `unset` that no configuration has.
    fn check_unset(&mut self, node: &Node, unset: &[String]) {
        let every = typed::every_key();
        // Whole tables may be removed too.
        let tables = every
            .iter()
            .flat_map(|key| key.match_indices('.').map(|(end, _)| &key[..end]));
        let known: Vec<&str> = tables.chain(every.iter().map(String::as_str)).collect();
        let origin = node.get(&["unset"]).map(|unset| unset.origin.clone());
        for key in unset.iter().filter(|key| !known.contains(&key.as_str())) {
            let mut message = format!("`unset`: no configuration has the key `{key}`");
            if let Some(near) = nearest(key, &known, ALIKE) {
                message += &format!("; did you mean `{near}`?");
            }
            self.problem(key, &origin.clone().unwrap_or_default(), message);
        }
    }

    /// The configurations of all arms; none if one cannot be read at all.
    fn configs(
        &mut self,
        base: &Node,
        shared: &Changes<'_>,
        arms: &[(Node, TypedArm)],
        (seeds, has_data): (&[u64], bool),
    ) -> Option<Vec<RunConfig>> {
        let (mut configs, mut found) = (Vec::new(), Vec::new());
        for (node, arm) in arms {
            let mut document = base.clone();
            shared.apply(&mut document);
            let own = Changes {
                unset: &arm.unset,
                set: node.get(&["set"]),
            };
            own.apply(&mut document);
            document.lay_over(&single_value("seed", Value::Integer(seeds[0] as i64)));
            if has_data {
                // The folder depends on where the experiment's results go.
                document.lay_over(&single_value("data.path", Value::String("data".into())));
            }
            let mut problems = Vec::new();
            configs.push(typed::read(&document, &mut problems));
            found.push((arm.name.clone(), problems));
        }
        self.report_arms(&found);
        configs.into_iter().collect()
    }

    /// Reports problems of all arms once, and others for each arm that has them.
    fn report_arms(&mut self, found: &[(String, Vec<Problem>)]) {
        let Some(((_, first), rest)) = found.split_first() else {
            return;
        };
        let common: Vec<&Problem> = first
            .iter()
            .filter(|problem| rest.iter().all(|(_, problems)| problems.contains(problem)))
            .collect();
        self.problems.extend(common.iter().copied().cloned());
        for (name, problems) in found {
            for problem in problems.iter().filter(|problem| !common.contains(problem)) {
                let message = format!("arm `{name}`: {}", problem.message);
                self.problem(&problem.key, &problem.origin, message);
            }
        }
    }
}

impl Changes<'_> {
    fn apply(&self, document: &mut Node) {
        for key in self.unset {
            let path: Vec<&str> = key.split('.').map(str::trim).collect();
            if document.get(&path).is_some() {
                let path: Vec<String> = path.into_iter().map(Into::into).collect();
                document.remove(&path);
            }
        }
        if let Some(set) = self.set {
            document.lay_over(set);
        }
    }
}

/// A table with one value that is in no file.
fn single_value(key: &str, value: Value) -> Node {
    let node = |value| Node {
        value,
        origin: Origin::Nowhere,
    };
    node(Value::Table([(key.to_string(), node(value))].into()))
}

fn is_folder_name(name: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.len() <= 100
        && name.chars().all(good)
}

/// Joins a folder and a path, and removes `.` and, where possible, `..`.
fn resolve_path(folder: &Path, path: &Path) -> PathBuf {
    let mut result = PathBuf::new();
    for component in folder.join(path).components() {
        match (component, result.components().next_back()) {
            (Component::CurDir, _) => {}
            (Component::ParentDir, Some(Component::Normal(_))) => {
                result.pop();
            }
            (component, _) => result.push(component),
        }
    }
    if result.as_os_str().is_empty() {
        result.push(".");
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_relative_to_the_file() {
        let resolved = |folder: &str, path: &str| resolve_path(Path::new(folder), Path::new(path));
        assert_eq!(resolved("", "my.txt"), Path::new("my.txt"));
        assert_eq!(resolved("experiments", "../data/x"), Path::new("data/x"));
        assert_eq!(resolved("..", "../data"), Path::new("../../data"));
        assert_eq!(resolved("a/./b", "../.."), Path::new("."));
        assert_eq!(resolved("/a", "/b/c"), Path::new("/b/c"));
    }
}
