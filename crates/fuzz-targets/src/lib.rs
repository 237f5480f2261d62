//! For each of most readers of bytes that come from elsewhere, a function that takes any bytes and checks
//! what must hold: no panic, an error that names the file, and the invariants in each module's documentation.
//! `docs/notes/fuzzing.md` names the readers without one.
//!
//! `fuzz/` runs these functions under libFuzzer, which also bounds memory and time. A test of this crate
//! runs them on the [`seeds`] and on the inputs in `fuzz/seeds`, without a fuzzer.

pub mod data_folder;
mod documents;
pub mod experiment;
pub mod json_lines;
pub mod json_values;
pub mod merge;
pub mod metrics;
pub mod model_folder;
pub mod panics;
pub mod parquet;
mod parts;
mod place;
pub mod pytorch;
pub mod run_config;
pub mod seeds;
pub mod text_file;
pub mod tokenizer;
pub mod wikipedia_dump;
pub mod wikitext;
mod words;

/// A reader with its checks and its generated seeds.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name: that of its module, of its file in `fuzz/fuzz_targets` and of its folders of inputs.
    pub name: &'static str,
    /// Reads any bytes. Panics if something does not hold that must.
    pub run: fn(&[u8]),
    /// Makes inputs to begin with, always the same.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Words of its format.
    pub words: fn() -> Vec<String>,
}

/// All targets.
pub const ALL: [Target; 14] = [
    Target {
        name: "data_folder",
        run: data_folder::run,
        seeds: seeds::folders::data_folder,
        words: words::none,
    },
    Target {
        name: "experiment",
        run: experiment::run,
        seeds: seeds::configurations::experiment,
        words: words::experiment,
    },
    Target {
        name: "json_lines",
        run: json_lines::run,
        seeds: seeds::texts::json_lines,
        words: words::json,
    },
    Target {
        name: "json_values",
        run: json_values::run,
        seeds: seeds::texts::json_lines,
        words: words::json,
    },
    Target {
        name: "merge",
        run: merge::run,
        seeds: seeds::folders::merge,
        words: words::none,
    },
    Target {
        name: "metrics",
        run: metrics::run,
        seeds: seeds::folders::metrics,
        words: words::none,
    },
    Target {
        name: "model_folder",
        run: model_folder::run,
        seeds: seeds::models::model_folder,
        words: words::none,
    },
    Target {
        name: "parquet",
        run: parquet::run,
        seeds: seeds::tables::parquet,
        words: words::none,
    },
    Target {
        name: "pytorch",
        run: pytorch::run,
        seeds: seeds::models::pytorch,
        words: words::none,
    },
    Target {
        name: "run_config",
        run: run_config::run,
        seeds: seeds::configurations::run_config,
        words: words::run_config,
    },
    Target {
        name: "text_file",
        run: text_file::run,
        seeds: seeds::texts::text_file,
        words: words::none,
    },
    Target {
        name: "tokenizer",
        run: tokenizer::run,
        seeds: seeds::folders::tokenizer,
        words: words::tokenizer,
    },
    Target {
        name: "wikipedia_dump",
        run: wikipedia_dump::run,
        seeds: seeds::texts::wikipedia_dump,
        words: words::wikipedia_dump,
    },
    Target {
        name: "wikitext",
        run: wikitext::run,
        seeds: seeds::texts::wikitext,
        words: words::wikitext,
    },
];
