//! Reads experiment files, and reports all problems of a file together.

mod data;
mod measured;
mod sweep;

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use ::data::TokenizerChoice;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::data_choice::DataChoice;
use super::measurements::{MaskPlan, Plans, SpeedPlan, ThresholdPlan};
use super::outline::{ArmOutline, Chart, Outline, Published, Table};
use super::outline_check::{MOST_ARMS, MOST_CHARTS, MOST_TABLES, is_folder_name};
use super::search::Search;
use super::{DefaultBase, Experiment};
use crate::config::changes;
use crate::config::document::{Node, Value, parse, read_text};
use crate::config::keys::{keys_of, with_tables};
use crate::config::nearest::{nearest, suggestion};
use crate::config::reading::{self, MOST_PROBLEMS, is_unreadable};
use crate::config::{ConfigError, DEFAULT_SEED, Origin, Problem, RunConfig};
use sweep::SweepTable;

/// The tokenizer of an experiment that names none. Its vocabulary is small, so that small models spend
/// their work in their blocks.
const DEFAULT_TOKENIZER: TokenizerChoice = TokenizerChoice::Bpe(2048);

/// An experiment file, as it is written.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ExperimentFile {
    title: Option<String>,
    description: String,
    seeds: Option<Vec<u64>>,
    unset: Vec<String>,
    data: Option<DataTable>,
    arm: Vec<ArmTable>,
    chart: Vec<Chart>,
    table: Vec<Table>,
    speed: Option<SpeedPlan>,
    threshold: Option<ThresholdPlan>,
    masks: Option<MaskPlan>,
    sweep: Option<SweepTable>,
    // Of any form; read from the document itself.
    #[serde(rename = "base")]
    _base: Option<IgnoredAny>,
    #[serde(rename = "set")]
    _set: Option<IgnoredAny>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct DataTable {
    path: Option<PathBuf>,
    sources: Vec<String>,
    tokenizer: Option<String>,
    validation: Option<f64>,
    validation_sources: Vec<String>,
    max_text_bytes: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ArmTable {
    name: String,
    label: Option<String>,
    #[serde(default)]
    unset: Vec<String>,
    #[serde(default)]
    published: Published,
    #[serde(rename = "set")]
    _set: Option<IgnoredAny>,
    #[serde(rename = "sweep")]
    _sweep: Option<IgnoredAny>,
}

impl Experiment {
    /// All keys that an experiment file can have, with dots between tables, in alphabetical order. The
    /// keys in `base`, in `set` and in sweeps are those of [`RunConfig::keys`].
    pub fn keys() -> BTreeSet<String> {
        keys_of::<ExperimentFile>()
    }

    /// Reads an experiment file, and the base configuration that it names.
    ///
    /// # Errors
    /// A file cannot be read, or the experiment or its arms are invalid; all problems are reported.
    pub fn read(path: &Path, default_base: DefaultBase<'_>) -> Result<Self, ConfigError> {
        let text = read_text(path)?;
        let root = parse(&text).map_err(|problems| ConfigError::invalid(path, problems))?;
        let reading = reading::read::<ExperimentFile>(&root);
        let mut reader = Reader {
            folder: path.parent().unwrap_or(Path::new("")),
            root: &root,
            unreadable: reading.problems.clone(),
            problems: reading.problems,
        };
        let experiment = match reading.value {
            Some(file) => reader.experiment(file, path, default_base)?,
            None => None,
        };
        match experiment {
            Some(experiment) if reader.problems.is_empty() => Ok(experiment),
            _ => Err(ConfigError::invalid(path, reader.problems)),
        }
    }
}

struct Reader<'a> {
    folder: &'a Path,
    root: &'a Node,
    /// Problems of values that could not be read. Placeholders stand in their place.
    unreadable: Vec<Problem>,
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
        file: ExperimentFile,
        path: &Path,
        default_base: DefaultBase<'_>,
    ) -> Result<Option<Experiment>, ConfigError> {
        let base = self.base(default_base)?;
        let data = self.data(file.data);
        let seeds = self.seeds(file.seeds, base.as_ref());
        for (key, found, most) in [
            ("arm", file.arm.len(), MOST_ARMS),
            ("chart", file.chart.len(), MOST_CHARTS),
            ("table", file.table.len(), MOST_TABLES),
        ] {
            if found > most {
                let message = format!(
                    "`{key}`: expected at most {most}, found {found}; divide them among several \
                     experiments"
                );
                self.problem(key, message);
                return Ok(None);
            }
        }
        self.check_arms(&file.arm);
        let names: Vec<&str> = file.arm.iter().map(|arm| arm.name.as_str()).collect();
        for (index, chart) in file.chart.iter().enumerate() {
            self.known_arms(&["chart", &index.to_string(), "arms"], &chart.arms, &names);
        }
        for (index, table) in file.table.iter().enumerate() {
            self.known_arms(&["table", &index.to_string(), "arms"], &table.arms, &names);
        }
        let plans = Plans {
            speed: file.speed.as_ref(),
            threshold: file.threshold.as_ref(),
            masks: file.masks.as_ref(),
        };
        self.check_measurements(plans, &names);
        let Some(base) = base else { return Ok(None) };
        let shared = Changes {
            unset: &file.unset,
            set: self.root.get(["set"]),
        };
        self.check_unset("unset", &file.unset);
        let documents = self.documents(&base, &shared, &file.arm, (&seeds, data.is_some()));
        let mut found = vec![Vec::new(); documents.len()];
        let problems = (seeds.as_slice(), found.as_mut_slice());
        let search = self.search(file.sweep.as_ref(), &file.arm, &documents, problems);
        let configs = configs(&documents, search.as_ref(), &mut found);
        self.report_arms(&file.arm, &found);
        if let (Some(speed), Some(configs)) = (&file.speed, &configs) {
            self.check_lengths(speed, &names, configs);
        }
        let stem = path.file_stem().map(|stem| stem.to_string_lossy());
        let title = file.title.or(stem.map(Into::into));
        let outline = Outline {
            title: title.unwrap_or_default(),
            description: file.description,
            file: path.into(),
            preparation: data.as_ref().map(DataChoice::to_string).unwrap_or_default(),
            seeds,
            arms: file
                .arm
                .into_iter()
                .map(|arm| ArmOutline {
                    label: arm.label.unwrap_or_else(|| arm.name.clone()),
                    name: arm.name,
                    published: arm.published,
                })
                .collect(),
            charts: file.chart,
            tables: file.table,
            speed: file.speed,
            threshold: file.threshold,
            masks: file.masks,
            search: search.is_some(),
        };
        Ok(configs.map(|configs| Experiment {
            outline,
            data,
            configs,
            search,
        }))
    }

    /// Records a problem of the value under a path of keys, with dots between them, unless the value
    /// could not be read.
    fn problem(&mut self, path: &str, message: impl Into<String>) {
        if is_unreadable(path, &self.unreadable) {
            return;
        }
        let origin = self.root.origin(path);
        self.problems.push(Problem::new(path, &origin, message));
    }

    /// The base configuration's document; none if it has problems.
    fn base(&mut self, default_base: DefaultBase<'_>) -> Result<Option<Node>, ConfigError> {
        let (name, text) = match self.root.get(["base"]) {
            None => (PathBuf::from(default_base.name), default_base.text.into()),
            Some(node) => match &node.value {
                Value::Table(_) => return Ok(Some(node.clone())),
                Value::String(file) => {
                    let file = resolve_path(self.folder, Path::new(file));
                    match read_text(&file) {
                        Ok(text) => (file, text),
                        Err(error) => {
                            let message = format!("`base`: {error}");
                            self.problem("base", message);
                            return Ok(None);
                        }
                    }
                }
                _ => {
                    let message = "`base`: expected the path of a configuration file, or a table";
                    self.problem("base", message);
                    return Ok(None);
                }
            },
        };
        let mut base = parse(&text).map_err(|problems| ConfigError::invalid(&name, problems))?;
        // It may be the stored configuration of a run.
        changes::remove(&mut base);
        base.relocate(&name);
        Ok(Some(base))
    }

    fn seeds(&mut self, seeds: Option<Vec<u64>>, base: Option<&Node>) -> Vec<u64> {
        let Some(seeds) = seeds else {
            let seed = base.and_then(|base| base.get(["seed"]));
            return match seed.map(|node| &node.value) {
                Some(&Value::Integer(seed)) if seed >= 0 => vec![seed as u64],
                _ => vec![DEFAULT_SEED],
            };
        };
        let different: BTreeSet<u64> = seeds.iter().copied().collect();
        if seeds.is_empty() || different.len() < seeds.len() {
            let message = "`seeds`: expected at least one seed, and each only once";
            self.problem("seeds", message);
        }
        if seeds.is_empty() {
            return vec![DEFAULT_SEED];
        }
        seeds
    }

    fn check_arms(&mut self, arms: &[ArmTable]) {
        if arms.is_empty() && !self.root.has("arm") {
            let message = "no arms: add at least one table [[arm]] with a `name`";
            self.problem("arm", message);
        }
        let mut names = BTreeSet::new();
        for (index, arm) in arms.iter().enumerate() {
            let (name, key) = (&arm.name, format!("arm.{index}.name"));
            if !is_folder_name(name) {
                let message = format!(
                    "arm `{name}`: `name` names a folder: expected letters, digits, `-`, `_` and `.`, \
                     beginning with a letter or digit"
                );
                self.problem(&key, message);
            } else if !names.insert(name.to_lowercase()) {
                let message = format!("arm `{name}`: another arm has the same name");
                self.problem(&key, message);
            }
            self.check_unset(&format!("arm.{index}.unset"), &arm.unset);
        }
    }

    /// Reports names in the list under `path` that no arm has.
    fn known_arms(&mut self, path: &[&str], arms: &[String], known: &[&str]) {
        let unknown = arms.iter().filter(|arm| !known.contains(&arm.as_str()));
        for arm in unknown.take(MOST_PROBLEMS) {
            let (table, list) = (path[0], path[path.len() - 1]);
            let nearest = suggestion(arm, known);
            let message = format!("`{table}.{list}`: no arm is called `{arm}`; {nearest}");
            self.problem(&path.join("."), message);
        }
    }

    /// Reports keys in the list `unset` under `path` that no configuration has.
    fn check_unset(&mut self, path: &str, unset: &[String]) {
        let known = with_tables(RunConfig::keys());
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        let unknown = unset.iter().filter(|key| !known.contains(&key.as_str()));
        for key in unknown.take(MOST_PROBLEMS) {
            let mut message = format!("`unset`: no configuration has the key `{key}`");
            if let Some(near) = nearest(key, &known) {
                message += &format!("; did you mean `{near}`?");
            }
            self.problem(path, message);
        }
    }

    /// The documents of the arms' configurations.
    fn documents(
        &self,
        base: &Node,
        shared: &Changes<'_>,
        arms: &[ArmTable],
        (seeds, has_data): (&[u64], bool),
    ) -> Vec<Node> {
        let document = |(index, arm): (usize, &ArmTable)| {
            let mut document = base.clone();
            shared.apply(&mut document);
            let own = Changes {
                unset: &arm.unset,
                set: self.root.get(format!("arm.{index}.set").split('.')),
            };
            own.apply(&mut document);
            self.resolve_paths(&mut document);
            document.apply_overrides(&single_value("seed", Value::Integer(seeds[0] as i64)));
            if has_data {
                // The folder depends on where the experiment's results go.
                document.apply_overrides(&single_value("data.path", Value::String("data".into())));
            }
            document
        };
        arms.iter().enumerate().map(document).collect()
    }

    /// Makes the paths in a configuration that the experiment file itself names relative to it. Those of a base
    /// file are relative to the working folder, as `ldrop train` reads them.
    fn resolve_paths(&self, document: &mut Node) {
        for key in PATHS {
            document
                .value_mut(key)
                .into_iter()
                .for_each(|path| resolve(self.folder, path));
        }
        for set in document.values_mut("train.evaluate.sets") {
            resolve(self.folder, set);
        }
    }

    /// Reports problems of all arms once, and others for each arm that has them.
    fn report_arms(&mut self, arms: &[ArmTable], found: &[Vec<Problem>]) {
        let Some((first, rest)) = found.split_first() else {
            return;
        };
        let common: Vec<&Problem> = first
            .iter()
            .filter(|problem| rest.iter().all(|problems| problems.contains(problem)))
            .collect();
        self.problems.extend(common.iter().copied().cloned());
        for (arm, problems) in arms.iter().zip(found) {
            for problem in problems.iter().filter(|problem| !common.contains(problem)) {
                let message = format!("arm `{}`: {}", arm.name, problem.message);
                self.problems
                    .push(Problem::new(&problem.key, &problem.origin, message));
            }
        }
    }
}

/// The configurations of all arms, of searched ones with the first setting, and their problems; none if
/// one cannot be read at all.
fn configs(
    documents: &[Node],
    search: Option<&Search>,
    found: &mut [Vec<Problem>],
) -> Option<Vec<RunConfig>> {
    let mut configs = Vec::new();
    for (index, (document, found)) in documents.iter().zip(found).enumerate() {
        let first = search.and_then(|search| search.candidates[index].first());
        configs.push(match first {
            Some(candidate) => Some(candidate.full.clone()),
            // All settings have problems.
            None if !found.is_empty() => None,
            None => {
                let (config, problems) = RunConfig::from_document(document);
                found.extend(problems);
                config
            }
        });
    }
    configs.into_iter().collect()
}

impl Changes<'_> {
    fn apply(&self, document: &mut Node) {
        for key in self.unset {
            let path: Vec<String> = key.split('.').map(|part| part.trim().into()).collect();
            if document.has(&path.join(".")) {
                document.remove(&path);
            }
        }
        if let Some(set) = self.set {
            document.apply_overrides(set);
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

/// Keys of a configuration that name a file or folder; besides, those of `train.evaluate.sets`.
const PATHS: [&str; 2] = ["data.path", "train.from"];

/// Makes a path relative to a folder, if the experiment file itself has it.
fn resolve(folder: &Path, path: &mut Node) {
    // Lines of a base file are marked with its name.
    if let (Value::String(path), Origin::Line(_)) = (&mut path.value, &path.origin)
        && let Some(resolved) = resolve_path(folder, Path::new(path)).to_str()
    {
        *path = resolved.into();
    }
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
