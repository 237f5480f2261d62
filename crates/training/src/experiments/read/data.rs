//! Reads the table `data` of an experiment file.

use ::data::sources::Source;

use super::{DEFAULT_TOKENIZER, Reader, TypedData, resolve_path};
use crate::experiments::{DataChoice, Preparation};

impl Reader<'_> {
    pub(super) fn data(&mut self, typed: Option<TypedData>) -> Option<DataChoice> {
        let typed = typed?;
        let origin = |key: &str| {
            let node = self.root.get(&["data", key]);
            node.map(|node| node.origin.clone()).unwrap_or_default()
        };
        let (path_origin, sources_origin) = (origin("path"), origin("sources"));
        let validation_origin = origin("validation");
        if let Some(path) = typed.path {
            if !typed.sources.is_empty() {
                let message = "`data`: give either `path`, a data folder, or `sources` to prepare";
                self.problem("data.sources", &sources_origin, message);
            } else if typed.tokenizer.is_some() || typed.validation.is_some() {
                let message = "`data.path` is a prepared folder: `tokenizer` and `validation` \
                               belong to `sources`";
                self.problem("data.path", &path_origin, message);
            }
            return Some(DataChoice::Folder(resolve_path(self.folder, &path)));
        }
        if typed.sources.is_empty() {
            let message = "`data`: expected `path`, a data folder, or `sources`, a list of files";
            self.problem("data", &sources_origin, message);
            return None;
        }
        let mut sources = Vec::new();
        for text in &typed.sources {
            match text.parse::<Source>() {
                Ok(Source::Path(path)) => {
                    sources.push(Source::Path(resolve_path(self.folder, &path)))
                }
                Ok(source) => sources.push(source),
                Err(error) => {
                    let message = format!("`data.sources`: {error}");
                    self.problem("data.sources", &sources_origin, message);
                }
            }
        }
        let validation = typed.validation.unwrap_or(0.1);
        if !(validation > 0.0 && validation < 1.0) {
            let message =
                format!("`data.validation` is {validation}: expected a share above 0 and below 1");
            self.problem("data.validation", &validation_origin, message);
        }
        Some(DataChoice::Prepare(Preparation {
            sources,
            tokenizer: typed.tokenizer.unwrap_or(DEFAULT_TOKENIZER),
            validation,
            max_text_bytes: typed.max_text_bytes,
        }))
    }
}
