//! A web page of one file: styles, data and scripts are inside, and the page allows itself no request at
//! all.

use std::fmt::Write;

use super::charts::Plot;
use super::table::{Cell, DataTable};

/// The styles.
const STYLE: &str = include_str!("page.css");
/// The script that draws the charts, in its parts.
const CHARTS: &str = concat!(
    include_str!("chart_elements.js"),
    include_str!("chart_numbers.js"),
    include_str!("chart_course.js"),
    include_str!("chart_file.js"),
    include_str!("charts.js")
);

/// A page that is being written.
#[derive(Default)]
pub(super) struct Page {
    text: String,
    plots: Vec<Plot>,
    scripts: String,
}

impl Page {
    /// The whole page.
    pub(super) fn document(&self, title: &str) -> String {
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"generator\" content=\"ldrop {version}\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; \
             style-src 'unsafe-inline'; script-src 'unsafe-inline'\">\n\
             <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n{body}</main>\n\
             {plots}\n<script>\n{CHARTS}</script>\n{scripts}</body>\n</html>\n",
            version = env!("CARGO_PKG_VERSION"),
            title = escaped(title),
            body = self.text,
            plots = data_element("plots", &self.plots),
            scripts = self.scripts,
        )
    }

    pub(super) fn raw(&mut self, text: &str) {
        self.text.push_str(text);
        self.text.push('\n');
    }

    pub(super) fn element(&mut self, tag: &str, text: &str) {
        self.raw(&format!("<{tag}>{}</{tag}>", escaped(text)));
    }

    /// A script, and under this name the data that it works on.
    pub(super) fn script(&mut self, name: &str, data: &impl serde::Serialize, script: &str) {
        let data = data_element(name, data);
        let _ = writeln!(self.scripts, "{data}\n<script>\n{script}</script>");
    }

    pub(super) fn table(&mut self, table: &DataTable) {
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

    pub(super) fn charts(&mut self, plots: Vec<Plot>) {
        if plots.is_empty() {
            return;
        }
        self.raw("<div class=\"charts\">");
        let first = self.plots.len();
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
        let plots = &self.plots[first..];
        let has_spread = |plot: &Plot| {
            plot.series
                .iter()
                .any(|series| series.points.iter().any(|point| point.len() > 2))
        };
        let spread = plots.iter().any(has_spread).then_some(
            "Lines and marks are means over the seeds; bands and whiskers reach one standard deviation up and \
             down.",
        );
        let parts = plots.iter().find_map(Plot::parts_note);
        let notes: Vec<&str> = spread.into_iter().chain(parts).collect();
        if !notes.is_empty() {
            let notes = notes.join(" ");
            self.raw(&format!("<p class=\"note\">{notes}</p>"));
        }
    }

    /// A text that is shown when its name is clicked.
    pub(super) fn folded(&mut self, name: &str, text: &str, open: bool) {
        let open = if open { " open" } else { "" };
        let (name, text) = (escaped(name), escaped(text));
        self.raw(&format!(
            "<details{open}><summary>{name}</summary><pre>{text}</pre></details>"
        ));
    }
}

/// JSON as an element that scripts find by its name.
fn data_element(name: &str, data: &impl serde::Serialize) -> String {
    let json = serde_json::to_string(data).expect("strings and numbers serialize");
    // The text of the data must not end the element that holds it.
    let json = json.replace('<', "\\u003c");
    format!("<script type=\"application/json\" id=\"{name}\">{json}</script>")
}

/// Row and column of the lowest validation loss, if there are several to choose from and they can be compared.
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
    (losses.len() > 1 && table.is_comparable).then_some((best.1, column))
}

/// Text as it stands in HTML; control characters that HTML does not allow are replaced.
pub(super) fn escaped(text: &str) -> String {
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
