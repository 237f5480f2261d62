//! `ldrop info`.

use model::{MaskInput, Site, TransformerConfig};
use serde::Serialize;
use training::config::RunConfig;
use training::flops;
use training::metrics::UsedShares;
use training::stored_model::{StoredModel, model_of_run};

use crate::arguments::{Common, InfoArguments};
use crate::failure::Failure;
use crate::terminal::{print, print_json, print_message, thousands};

#[derive(Serialize)]
struct Info {
    parameters: usize,
    parameters_without_positions: usize,
    /// Parameters that a token uses on average; only for models with experts.
    #[serde(skip_serializing_if = "Option::is_none")]
    active_parameters: Option<usize>,
    forward_flops_per_token: ForwardFlops,
    /// The masks of each site; empty without learned masks.
    masks: Vec<Mask>,
}

#[derive(Serialize)]
struct Mask {
    site: Site,
    /// The block, from 0, where blocks differ; otherwise the entry is of all.
    #[serde(skip_serializing_if = "Option::is_none")]
    layer: Option<usize>,
    values_per_token: usize,
    /// From 0 to 1.
    kept: f64,
}

#[derive(Serialize)]
struct ForwardFlops {
    /// If everything is computed.
    dense: u64,
    /// If values that masks drop, experts that are not chosen and hidden units that are 0 are left
    /// out.
    kept: u64,
    /// The part of both that computes the masks.
    mask_generation: u64,
}

/// Runs `info`.
pub fn run(arguments: InfoArguments, common: &Common) -> Result<(), Failure> {
    let mut used = UsedShares::default();
    let config = match (&arguments.config, &arguments.model) {
        (Some(file), _) => model_of_run(&RunConfig::read(file, &arguments.overrides)?, file)?,
        (None, Some(folder)) => {
            let stored = StoredModel::find(folder)?;
            used = UsedShares::at_checkpoint(stored.folder());
            stored.config()?
        }
        (None, None) => return Err(Failure::Usage("give --config or --model".into())),
    };
    if let Some(share) = arguments.kept {
        used = used.with_kept(share);
    }
    let info = Info {
        parameters: config.parameters(),
        parameters_without_positions: config.parameters_without_positions(),
        active_parameters: config
            .feed_forward
            .experts()
            .map(|_| config.active_parameters()),
        forward_flops_per_token: ForwardFlops {
            dense: flops::forward_per_token(&config) as u64,
            kept: flops::executed_per_token(&config, &used) as u64,
            mask_generation: flops::mask_generation_per_token(&config) as u64,
        },
        masks: masks(&config, &used),
    };
    if common.json {
        return print_json(&info);
    }
    note_late_masks(&config);
    let per_token = &info.forward_flops_per_token;
    print(&format!(
        "parameters                    {}\n\
         without positional embedding  {}\n\
         forward FLOPs per token       {} dense, {} with dropped values left out",
        thousands(info.parameters as u64),
        thousands(info.parameters_without_positions as u64),
        thousands(per_token.dense),
        thousands(per_token.kept),
    ))?;
    if let Some(active) = info.active_parameters {
        print(&format!(
            "parameters used by a token    {}",
            thousands(active as u64)
        ))?;
    }
    if config.learned_dropout.is_none() {
        return Ok(());
    }
    print(&format!(
        "to make the masks             {} of them",
        thousands(per_token.mask_generation)
    ))?;
    for mask in &info.masks {
        let layer = mask
            .layer
            .map_or(String::new(), |layer| format!(" {layer}"));
        print(&format!(
            "mask at {:<21} {} values per token, {:.1}% kept",
            format!("{}{layer}", mask.site.name()),
            thousands(mask.values_per_token as u64),
            100.0 * mask.kept
        ))?;
    }
    Ok(())
}

/// The masks: one entry for each site, or for each layer where layers differ.
fn masks(config: &TransformerConfig, used: &UsedShares) -> Vec<Mask> {
    let by_layer =
        |site: Site| site == Site::FeedForwardHidden && config.feed_forward.differs_by_layer();
    let of_layer = |layer: usize| {
        let shapes = config.mask_shapes(layer);
        shapes
            .filter(move |shape| layer == 0 || by_layer(shape.site))
            .map(move |shape| {
                let site = shape.site;
                let layer = by_layer(site).then_some(layer);
                Mask {
                    site,
                    layer,
                    values_per_token: shape.values,
                    kept: match layer {
                        Some(layer) => used.kept_in(site, layer),
                        None => used.kept_at(site),
                    },
                }
            })
    };
    let mut masks: Vec<Mask> = (0..config.layers).flat_map(of_layer).collect();
    masks.sort_by_key(|mask| (mask.site, mask.layer));
    masks
}

/// Notes which masks are computed too late to leave anything out.
fn note_late_masks(config: &TransformerConfig) {
    let Some(mask) = &config.learned_dropout else {
        return;
    };
    let outputs = [
        (Site::AttentionOutput, "attention output"),
        (Site::FeedForwardOutput, "feed-forward output"),
    ];
    for (site, place) in outputs {
        if mask.input == MaskInput::Hidden && mask.site.contains(site) {
            print_message(&format!(
                "note: masks on the {place} are known only after that is computed, so nothing can \
                 be left out"
            ));
        }
    }
}
