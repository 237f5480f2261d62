//! Experiment files of tests.

use learned_dropout_training::config::ConfigError;
use learned_dropout_training::experiments::{DefaultBase, Experiment};

/// A base configuration.
pub const BASE: &str = "
seed = 5
data.path = 'data/base'
[model]
context = 8
width = 8
heads = 2
layers = 2
[model.learned_dropout]
function = { kind = 'cosine', shift_init = 1.0 }
penalty = { coefficient = 0.2 }
[train]
steps = 6
batch = 2
";

/// Reads an experiment file beside a base file, `base.toml`, in a new folder.
pub fn read(text: &str) -> Result<(tempfile::TempDir, Experiment), String> {
    let place = tempfile::tempdir().unwrap();
    std::fs::write(place.path().join("base.toml"), BASE).unwrap();
    let file = place.path().join("study.toml");
    std::fs::write(&file, text).unwrap();
    let base = DefaultBase {
        text: BASE,
        name: "the default",
    };
    match Experiment::read(&file, base) {
        Ok(experiment) => Ok((place, experiment)),
        Err(error @ ConfigError::Invalid { .. }) => {
            let folder = format!("{}/", place.path().display());
            Err(error.to_string().replace(&folder, ""))
        }
        Err(error) => panic!("{error}"),
    }
}
