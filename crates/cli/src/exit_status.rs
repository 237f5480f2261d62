//! The exit statuses of the program, as `docs/run-format.md` tells them:
//!
//! - 0: done
//! - 1: failed for another reason than those of 2
//! - 2: the arguments, or what a configuration or experiment file says, cannot work
//! - 129, 130, 143: ended by a signal, see [`signal_status`](crate::stop::signal_status)

use std::error::Error;

use data::DataError;
use data::sources::SourceError;
use learned_dropout::device::DeviceError;
use training::config::ConfigError;
use training::experiments::ExperimentError;
use training::precision::PrecisionError;
use training::run_folder::RunFolderError;
use training::stored_model::StoredModelError;
use training::trainer::TrainError;

/// The work is done.
pub const DONE: u8 = 0;
/// The work failed.
pub const FAILED: u8 = 1;
/// The arguments, or what a configuration or experiment file says, cannot work: the same command fails
/// again until they are corrected, whatever is in the files that it would read.
pub const CANNOT_WORK: u8 = 2;

/// The exit status of an error of a library.
pub fn of(error: &(dyn Error + 'static)) -> u8 {
    match cannot_work(error) {
        true => CANNOT_WORK,
        false => FAILED,
    }
}

/// Whether an error says that arguments, or a configuration or experiment file, cannot work. A file that is
/// missing, damaged or does not fit is no such error, and neither is a machine that fails.
fn cannot_work(error: &(dyn Error + 'static)) -> bool {
    if let Some(error) = error.downcast_ref::<ConfigError>() {
        return matches!(error, ConfigError::Invalid { .. });
    }
    if let Some(error) = error.downcast_ref::<RunFolderError>() {
        use RunFolderError::{Empty, Occupied};
        return matches!(error, Occupied { .. } | Empty { .. });
    }
    if let Some(error) = error.downcast_ref::<TrainError>() {
        return is_of_run(error);
    }
    if let Some(error) = error.downcast_ref::<ExperimentError>() {
        return is_of_experiment(error);
    }
    if let Some(error) = error.downcast_ref::<DataError>() {
        return is_of_data(error);
    }
    if let Some(error) = error.downcast_ref::<StoredModelError>() {
        return match error {
            StoredModelError::Config(error) => cannot_work(error),
            StoredModelError::Data(error) => is_of_data(error),
            StoredModelError::Impossible { .. } => true,
            _ => false,
        };
    }
    error.is::<PrecisionError>() || error.is::<DeviceError>()
}

fn is_of_run(error: &TrainError) -> bool {
    match error {
        TrainError::Config(error) => cannot_work(error),
        TrainError::RunFolder(error) => cannot_work(error),
        TrainError::Data(error) => is_of_data(error),
        TrainError::Model(_)
        | TrainError::Precision(_)
        | TrainError::ConfigChanged { .. }
        | TrainError::NothingLeft { .. }
        | TrainError::StepsDone { .. } => true,
        _ => false,
    }
}

fn is_of_experiment(error: &ExperimentError) -> bool {
    match error {
        ExperimentError::Config(error) => cannot_work(error),
        ExperimentError::Data(error) => is_of_data(error),
        ExperimentError::PreparedOtherwise { .. }
        | ExperimentError::Changed(_)
        | ExperimentError::Precision(_) => true,
        _ => false,
    }
}

fn is_of_data(error: &DataError) -> bool {
    match error {
        DataError::Source(error) => matches!(error, SourceError::Invalid { .. }),
        DataError::Value { .. } | DataError::Occupied { .. } => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn what_was_typed_is_told_from_what_was_read() {
        let config = |error: ConfigError| TrainError::from(error);
        let path = || "config.toml".into();
        let missing = || io::Error::from(io::ErrorKind::NotFound);
        let invalid = ConfigError::Invalid {
            path: path(),
            problems: Vec::new(),
        };
        let unread = ConfigError::File {
            path: path(),
            source: missing(),
        };
        let typed: [Box<dyn Error>; 5] = [
            Box::new(config(invalid)),
            Box::new(TrainError::StepsDone { done: 2, steps: 1 }),
            Box::new(RunFolderError::Occupied { path: path() }),
            Box::new(ExperimentError::Changed(Vec::new())),
            Box::new(DataError::Value {
                name: "validation",
                found: "2".into(),
                expected: "a share",
            }),
        ];
        let read: [Box<dyn Error>; 5] = [
            Box::new(config(unread)),
            Box::new(TrainError::Device("lost".into())),
            Box::new(RunFolderError::Busy { path: path() }),
            Box::new(DataError::NotFound { path: path() }),
            Box::new(missing()),
        ];
        assert!(typed.iter().all(|error| of(&**error) == 2));
        assert!(read.iter().all(|error| of(&**error) == 1));
    }
}
