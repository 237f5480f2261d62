//! What a report says about the search for settings before an experiment's runs.

use std::collections::{BTreeMap, HashSet};

use serde_json::Value;

use super::Section;
use super::arm::Arm;
use super::measured_on::{self, Difference, Measured};
use super::page::Page;
use super::picture;
use super::run_record::RunRecord;
use super::spread::Spread;
use super::table::{Cell, DataTable, Unit};
use crate::experiments::{
    SearchRecord, SearchedArm, TriedRun, TriedSetting, distinct, in_words_of, search_folder,
    short_names, shown,
};

/// Settings of each arm that a page or a document lists.
const MOST_LISTED: usize = 100;
/// Most cells of a heat map, and most values of a line: more say nothing to the eye.
const MOST_CELLS: usize = 600;
const MOST_VALUES: usize = 60;
/// Characters of an error in a table.
const LONGEST_ERROR: usize = 100;

/// A picture of settings and their losses.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Panel {
    /// Of arms with one swept key: the loss against its value.
    Lines(Lines),
    /// Of an arm with two swept keys: the loss of each pair of values.
    HeatMap(HeatMap),
}

/// Losses against the value of one key.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Lines {
    /// The short name of the key.
    pub key: String,
    /// In what respect the arms' losses were not measured alike.
    pub difference: Option<Difference>,
    /// All values.
    pub values: Vec<Value>,
    /// A line for each arm.
    pub series: Vec<Line>,
}

/// The line of an arm.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Line {
    pub name: String,
    /// The arm's place in the report, which decides its colour and dashes.
    pub style: usize,
    /// The index of each value, in the order of the values, with what it reached.
    pub points: Vec<(usize, Reached)>,
}

/// Losses against the values of two keys.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct HeatMap {
    /// The arm.
    pub name: String,
    /// The short names of the keys: that of the columns and that of the rows.
    pub keys: [String; 2],
    pub columns: Vec<Value>,
    pub rows: Vec<Value>,
    /// Column and row of each setting, with what it reached.
    pub cells: Vec<(usize, usize, Reached)>,
}

/// What a setting reached.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Reached {
    /// The last validation loss; none if it is not known.
    pub loss: Option<Spread>,
    pub has_failed: bool,
    pub is_chosen: bool,
}

impl Section {
    /// A table of the searched settings, those of each arm in the order of their losses, at most so many of
    /// each arm. None if nothing was searched for.
    pub fn search_table(&self, most: usize) -> Option<DataTable> {
        let search = self.search.as_ref()?;
        let keys = keys_in_order(search);
        let words = |before: &[&str], keys: &[&str], after: &[&str]| {
            let all = before.iter().chain(keys).chain(after);
            all.map(|word| (*word).to_string()).collect()
        };
        let rows = search.arms.iter().flat_map(|arm| {
            let label = self.label(arm);
            let row = move |setting| row(label, arm, setting, search.seeds.len());
            ranked(arm, most).into_iter().map(row)
        });
        let rows = rows.map(|(before, setting, after)| {
            let value = |key: &&str| setting.values.get(*key);
            let values = keys
                .iter()
                .map(value)
                .map(|value| value.map_or(Cell::Empty, |value| Cell::Text(shown(value))));
            before.into_iter().chain(values).chain(after).collect()
        });
        let names = short_names(keys.iter().copied());
        Some(DataTable {
            title: "Search".into(),
            headings: words(&["Arm", "Setting"], &names, &["Validation loss", "Result"]),
            keys: words(&["arm", "setting"], &keys, &["loss", "result"]),
            rows: rows.collect(),
            most_needed: ["result", "loss"].map(String::from).to_vec(),
            ..DataTable::default()
        })
    }

    /// How the search went, in sentences: what was tried, what was chosen, and what a reader should doubt.
    pub fn search_notes(&self) -> Vec<String> {
        let Some(search) = &self.search else {
            return Vec::new();
        };
        let mut notes = vec![about(search)];
        let keys = keys_in_order(search);
        let done = search.runs().filter(|run| run.is_over()).count();
        let all = search.runs().count();
        if done < all {
            notes.push(format!("{done} of {all} runs of the search are done."));
        }
        for arm in searched(search) {
            let label = self.label(arm);
            match arm.choice() {
                Some(choice) => {
                    let words = in_words_of(&choice.values, &keys);
                    notes.push(format!("Chosen for {label}: {words}."));
                }
                None if done == all => notes.push(format!(
                    "{label} has no full runs: no setting reached the end of its runs."
                )),
                None => {}
            }
        }
        for arm in searched(search).filter(|_| done == all) {
            let has_failed = |of: &&TriedSetting| of.runs.iter().any(|run| run.error.is_some());
            let (failed, of_all) = (arm.settings.iter().filter(has_failed), arm.settings.len());
            let failed = failed.count();
            if failed > 0 && arm.choice().is_some() {
                notes.push(format!(
                    "{}: {failed} of {of_all} settings failed, and could not be chosen.",
                    self.label(arm)
                ));
            }
        }
        for arm in searched(search) {
            let edges = arm.edges();
            // Short among all keys of the arm, also those that are at no edge.
            let values = arm.values();
            let names = short_names(values.keys().copied());
            let names: BTreeMap<&str, &str> = values.keys().copied().zip(names).collect();
            for edge in &edges {
                let name = names[edge.key.as_str()];
                let end = if edge.is_highest { "highest" } else { "lowest" };
                notes.push(format!(
                    "{}: {} is the {end} {name} tried; a better one may lie beyond.",
                    self.label(arm),
                    shown(&edge.value.into())
                ));
            }
        }
        notes
    }

    fn label<'a>(&'a self, arm: &'a SearchedArm) -> &'a str {
        let outline = self.outline.arm(&arm.name);
        outline.map_or(&arm.name, |outline| &outline.label)
    }

    /// The pictures: for each key that is the only one of some arms, their lines, and for each arm with two
    /// keys a heat map.
    pub(super) fn search_panels(&self) -> Vec<Panel> {
        let Some(search) = &self.search else {
            return Vec::new();
        };
        let mut lines: Vec<(&str, Vec<ShownArm<'_>>)> = Vec::new();
        let mut maps = Vec::new();
        for arm in searched(search) {
            let mut outlines = self.outline.arms.iter();
            let shown = ShownArm {
                label: self.label(arm),
                style: outlines.position(|of| of.name == arm.name).unwrap_or(0),
                arm,
            };
            let keys: Vec<(&str, Vec<&Value>)> = arm
                .values()
                .into_iter()
                .filter(|(_, values)| values.len() > 1)
                .collect();
            match keys.as_slice() {
                [(key, _)] => match lines.iter_mut().find(|(of, _)| of == key) {
                    Some((_, arms)) => arms.push(shown),
                    None => lines.push((key, vec![shown])),
                },
                [columns, rows] => maps.extend(heat_map(&shown, columns, rows)),
                _ => {}
            }
        }
        let lines = lines.into_iter();
        let lines = lines.filter_map(|(key, arms)| {
            let difference = self.difference_of_searched(&arms);
            self::lines(key, &arms, difference)
        });
        lines.chain(maps).collect()
    }

    /// In what respect the losses of searched arms were not measured alike: those of their full runs, or before
    /// these of the first run of the search that has begun.
    fn difference_of_searched(&self, arms: &[ShownArm<'_>]) -> Option<Difference> {
        let of_arm = |shown: &ShownArm<'_>| {
            let full = self.arms.iter().find(|of| of.name == shown.arm.name);
            let full = full.filter(|arm| !arm.runs.is_empty());
            full.cloned().or_else(|| self.arm_of_search(shown.arm))
        };
        let arms: Vec<Arm> = arms.iter().filter_map(of_arm).collect();
        measured_on::difference_of_arms(arms.iter(), Measured::Validation)
    }

    /// An arm with the first run of its search that has begun.
    fn arm_of_search(&self, arm: &SearchedArm) -> Option<Arm> {
        let outline = self.outline.arm(&arm.name)?;
        let folder = self.folder.as_ref()?;
        let run = |setting: &TriedSetting| {
            let seed = setting.runs.first()?.seed;
            RunRecord::read(&search_folder(folder, &arm.name, setting.number, seed)).ok()
        };
        let run = arm.settings.iter().find_map(run)?;
        Some(Arm::new(outline, vec![run], 1))
    }
}

impl Page {
    /// The part about the search.
    pub(super) fn search(&mut self, section: &Section) {
        let Some(table) = section.search_table(MOST_LISTED) else {
            return;
        };
        self.element("h3", &table.title);
        for note in section.search_notes() {
            self.element("p", &note);
        }
        let panels = section.search_panels();
        if !panels.is_empty() {
            self.raw("<div class=\"charts\">");
            for panel in &panels {
                let picture = picture::search_figure(panel);
                self.raw(&format!(
                    "<figure><div class=\"scroll\" role=\"region\" tabindex=\"0\" \
                     aria-label=\"Settings and their losses\">{picture}</div></figure>"
                ));
            }
            self.raw("</div>");
        }
        self.table(&table);
    }
}

/// The same as Markdown.
pub(super) fn markdown(section: &Section, level: &str) -> String {
    section
        .search_table(MOST_LISTED)
        .map_or(String::new(), |table| {
            format!(
                "\n{level}# {}\n\n{}\n\n{}",
                table.title,
                section.search_notes().join("\n\n"),
                table.markdown()
            )
        })
}

/// The searched keys in the order of the file, or else in that in which the arms have them.
fn keys_in_order(search: &SearchRecord) -> Vec<&str> {
    let of_arms = search.arms.iter().map(SearchedArm::values);
    let tried: Vec<&str> = of_arms.flat_map(BTreeMap::into_keys).collect();
    let in_order = search.keys.iter().map(String::as_str);
    let in_order = in_order.filter(|key| tried.contains(key));
    let mut seen = HashSet::new();
    let keys = in_order.chain(tried.iter().copied());
    keys.filter(|key| seen.insert(*key)).collect()
}

/// A searched arm as pictures show it.
struct ShownArm<'a> {
    label: &'a str,
    style: usize,
    arm: &'a SearchedArm,
}

/// The arms that were searched.
fn searched(search: &SearchRecord) -> impl Iterator<Item = &SearchedArm> {
    search.arms.iter().filter(|arm| !arm.settings.is_empty())
}

fn about(search: &SearchRecord) -> String {
    let count: usize = search.arms.iter().map(|arm| arm.settings.len()).sum();
    let s = |count: usize| if count == 1 { "" } else { "s" };
    let seeds: Vec<String> = search.seeds.iter().map(u64::to_string).collect();
    let for_whom = match search.shared {
        true => "All arms get the setting with the lowest mean",
        false => "Each arm gets its setting with the lowest",
    };
    format!(
        "{count} setting{} tried for {} step{} with the seed{} {}. {for_whom} of the last validation \
         losses.",
        if count == 1 { " was" } else { "s were" },
        search.steps,
        s(search.steps as usize),
        s(seeds.len()),
        seeds.join(", ")
    )
}

fn reached(arm: &SearchedArm, setting: &TriedSetting) -> Reached {
    let losses: Option<Vec<f64>> = setting.runs.iter().map(|run| run.validation_loss).collect();
    Reached {
        loss: losses.and_then(Spread::of_values),
        has_failed: setting.runs.iter().any(|run| run.error.is_some()),
        is_chosen: arm.is_chosen(setting),
    }
}

/// The settings of an arm with the lowest losses, and the chosen one.
fn ranked(arm: &SearchedArm, most: usize) -> Vec<&TriedSetting> {
    let mut settings: Vec<&TriedSetting> = arm.settings.iter().collect();
    let loss = |setting: &TriedSetting| setting.loss().unwrap_or(f64::INFINITY);
    settings.sort_by(|left, right| loss(left).total_cmp(&loss(right)));
    let left_out = settings.split_off(most.min(settings.len()));
    let mut left_out = left_out.into_iter();
    settings.extend(left_out.find(|setting| arm.is_chosen(setting)));
    settings
}

/// The cells of a row before and after those of the swept keys.
fn row<'a>(
    label: &str,
    arm: &SearchedArm,
    setting: &'a TriedSetting,
    seeds: usize,
) -> ([Cell; 2], &'a TriedSetting, [Cell; 2]) {
    let reached = reached(arm, setting);
    let done = setting.runs.iter().filter(|run| run.is_over()).count();
    let error = setting
        .runs
        .iter()
        .find_map(|run: &TriedRun| run.error.as_ref());
    let result = match error {
        Some(error) => format!("failed: {}", shortened(error)),
        None if done < setting.runs.len() => format!("{done}/{seeds} runs"),
        None if reached.is_chosen => "chosen".into(),
        None => String::new(),
    };
    let before = [
        Cell::Text(label.into()),
        Cell::Number(setting.number.into(), Unit::Count),
    ];
    let after = [Cell::spread(reached.loss, Unit::Nats), Cell::Text(result)];
    (before, setting, after)
}

/// The beginning of an error: what went wrong, without advice.
fn shortened(error: &str) -> String {
    let line = error.lines().next().unwrap_or_default();
    let cause = line.split(';').next().unwrap_or_default();
    let mut text: String = cause.chars().take(LONGEST_ERROR).collect();
    if text.len() < cause.len() {
        text.push('…');
    }
    text
}

fn heat_map(
    shown: &ShownArm<'_>,
    columns: &(&str, Vec<&Value>),
    rows: &(&str, Vec<&Value>),
) -> Option<Panel> {
    if columns.1.len() * rows.1.len() > MOST_CELLS {
        return None;
    }
    // Wide is easier to read than high.
    let (columns, rows) = if columns.1.len() < rows.1.len() {
        (rows, columns)
    } else {
        (columns, rows)
    };
    let cell = |setting: &TriedSetting| {
        let at = |(key, values): &(&str, Vec<&Value>)| place(values, setting.values.get(*key)?);
        Some((at(columns)?, at(rows)?, reached(shown.arm, setting)))
    };
    let names = short_names([columns.0, rows.0]);
    let owned = |values: &[&Value]| values.iter().map(|&value| value.clone()).collect();
    Some(Panel::HeatMap(HeatMap {
        name: shown.label.into(),
        keys: [names[0].into(), names[1].into()],
        columns: owned(&columns.1),
        rows: owned(&rows.1),
        cells: shown.arm.settings.iter().filter_map(cell).collect(),
    }))
}

fn lines(key: &str, arms: &[ShownArm<'_>], difference: Option<Difference>) -> Option<Panel> {
    let settings = arms.iter().flat_map(|shown| &shown.arm.settings);
    let values = distinct(settings.filter_map(|setting| setting.values.get(key)));
    if values.len() > MOST_VALUES {
        return None;
    }
    let line = |shown: &ShownArm<'_>| {
        let point = |setting: &TriedSetting| {
            let place = place(&values, setting.values.get(key)?)?;
            Some((place, reached(shown.arm, setting)))
        };
        let mut points: Vec<_> = shown.arm.settings.iter().filter_map(point).collect();
        points.sort_by_key(|point| point.0);
        Line {
            name: shown.label.into(),
            style: shown.style,
            points,
        }
    };
    Some(Panel::Lines(Lines {
        key: short_names([key])[0].into(),
        difference,
        series: arms.iter().map(line).collect(),
        values: values.into_iter().cloned().collect(),
    }))
}

fn place(values: &[&Value], value: &Value) -> Option<usize> {
    values.iter().position(|of| shown(of) == shown(value))
}
