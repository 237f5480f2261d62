//! Writes a report in one of its formats.

use std::path::Path;

use super::error::ReportError;
use super::picture::{self, Theme};
use super::{Format, Report, Section, evaluation_sets, html, markdown};
use crate::experiments::ChartKind;

impl Report {
    /// The report in a format.
    pub fn write(&self, format: Format) -> String {
        match format {
            Format::Html => html::page(self),
            Format::Markdown { all_columns } => markdown::document(self, all_columns),
            Format::Csv => {
                let table = |section: &Section| {
                    let tables = section.tables();
                    let table = tables.first()?;
                    Some(evaluation_sets::added_to(table, &section.arms).csv())
                };
                let tables: Vec<String> = self.sections.iter().filter_map(table).collect();
                tables.join("\r\n")
            }
        }
    }

    /// One chart as an SVG file: the first of a kind, or the first of all. None if there is nothing
    /// to plot.
    pub fn picture(&self, kind: Option<ChartKind>, theme: Theme) -> Option<String> {
        if kind == Some(ChartKind::Search) {
            let mut panels = self.sections.iter().map(Section::search_panels);
            let panels = panels.find(|panels| !panels.is_empty())?;
            return Some(picture::search(&panels, theme));
        }
        let plot = self.sections.iter().find_map(|of| of.plot(kind))?;
        Some(picture::chart(&plot, theme))
    }

    /// Writes the report's page into the folder that it is about, whole or not at all.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn save(&self, path: &Path, format: Format) -> Result<(), ReportError> {
        model::files::write_atomically(path, self.write(format).as_bytes()).map_err(|source| {
            ReportError::File {
                path: path.into(),
                source,
            }
        })
    }
}
