//! Rust text that every user has already: the sources of this program's dependencies.
//!
//! The text consists of the `.rs` and `.md` files of the packages in this workspace's lock file, as
//! cargo unpacked them into its registry folder. Files that do not read like Rust or its documentation
//! are left out: packages that bind foreign interfaces (`*-sys`, `windows*`, `libc` and so on), tests and their
//! data, generated code and tables, change logs and licences, files over 200 kB, files with lines
//! hundreds of characters long, and older versions of a package that is locked twice.
//!
//! The files are taken from each package in turn. Packages, and the files of each, are in the order of
//! the hashes of their names. So any part of the text is a mix of all packages, and the last tenth (the
//! validation part) is like the rest.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use walkdir::WalkDir;
use xxhash_rust::xxh3::xxh3_64;

use super::SourceError;
use super::input_stream::SharedMeter;
use super::pipeline::{Emit, Halt, RawDocument};
use crate::progress::Progress;

/// The lock file that this program was built with.
const LOCK_FILE: &str = include_str!("../../../../Cargo.lock");

/// Size limit of a file. Nearly all larger files are generated, tables or bindings.
const FILE_LIMIT: u64 = 200 * 1000;

/// Limit of the average length of lines. Hand-written lines are shorter.
const MEAN_LINE_LIMIT: usize = 120;

const SKIPPED_FOLDERS: [&str; 16] = [
    "tests",
    "test",
    "testing",
    "testdata",
    "test-data",
    "test_data",
    "fixtures",
    "snapshots",
    "corpus",
    "fuzz",
    "target",
    "generated",
    "gen",
    "bindings",
    "tables",
    "vendor",
];

const SKIPPED_NAMES: [&str; 14] = [
    "binding",
    "generated",
    "table",
    "changelog",
    "changes",
    "release",
    "licen",
    "conduct",
    "security",
    "contributing",
    "tests.rs",
    "test.rs",
    "copying",
    "authors",
];

const BINDING_PACKAGES: [&str; 12] = [
    "windows",
    "winapi",
    "objc",
    "libc",
    "cudarc",
    "ash",
    "wasi",
    "wit-bindgen",
    "core-foundation",
    "metal",
    "ndk",
    "jni",
];

#[derive(Deserialize)]
struct LockFile {
    #[serde(default)]
    package: Vec<LockedPackage>,
}

#[derive(Deserialize)]
struct LockedPackage {
    name: String,
    version: String,
    source: Option<String>,
}

/// The files to read, and their size in total.
pub(super) struct CargoFiles {
    pub(super) paths: Vec<PathBuf>,
    pub(super) bytes: u64,
}

/// Cargo's folder: `$CARGO_HOME`, or `.cargo` in the home folder.
pub(super) fn cargo_home() -> PathBuf {
    std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".cargo")))
        .unwrap_or_else(|| PathBuf::from(".cargo"))
}

/// Chooses the files below `cargo_home`.
pub(super) fn choose(cargo_home: &Path) -> Result<CargoFiles, SourceError> {
    choose_locked(LOCK_FILE, cargo_home)
}

fn choose_locked(lock_file: &str, cargo_home: &Path) -> Result<CargoFiles, SourceError> {
    let registry = cargo_home.join("registry").join("src");
    let registries = sorted_folders(&registry);
    let mut packages: Vec<Vec<(PathBuf, u64)>> = Vec::new();
    for package in locked_packages(lock_file) {
        let folder = registries
            .iter()
            .map(|registry| registry.join(&package))
            .find(|folder| folder.is_dir());
        let files = folder
            .map(|folder| package_files(&folder))
            .unwrap_or_default();
        if !files.is_empty() {
            packages.push(files);
        }
    }
    if packages.is_empty() {
        return Err(SourceError::NoCargoSources { path: registry });
    }
    let bytes = packages.iter().flatten().map(|(_, bytes)| bytes).sum();
    Ok(CargoFiles {
        paths: in_turn(packages),
        bytes,
    })
}

/// `NAME-VERSION` of every chosen package, in the order of their names' hashes.
fn locked_packages(lock_file: &str) -> Vec<String> {
    let locked: LockFile = toml::from_str(lock_file)
        .expect("cargo wrote the lock file that this program was built with");
    // The lock file sorts the versions of a package as text; the last one is taken.
    let newest: BTreeMap<String, String> = locked
        .package
        .into_iter()
        .filter(|package| {
            package
                .source
                .as_deref()
                .is_some_and(|source| source.starts_with("registry+"))
        })
        .filter(|package| !is_binding(&package.name))
        .map(|package| (package.name, package.version))
        .collect();
    let mut names: Vec<_> = newest.into_iter().collect();
    names.sort_by_key(|(name, _)| xxh3_64(name.as_bytes()));
    names
        .into_iter()
        .map(|(name, version)| format!("{name}-{version}"))
        .collect()
}

fn is_binding(name: &str) -> bool {
    name.ends_with("-sys")
        || BINDING_PACKAGES
            .iter()
            .any(|binding| name == *binding || starts_as_family(name, binding))
}

/// `windows_x86_64_gnu` and `objc2-foundation` belong to the families `windows` and `objc`.
fn starts_as_family(name: &str, family: &str) -> bool {
    name.strip_prefix(family).is_some_and(|rest| {
        rest.starts_with(['-', '_']) || rest.starts_with(|c: char| c.is_ascii_digit())
    })
}

fn sorted_folders(folder: &Path) -> Vec<PathBuf> {
    let mut folders: Vec<_> = std::fs::read_dir(folder)
        .map(|entries| {
            entries
                .filter_map(|entry| Some(entry.ok()?.path()))
                .filter(|path| path.is_dir())
                .collect()
        })
        .unwrap_or_default();
    folders.sort();
    folders
}

/// The readable files of one package, in the order of their paths' hashes.
fn package_files(folder: &Path) -> Vec<(PathBuf, u64)> {
    let mut files: Vec<(u64, PathBuf, u64)> = WalkDir::new(folder)
        .sort_by_file_name()
        .into_iter()
        .filter_entry(|entry| {
            let name = entry.file_name().to_string_lossy();
            let skipped = entry.file_type().is_dir() && SKIPPED_FOLDERS.contains(&&*name);
            entry.depth() == 0 || !(skipped || name.starts_with('.'))
        })
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_file() && has_readable_name(entry.path()))
        .filter_map(|entry| {
            let bytes = entry.metadata().ok()?.len();
            let relative = entry
                .path()
                .strip_prefix(folder)
                .ok()?
                .to_string_lossy()
                .into_owned();
            (1..=FILE_LIMIT)
                .contains(&bytes)
                .then(|| (xxh3_64(relative.as_bytes()), entry.into_path(), bytes))
        })
        .collect();
    files.sort();
    files
        .into_iter()
        .map(|(_, path, bytes)| (path, bytes))
        .collect()
}

fn has_readable_name(path: &Path) -> bool {
    let name = path
        .file_name()
        .map(|name| name.to_string_lossy().to_lowercase())
        .unwrap_or_default();
    let ending = path
        .extension()
        .is_some_and(|ending| ending == "rs" || ending == "md");
    ending && !SKIPPED_NAMES.iter().any(|skipped| name.contains(skipped))
}

/// The first file of each package, then the second of each, and so on.
fn in_turn(packages: Vec<Vec<(PathBuf, u64)>>) -> Vec<PathBuf> {
    let rounds = packages.iter().map(Vec::len).max().unwrap_or(0);
    let mut paths = Vec::new();
    for round in 0..rounds {
        paths.extend(
            packages
                .iter()
                .filter_map(|files| files.get(round))
                .map(|(path, _)| path.clone()),
        );
    }
    paths
}

/// Reads the chosen files. Files that turn out not to be text are skipped.
pub(super) fn read(
    paths: &[PathBuf],
    meter: &SharedMeter,
    progress: &dyn Progress,
    emit: &mut Emit<'_>,
) -> Result<(), Halt> {
    for path in paths {
        let bytes = std::fs::read(path).map_err(|reason| SourceError::Read {
            path: path.clone(),
            reason,
        })?;
        progress.advance(bytes.len() as u64);
        match String::from_utf8(bytes) {
            Ok(text) if reads_well(&text) => {
                meter.borrow_mut().update(text.as_bytes());
                emit(RawDocument::Text {
                    text,
                    continues: false,
                })?;
            }
            _ => tracing::debug!("skipped: {} is not readable text", path.display()),
        }
    }
    Ok(())
}

fn reads_well(text: &str) -> bool {
    let head = &text[..text.floor_char_boundary(1000)].to_lowercase();
    let generated = [
        "@generated",
        "automatically generated",
        "auto-generated",
        "autogenerated",
        "do not edit",
    ];
    let lines = text.lines().count().max(1);
    text.len() / lines <= MEAN_LINE_LIMIT
        && !text.contains('\0')
        && !generated.iter().any(|mark| head.contains(mark))
}

#[cfg(test)]
#[path = "cargo_registry_tests.rs"]
mod tests;
