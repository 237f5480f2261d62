//! The options that all shards of a text must have in common, as `shard.json` stores them.

use std::collections::BTreeMap;

use crate::prepare::PrepareOptions;

/// The name of each option with its value, as they are typed.
pub(super) fn common(options: &PrepareOptions) -> BTreeMap<String, String> {
    BTreeMap::from([
        ("text_column".into(), options.text_column.clone()),
        ("end_of_text".into(), options.end_of_text.to_string()),
        ("language_variant".into(), options.language_variant.clone()),
        ("format".into(), options.format.to_string()),
        ("on_error".into(), options.on_error.to_string()),
    ])
}
