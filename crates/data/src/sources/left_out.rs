//! What sources hold that did not become text, and why.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The number of examples that are kept for each reason: the first ones.
pub(super) const EXAMPLES: usize = 10;

/// The number of different template names that are counted. Names that appear later are not.
const TEMPLATE_NAMES: usize = 100_000;

/// Why something that a source holds did not become text, or not as it stands there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// A page that only leads to another one.
    Redirect,
    /// A page that is no article: talk, user, template and the like.
    OtherNamespace,
    /// A page whose content model is not wikitext: Wikidata items, Lua modules, style sheets.
    OtherContentModel,
    /// A page or record without text.
    NoText,
    /// A page whose wikitext cannot be converted.
    Unconvertible,
    /// A record that cannot be read, if such records are skipped.
    UnreadableRecord,
    /// A text with half of a surrogate pair, which became U+FFFD.
    LoneSurrogate,
    /// A file without text in a folder: empty or binary.
    FileWithoutText,
    /// A file in a folder that is markup or data and holds no records of text: a settings file in JSON, an
    /// image in SVG.
    OtherFormat,
    /// A link in a folder that leads to nothing that can be opened.
    BrokenLink,
    /// A file in a folder whose content Git LFS has not fetched.
    NotFetched,
    /// Bytes after the end of a compressed file that its own program ignores too.
    TrailingBytes,
    /// A folder that this program wrote: a data folder, a run, a model, a report.
    OwnFolder,
    /// A file of a dataset that belongs to another split than the one that is read, or has another format.
    OtherSplit,
    /// A character that the tokenizer does not know, which became its unknown token.
    UnknownCharacter,
}

impl Reason {
    /// What is counted, in the plural, for a message: "redirects".
    pub fn description(self) -> &'static str {
        match self {
            Self::Redirect => "redirects",
            Self::OtherNamespace => "pages that are no articles",
            Self::OtherContentModel => "pages that are not wikitext",
            Self::NoText => "pages or records without text",
            Self::Unconvertible => "pages whose wikitext cannot be converted",
            Self::UnreadableRecord => "records that cannot be read",
            Self::LoneSurrogate => "texts with half of a surrogate pair, which became U+FFFD",
            Self::FileWithoutText => "files without text",
            Self::OtherFormat => "files that are markup or data, not text",
            Self::BrokenLink => "broken links",
            Self::NotFetched => "files that Git LFS has not fetched (run `git lfs pull`)",
            Self::TrailingBytes => "files with other bytes after their compressed end",
            Self::OwnFolder => "files and folders that this program wrote",
            Self::OtherSplit => "files of other splits or formats",
            Self::UnknownCharacter => {
                "characters that the tokenizer does not know, which became <unk>"
            }
        }
    }
}

/// How often a reason applied.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tally {
    /// The number of cases.
    pub count: u64,
    /// The first ten cases that have a name or a place; of characters, the ten most frequent ones.
    pub examples: Vec<String>,
}

/// Counts of what was left out. They do not depend on the number of threads.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeftOut {
    /// The cases of each reason.
    pub reasons: BTreeMap<Reason, Tally>,
    /// How often each template without a known text stood within a sentence, by the template's name.
    pub unknown_templates: BTreeMap<String, u64>,
}

impl LeftOut {
    /// Counts one case; `example` is its name or place, empty if it has none.
    pub fn add(&mut self, reason: Reason, example: &str) {
        let tally = self.reasons.entry(reason).or_default();
        tally.count += 1;
        if !example.is_empty() && tally.examples.len() < EXAMPLES {
            tally.examples.push(example.to_owned());
        }
    }

    /// Counts cases without a name.
    pub(super) fn add_many(&mut self, reason: Reason, count: u64) {
        if count > 0 {
            self.reasons.entry(reason).or_default().count += count;
        }
    }

    /// Counts cases that `examples` names, at most as many as it is asked for.
    pub(crate) fn add_tally(
        &mut self,
        reason: Reason,
        count: u64,
        examples: impl FnOnce(usize) -> Vec<String>,
    ) {
        if count > 0 {
            let tally = self.reasons.entry(reason).or_default();
            tally.count += count;
            let room = EXAMPLES - tally.examples.len();
            tally.examples.extend(examples(room));
        }
    }

    /// Counts a template that lost its text.
    pub fn add_template(&mut self, name: &str) {
        self.add_templates(name, 1);
    }

    fn add_templates(&mut self, name: &str, count: u64) {
        if let Some(counted) = self.unknown_templates.get_mut(name) {
            *counted += count;
        } else if self.unknown_templates.len() < TEMPLATE_NAMES {
            self.unknown_templates.insert(name.to_owned(), count);
        }
    }

    /// Adds the counts of what was read later.
    pub fn append(&mut self, later: &Self) {
        for (reason, more) in &later.reasons {
            let tally = self.reasons.entry(*reason).or_default();
            tally.count += more.count;
            let room = EXAMPLES - tally.examples.len();
            let examples = more.examples.iter().take(room).cloned();
            tally.examples.extend(examples);
        }
        for (name, count) in &later.unknown_templates {
            self.add_templates(name, *count);
        }
    }

    /// The number of cases of each reason.
    pub fn counts(&self) -> BTreeMap<Reason, u64> {
        let counts = self.reasons.iter();
        counts
            .map(|(reason, tally)| (*reason, tally.count))
            .collect()
    }

    /// The counts in one line, with some examples, for the end of a message; empty if there are none.
    pub(super) fn in_brackets(&self) -> String {
        const NAMED: usize = 3;
        let counted = self.reasons.iter().map(|(reason, tally)| {
            let examples = tally.examples.iter().take(NAMED).cloned();
            let examples: Vec<String> = examples.collect();
            match examples.is_empty() {
                true => format!("{} {}", tally.count, reason.description()),
                false => format!(
                    "{} {}: {}",
                    tally.count,
                    reason.description(),
                    examples.join(" | ")
                ),
            }
        });
        let counted: Vec<String> = counted.collect();
        match counted.is_empty() {
            true => String::new(),
            false => format!(" (left out: {})", counted.join("; ")),
        }
    }

    /// The unknown templates, the most frequent first; equally frequent ones by name.
    pub fn most_frequent_templates(&self) -> Vec<(&str, u64)> {
        let mut templates: Vec<(&str, u64)> = self
            .unknown_templates
            .iter()
            .map(|(name, count)| (name.as_str(), *count))
            .collect();
        templates.sort_by_key(|&(name, count)| (std::cmp::Reverse(count), name));
        templates
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_add_up_and_examples_are_the_first() {
        let mut first = LeftOut::default();
        let mut second = LeftOut::default();
        for number in 0..8 {
            first.add(Reason::Redirect, &format!("a{number}"));
            second.add(Reason::Redirect, &format!("b{number}"));
        }
        second.add(Reason::NoText, "");
        second.add_many(Reason::NoText, 2);
        second.add_many(Reason::BrokenLink, 0);
        first.add_template("cite");
        second.add_template("cite");
        second.add_template("age");
        first.append(&second);
        assert_eq!(
            first.counts(),
            BTreeMap::from([(Reason::Redirect, 16), (Reason::NoText, 3)])
        );
        let examples = &first.reasons[&Reason::Redirect].examples;
        assert_eq!(examples.len(), 10);
        assert_eq!((&*examples[7], &*examples[9]), ("a7", "b1"));
        assert_eq!(first.most_frequent_templates(), [("cite", 2), ("age", 1)]);
    }
}
