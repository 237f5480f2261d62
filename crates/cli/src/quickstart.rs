//! `ldrop train` without arguments: a small model from text that is already on the machine.

use std::path::Path;

use data::sources::Source;
use data::{PrepareOptions, TokenizerChoice, prepare};
use training::config::{ConfigError, RunConfig};

use crate::arguments::Common;
use crate::failure::Failure;
use crate::terminal::{Stages, grouped, tell};

/// The configuration of the quick start.
pub const CONFIG: &str = include_str!("../../../configs/quickstart.toml");
/// What messages call it.
pub const CONFIG_NAME: &str = "configs/quickstart.toml";
/// Its data folder, as the configuration names it.
pub const DATA: &str = "data/quickstart";
/// The name of its run.
pub const RUN_NAME: &str = "quickstart";

/// Tokens of its vocabulary: few, so that the little time goes into the blocks and not into the
/// output layer.
const VOCABULARY: usize = 2048;

/// Bytes of its text: several times what a few minutes of training see.
const TEXT: u64 = 32_000_000;

/// The configuration of the quick start, with overrides.
pub fn config(overrides: &[String]) -> Result<RunConfig, ConfigError> {
    RunConfig::parse(CONFIG, Path::new(CONFIG_NAME), overrides)
}

/// The configuration of the quick start with its vocabulary set, so that its data need not exist;
/// and with overrides.
pub fn config_without_data(overrides: &[String]) -> Result<RunConfig, ConfigError> {
    let vocabulary = format!("model.vocabulary={VOCABULARY}");
    config(&[&[vocabulary], overrides].concat())
}

/// Prepares the text of cargo's registry folder, unless that was done before.
pub fn prepare_text(out: &Path, common: &Common) -> Result<(), Failure> {
    if out.join("meta.json").exists() {
        return Ok(());
    }
    if !common.quiet {
        tell(&format!(
            "Preparing the sources and documentation of this program's own dependencies, from \
             cargo's registry folder, once: {}",
            out.display()
        ));
    }
    let options = PrepareOptions {
        tokenizer: TokenizerChoice::Bpe(VOCABULARY),
        max_text_bytes: Some(TEXT),
        threads: common.threads(),
        ..PrepareOptions::new(vec![Source::Cargo], out)
    };
    if let Some(parent) = out.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let meta = prepare(&options, &Stages::new(common.quiet))?;
    if !common.quiet {
        tell(&format!(
            "{} training tokens and {} validation tokens",
            grouped(meta.train.tokens),
            grouped(meta.validation.tokens)
        ));
    }
    Ok(())
}
