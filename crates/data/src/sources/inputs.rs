//! Lists the files of the sources that a user named, and reads each in its format.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::cargo_registry::{self, CargoFiles};
use super::hub::{self, HubFile, HubSettings};
use super::left_out::Reason;
use super::pipeline::{Halt, Pipeline, Producer};
use super::shard::ListedFile;
use super::{ReadOptions, Source, SourceError, folder, modular_addition, text_file};
use crate::progress::Progress;

/// The places of sources that are not paths.
pub(super) struct Places {
    pub(super) cargo_home: PathBuf,
    pub(super) hub: HubSettings,
}

impl Places {
    /// The places that the environment names.
    pub(super) fn from_environment() -> Self {
        Self {
            cargo_home: cargo_registry::cargo_home(),
            hub: HubSettings::from_environment(),
        }
    }
}

/// An input with its own record, or something that is left out.
pub(super) enum Input {
    /// A file that the user named.
    File(PathBuf),
    /// A file in a folder that the user named.
    InFolder(PathBuf),
    Cargo(CargoFiles),
    ModularAddition(u32),
    Hub(HubFile),
    LeftOut {
        reason: Reason,
        example: String,
    },
}

impl Input {
    /// What all machines see of the input; none if it is no file.
    pub(super) fn listed(&self) -> Option<ListedFile> {
        let last = |path: &Path| path.file_name().unwrap_or_default().display().to_string();
        let name = match self {
            Self::File(path) | Self::InFolder(path) => last(path),
            Self::Cargo(_) => "cargo".to_owned(),
            Self::ModularAddition(modulus) => format!("modular-addition:{modulus}"),
            Self::Hub(file) => file.name(),
            Self::LeftOut { .. } => return None,
        };
        let bytes = match self {
            // Without a file it takes part in the division as if it had one.
            Self::ModularAddition(_) => Some(1),
            _ => self.bytes(),
        };
        Some(ListedFile { name, bytes })
    }

    /// The bytes that are read; none if they are not known on all machines.
    fn bytes(&self) -> Option<u64> {
        match self {
            Self::File(path) | Self::InFolder(path) => Some(file_bytes(path)),
            Self::Cargo(files) => Some(files.bytes),
            Self::ModularAddition(_) | Self::LeftOut { .. } => Some(0),
            // The size of a file is known only where it has been downloaded.
            Self::Hub(_) => None,
        }
    }
}

/// Lists the inputs.
pub(super) fn expand(
    places: &Places,
    sources: &[Source],
    options: &ReadOptions,
) -> Result<Vec<Input>, SourceError> {
    let mut inputs = Vec::new();
    for source in sources {
        match source {
            Source::Path(path) => {
                let details = std::fs::metadata(path).map_err(|reason| SourceError::Read {
                    path: path.clone(),
                    reason,
                })?;
                if details.is_dir() {
                    expand_folder(path, options, &mut inputs)?;
                } else {
                    inputs.push(Input::File(path.clone()));
                }
            }
            Source::Cargo => inputs.push(Input::Cargo(cargo_registry::choose(&places.cargo_home)?)),
            Source::ModularAddition(modulus) => inputs.push(Input::ModularAddition(*modulus)),
            Source::Hub { repository, config } => {
                let listed = hub::list(&places.hub, repository, config.as_deref(), options.format)?;
                inputs.extend(listed.files.into_iter().map(Input::Hub));
                inputs.extend(listed.other.into_iter().map(|file| Input::LeftOut {
                    reason: Reason::OtherSplit,
                    example: format!("hf:{repository}/{file}"),
                }));
            }
        }
    }
    if sources.len() > 1 {
        warn_of_repeated(&inputs);
    }
    Ok(inputs)
}

/// Says which files are read more than once because several sources name them. That may be meant: it gives
/// a text more weight.
fn warn_of_repeated(inputs: &[Input]) {
    let mut seen = HashSet::new();
    let mut repeated = inputs.iter().filter_map(|input| match input {
        Input::File(path) | Input::InFolder(path) => {
            let is_new = seen.insert(std::fs::canonicalize(path).ok()?);
            (!is_new).then(|| path.display().to_string())
        }
        _ => None,
    });
    let Some(first) = repeated.next() else { return };
    match repeated.count() {
        0 => tracing::warn!("{first} is named more than once, and read as often"),
        more => {
            tracing::warn!("{first} and {more} more are named more than once, and read as often");
        }
    }
}

fn expand_folder(
    path: &Path,
    options: &ReadOptions,
    inputs: &mut Vec<Input>,
) -> Result<(), SourceError> {
    let found = folder::files(path, options.out.as_deref())?;
    if found.files.is_empty() && found.broken_links.is_empty() {
        return Err(SourceError::NoFiles {
            path: path.to_owned(),
        });
    }
    inputs.extend(found.files.into_iter().map(Input::InFolder));
    inputs.extend(found.own.into_iter().map(|path| Input::LeftOut {
        reason: Reason::OwnFolder,
        example: path.display().to_string(),
    }));
    let broken_links = found.broken_links.into_iter();
    inputs.extend(broken_links.map(|(path, reason)| Input::LeftOut {
        reason: Reason::BrokenLink,
        example: match std::fs::read_link(&path) {
            Ok(target) => format!("{} to {}: {reason}", path.display(), target.display()),
            Err(_) => format!("{}: {reason}", path.display()),
        },
    }));
    Ok(())
}

/// Reads every input. Files on this machine are read several at a time; a download is a stage of progress of
/// its own.
pub(super) fn read_all<E: From<SourceError>>(
    inputs: &[Input],
    options: &ReadOptions,
    progress: &dyn Progress,
    pipeline: &mut Pipeline<'_, E>,
) -> Result<(), E> {
    let is_local = |input: &Input| !matches!(input, Input::Hub(_));
    for group in inputs.chunk_by(|one, other| is_local(one) && is_local(other)) {
        let local = is_local(&group[0]);
        if local {
            let bytes = group.iter().filter_map(Input::bytes);
            progress.begin("read", Some(bytes.sum()));
        }
        let outcome = pipeline.read(group.len(), &|number, producer| {
            read_input(&group[number], options, progress, producer)
        });
        if local {
            progress.end();
        }
        if !outcome? {
            break;
        }
    }
    Ok(())
}

fn file_bytes(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |details| details.len())
}

fn read_input(
    input: &Input,
    options: &ReadOptions,
    progress: &dyn Progress,
    producer: &mut Producer,
) -> Result<(), Halt> {
    let workers = producer.workers();
    match input {
        Input::File(path) => producer.record(&path.to_string_lossy(), |meter, emit| {
            text_file::read(path, options, Some(&workers), meter, progress, emit)
        }),
        Input::InFolder(path) => match text_file::left_out(path, options)? {
            Some((reason, why)) => {
                progress.advance(file_bytes(path));
                producer.left_out(reason, format!("{}: {why}", path.display()))
            }
            None => producer.record(&path.to_string_lossy(), |meter, emit| {
                text_file::read(path, options, Some(&workers), meter, progress, emit)
            }),
        },
        Input::Cargo(files) => producer.record("cargo", |meter, emit| {
            cargo_registry::read(&files.paths, meter, progress, emit)
        }),
        Input::ModularAddition(modulus) => producer
            .record(&format!("modular-addition:{modulus}"), |meter, emit| {
                modular_addition::read(*modulus, meter, emit)
            }),
        Input::Hub(file) => {
            let path = file.fetch(progress)?;
            progress.begin(&format!("read {}", file.name()), Some(file_bytes(&path)));
            let outcome = producer.record(&file.name(), |meter, emit| {
                text_file::read(&path, options, Some(&workers), meter, progress, emit)
            });
            progress.end();
            outcome
        }
        Input::LeftOut { reason, example } => producer.left_out(*reason, example.clone()),
    }
}
