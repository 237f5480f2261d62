//! Why a command failed, in words for the person who called it.

use std::error::Error;
use std::fmt;
use std::io;

/// Why a command failed.
#[derive(Debug)]
pub enum Failure {
    /// The command was called in a way that cannot work.
    Usage(String),
    /// The work could not be done.
    Work(Box<dyn Error + Send + Sync>),
    /// Nobody reads the output any more.
    OutputClosed,
}

impl Failure {
    /// A failure with a message of our own.
    pub fn work(message: impl Into<String>) -> Self {
        Self::Work(message.into().into())
    }

    /// The exit status: 2 for usage, 1 for everything else.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Work(_) | Self::OutputClosed => 1,
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
            Self::OutputClosed => formatter.write_str("standard output was closed"),
            Self::Work(error) => {
                let mut told = error.to_string();
                formatter.write_str(&told)?;
                let mut source = error.source();
                while let Some(cause) = source {
                    let message = cause.to_string();
                    // Many errors already quote their cause.
                    if !told.contains(&message) {
                        write!(formatter, "\n  because: {message}")?;
                        told.push_str(&message);
                    }
                    source = cause.source();
                }
                Ok(())
            }
        }
    }
}
