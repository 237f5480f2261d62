//! `ldrop bench train`.

use std::path::PathBuf;

use model::initialization::initial_weights;
use model::weights::Weights;
use model::{Site, TransformerConfig};
use serde::Serialize;
use training::config::RunConfig;
use training::flops;
use training::metrics::UsedShares;
use training::stored_model::{StoredModel, model_of_run};
use training::trainer::{KeptShareError, StepTimer, StepTiming, set_kept_share};

use super::speed_up::print_speed_up;
use crate::arguments::{BenchTrainArguments, Common};
use crate::failure::Failure;
use crate::terminal::{print, print_json, progress_bar, thousands};
use crate::{machine, quickstart};

#[derive(Serialize)]
struct Report {
    tokens_per_second: f64,
    step_seconds: f64,
    step_seconds_all: Vec<f64>,
    peak_memory_bytes: Option<u64>,
    precision: &'static str,
    cpu: String,
    threads: usize,
    batch: usize,
    context: usize,
    model_flops_utilization: Option<f64>,
    loss: f64,
    #[serde(flatten)]
    comparison: Option<Comparison>,
}

/// The comparison with the same model without masks, where training leaves out what masks drop.
#[derive(Serialize)]
struct Comparison {
    dense: Dense,
    kept: f64,
    speed_up: f64,
    ideal_speed_up: f64,
    /// The share of the model's operations that is executed.
    #[serde(skip)]
    executed: f64,
}

#[derive(Serialize)]
struct Dense {
    tokens_per_second: f64,
    step_seconds: f64,
    step_seconds_all: Vec<f64>,
}

/// Runs `bench train`.
pub fn run(arguments: BenchTrainArguments, common: &Common) -> Result<(), Failure> {
    let device = common.device()?;
    let (config, name) = configuration(&arguments, common)?;
    let model = model_of_run(&config, &name)?;
    let weights = weights(&arguments, &config, &model)?;
    let steps = arguments.steps.get();
    let bar = progress_bar(
        Some(arguments.warmup.saturating_add(steps).into()),
        "{wide_bar} {pos}/{len} steps, {eta} left",
        common.quiet,
    );
    let mut timer = StepTimer::new(&config, &model, &weights, &device)?;
    for _ in 0..arguments.warmup {
        timer.warm_up()?;
        bar.inc(1);
    }
    // The peak memory of this model alone, before the dense one exists.
    let memory = machine::peak_memory_bytes();
    let dense_model = without_masks(&model);
    let mut dense = match &dense_model {
        Some(dense) => Some(StepTimer::new(&config, dense, &weights, &device)?),
        None => None,
    };
    if let Some(dense) = &mut dense {
        (0..arguments.warmup).try_for_each(|_| dense.warm_up())?;
    }
    for _ in 0..steps {
        timer.measure()?;
        dense.as_mut().map_or(Ok(()), StepTimer::measure)?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    let comparison = dense.map(|dense| compare(&mut timer, &model, dense.timing()));
    let comparison = comparison.transpose()?;
    let executed = comparison
        .as_ref()
        .map_or(1.0, |comparison| comparison.executed);
    let timing = timer.timing();
    let tokens_per_second = timing.tokens_per_second();
    let peak_flops = machine::peak_flops(common, timing.precision);
    let report = Report {
        comparison,
        tokens_per_second,
        step_seconds: timing.median_seconds(),
        peak_memory_bytes: match dense_model {
            Some(_) => memory,
            None => machine::peak_memory_bytes(),
        },
        precision: timing.precision.name(),
        cpu: machine::processor(),
        threads: common.threads(),
        batch: config.train.batch,
        context: model.context,
        model_flops_utilization: flops::utilization(
            &model,
            executed * tokens_per_second,
            peak_flops,
        ),
        loss: timing.loss,
        step_seconds_all: timing.seconds.clone(),
    };
    if common.json {
        print_json(&report)
    } else {
        print_report(&report)
    }
}

/// The same model without masks; none unless training leaves out what they drop at some site.
fn without_masks(model: &TransformerConfig) -> Option<TransformerConfig> {
    let mut masks = Site::ALL
        .into_iter()
        .filter_map(|site| model.masks_at(site));
    let leaves_out = masks.any(|masks| masks.is_kept_only());
    leaves_out.then(|| TransformerConfig {
        learned_dropout: None,
        ..model.clone()
    })
}

/// Compares the timings of both models. Makes one more step, to measure the kept share.
fn compare(
    timer: &mut StepTimer,
    model: &TransformerConfig,
    dense: &StepTiming,
) -> Result<Comparison, Failure> {
    let sparse = timer.timing().median_seconds();
    let masks = timer.measure_masks()?.unwrap_or_default();
    let executed = flops::executed_per_token(model, &UsedShares::of_masks(&masks));
    let whole = flops::forward_per_token(model) - flops::mask_generation_per_token(model);
    Ok(Comparison {
        kept: masks.mean.kept,
        speed_up: dense.median_seconds() / sparse,
        // The backward pass has the same proportions.
        ideal_speed_up: whole / executed,
        executed: executed / flops::forward_per_token(model),
        dense: Dense {
            tokens_per_second: dense.tokens_per_second(),
            step_seconds: dense.median_seconds(),
            step_seconds_all: dense.seconds.clone(),
        },
    })
}

/// The weights that the steps begin with: those of --model, or random ones.
fn weights(
    arguments: &BenchTrainArguments,
    config: &RunConfig,
    model: &TransformerConfig,
) -> Result<Weights, Failure> {
    let given = match &arguments.model {
        Some(folder) => Some(StoredModel::find(folder)?.read()?),
        None => None,
    };
    // With --set the model may no longer be the one that was stored.
    let given = given.filter(|(config, _)| config == model);
    let mut weights = match given {
        Some((_, weights)) => weights,
        None => initial_weights(model, config.seed),
    };
    if let Some(kept) = arguments.kept {
        set_kept_share(&mut weights, model, kept).map_err(kept_share_failure)?;
    }
    Ok(weights)
}

/// Says which option causes the problem, and what to do.
fn kept_share_failure(error: KeptShareError) -> Failure {
    Failure::Usage(match error {
        KeptShareError::OtherMasks => {
            format!(
                "--kept: {error}; leave the option out, or set model.learned_dropout accordingly"
            )
        }
        error => format!("--kept: {error}"),
    })
}

/// The configuration, and its name in messages.
fn configuration(
    arguments: &BenchTrainArguments,
    common: &Common,
) -> Result<(RunConfig, PathBuf), Failure> {
    let mut overrides = arguments.overrides.clone();
    if let Some(batch) = arguments.batch {
        overrides.push(format!("train.batch={batch}"));
    }
    if let Some(seed) = arguments.seed {
        overrides.push(format!("seed={seed}"));
    }
    overrides.extend(common.precision_override());
    if let Some(file) = &arguments.config {
        return Ok((RunConfig::read(file, &overrides)?, file.clone()));
    }
    let Some(folder) = &arguments.model else {
        let config = quickstart::config_without_data(&overrides)?;
        return Ok((config, quickstart::CONFIG_NAME.into()));
    };
    let mut config = quickstart::config(&[])?;
    config.model = StoredModel::find(folder)?.config()?.into();
    // Parsed again, so that overrides apply to the model too.
    let text = config.to_toml().map_err(Failure::work)?;
    let config = RunConfig::parse(&text, folder, &overrides)?;
    Ok((config, folder.clone()))
}

fn print_report(report: &Report) -> Result<(), Failure> {
    let seconds = report.step_seconds_all.iter().copied();
    print(&format!(
        "speed         {} tokens/s\n\
         step          {:.4} s, median of {} from {:.4} to {:.4}\n\
         batch         {} × {} tokens",
        thousands(report.tokens_per_second as u64),
        report.step_seconds,
        report.step_seconds_all.len(),
        seconds.clone().fold(f64::INFINITY, f64::min),
        seconds.fold(0.0, f64::max),
        report.batch,
        report.context,
    ))?;
    if let Some(share) = report.model_flops_utilization {
        let share = share * 100.0;
        print(&format!(
            "utilization   {share:.1}% of the measured peak of matrix products"
        ))?;
    }
    if let Some(comparison) = &report.comparison {
        print(&format!(
            "dense         {} tokens/s without the masks",
            thousands(comparison.dense.tokens_per_second as u64)
        ))?;
        let (ideal, kept) = (comparison.ideal_speed_up, comparison.kept);
        print_speed_up((comparison.speed_up, None), ideal, kept)?;
    }
    if let Some(bytes) = report.peak_memory_bytes {
        let mebibytes = thousands(bytes.div_ceil(1 << 20));
        print(&format!("peak memory   {mebibytes} MiB"))?;
    }
    print(&format!(
        "arithmetic    {}, threads: {}\n\
         processor     {}\n\
         loss          {:.4}",
        report.precision, report.threads, report.cpu, report.loss
    ))
}

#[cfg(test)]
mod tests {
    use model::site_settings::SiteSettings;
    use model::{MaskConfig, MaskGradient, MaskInput, Rounding};

    use super::*;

    fn is_compared(own: Option<SiteSettings>, gradient: MaskGradient) -> bool {
        let masks = MaskConfig {
            site: vec![Site::AttentionHeads, Site::FeedForwardHidden].into(),
            input: MaskInput::LayerInput,
            gradient,
            at: own
                .map(|own| (Site::AttentionHeads, own))
                .into_iter()
                .collect(),
            ..MaskConfig::default()
        };
        let model = TransformerConfig {
            vocabulary: 11,
            context: 8,
            width: 4,
            heads: 2,
            layers: 2,
            dropout: 0.0,
            feed_forward: Default::default(),
            learned_dropout: Some(masks),
        };
        let dense = without_masks(&model);
        assert!(
            dense
                .as_ref()
                .is_none_or(|dense| dense.learned_dropout.is_none())
        );
        dense.is_some()
    }

    /// One site is enough, whatever makes its gradients kept-only.
    #[test]
    fn models_are_compared_where_training_leaves_out_what_masks_drop_at_a_site() {
        assert!(!is_compared(None, MaskGradient::Exact));
        assert!(is_compared(None, MaskGradient::KeptOnly));
        let carried = SiteSettings {
            rounding: Some(Rounding::Carried),
            ..SiteSettings::default()
        };
        assert!(is_compared(Some(carried), MaskGradient::Exact));
        let kept_only = SiteSettings {
            gradient: Some(MaskGradient::KeptOnly),
            ..SiteSettings::default()
        };
        assert!(is_compared(Some(kept_only), MaskGradient::Exact));
    }
}
