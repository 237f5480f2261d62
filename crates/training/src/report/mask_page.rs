//! What the masks of a model do with a text, as a web page.

use serde::Serialize;

use super::charts::{Axis, Plot, Series};
use super::page::{Page, escaped};
use super::table::{Cell, DataTable, Unit};
use crate::masks::{MaskAnalysis, MaskStudy, OneMask, Overlap};

/// The script that draws tokens, bits and overlaps.
const SCRIPT: &str = include_str!("masks.js");

/// Tokens at the beginning of the text whose masks are pictured, value by value.
const MOST_PICTURED: usize = 256;

/// What the overlaps of the tables mean.
const OVERLAP_NOTE: &str = "The overlap of two tokens is the Jaccard index of what they keep: the \
values that both keep, divided by those that at least one keeps. “By chance” is what it would be if \
every token kept each value with the value's own share, whatever the token is. Above it, tokens agree \
on what to keep; tokens with a high overlap use the same part of the model, as if it were an expert. \
Always and never kept are the values that every token and that no token of this text keeps.";

/// What the page's script gets.
#[derive(Serialize)]
struct Pictures<'a> {
    tokens: Vec<&'a str>,
    masks: Vec<Picture>,
}

#[derive(Serialize)]
struct Picture {
    name: String,
    width: usize,
    /// Hexadecimal: bytes of the lowest bit first, each token beginning with a new byte.
    kept: String,
}

/// A page about the masks of a text; `model` is what the reader calls the model, and `source` the text.
/// None without masks or tokens.
pub fn mask_page(study: &MaskStudy, model: &str, source: &str) -> Option<String> {
    let analysis = study.analysis()?;
    let title = format!("Masks of {model}");
    let mut page = Page::default();
    page.element("h1", &title);
    page.element("p", &summary(&analysis, source));
    pictures(&mut page, &analysis);
    page.charts(plots(&analysis));
    page.element("h3", "Masks");
    page.table(&masks(&analysis));
    page.raw(&format!("<p class=\"note\">{}</p>", escaped(OVERLAP_NOTE)));
    page.element("h3", "Kinds of tokens");
    page.table(&classes(&analysis));
    page.element("h3", "Overlap of kinds of tokens");
    class_overlaps(&mut page, &analysis);
    let bits = study.first_bits(MOST_PICTURED);
    let picture = |(mask, bits): (&OneMask, Vec<u8>)| Picture {
        name: name(mask),
        width: mask.width,
        kept: bits.iter().map(|byte| format!("{byte:02x}")).collect(),
    };
    let pictures = Pictures {
        tokens: study
            .first_tokens(MOST_PICTURED)
            .map(|token| token.text.as_str())
            .collect(),
        masks: analysis.masks.iter().zip(bits).map(picture).collect(),
    };
    page.script("masks", &pictures, SCRIPT);
    Some(page.document(&title))
}

fn name(mask: &OneMask) -> String {
    match mask.layer {
        Some(layer) => format!("layer {layer}, {}", mask.site),
        None => mask.site.into(),
    }
}

fn percent(share: f64) -> String {
    Unit::Share.show(share)
}

fn summary(analysis: &MaskAnalysis, source: &str) -> String {
    let overlap = |value: Option<f64>| value.map_or("–".into(), percent);
    format!(
        "{} tokens of {source}. They keep {} of the values of {} masks; {} of the values are always \
         kept, {} never. Any two tokens have {} of what they keep in common, by chance {}; tokens that \
         follow each other {}, the same token at two places {}.",
        Unit::Count.show(analysis.tokens as f64),
        percent(analysis.kept),
        analysis.masks.len(),
        percent(analysis.always_kept),
        percent(analysis.never_kept),
        overlap(analysis.overlap.any),
        overlap(analysis.overlap.chance),
        overlap(analysis.overlap.neighbours),
        overlap(analysis.overlap.same_token),
    )
}

/// What the script fills: the text, the bits of one mask, and the overlaps of its tokens.
fn pictures(page: &mut Page, analysis: &MaskAnalysis) {
    let options: String = analysis
        .masks
        .iter()
        .enumerate()
        .map(|(index, mask)| {
            format!(
                "<option value=\"{index}\">{}</option>",
                escaped(&name(mask))
            )
        })
        .collect();
    page.raw(&format!(
        "<h3>The text</h3>\n\
         <p class=\"note\">The darker a token, the more it keeps. Point at a token, or walk with the \
         arrow keys, to see where it stands below.</p>\n\
         <p><label>Mask <select id=\"mask\"><option value=\"all\">all masks</option>{options}</select>\
         </label> <label><input type=\"checkbox\" id=\"sorted\"> most kept values first</label></p>\n\
         <div id=\"text\" role=\"application\" tabindex=\"0\" aria-label=\"Tokens, coloured by the share \
         of values that they keep\"></div>\n<p id=\"told\" class=\"note\" aria-live=\"polite\"></p>\n\
         <div class=\"charts\">\n\
         <figure><figcaption>Kept values, token by token</figcaption>\
         <div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=\"Kept values\">\
         <canvas id=\"bits\" role=\"img\" aria-label=\"A row for each token, a column for each value of \
         the mask; all masks: a column for each mask\"></canvas></div></figure>\n\
         <figure><figcaption>Overlap of the tokens</figcaption>\
         <canvas id=\"overlaps\" role=\"img\" aria-label=\"The overlap of each two tokens: darker is \
         more\"></canvas></figure>\n</div>\n\
         <noscript><p>Text and pictures are drawn by a script.</p></noscript>"
    ));
}

fn plots(analysis: &MaskAnalysis) -> Vec<Plot> {
    let axis = |label, share, whole| Axis {
        label,
        share,
        whole,
    };
    let kept = || axis("kept values", true, false);
    let series = |name: &str, points: Vec<(f64, f64)>| Series {
        name: name.into(),
        style: 0,
        family: None,
        points: points.into_iter().map(|(x, y)| vec![x, y]).collect(),
        ..Series::default()
    };
    let numbered = |values: &[f64]| {
        values
            .iter()
            .enumerate()
            .map(|(x, &y)| (x as f64, y))
            .collect()
    };
    let by_mask: Vec<f64> = analysis.masks.iter().map(|mask| mask.kept).collect();
    let bins = analysis.masks[0].histogram.len();
    let middle = |bin: usize| (bin as f64 + 0.5) / bins as f64;
    let share = |bin: usize| {
        let shares = analysis.masks.iter().map(|mask| mask.histogram[bin]);
        shares.sum::<f64>() / analysis.masks.len() as f64
    };
    let histogram = (0..bins).map(|bin| (middle(bin), share(bin))).collect();
    let plot = |title: &str, x, y, series| Plot {
        title: title.into(),
        x,
        y,
        scattered: false,
        series: vec![series],
    };
    vec![
        plot(
            "Kept by each mask",
            axis("mask, in the order of the forward pass", false, true),
            kept(),
            series("kept", numbered(&by_mask)),
        ),
        plot(
            "Kept at each place of a window",
            axis("tokens before", false, true),
            kept(),
            series("kept, mean over the masks", numbered(&analysis.by_position)),
        ),
        plot(
            "Values before their rounding",
            axis("M", false, false),
            axis("share of the values", true, false),
            series("mean over the masks", histogram),
        ),
    ]
}

fn overlap_cells(overlap: &Overlap) -> [Cell; 4] {
    [
        overlap.any,
        overlap.chance,
        overlap.neighbours,
        overlap.same_token,
    ]
    .map(|value| Cell::number(value, Unit::Share))
}

fn table(columns: &[(&str, &str)], rows: Vec<Vec<Cell>>) -> DataTable {
    DataTable {
        title: String::new(),
        keys: columns.iter().map(|(key, _)| (*key).into()).collect(),
        headings: columns
            .iter()
            .map(|(_, heading)| (*heading).into())
            .collect(),
        rows,
        ..DataTable::default()
    }
}

fn masks(analysis: &MaskAnalysis) -> DataTable {
    let columns = [
        ("mask", "Mask"),
        ("values", "Values"),
        ("kept", "Kept"),
        ("always_kept", "Always kept"),
        ("never_kept", "Never kept"),
        ("overlap", "Overlap of two tokens"),
        ("chance", "By chance"),
        ("neighbours", "Of neighbours"),
        ("same_token", "Of the same token"),
    ];
    let row = |mask: &OneMask| {
        let shares = [mask.kept, mask.always_kept, mask.never_kept];
        let mut row = vec![
            Cell::Text(name(mask)),
            Cell::Number(mask.width as f64, Unit::Count),
        ];
        row.extend(shares.map(|share| Cell::Number(share, Unit::Share)));
        row.extend(overlap_cells(&mask.overlap));
        row
    };
    DataTable {
        title: "Masks".into(),
        ..table(&columns, analysis.masks.iter().map(row).collect())
    }
}

fn classes(analysis: &MaskAnalysis) -> DataTable {
    let columns = [("class", "Kind"), ("tokens", "Tokens"), ("kept", "Kept")];
    let rows = analysis.classes.iter().map(|of| {
        vec![
            Cell::Text(of.class.name().into()),
            Cell::Number(of.tokens as f64, Unit::Count),
            Cell::Number(of.kept, Unit::Share),
        ]
    });
    DataTable {
        title: "Kinds of tokens".into(),
        ..table(&columns, rows.collect())
    }
}

/// A table whose cells are the darker the larger they are.
fn class_overlaps(page: &mut Page, analysis: &MaskAnalysis) {
    let known = || analysis.class_overlap.iter().flatten().flatten().copied();
    let (low, high) = known().fold((f64::INFINITY, 0.0f64), |(low, high), value| {
        (low.min(value), high.max(value))
    });
    let heading = |scope: &str, text: &str| format!("<th scope=\"{scope}\">{}</th>", escaped(text));
    let columns: String = analysis
        .classes
        .iter()
        .map(|of| heading("col", of.class.name()))
        .collect();
    let cell = |value: &Option<f64>| match value {
        None => "<td class=\"number\">–</td>".into(),
        Some(value) => {
            let depth = (value - low) / (high - low).max(f64::MIN_POSITIVE) * 60.0;
            format!(
                "<td class=\"number\" style=\"background:color-mix(in srgb, var(--accent) \
                 {depth:.0}%, transparent)\">{}</td>",
                percent(*value)
            )
        }
    };
    let row = |(of, values): (&crate::masks::ClassAnalysis, &Vec<Option<f64>>)| {
        let cells: String = values.iter().map(cell).collect();
        format!("<tr>{}{cells}</tr>\n", heading("row", of.class.name()))
    };
    let rows: String = analysis
        .classes
        .iter()
        .zip(&analysis.class_overlap)
        .map(row)
        .collect();
    page.raw(&format!(
        "<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=\"Overlap of kinds of tokens\">\n\
         <table>\n<thead><tr><td></td>{columns}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table>\n</div>"
    ));
}
