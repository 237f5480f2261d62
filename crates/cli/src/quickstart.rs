//! `ldrop train` without arguments: a small model from text that is already on the machine.

use std::path::Path;

use data::sources::Source;
use data::{PrepareOptions, TokenizerChoice, prepare};
use training::config::{ConfigError, RunConfig};

use crate::arguments::Common;
use crate::failure::Failure;
use crate::terminal::{Stages, print_message, thousands};

/// The text of the quick start's configuration.
pub const CONFIG: &str = include_str!("../../../configs/quickstart.toml");
/// The name of the configuration in messages.
pub const CONFIG_NAME: &str = "configs/quickstart.toml";
/// The data folder that the configuration names.
pub const DATA: &str = "data/quickstart";
/// The name of the run.
pub const RUN_NAME: &str = "quickstart";

/// Size of the vocabulary. It is small, so that the time goes into the blocks and not into the output
/// layer.
const VOCABULARY: usize = 2048;

/// Bytes of text: several times what a few minutes of training read.
const TEXT: u64 = 32_000_000;

/// The configuration of the quick start, with overrides.
pub fn config(overrides: &[String]) -> Result<RunConfig, ConfigError> {
    RunConfig::parse(CONFIG, Path::new(CONFIG_NAME), overrides)
}

/// The configuration of the quick start with overrides, for use without its data: it names the
/// vocabulary.
pub fn config_without_data(overrides: &[String]) -> Result<RunConfig, ConfigError> {
    let vocabulary = format!("model.vocabulary={VOCABULARY}");
    config(&[&[vocabulary], overrides].concat())
}

/// Prepares the text of cargo's registry folder, unless that has been done before.
pub fn prepare_text(out: &Path, common: &Common) -> Result<(), Failure> {
    if out.join("meta.json").exists() {
        return Ok(());
    }
    if !common.quiet {
        print_message(&format!(
            "Preparing the sources and documentation of this program's own dependencies, from \
             cargo's registry folder, once: {}",
            out.display()
        ));
    }
    let options = PrepareOptions {
        tokenizer: TokenizerChoice::Bpe(VOCABULARY).into(),
        max_text_bytes: Some(TEXT),
        threads: common.threads(),
        ..PrepareOptions::new(vec![Source::Cargo], out)
    };
    if let Some(parent) = out.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let meta = prepare(&options, &Stages::new(common.quiet))?.meta;
    if !common.quiet {
        print_message(&format!(
            "{} training tokens and {} validation tokens",
            thousands(meta.train.tokens),
            thousands(meta.validation.tokens)
        ));
    }
    Ok(())
}
