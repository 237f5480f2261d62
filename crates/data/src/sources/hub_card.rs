//! The configurations that a dataset's card (`README.md`) lists in its YAML header, with the patterns of
//! their files.

use yaml_rust2::parser::{Event, Parser};
use yaml_rust2::scanner::{Marker, ScanError};
use yaml_rust2::{Yaml, YamlLoader};

use super::hub_splits::training_split;

/// The largest header that is parsed.
const LARGEST_HEADER: usize = 4 * 1024 * 1024;

/// The deepest nesting of lists and maps. Cards have about five levels.
const DEEPEST: usize = 50;

/// A configuration of a dataset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Configuration {
    pub(super) name: String,
    is_default: bool,
    pub(super) files: ConfiguredFiles,
}

/// The files of a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ConfiguredFiles {
    /// Patterns of files for each split.
    Splits(Vec<(String, Vec<String>)>),
    /// All files of a folder, or of the dataset.
    Folder(String),
}

/// Why a card cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CardError {
    /// The line of the card, counted from one.
    pub(super) line: usize,
    pub(super) reason: String,
}

/// The configurations in the header of a card; empty where it lists none.
///
/// # Errors
/// The header lists configurations, and is not YAML of the expected form.
pub(super) fn configurations(card: &str) -> Result<Vec<Configuration>, CardError> {
    let Some(header) = header(card) else {
        return Ok(Vec::new());
    };
    let lists = |line: &str| line.contains("configs");
    if !header.lines().any(lists) {
        return Ok(Vec::new());
    }
    // The line before the header is `---`.
    let wrong = |line: usize, reason: String| CardError {
        line: line + 1,
        reason,
    };
    let line_of = |part: &dyn Fn(&str) -> bool| header.lines().position(part).map(|at| at + 1);
    if header.len() > LARGEST_HEADER {
        let reason = format!("the YAML header is larger than {LARGEST_HEADER} bytes");
        return Err(wrong(0, reason));
    }
    check(header)?;
    let documents = YamlLoader::load_from_str(header).map_err(not_yaml)?;
    let list = line_of(&|line| line.starts_with("configs")).unwrap_or(0);
    match documents.first().map(|document| &document["configs"]) {
        None | Some(Yaml::BadValue | Yaml::Null) => Ok(Vec::new()),
        Some(Yaml::Array(configs)) => configs
            .iter()
            .map(|entry| {
                let name = scalar(&entry["config_name"]).unwrap_or_default();
                let line =
                    line_of(&|line| line.contains("config_name") && line.contains(name.as_str()));
                configuration(entry).map_err(|reason| wrong(line.unwrap_or(list), reason))
            })
            .collect(),
        Some(_) => Err(wrong(list, "`configs` is not a list".to_owned())),
    }
}

/// The text between the first two lines `---`.
fn header(card: &str) -> Option<&str> {
    let card = card.strip_prefix('\u{FEFF}').unwrap_or(card);
    let rest = card
        .strip_prefix("---")?
        .trim_start_matches([' ', '\t', '\r']);
    let rest = rest.strip_prefix('\n')?;
    let mut length = 0;
    for line in rest.split_inclusive('\n') {
        if line.trim_end() == "---" {
            return Some(&rest[..length]);
        }
        length += line.len();
    }
    None
}

/// Refuses what could make little YAML enormous when it is loaded: deep nesting, which the loader follows on
/// the stack, and anchors, by which a part is repeated.
fn check(yaml: &str) -> Result<(), CardError> {
    let wrong = |marker: &Marker, reason: String| CardError {
        line: line_in_card(marker),
        reason,
    };
    let mut parser = Parser::new_from_str(yaml);
    let mut depth = 0_usize;
    loop {
        let (event, marker) = parser.next_token().map_err(not_yaml)?;
        let anchor = match event {
            Event::StreamEnd => return Ok(()),
            Event::SequenceStart(anchor, _) | Event::MappingStart(anchor, _) => {
                depth += 1;
                anchor
            }
            Event::SequenceEnd | Event::MappingEnd => {
                depth = depth.saturating_sub(1);
                0
            }
            Event::Scalar(_, _, anchor, _) | Event::Alias(anchor) => anchor,
            _ => 0,
        };
        if anchor != 0 {
            return Err(wrong(&marker, "anchors of YAML are not read".to_owned()));
        }
        if depth > DEEPEST {
            let reason = format!("lists and maps are nested more than {DEEPEST} deep");
            return Err(wrong(&marker, reason));
        }
    }
}

fn not_yaml(error: ScanError) -> CardError {
    CardError {
        line: line_in_card(error.marker()),
        reason: format!("not YAML: {}", error.info()),
    }
}

/// The line before the header is `---`.
fn line_in_card(marker: &Marker) -> usize {
    marker.line() + 1
}

fn configuration(entry: &Yaml) -> Result<Configuration, String> {
    let text = |yaml: &Yaml| yaml.as_str().map(str::to_owned);
    let name = match &entry["config_name"] {
        Yaml::BadValue => "default".to_owned(),
        name => scalar(name).ok_or("a config_name is no text")?,
    };
    let wrong = || format!("data_files of '{name}' have an unknown form");
    let files = match (&entry["data_files"], &entry["data_dir"]) {
        (Yaml::BadValue, Yaml::BadValue) => ConfiguredFiles::Folder(String::new()),
        (Yaml::BadValue, folder) => ConfiguredFiles::Folder(text(folder).ok_or_else(wrong)?),
        (files, _) => ConfiguredFiles::Splits(splits(files).ok_or_else(wrong)?),
    };
    Ok(Configuration {
        is_default: entry["default"].as_bool() == Some(true),
        name,
        files,
    })
}

fn splits(files: &Yaml) -> Option<Vec<(String, Vec<String>)>> {
    let has_splits = |entry: &Yaml| entry.as_hash().is_some();
    match files {
        Yaml::Array(entries) if entries.iter().any(has_splits) => entries
            .iter()
            .map(|entry| Some((scalar(&entry["split"])?, patterns(&entry["path"])?)))
            .collect(),
        Yaml::Hash(entries) => entries
            .iter()
            .map(|(split, paths)| Some((scalar(split)?, patterns(paths)?)))
            .collect(),
        files => Some(vec![("train".to_owned(), patterns(files)?)]),
    }
}

/// A text, also one that YAML takes for a number.
fn scalar(yaml: &Yaml) -> Option<String> {
    match yaml {
        Yaml::String(text) | Yaml::Real(text) => Some(text.clone()),
        Yaml::Integer(number) => Some(number.to_string()),
        _ => None,
    }
}

fn patterns(yaml: &Yaml) -> Option<Vec<String>> {
    let one = |yaml: &Yaml| {
        let pattern = scalar(yaml)?;
        Some(pattern.strip_prefix("./").unwrap_or(&pattern).to_owned())
    };
    match yaml {
        Yaml::Array(patterns) => patterns.iter().map(one).collect(),
        pattern => Some(vec![one(pattern)?]),
    }
}

/// The configuration of this name, or the default one.
pub(super) fn choose<'a>(
    configurations: &'a [Configuration],
    name: Option<&str>,
) -> Result<&'a Configuration, String> {
    let is_wanted = |configuration: &&Configuration| match name {
        Some(name) => configuration.name == name,
        None => configuration.is_default,
    };
    let default = || {
        configurations
            .iter()
            .find(|config| config.name == "default")
    };
    let found = configurations.iter().find(is_wanted);
    let found = found.or_else(|| default().filter(|_| name.is_none()));
    match (found, configurations, name) {
        (Some(found), ..) => Ok(found),
        (None, [only], None) => Ok(only),
        (None, all, name) => {
            let names: Vec<&str> = all.iter().map(|config| config.name.as_str()).collect();
            let shown = names[..names.len().min(30)].join(", ");
            Err(match name {
                Some(name) => format!("it has no configuration '{name}'; it has: {shown}"),
                None => format!("it has several configurations, name one after a colon: {shown}"),
            })
        }
    }
}

/// The patterns of the training split, and those of all others.
pub(super) fn training_patterns(
    splits: &[(String, Vec<String>)],
) -> Result<(Vec<&str>, Vec<&str>), String> {
    let names: Vec<&str> = splits.iter().map(|(name, _)| name.as_str()).collect();
    let wanted = training_split(&names)?;
    let patterns = |train: bool| {
        splits
            .iter()
            .filter(|(name, _)| (name == wanted) == train)
            .flat_map(|(_, patterns)| patterns.iter().map(String::as_str))
            .collect()
    };
    Ok((patterns(true), patterns(false)))
}

/// Whether a path matches a pattern with `*`, `?` and `[…]` within names and `**` across them.
pub(super) fn matches(pattern: &str, path: &str) -> bool {
    let pattern: Vec<Part> = parts(pattern);
    // Which lengths of the path the parts so far can match.
    let path: Vec<char> = path.chars().collect();
    let mut reached = vec![false; path.len() + 1];
    reached[0] = true;
    for part in &pattern {
        let mut next = vec![false; path.len() + 1];
        for at in 0..=path.len() {
            match part {
                Part::Within | Part::Across => {
                    let goes_on =
                        at > 0 && next[at - 1] && (*part == Part::Across || path[at - 1] != '/');
                    next[at] = reached[at] || goes_on;
                }
                // Any number of whole folders, also none.
                Part::Folders => {
                    let after_folder = at > 0 && path[at - 1] == '/';
                    let begun = (0..at).any(|from| reached[from]);
                    next[at] = reached[at] || after_folder && begun;
                }
                Part::One(set) => {
                    next[at] = at > 0 && reached[at - 1] && set.has(path[at - 1]);
                }
            }
        }
        reached = next;
    }
    reached[path.len()]
}

#[derive(Debug, PartialEq, Eq)]
enum Part {
    /// `*`
    Within,
    /// `**`
    Across,
    /// `**/`
    Folders,
    One(Characters),
}

#[derive(Debug, PartialEq, Eq)]
enum Characters {
    This(char),
    /// `?`
    Any,
    /// `[a-z]`, or `[!a-z]`
    Ranges {
        ranges: Vec<(char, char)>,
        negated: bool,
    },
}

impl Characters {
    fn has(&self, character: char) -> bool {
        match self {
            Self::This(this) => *this == character,
            Self::Any => character != '/',
            Self::Ranges { ranges, negated } => {
                let is_in = |(first, last): &(char, char)| (*first..=*last).contains(&character);
                character != '/' && ranges.iter().any(is_in) != *negated
            }
        }
    }
}

fn parts(pattern: &str) -> Vec<Part> {
    let characters: Vec<char> = pattern.chars().collect();
    let mut parts = Vec::new();
    let mut at = 0;
    while at < characters.len() {
        let rest = &characters[at..];
        let (part, length) = match rest {
            ['*', '*', '/', ..] => (Part::Folders, 3),
            ['*', '*', ..] => (Part::Across, 2),
            ['*', ..] => (Part::Within, 1),
            ['?', ..] => (Part::One(Characters::Any), 1),
            ['[', inside @ ..] => match class(inside) {
                Some((class, length)) => (Part::One(class), length + 1),
                None => (Part::One(Characters::This('[')), 1),
            },
            [character, ..] => (Part::One(Characters::This(*character)), 1),
            [] => break,
        };
        parts.push(part);
        at += length;
    }
    parts
}

/// The class that begins after `[`, and its length with `]`.
fn class(inside: &[char]) -> Option<(Characters, usize)> {
    let negated = matches!(inside.first(), Some('!' | '^'));
    let start = usize::from(negated);
    // A bracket that comes first is a member.
    let end = (start + 1..inside.len()).find(|&at| inside[at] == ']')?;
    let mut ranges = Vec::new();
    let mut members = &inside[start..end];
    while let [first, rest @ ..] = members {
        if let ['-', last, after @ ..] = rest {
            ranges.push((*first, *last));
            members = after;
        } else {
            ranges.push((*first, *first));
            members = rest;
        }
    }
    Some((Characters::Ranges { ranges, negated }, end + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_a_shell() {
        for (pattern, path, expected) in [
            (
                "20231101.ab/*",
                "20231101.ab/train-00000-of-00001.parquet",
                true,
            ),
            ("20231101.ab/*", "20231101.abc/train.parquet", false),
            ("data/*", "data/a/b", false),
            ("data/**", "data/a/b", true),
            ("**/*.jsonl", "a.jsonl", true),
            ("**/*.jsonl", "x/y/a.jsonl", true),
            ("**/a.jsonl", "xa.jsonl", false),
            ("x/**/a.jsonl", "x/a.jsonl", true),
            ("train-[0-9]?.txt", "train-1x.txt", true),
            ("train-[!0-9].txt", "train-1.txt", false),
            ("a[]].txt", "a].txt", true),
            ("a[b.txt", "a[b.txt", true),
            ("*", "", true),
        ] {
            assert_eq!(matches(pattern, path), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn cards_list_configurations() {
        let card = "---\nlicense: mit\nconfigs:\n- config_name: 2023.en\n  data_files:\n  \
            - split: train\n    path: \"en/*\"\n  - split: test\n    path: [a.txt, b.txt]\n\
            - config_name: plain\n  data_files: data/*.txt\n  default: true\n\
            - config_name: folder\n  data_dir: sub\n\
            - config_name: map\n  data_files:\n    train: t.txt\n    validation:\n    - v.txt\n---\n# Text\n";
        let found = configurations(card).expect("valid");
        let names: Vec<&str> = found.iter().map(|config| config.name.as_str()).collect();
        assert_eq!(names, ["2023.en", "plain", "folder", "map"]);
        assert_eq!(choose(&found, None).expect("a default").name, "plain");
        let english = choose(&found, Some("2023.en")).expect("listed");
        let ConfiguredFiles::Splits(splits) = &english.files else {
            panic!("{english:?}");
        };
        assert_eq!(
            training_patterns(splits),
            Ok((vec!["en/*"], vec!["a.txt", "b.txt"]))
        );
        assert_eq!(found[2].files, ConfiguredFiles::Folder("sub".to_owned()));
        let ConfiguredFiles::Splits(splits) = &found[3].files else {
            panic!("{:?}", found[3]);
        };
        assert_eq!(
            training_patterns(splits),
            Ok((vec!["t.txt"], vec!["v.txt"]))
        );
        let message = choose(&found, Some("de")).unwrap_err();
        assert!(message.contains("folder"), "{message}");
        let message = choose(&found[2..], None).unwrap_err();
        assert!(message.contains("several"), "{message}");

        assert_eq!(configurations("# No header"), Ok(Vec::new()));
        assert_eq!(configurations("---\nlicense: mit\n---\n"), Ok(Vec::new()));
        // What says nothing of files cannot mislead.
        assert_eq!(configurations("---\nlicense: [\n---\n"), Ok(Vec::new()));
    }

    #[test]
    fn damaged_cards_are_errors() {
        for (header, line, part) in [
            (
                "license: mit\nconfigs:\n- config_name: [default\n",
                5,
                "not YAML",
            ),
            ("configs:\n- config_name: a\n bad: [\n", 4, "not YAML"),
            ("configs: 5\n", 2, "not a list"),
            ("a: &x [1]\nb: [*x, *x]\nconfigs: []\n", 2, "anchors"),
            ("configs:\n- !!map &x {a: 1}\n- *x\n", 3, "anchors"),
            (
                "pretty_name: Q &A & more\nconfigs:\n- config_name: a\n  data_files: {x: {y: z}}\n",
                4,
                "data_files of 'a'",
            ),
        ] {
            let error = configurations(&format!("---\n{header}---\n")).unwrap_err();
            assert!(error.reason.contains(part), "{header}: {error:?}");
            assert_eq!(error.line, line, "{header}: {error:?}");
        }
        // Signs within a text mean nothing.
        for other in [
            "pretty_name: Q &A",
            "about: |\n  Questions\n  &Answers, and *more*\n  - &a b",
            "about: '- &x'",
            "# &x",
        ] {
            let card = format!("---\n{other}\nconfigs:\n- config_name: a\n---\n");
            let found = configurations(&card);
            assert_eq!(found.map(|found| found.len()), Ok(1), "{other}");
        }
    }

    /// The loader would follow each of these on the stack.
    #[test]
    fn deep_nesting_is_refused() {
        let lists =
            |count: usize| format!("---\nconfigs:\nother:\n  {}a\n---\n", "- ".repeat(count));
        // The map around them is one level.
        assert_eq!(configurations(&lists(49)), Ok(Vec::new()));
        let flow = |count: usize| format!("---\nconfigs: {}\n---\n", "[".repeat(count));
        let maps = |count: usize| format!("---\nconfigs: {}\n---\n", "{a: ".repeat(count));
        let keys = |count: usize| {
            let lines = (0..count).map(|depth| format!("{}configs:\n", " ".repeat(depth)));
            format!("---\n{}---\n", lines.collect::<String>())
        };
        for (card, line) in [
            (lists(50), 4),
            (lists(2_000_000), 4),
            (flow(100), 2),
            (maps(100), 2),
            (keys(2_000), 52),
        ] {
            let error = configurations(&card).unwrap_err();
            assert!(error.reason.contains("more than 50 deep"), "{error:?}");
            assert_eq!(error.line, line, "{}", card.len());
        }
        // Brackets have a limit in the parser too.
        for card in [flow(4_000_000), maps(1_000_000)] {
            assert_eq!(configurations(&card).unwrap_err().line, 2);
        }
    }
}
