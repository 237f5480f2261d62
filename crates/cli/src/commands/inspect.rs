//! `ldrop inspect`.

use data::Tokenizer;
use serde::Serialize;

use crate::arguments::{Common, InspectArguments, PrecisionName};
use crate::failure::Failure;
use crate::model;
use crate::terminal::{print, print_json, tell};

#[derive(Serialize)]
struct Report {
    ids: Vec<u32>,
    logits: Vec<f32>,
    kept: Option<f64>,
    penalty: Option<f64>,
    /// The mean over the masks of each block.
    layers: Option<Vec<Layer>>,
    masks: Option<Vec<Mask>>,
    top: Vec<Likely>,
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
    let (ids, tokenizer) = match (arguments.ids, &arguments.prompt) {
        (Some(ids), _) => (ids, model::tokenizer(&arguments.model)?),
        (None, Some(prompt)) => {
            let tokenizer = model::tokenizer_of(&arguments.model)?;
            (tokenizer.encode(prompt), Some(tokenizer))
        }
        (None, None) => return Err(Failure::Usage("give --prompt or --ids".into())),
    };
    let engine = model::engine(
        &arguments.model,
        common,
        PrecisionName::F32,
        arguments.dense,
    )?;
    let inspection = engine.inspect(&ids)?;
    if inspection.dropped > 0 {
        tell(&format!(
            "note: the first {} tokens do not fit into the context of {} and were left out",
            inspection.dropped,
            engine.config().context
        ));
    }
    let top = likeliest(&inspection.logits, arguments.top, tokenizer.as_ref());
    let masks = inspection.masks.as_ref();
    let report = Report {
        ids: ids[inspection.dropped..].to_vec(),
        kept: masks.map(|masks| masks.kept),
        penalty: masks.map(|masks| masks.penalty),
        layers: masks.map(|masks| {
            masks
                .layers
                .iter()
                .map(|layer| Layer { kept: layer.kept })
                .collect()
        }),
        masks: masks.map(|masks| {
            let masks = masks.masks.iter();
            masks
                .map(|mask| Mask {
                    site: mask.site.name(),
                    layer: mask.layer,
                    kept: mask.measured.kept,
                })
                .collect()
        }),
        logits: inspection.logits,
        top,
    };
    if common.json {
        print_json(&report)
    } else {
        print_report(&report)
    }
}

/// The likeliest next tokens, the likeliest first; equal ones in the order of their ids.
fn likeliest(logits: &[f32], count: usize, tokenizer: Option<&Tokenizer>) -> Vec<Likely> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weight = |logit: f32| f64::from(logit - largest).exp();
    let total: f64 = logits.iter().map(|&logit| weight(logit)).sum();
    let mut order: Vec<usize> = (0..logits.len()).collect();
    order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
    order
        .into_iter()
        .take(count)
        .map(|id| Likely {
            id: id as u32,
            text: tokenizer.map(|tokenizer| tokenizer.decode(&[id as u32])),
            probability: weight(logits[id]) / total,
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
    Ok(())
}
