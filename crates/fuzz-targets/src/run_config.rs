//! The TOML configuration of a run, with overrides.
//!
//! A configuration that is read is valid: it is written and read again unchanged. All that is computed
//! from a configuration alone takes little time and memory, whatever its values are.

use std::path::Path;

use training::config::RunConfig;
use training::flops;

use crate::parts;

/// The number of tokens of the data's vocabulary.
const VOCABULARY: usize = 300;

/// Reads a configuration: up to the first zero byte the file, then up to three overrides.
pub fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let [file, overrides @ ..] = parts::split::<4>(text.as_bytes());
    let text_of =
        |part: &[u8]| String::from_utf8(part.to_vec()).expect("zero bytes divide characters");
    let overrides: Vec<String> = overrides
        .into_iter()
        .filter(|typed| !typed.is_empty())
        .map(text_of)
        .collect();
    match RunConfig::parse(&text_of(file), Path::new("run.toml"), &overrides) {
        Ok(config) => check(&config),
        Err(error) => {
            let message = error.to_string();
            assert!(message.contains("run.toml"), "no file name in: {message}");
        }
    }
}

/// Checks a configuration that was read.
pub(crate) fn check(config: &RunConfig) {
    let written = config
        .to_toml()
        .expect("a configuration from text can be written");
    let again = RunConfig::parse(&written, Path::new("again.toml"), &[]);
    let again = again.expect("what was written can be read");
    assert_eq!(&again, config);
    assert_eq!(config.differing_keys(&again), [""; 0]);
    let model = config
        .model
        .transformer(None)
        .or_else(|_| config.model.transformer(Some(VOCABULARY)));
    if let Ok(model) = model {
        assert!(model.active_parameters() <= model.parameters());
        assert!(flops::training_per_token(&model).is_finite());
        assert!(flops::mask_generation_per_token(&model) <= flops::forward_per_token(&model));
    }
    config.tokens_per_step();
}
