//! The command that prepares a text for a model that exists.

use std::path::Path;

use data::DataFolder;
use data::error::in_shell;
use data::sources::SourceRecord;

/// The most files that a command names.
const MOST_NAMED: usize = 3;

/// The command that prepares the text of `data` with the tokenizer in the folder `model`.
pub(crate) fn command(data: &DataFolder, model: &Path) -> String {
    let meta = data.meta();
    let sources = sources(&meta.sources).unwrap_or_else(|| vec!["SOURCE...".into()]);
    let validation = match meta.validation_sources.as_slice() {
        [] => Vec::new(),
        own => self::sources(own).unwrap_or_else(|| vec!["FILE".into()]),
    };
    let validation = validation
        .iter()
        .map(|source| format!("--validation-source {source}"));
    let name = |path: &Path| path.file_name().unwrap_or_default().to_owned();
    let mut folder = name(data.path());
    folder.push("-for-");
    folder.push(name(model));
    let out = data.path().with_file_name(folder);
    let parts = sources.iter().cloned().chain(validation);
    format!(
        "ldrop data prepare {} --tokenizer {} --out {}",
        parts.collect::<Vec<_>>().join(" "),
        in_shell(model),
        in_shell(&out)
    )
}

/// The sources that these files come from, as they are typed; none if they cannot be told.
fn sources(records: &[SourceRecord]) -> Option<Vec<String>> {
    let is_there = |record: &SourceRecord| Path::new(&record.name).is_file();
    let few = !records.is_empty() && records.len() <= MOST_NAMED;
    let names = records.iter().map(|record| in_shell(record.name.as_ref()));
    (few && records.iter().all(is_there)).then(|| names.collect())
}
