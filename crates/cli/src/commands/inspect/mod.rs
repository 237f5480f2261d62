//! `ldrop inspect`.

mod masks;

use std::path::Path;

use data::{DataFolder, Tokenizer};
use inference::{Engine, Inspection, LayerMask, SiteMask};
use serde::Serialize;
use training::masks::MaskAnalysis;
use training::stored_model::StoredModel;

use crate::arguments::{Common, InspectArguments, PrecisionName};
use crate::engine::engine_of;
use crate::failure::Failure;
use crate::terminal::{print, print_json, print_message};

#[derive(Serialize)]
struct Report {
    ids: Vec<u32>,
    logits: Vec<f32>,
    kept: Option<f64>,
    penalty: Option<f64>,
    /// For each block the mean over its masks.
    layers: Option<Vec<Layer>>,
    masks: Option<Vec<Mask>>,
    top: Vec<Likely>,
    #[serde(skip_serializing_if = "Option::is_none")]
    analysis: Option<MaskAnalysis>,
}

/// What `--json` prints about a data folder, for which nothing is predicted.
#[derive(Serialize)]
struct MaskReport {
    analysis: MaskAnalysis,
}

#[derive(Serialize)]
struct Layer {
    kept: f64,
}

#[derive(Serialize)]
struct Mask {
    site: &'static str,
    layer: Option<usize>,
    kept: f64,
}

#[derive(Serialize)]
struct Likely {
    id: u32,
    text: Option<String>,
    probability: f64,
}

/// Runs `inspect`.
pub fn run(arguments: InspectArguments, common: &Common) -> Result<(), Failure> {
    common.on_cpu("inspect")?;
    let engine = engine_of(
        &arguments.model,
        common,
        PrecisionName::F32,
        arguments.dense,
    )?;
    if let Some(path) = &arguments.data {
        return inspect_data(&arguments, path, &engine, common);
    }
    let (ids, tokenizer, source) = tokens_of(&arguments)?;
    let inspection = engine.inspect(&ids)?;
    if inspection.dropped > 0 {
        print_message(&format!(
            "note: the first {} tokens do not fit into the context of {} and were left out of the \
             prediction",
            inspection.dropped,
            engine.config().context
        ));
    }
    let mut analysis = None;
    if arguments.masks || arguments.html.is_some() || arguments.svg.is_some() {
        let windows = masks::text_windows(&ids, &engine, arguments.max_tokens);
        let study = masks::study(&engine, &windows, tokenizer.as_ref(), common.quiet)?;
        let found = study
            .analysis()
            .ok_or_else(|| masks::no_masks_failure(&arguments))?;
        masks::write_files(&study, &source, &arguments)?;
        analysis = Some(found);
    }
    let report = report(
        &inspection,
        &ids,
        analysis,
        arguments.top,
        tokenizer.as_ref(),
    );
    if common.json {
        print_json(&report)
    } else {
        print_report(&report)
    }
}

/// The tokens that the arguments give, the tokenizer where the model has one, and the name of their
/// source.
fn tokens_of(
    arguments: &InspectArguments,
) -> Result<(Vec<u32>, Option<Tokenizer>, String), Failure> {
    let stored = StoredModel::find(&arguments.model)?;
    if let Some(ids) = &arguments.ids {
        let tokenizer = stored.tokenizer()?;
        return Ok((ids.clone(), tokenizer, "given tokens".into()));
    }
    let tokenizer = stored.required_tokenizer()?;
    let (text, source) = match (&arguments.file, &arguments.prompt) {
        (Some(path), _) => {
            let bytes = std::fs::read(path)
                .map_err(|error| Failure::work(format!("{}: {error}", path.display())))?;
            // As `data prepare` reads files: a byte order mark is not text.
            let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&bytes);
            let text = String::from_utf8_lossy(bytes).into_owned();
            (text, path.display().to_string())
        }
        (None, Some(prompt)) => (prompt.clone(), "a given text".into()),
        (None, None) => {
            return Err(Failure::Usage(
                "give --prompt, --file, --data or --ids".into(),
            ));
        }
    };
    Ok((tokenizer.encode(&text), Some(tokenizer), source))
}

/// Analyses the masks for the validation part of a data folder.
fn inspect_data(
    arguments: &InspectArguments,
    path: &Path,
    engine: &Engine,
    common: &Common,
) -> Result<(), Failure> {
    let folder = DataFolder::open(path)?;
    let (windows, tokenizer) = masks::data_windows(arguments, engine, &folder)?;
    let windows: Vec<&[u32]> = windows.iter().map(Vec::as_slice).collect();
    let study = masks::study(engine, &windows, Some(&tokenizer), common.quiet)?;
    let analysis = study
        .analysis()
        .ok_or_else(|| masks::no_masks_failure(arguments))?;
    let source = format!("the validation part of {}", path.display());
    masks::write_files(&study, &source, arguments)?;
    if common.json {
        print_json(&MaskReport { analysis })
    } else {
        masks::print_analysis(&analysis)
    }
}

fn report(
    inspection: &Inspection,
    ids: &[u32],
    analysis: Option<MaskAnalysis>,
    top: usize,
    tokenizer: Option<&Tokenizer>,
) -> Report {
    let masks = inspection.masks.as_ref();
    let layer = |layer: &LayerMask| Layer { kept: layer.kept };
    let mask = |mask: &SiteMask| Mask {
        site: mask.site.name(),
        layer: mask.layer,
        kept: mask.measured.kept,
    };
    Report {
        ids: ids[inspection.dropped..].to_vec(),
        kept: masks.map(|masks| masks.kept),
        penalty: masks.map(|masks| masks.penalty),
        layers: masks.map(|masks| masks.layers.iter().map(layer).collect()),
        masks: masks.map(|masks| masks.masks.iter().map(mask).collect()),
        logits: inspection.logits.clone(),
        top: likeliest(inspection, top, tokenizer),
        analysis,
    }
}

/// The likeliest next tokens with their texts, the likeliest first.
fn likeliest(inspection: &Inspection, count: usize, tokenizer: Option<&Tokenizer>) -> Vec<Likely> {
    inspection
        .likeliest(count)
        .into_iter()
        .map(|(id, probability)| Likely {
            id,
            text: tokenizer.map(|tokenizer| tokenizer.decode(&[id])),
            probability,
        })
        .collect()
}

fn print_report(report: &Report) -> Result<(), Failure> {
    print(&format!("{} tokens", report.ids.len()))?;
    if let (Some(kept), Some(penalty)) = (report.kept, report.penalty) {
        print(&format!("kept {:.2}%, penalty {penalty:.4}", kept * 100.0))?;
    }
    for (index, layer) in report.layers.iter().flatten().enumerate() {
        let width = (layer.kept * 40.0).round() as usize;
        print(&format!(
            "layer {index:2} {:6.2}% {}",
            layer.kept * 100.0,
            "█".repeat(width)
        ))?;
    }
    print("next token:")?;
    for likely in &report.top {
        let text = likely.text.as_deref().unwrap_or("");
        print(&format!(
            "{:7.3}% {:6} {text:?}",
            likely.probability * 100.0,
            likely.id
        ))?;
    }
    report
        .analysis
        .as_ref()
        .map_or(Ok(()), masks::print_analysis)
}
