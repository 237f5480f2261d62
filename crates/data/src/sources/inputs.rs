//! Lists the files of the sources that a user named, and reads each in its format.

use std::path::{Path, PathBuf};

use super::cargo_registry::{self, CargoFiles};
use super::file_format::{self, Compression, Format};
use super::hub::{self, HubFile, HubSettings};
use super::input_stream::{self, InputStream, SharedMeter};
use super::pipeline::{Emit, Halt, Producer};
use super::shard::ListedFile;
use super::{
    ReadOptions, Source, SourceError, folder, json_lines, modular_addition, parquet_rows,
    plain_text, wikipedia_dump,
};
use crate::progress::Progress;

/// The places of sources that are not paths.
pub(super) struct Places {
    pub(super) cargo_home: PathBuf,
    pub(super) hub: HubSettings,
}

/// An input with its own record.
pub(super) enum Input {
    /// A file that the user named, or one found in a folder, where files without text are skipped.
    File {
        path: PathBuf,
        in_folder: bool,
    },
    Cargo(CargoFiles),
    ModularAddition(u32),
    Hub(HubFile),
}

impl Input {
    /// What all machines see of the input.
    pub(super) fn listed(&self) -> ListedFile {
        let last = |path: &Path| path.file_name().unwrap_or_default().display().to_string();
        let (name, bytes) = match self {
            Self::File { path, .. } => (last(path), Some(file_bytes(path))),
            Self::Cargo(files) => ("cargo".to_owned(), Some(files.bytes)),
            Self::ModularAddition(modulus) => (format!("modular-addition:{modulus}"), Some(1)),
            // The size of a file is known only where it has been downloaded.
            Self::Hub(file) => (file.name(), None),
        };
        ListedFile { name, bytes }
    }
}

/// Lists the inputs.
pub(super) fn expand(places: &Places, sources: &[Source]) -> Result<Vec<Input>, SourceError> {
    let mut inputs = Vec::new();
    for source in sources {
        match source {
            Source::Path(path) => {
                let details = std::fs::metadata(path).map_err(|reason| SourceError::Read {
                    path: path.clone(),
                    reason,
                })?;
                if details.is_dir() {
                    let files = folder::files(path)?;
                    inputs.extend(files.into_iter().map(|path| Input::File {
                        path,
                        in_folder: true,
                    }));
                } else {
                    inputs.push(Input::File {
                        path: path.clone(),
                        in_folder: false,
                    });
                }
            }
            Source::Cargo => inputs.push(Input::Cargo(cargo_registry::choose(&places.cargo_home)?)),
            Source::ModularAddition(modulus) => inputs.push(Input::ModularAddition(*modulus)),
            Source::Hub { repository, config } => {
                inputs.extend(
                    hub::list(&places.hub, repository, config.as_deref())?
                        .into_iter()
                        .map(Input::Hub),
                );
            }
        }
    }
    Ok(inputs)
}

/// Reads every input in order.
pub(super) fn read_all(
    inputs: &[Input],
    options: &ReadOptions,
    progress: &dyn Progress,
    producer: &mut Producer,
) -> Result<(), Halt> {
    let local_bytes = inputs.iter().map(local_bytes).sum();
    let mut in_local_stage = false;
    let outcome = inputs.iter().try_for_each(|input| {
        // A download is a separate stage of progress, so the stage of local files ends before it.
        let local = !matches!(input, Input::Hub(_));
        if in_local_stage && !local {
            progress.end();
        }
        if !in_local_stage && local {
            progress.begin("read", Some(local_bytes));
        }
        in_local_stage = local;
        read_input(input, options, progress, producer)
    });
    if in_local_stage {
        progress.end();
    }
    outcome
}

fn local_bytes(input: &Input) -> u64 {
    match input {
        Input::File { path, .. } => file_bytes(path),
        Input::Cargo(files) => files.bytes,
        Input::ModularAddition(_) | Input::Hub(_) => 0,
    }
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
    match input {
        Input::File { path, in_folder } => {
            if *in_folder && !holds_text(path)? {
                tracing::warn!("skipped: {} holds no text", path.display());
                progress.advance(file_bytes(path));
                return Ok(());
            }
            producer.record(&path.to_string_lossy(), |meter, emit| {
                read_file(path, *in_folder, options, meter, progress, emit)
            })
        }
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
                read_file(&path, false, options, meter, progress, emit)
            });
            progress.end();
            outcome
        }
    }
}

/// Whether a file in a folder has text.
fn holds_text(path: &Path) -> Result<bool, SourceError> {
    let (format, compression) = file_format::of_name(path);
    if file_bytes(path) == 0 {
        return Ok(false);
    }
    if format != Format::PlainText {
        return Ok(true);
    }
    let mut stream = input_stream::open(
        path,
        compression,
        &SharedMeter::default(),
        &crate::progress::Silent,
    )?;
    let head = stream.peek(plain_text::SNIFF_BYTES)?;
    Ok(!head.is_empty() && plain_text::looks_like_text(&head))
}

fn read_file(
    path: &Path,
    in_folder: bool,
    options: &ReadOptions,
    meter: &SharedMeter,
    progress: &dyn Progress,
    emit: &mut Emit<'_>,
) -> Result<(), Halt> {
    let (format, compression) = file_format::of_name(path);
    let column = &options.text_column;
    if format == Format::Parquet {
        return parquet_rows::read(path, compression, column, meter, progress, emit);
    }
    let mut stream = input_stream::open(path, compression, meter, progress)?;
    refuse_empty(&mut stream, compression)?;
    match format {
        Format::WikipediaDump if in_folder && !starts_as_dump(&mut stream)? => {
            plain_text::read(stream, emit)
        }
        Format::WikipediaDump => wikipedia_dump::read(stream, &options.language_variant, emit),
        Format::JsonLines => json_lines::read(stream, column, emit),
        Format::PlainText | Format::Parquet => plain_text::read(stream, emit),
    }
}

/// Compressed empty text is a file that has bytes.
fn refuse_empty(stream: &mut InputStream<'_>, compression: Compression) -> Result<(), SourceError> {
    if compression != Compression::None && stream.peek(1)?.is_empty() {
        return Err(SourceError::Empty {
            path: stream.path.clone(),
        });
    }
    Ok(())
}

/// XML files that are not dumps are read as plain text.
fn starts_as_dump(stream: &mut InputStream<'_>) -> Result<bool, SourceError> {
    const MARK: &[u8] = b"<mediawiki";
    Ok(stream
        .peek(1024)?
        .windows(MARK.len())
        .any(|window| window == MARK))
}
