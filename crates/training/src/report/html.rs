//! A report as a web page of one file: styles, data and script are inside, and the page allows
//! itself no request at all.

use std::fmt::Write;

use super::charts::Plot;
use super::run_record::RunRecord;
use super::table::{Cell, DataTable};
use super::{Arm, Report, SPREAD_NOTE, Section};
use crate::experiments::Status;

/// The styles.
const STYLE: &str = include_str!("page.css");
/// The script that draws the charts.
const SCRIPT: &str = include_str!("charts.js");

/// The whole page.
pub(super) fn page(report: &Report) -> String {
    let mut page = Page::default();
    let several = report.sections.len() > 1;
    page.element("h1", &report.title);
    for section in &report.sections {
        page.section(section, several);
    }
    let plots = serde_json::to_string(&page.plots).expect("strings and numbers serialize");
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; \
         style-src 'unsafe-inline'; script-src 'unsafe-inline'\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n{body}</main>\n\
         <script type=\"application/json\" id=\"plots\">{plots}</script>\n\
         <script>\n{SCRIPT}</script>\n</body>\n</html>\n",
        title = escaped(&report.title),
        body = page.text,
        // The text of the data must not end the element that holds it.
        plots = plots.replace('<', "\\u003c"),
    )
}

#[derive(Default)]
struct Page {
    text: String,
    plots: Vec<Plot>,
}

impl Page {
    fn raw(&mut self, text: &str) {
        self.text.push_str(text);
        self.text.push('\n');
    }

    fn element(&mut self, tag: &str, text: &str) {
        self.raw(&format!("<{tag}>{}</{tag}>", escaped(text)));
    }

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
        for table in section.tables() {
            self.element("h3", &table.title);
            self.table(&table);
        }
        self.raw(&format!("<p class=\"note\">{}</p>", escaped(SPREAD_NOTE)));
        self.charts(section);
        self.configuration(section);
        self.samples(section);
        self.environment(section);
        self.element("h3", "How to repeat it");
        let commands = section.commands().join("\n");
        self.raw(&format!("<pre><code>{}</code></pre>", escaped(&commands)));
        self.raw("</section>");
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

    fn table(&mut self, table: &DataTable) {
        let title = escaped(&table.title);
        let number = |column: usize| table.rows.iter().all(|row| row[column].is_number());
        let class = |column: usize| {
            if number(column) {
                " class=\"number\""
            } else {
                ""
            }
        };
        let mut text = format!(
            "<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=\"{title}\">\n\
             <table>\n<thead><tr>"
        );
        for (column, heading) in table.headings.iter().enumerate() {
            let heading = escaped(heading);
            let _ = write!(text, "<th scope=\"col\"{}>{heading}</th>", class(column));
        }
        text += "</tr></thead>\n<tbody>\n";
        let best = lowest(table);
        for (row_index, row) in table.rows.iter().enumerate() {
            text += "<tr>";
            for (column, cell) in row.iter().enumerate() {
                let shown = escaped(&cell.show());
                let _ = if column == 0 {
                    write!(text, "<th scope=\"row\">{shown}</th>")
                } else if best == Some((row_index, column)) {
                    write!(text, "<td class=\"number best\">{shown}</td>")
                } else {
                    write!(text, "<td{}>{shown}</td>", class(column))
                };
            }
            text += "</tr>\n";
        }
        self.raw(&(text + "</tbody>\n</table>\n</div>"));
    }

    fn charts(&mut self, section: &Section) {
        let plots = section.plots();
        if plots.is_empty() {
            return;
        }
        self.raw("<div class=\"charts\">");
        for plot in plots {
            self.raw(&format!(
                "<figure data-plot=\"{}\"><figcaption>{}</figcaption>\
                 <noscript>The chart is drawn by a script.</noscript></figure>",
                self.plots.len(),
                escaped(&plot.title)
            ));
            self.plots.push(plot);
        }
        self.raw("</div>");
        let has_spread = |plot: &Plot| {
            plot.series
                .iter()
                .any(|series| series.points.iter().any(|point| point.len() > 2))
        };
        if self.plots.iter().any(has_spread) {
            self.raw(
                "<p class=\"note\">Lines and marks are means over the seeds; bands and whiskers \
                 reach one standard deviation up and down.</p>",
            );
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

    /// A text that is shown when its name is clicked.
    fn folded(&mut self, name: &str, text: &str, open: bool) {
        let open = if open { " open" } else { "" };
        let (name, text) = (escaped(name), escaped(text));
        self.raw(&format!(
            "<details{open}><summary>{name}</summary><pre>{text}</pre></details>"
        ));
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

/// Row and column of the lowest validation loss, if there are several to choose from.
fn lowest(table: &DataTable) -> Option<(usize, usize)> {
    let column = table.keys.iter().position(|key| key == "validation_loss")?;
    let mut losses: Vec<(f64, usize)> = Vec::new();
    for (index, row) in table.rows.iter().enumerate() {
        if let Cell::Spread(spread, _) = &row[column] {
            losses.push((spread.mean, index));
        }
    }
    let best = losses
        .iter()
        .min_by(|left, right| left.0.total_cmp(&right.0))?;
    (losses.len() > 1).then_some((best.1, column))
}

/// Text as it stands in HTML; control characters that HTML does not allow are replaced.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c if c.is_control() && c != '\n' && c != '\t' => escaped.push('\u{FFFD}'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_text() {
        assert_eq!(
            escaped("<b>&\"'\u{7}\n"),
            "&lt;b&gt;&amp;&quot;&#39;\u{FFFD}\n"
        );
    }
}
