//! Datasets on the Hugging Face hub: listed, downloaded once into the hub's own cache folder, and
//! read from there.
//!
//! The environment variables of the hub's own tools apply: `HF_ENDPOINT`, `HF_HOME`, `HF_HUB_CACHE`,
//! `HF_TOKEN`, and `HF_HUB_OFFLINE`, with which only the cache is read.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use hf_hub::api::sync::{Api, ApiBuilder, ApiError, ApiRepo};
use hf_hub::{Cache, Repo, RepoType};

use super::hub_card::{self, CardError, Configuration};
use super::hub_parts;
use super::hub_selection::{Wanted, select};
use super::{FileFormat, SourceError};
use crate::progress::{Progress, Silent};

const RETRIES: usize = 3;

/// The address of the hub and the folder of its files.
#[derive(Debug, Clone)]
pub(super) struct HubSettings {
    endpoint: Option<String>,
    cache: PathBuf,
    token: Option<String>,
    offline: bool,
}

impl HubSettings {
    pub(super) fn from_environment() -> Self {
        Self::from_variables(|name| {
            std::env::var(name)
                .ok()
                .filter(|value| !value.trim().is_empty())
        })
    }

    pub(super) fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Self {
        let home = variable("HF_HOME").map(PathBuf::from).unwrap_or_else(|| {
            let cache = variable("XDG_CACHE_HOME").map(PathBuf::from);
            let cache = cache.or_else(|| std::env::home_dir().map(|home| home.join(".cache")));
            cache
                .unwrap_or_else(|| PathBuf::from(".cache"))
                .join("huggingface")
        });
        let saved_token = || std::fs::read_to_string(home.join("token")).ok();
        let token = variable("HF_TOKEN")
            .or_else(saved_token)
            .map(|token| token.trim().to_owned());
        let is_on =
            |value: String| matches!(value.to_lowercase().as_str(), "1" | "true" | "yes" | "on");
        Self {
            endpoint: variable("HF_ENDPOINT")
                .map(|endpoint| endpoint.trim_end_matches('/').to_owned()),
            cache: variable("HF_HUB_CACHE").map_or_else(|| home.join("hub"), PathBuf::from),
            token: token.filter(|token| !token.is_empty()),
            offline: variable("HF_HUB_OFFLINE").is_some_and(is_on),
        }
    }
}

/// One data file of a dataset, downloaded when it is asked for.
pub(super) struct HubFile {
    dataset: Arc<Dataset>,
    file: String,
}

struct Dataset {
    repository: String,
    /// The folder of the downloaded files of the dataset's current state; offline, of its newest
    /// downloaded state.
    snapshot: PathBuf,
    /// The client; none offline.
    api: Option<ApiRepo>,
}

/// The name of a dataset's card.
const CARD: &str = "README.md";

/// The data files of a dataset.
pub(super) struct Listed {
    /// Those that are read.
    pub(super) files: Vec<HubFile>,
    /// The names of those that are not, because they belong to another split or have another format.
    pub(super) other: Vec<String>,
}

/// The data files of a dataset, or of one configuration of it, in the order of their names.
pub(super) fn list(
    settings: &HubSettings,
    repository: &str,
    config: Option<&str>,
    format: FileFormat,
) -> Result<Listed, SourceError> {
    let wrong = |reason: String| SourceError::Hub {
        repository: repository.to_owned(),
        reason,
    };
    let repo = Repo::new(repository.to_owned(), RepoType::Dataset);
    let (snapshot, api, files) = if settings.offline {
        let snapshot = snapshot(settings, repo).map_err(wrong)?;
        let mut files = relative_files(&snapshot).map_err(|error| wrong(error.to_string()))?;
        // If a file that the dataset must have were to be read, it is found missing below.
        files.extend(hub_parts::missing(&files));
        (snapshot, None, files)
    } else {
        let api = api(settings)
            .map_err(|error| wrong(explain(&error)))?
            .repo(repo.clone());
        let info = api.info().map_err(|error| wrong(explain(&error)))?;
        let snapshot = Cache::new(settings.cache.clone())
            .repo(repo)
            .pointer_path(&info.sha);
        let files = info
            .siblings
            .into_iter()
            .map(|file| file.rfilename)
            .filter(|file| stays_inside(file))
            .collect();
        (snapshot, Some(api), files)
    };
    let dataset = Arc::new(Dataset {
        repository: repository.to_owned(),
        snapshot,
        api,
    });
    let card = match files.iter().any(|file| file == CARD) {
        true => configurations(&dataset)?,
        false => Vec::new(),
    };
    let wanted = Wanted {
        config,
        format,
        card: &card,
    };
    let selected = select(files, &wanted).map_err(wrong)?;
    if dataset.api.is_none() {
        check_cached(&dataset.snapshot, &selected.train).map_err(wrong)?;
    }
    let files = selected.train.into_iter().map(|file| HubFile {
        dataset: Arc::clone(&dataset),
        file,
    });
    Ok(Listed {
        files: files.collect(),
        other: selected.other,
    })
}

/// The configurations in a dataset's card.
fn configurations(dataset: &Arc<Dataset>) -> Result<Vec<Configuration>, SourceError> {
    let card = HubFile {
        dataset: Arc::clone(dataset),
        file: CARD.to_owned(),
    };
    let path = card.fetch(&Silent)?;
    let text = std::fs::read(&path).map_err(|reason| SourceError::Read {
        path: path.clone(),
        reason,
    })?;
    let found = hub_card::configurations(&String::from_utf8_lossy(&text));
    found.map_err(|CardError { line, reason }| SourceError::Hub {
        repository: dataset.repository.clone(),
        reason: format!(
            "the dataset's card, {CARD}:{line}: {reason}; so it is not known which files are for training: \
             mend {}, or name files as paths",
            path.display()
        ),
    })
}

fn api(settings: &HubSettings) -> Result<Api, ApiError> {
    let builder = ApiBuilder::from_cache(Cache::new(settings.cache.clone()))
        .with_token(settings.token.clone())
        .with_retries(RETRIES)
        .with_progress(false);
    match &settings.endpoint {
        Some(endpoint) => builder.with_endpoint(endpoint.clone()).build(),
        None => builder.build(),
    }
}

/// The folder in the cache that holds the dataset's files.
fn snapshot(settings: &HubSettings, repo: Repo) -> Result<PathBuf, String> {
    let cache = Cache::new(settings.cache.clone());
    let folder = settings.cache.join(repo.folder_name());
    let commit =
        std::fs::read_to_string(folder.join("refs").join(repo.revision())).map_err(|error| {
            format!(
                "not in {} ({error}): unset HF_HUB_OFFLINE to download it",
                folder.display()
            )
        })?;
    let commit = commit.trim();
    if !stays_inside(commit) {
        return Err(format!(
            "{} is damaged: delete it and download again",
            folder.display()
        ));
    }
    Ok(cache.repo(repo).pointer_path(commit))
}

/// Refuses to read a part of a dataset as if it were the whole.
fn check_cached(snapshot: &Path, files: &[String]) -> Result<(), String> {
    let missing: Vec<&str> = files
        .iter()
        .map(String::as_str)
        .filter(|file| !snapshot.join(file).is_file())
        .collect();
    let Some(first) = missing.first() else {
        return Ok(());
    };
    Err(format!(
        "{} of {} files to be read are not in {}, the first is {first}: unset HF_HUB_OFFLINE to download \
         them, or name the files that are there as paths",
        missing.len(),
        files.len(),
        snapshot.display()
    ))
}

/// The files of a snapshot, links that lead nowhere included: those stand for files that are gone.
fn relative_files(snapshot: &Path) -> Result<Vec<String>, SourceError> {
    let mut files = Vec::new();
    list_files(snapshot, &mut files).map_err(|reason| SourceError::Read {
        path: snapshot.to_owned(),
        reason,
    })?;
    let relative = |path: &PathBuf| {
        Some(
            path.strip_prefix(snapshot)
                .ok()?
                .to_string_lossy()
                .replace('\\', "/"),
        )
    };
    Ok(files.iter().filter_map(relative).collect())
}

/// Lists the files and links below a folder. The cache links to files only.
fn list_files(folder: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            list_files(&entry.path(), files)?;
        } else {
            files.push(entry.path());
        }
    }
    Ok(())
}

/// Checks a name from the hub: it becomes a path in the cache and must not lead out of it.
fn stays_inside(name: &str) -> bool {
    !name.is_empty()
        && Path::new(name)
            .components()
            .all(|part| matches!(part, Component::Normal(_)))
}

fn explain(error: &ApiError) -> String {
    let text = error.to_string();
    let hint = if text.contains("401") || text.contains("403") || text.contains("404") {
        "check OWNER/NAME; for a private or gated dataset set HF_TOKEN"
    } else {
        "check the network and HF_ENDPOINT, or set HF_HUB_OFFLINE=1 to use downloaded files only"
    };
    format!("{text}: {hint}")
}

impl HubFile {
    /// The name of the file in records and messages.
    pub(super) fn name(&self) -> String {
        format!("hf:{}/{}", self.dataset.repository, self.file)
    }

    /// The path of the file on this machine; downloads it if necessary.
    pub(super) fn fetch(&self, progress: &dyn Progress) -> Result<PathBuf, SourceError> {
        let path = self.dataset.snapshot.join(&self.file);
        let api = match &self.dataset.api {
            Some(api) if !path.is_file() => api,
            _ => return Ok(path),
        };
        progress.begin(&format!("download {}", self.name()), None);
        let mut size = None;
        let path = api.download_with_progress(
            &self.file,
            Download {
                progress,
                size: &mut size,
            },
        );
        progress.end();
        let wrong = |reason| SourceError::Hub {
            repository: self.dataset.repository.clone(),
            reason,
        };
        let path = path.map_err(|error| wrong(format!("{}: {}", self.file, explain(&error))))?;
        let found = std::fs::metadata(&path).map(|details| details.len()).ok();
        if found == size {
            return Ok(path);
        }
        // An incomplete file would be taken for the whole file next time.
        let blob = std::fs::canonicalize(&path);
        let _ = std::fs::remove_file(&path);
        let _ = blob.and_then(std::fs::remove_file);
        let length = found.unwrap_or(0);
        Err(wrong(format!(
            "{} broke off after {length} bytes: run the command again",
            self.file
        )))
    }
}

/// Passes on a download's progress, and remembers the size that the hub announced.
struct Download<'a> {
    progress: &'a dyn Progress,
    size: &'a mut Option<u64>,
}

impl hf_hub::api::Progress for Download<'_> {
    fn init(&mut self, size: usize, _filename: &str) {
        *self.size = Some(size as u64);
    }

    fn update(&mut self, size: usize) {
        self.progress.advance(size as u64);
    }

    fn finish(&mut self) {}
}
