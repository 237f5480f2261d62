//! The exit statuses of the program, as `docs/run-format.md` tells them:
//!
//! - 0: done
//! - 1: failed for another reason than those of 2
//! - 2: the arguments, or what a configuration or experiment file says, cannot work
//! - 129, 130, 143: ended by a signal, see [`signal_status`](crate::stop::signal_status)

use std::error::Error;
use std::io;

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

/// What the process of an experiment's run tells the experiment, and nobody else: the machine failed, and not the
/// run. The number is that of EX_IOERR in the system's `sysexits.h`.
pub const MACHINE_FAILED: u8 = 74;

/// Whether an error is one of the machine's storage: a full disk, a limit of its use, a device that fails.
pub fn is_of_storage(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.downcast_ref().is_some_and(is_storage_error) {
            return true;
        }
        cause = error.source();
    }
    false
}

fn is_storage_error(error: &io::Error) -> bool {
    /// A device failed (EIO), or a file is longer than the system allows (EFBIG); on all Unix systems.
    const OTHERS: [i32; 2] = [5, 27];
    let is_known = matches!(
        error.kind(),
        io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::ReadOnlyFilesystem
    );
    let is_other = |number: i32| cfg!(unix) && OTHERS.contains(&number);
    is_known || error.raw_os_error().is_some_and(is_other)
}

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
        TrainError::Precision(_)
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

    #[cfg(unix)]
    #[test]
    fn errors_of_storage_are_found_among_the_causes() {
        // ENOSPC, EIO, EFBIG and EROFS; ENOENT, EACCES and EPIPE are none.
        let of = |number: i32| {
            TrainError::Config(ConfigError::File {
                path: "config.toml".into(),
                source: io::Error::from_raw_os_error(number),
            })
        };
        assert!(
            [28, 5, 27, 30]
                .map(of)
                .iter()
                .all(|error| is_of_storage(error))
        );
        assert!(![2, 13, 32].map(of).iter().any(|error| is_of_storage(error)));
        assert!(is_of_storage(&io::Error::from(
            io::ErrorKind::QuotaExceeded
        )));
        // A limit of this program's own.
        assert!(!is_of_storage(&io::Error::from(
            io::ErrorKind::FileTooLarge
        )));
    }

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
