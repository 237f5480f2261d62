//! The data folder of a run, found from any working folder.
//!
//! A run's `config.toml` names its data. A relative path is relative to the folder in which `ldrop train`
//! was started, which nobody knows later. It is stored as it is where it can be found again: in a folder
//! above the run folder, so that a project may be moved as a whole. Elsewhere it is stored as an absolute
//! path.

use std::path::{Path, PathBuf};

use data::folder::{META_FILE, TRAIN_FILE};

/// The path under which the data of `run` is to be opened. `path` is what its configuration says.
///
/// A relative path is looked for from the folders above the run folder, the nearest first, and then from
/// the working folder. If there is no data, the result is `path`.
pub fn find(run: &Path, path: &Path) -> PathBuf {
    if path.is_absolute() {
        return path.to_owned();
    }
    below_ancestor(run, path).unwrap_or_else(|| path.to_owned())
}

/// Whether the data that `run` has stored as `stored` is the folder `data`.
pub(crate) fn is_same(run: &Path, stored: &Path, data: &Path) -> bool {
    let found = find(run, stored).canonicalize();
    found.is_ok() && found.ok() == data.canonicalize().ok()
}

/// The path to store in the configuration of `run`, which says `path` and means the folder `data`.
pub(crate) fn to_store(run: &Path, path: &Path, data: &Path) -> PathBuf {
    let is_found_again = below_ancestor(run, path).is_some() && is_same(run, path, data);
    if path.is_absolute() || is_found_again {
        return path.to_owned();
    }
    match std::path::absolute(data) {
        // The file is UTF-8.
        Ok(absolute) if absolute.to_str().is_some() => absolute,
        _ => path.to_owned(),
    }
}

/// The data at `path` from a folder above the run folder.
fn below_ancestor(run: &Path, path: &Path) -> Option<PathBuf> {
    let named = std::path::absolute(run).ok()?;
    let real = run.canonicalize().unwrap_or_else(|_| named.clone());
    let above = named.ancestors().skip(1).chain(real.ancestors().skip(1));
    above.map(|folder| folder.join(path)).find(|path| {
        let has = |file: &str| path.join(file).is_file();
        has(META_FILE) || has(TRAIN_FILE)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(folder: &Path) {
        std::fs::create_dir_all(folder).unwrap();
        std::fs::write(folder.join(META_FILE), "{}").unwrap();
    }

    #[test]
    fn data_is_found_from_the_run() {
        let place = tempfile::tempdir().unwrap();
        let root = place.path();
        let run = root.join("runs/a");
        std::fs::create_dir_all(&run).unwrap();
        data(&root.join("data/x"));
        assert_eq!(find(&run, Path::new("data/x")), root.join("data/x"));
        assert_eq!(find(&run, Path::new("data/y")), Path::new("data/y"));
        assert_eq!(find(&run, &root.join("data/x")), root.join("data/x"));
        // The nearest folder counts.
        data(&root.join("runs/data/x"));
        assert_eq!(find(&run, Path::new("data/x")), root.join("runs/data/x"));
    }

    #[test]
    fn what_is_stored_is_found_again() {
        let place = tempfile::tempdir().unwrap();
        let root = place.path();
        let run = root.join("runs/a");
        std::fs::create_dir_all(&run).unwrap();
        data(&root.join("data/x"));
        // The tests' working folder is another one, so this is other data than that above the run.
        let path = Path::new("data/x");
        let stored = to_store(&run, path, path);
        assert!(stored.is_absolute() && stored.ends_with("data/x"));
        assert_eq!(to_store(&run, path, &root.join("data/x")), path);
        let absolute = root.join("data/x");
        assert_eq!(to_store(&run, &absolute, &absolute), absolute);
    }
}
