//! A report as a web page.

use std::fmt::Write;

use super::arm::Arm;
use super::page::{Page, escaped};
use super::run_notes::run_notes;
use super::run_record::RunRecord;
use super::{Report, Section};
use crate::experiments::Status;

/// The whole page.
pub(super) fn page(report: &Report) -> String {
    let mut page = Page::default();
    let several = report.sections.len() > 1;
    page.element("h1", &report.title);
    for section in &report.sections {
        page.section(section, several);
    }
    page.document(&report.title)
}

impl Page {
    fn section(&mut self, section: &Section, headed: bool) {
        self.raw("<section>");
        if headed {
            self.element("h2", &section.outline.title);
        }
        for paragraph in section.outline.description.trim().split("\n\n") {
            if !paragraph.is_empty() {
                self.element("p", paragraph);
            }
        }
        self.failures(section);
        for note in run_notes(section) {
            self.raw(&format!("<p class=\"note\">{}</p>", escaped(&note)));
        }
        for table in section.tables() {
            self.element("h3", &table.title);
            if let Some(headline) = &table.headline {
                self.raw(&format!("<p class=\"headline\">{}</p>", escaped(headline)));
            }
            self.table(&table.narrow());
            if !table.further.is_empty() {
                self.raw("<details><summary>All columns</summary>");
                self.table(&table);
                self.raw("</details>");
            }
        }
        self.raw(&format!(
            "<p class=\"note\">{}</p>",
            escaped(&section.spread_notes())
        ));
        self.charts(section.plots());
        self.course(section);
        self.search(section);
        self.configuration(section);
        self.samples(section);
        self.environment(section);
        self.element("h3", "How to repeat it");
        let commands = section.commands().join("\n");
        if !commands.is_empty() {
            self.raw(&format!("<pre><code>{}</code></pre>", escaped(&commands)));
        }
        if let Some(note) = section.unrepeatable() {
            self.element("p", &note);
        }
        self.raw("</section>");
    }

    /// Charts of how the training went, folded up where arms are compared.
    fn course(&mut self, section: &Section) {
        let plots = section.course_plots();
        if plots.is_empty() {
            return;
        }
        let titles: Vec<&str> = plots.iter().map(|plot| plot.title.as_str()).collect();
        let titles = escaped(&format!("Training: {}", titles.join(", ").to_lowercase()));
        let open = if section.arms.len() == 1 { " open" } else { "" };
        self.raw(&format!("<details{open}><summary>{titles}</summary>"));
        self.charts(plots);
        self.raw("</details>");
    }

    /// Runs that failed, with their errors, and how many are not done.
    fn failures(&mut self, section: &Section) {
        // The seeds of an arm often fail alike.
        let mut failed: Vec<(&str, String, Vec<String>)> = Vec::new();
        let mut open = 0;
        for (arm, run) in section.runs() {
            let seed = run.config.seed.to_string();
            match run.status() {
                Status::Failed(error) => match failed.last_mut() {
                    Some((label, same, seeds)) if *label == arm.label && *same == error => {
                        seeds.push(seed);
                    }
                    _ => failed.push((&arm.label, error, vec![seed])),
                },
                Status::Finished => {}
                _ => open += 1,
            }
        }
        let planned: usize = section.arms.iter().map(|arm| arm.planned).sum();
        open += planned.saturating_sub(section.runs().count());
        let mut list = String::new();
        for (label, error, seeds) in &failed {
            let s = if seeds.len() == 1 { "" } else { "s" };
            let name = escaped(&format!("{label}, seed{s} {}", seeds.join(", ")));
            let error = escaped(error);
            let _ = write!(list, "<div><b>Failed:</b> {name}<pre>{error}</pre></div>");
        }
        if open > 0 {
            let runs = if open == 1 { "run is" } else { "runs are" };
            let _ = write!(list, "<div>{open} {runs} not done yet.</div>");
        }
        if !list.is_empty() {
            self.raw(&format!(
                "<div class=\"failures\" role=\"note\">{list}</div>"
            ));
        }
    }

    /// In what the arms differ, and folded up all keys of each arm's first run.
    fn configuration(&mut self, section: &Section) {
        self.element("h3", "Configuration");
        let differences = section.differences();
        if !differences.rows.is_empty() {
            self.raw("<p class=\"note\">The keys in which the arms differ.</p>");
            self.table(&differences);
        }
        for arm in &section.arms {
            let text = arm.runs.first().and_then(|run| run.config.to_toml().ok());
            if let Some(text) = text {
                self.folded(&format!("All keys: {}", arm.label), &text, false);
            }
        }
    }

    /// The last text sample of each arm's first run.
    fn samples(&mut self, section: &Section) {
        let last = |arm: &Arm| -> Option<(String, String)> {
            let with_sample = |run: &RunRecord| {
                let (step, text) = run.samples.last()?;
                let seed = run.config.seed;
                Some((
                    format!("{}, seed {seed}, step {step}", arm.label),
                    text.clone(),
                ))
            };
            arm.runs.iter().find_map(with_sample)
        };
        let samples: Vec<(String, String)> = section.arms.iter().filter_map(last).collect();
        if samples.is_empty() {
            return;
        }
        self.element("h3", "Samples");
        for (name, text) in samples {
            self.folded(&name, &text, section.arms.len() == 1);
        }
    }

    fn environment(&mut self, section: &Section) {
        self.element("h3", "Environment");
        self.raw("<dl>");
        let mut entry = |name: &str, value: &str| {
            self.raw(&format!("<dt>{name}</dt><dd>{}</dd>", escaped(value)));
        };
        for environment in section.environments() {
            entry("Computed with", &environment.to_string());
        }
        entry("Precision", &section.precisions().join(", "));
        if !section.outline.preparation.is_empty() {
            entry("Data", &section.outline.preparation);
        } else if let Some((_, run)) = section.runs().next() {
            entry(
                "Data",
                &format!("the data folder {}", run.config.data.path.display()),
            );
        }
        if !section.outline.seeds.is_empty() {
            let seeds: Vec<String> = section.outline.seeds.iter().map(u64::to_string).collect();
            entry("Seeds", &seeds.join(", "));
        }
        self.raw("</dl>");
    }
}
