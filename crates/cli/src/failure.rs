//! Why a command failed, in words for the user.

use std::error::Error;
use std::fmt;
use std::io;

use crate::exit_status;

/// Why a command failed.
#[derive(Debug)]
pub enum Failure {
    /// The arguments cannot work.
    Usage(String),
    /// The work failed.
    Work(Box<dyn Error + Send + Sync>),
    /// The machine's storage failed in a run of an experiment.
    Storage(Box<dyn Error + Send + Sync>),
    /// The reader of standard output closed it.
    OutputClosed,
    /// A signal ended the work before its end; what was done is saved. The value is the exit status.
    Stopped(u8),
}

impl Failure {
    /// A failure of the work, with a message.
    pub fn work(message: impl Into<String>) -> Self {
        Self::Work(message.into().into())
    }

    /// The exit status of the program.
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::Usage(_) => exit_status::CANNOT_WORK,
            Self::Work(error) => exit_status::of(&**error),
            Self::Storage(_) => exit_status::MACHINE_FAILED,
            // The reader, for example `head`, needs no more output: that is not a failure.
            Self::OutputClosed => exit_status::DONE,
            Self::Stopped(status) => *status,
        }
    }

    /// The failure of an experiment's run, which tells the experiment whether the machine's storage failed.
    pub fn of_run(self) -> Self {
        match self {
            Self::Work(error) if exit_status::is_of_storage(&*error) => Self::Storage(error),
            other => other,
        }
    }

    /// The end of work that may have been stopped before its end, by a signal or otherwise.
    pub fn if_signalled(stopped: bool) -> Result<(), Self> {
        match crate::stop::signal_status() {
            Some(status) if stopped => Err(Self::Stopped(status)),
            _ => Ok(()),
        }
    }

    /// A failure to write to standard output.
    pub fn output(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self::OutputClosed
        } else {
            Self::Work(format!("standard output: {error}").into())
        }
    }
}

impl<E: Error + Send + Sync + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Work(Box::new(error))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(message) => formatter.write_str(message),
            Self::Stopped(_) => formatter.write_str("stopped by a signal"),
            Self::OutputClosed => formatter.write_str("standard output was closed"),
            Self::Work(error) | Self::Storage(error) => {
                let mut printed = error.to_string();
                formatter.write_str(&printed)?;
                let mut source = error.source();
                while let Some(cause) = source {
                    let message = cause.to_string();
                    // Many errors already quote their cause.
                    if !printed.contains(&message) {
                        write!(formatter, "\n  because: {message}")?;
                        printed.push_str(&message);
                    }
                    source = cause.source();
                }
                Ok(())
            }
        }
    }
}
