//! Reads the table `data` of an experiment file.

use std::path::Path;

use ::data::TokenizerOrigin;
use ::data::sources::Source;
use model::problem::{Checks, above};

use super::{DEFAULT_TOKENIZER, DataTable, Reader, resolve_path};
use crate::config::reading::add_check_problems;
use crate::experiments::data_choice::{DataChoice, Preparation};

impl Reader<'_> {
    pub(super) fn data(&mut self, table: Option<DataTable>) -> Option<DataChoice> {
        let table = table?;
        if let Some(path) = table.path {
            if !table.sources.is_empty() {
                let message = "`data`: give either `path`, a data folder, or `sources` to prepare";
                self.problem("data.sources", message);
            } else if table.tokenizer.is_some()
                || table.validation.is_some()
                || !table.validation_sources.is_empty()
            {
                let message = "`data.path` is a prepared folder: `tokenizer`, `validation` and \
                               `validation_sources` belong to `sources`";
                self.problem("data.path", message);
            }
            return Some(DataChoice::Folder(resolve_path(self.folder, &path)));
        }
        if table.sources.is_empty() {
            let message = "`data`: expected `path`, a data folder, or `sources`, a list of files";
            self.problem("data.sources", message);
            return None;
        }
        let sources = self.sources("data.sources", &table.sources);
        let validation_sources = self.sources("data.validation_sources", &table.validation_sources);
        if table.validation.is_some() && !table.validation_sources.is_empty() {
            let message = "`data`: give either `validation`, a share of `sources`, or \
                           `validation_sources`, whose text is the whole validation part";
            self.problem("data.validation_sources", message);
        }
        let validation = table.validation.unwrap_or(0.1);
        let mut checks = Checks::default();
        let shares = above(0.0).below(1.0).called("a share");
        checks.range("data.validation", validation, shares);
        add_check_problems(&mut self.problems, self.root, checks);
        Some(DataChoice::Prepare(Preparation {
            sources,
            tokenizer: self.tokenizer(table.tokenizer.as_deref()),
            validation,
            validation_sources,
            max_text_bytes: table.max_text_bytes,
        }))
    }

    /// A kind of tokenizer, or the path of an existing one, which is relative to the experiment file.
    fn tokenizer(&mut self, text: Option<&str>) -> TokenizerOrigin {
        let Some(text) = text else {
            return DEFAULT_TOKENIZER.into();
        };
        let path = resolve_path(self.folder, Path::new(text));
        match text.parse() {
            Ok(TokenizerOrigin::File(_)) => TokenizerOrigin::File(path),
            Ok(kind) => kind,
            Err(_) if !text.is_empty() && path.exists() => TokenizerOrigin::File(path),
            Err(error) => {
                self.problem("data.tokenizer", format!("`data.tokenizer`: {error}"));
                DEFAULT_TOKENIZER.into()
            }
        }
    }

    /// The sources that a key lists; paths are relative to the experiment file.
    fn sources(&mut self, key: &str, list: &[String]) -> Vec<Source> {
        let mut sources = Vec::new();
        for text in list {
            match text.parse::<Source>() {
                Ok(Source::Path(path)) => {
                    sources.push(Source::Path(resolve_path(self.folder, &path)));
                }
                Ok(source) => sources.push(source),
                Err(error) => self.problem(key, format!("`{key}`: {error}")),
            }
        }
        sources
    }
}
