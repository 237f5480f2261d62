//! `ldrop eval`.

pub mod threshold;

use burn::tensor::{Device, Int, Tensor, TensorData};
use data::{DataFolder, Split, Tokenizer, Window, windows};
use learned_dropout::Transformer;
use learned_dropout::statistics::MaskValues;
use model::{Pass, TransformerConfig};
use serde::Serialize;
use training::flops;
use training::metrics::UsedShares;

use crate::arguments::{Common, EvalArguments, PrecisionName, SplitName};
use crate::failure::Failure;
use crate::named_model;
use crate::terminal::{bar, grouped, print, print_json};

#[derive(Serialize)]
struct Report {
    loss: f64,
    perplexity: f64,
    bits_per_byte: Option<f64>,
    tokens: u64,
    kept: Option<f64>,
    #[serde(flatten)]
    used: Option<Used>,
}

/// What a model that does not use all of itself for every token computed.
#[derive(Serialize)]
struct Used {
    /// Share of the experts, of the hidden units, or of the inputs of layers that were used.
    density: f64,
    forward_flops_per_token: ForwardFlops,
}

#[derive(Serialize)]
struct ForwardFlops {
    dense: u64,
    executed: u64,
}

/// Sums over all predicted tokens.
#[derive(Default)]
struct Sums {
    loss: f64,
    kept: f64,
    tokens: u64,
    bytes: u64,
    masked: bool,
    /// Of feed-forwards that do not use all of themselves.
    density: Option<f64>,
}

/// Runs `eval`.
pub fn run(arguments: EvalArguments, common: &Common) -> Result<(), Failure> {
    let device = common.device()?;
    let precision = common.precision(PrecisionName::F32)?;
    let (config, weights) = named_model::read(&arguments.model)?;
    let folder = data_folder(&arguments)?;
    let split = match arguments.split {
        SplitName::Train => Split::Train,
        SplitName::Validation => Split::Validation,
    };
    let tokens = folder.split(split);
    let tokenizer = named_model::tokenizer_of_data(&arguments.model, &config, &folder)?;
    let mut transformer =
        Transformer::from_weights(&config, &weights, &device).with_precision(precision);
    let cut = arguments.threshold.cut();
    if let Some(cut) = cut {
        threshold::calibrate(&mut transformer, &folder, cut, &device)?;
    }
    let limit = arguments.max_tokens.unwrap_or(u64::MAX);
    let length = (tokens.len() as u64).saturating_sub(1).min(limit);
    let bar = bar(
        Some(length),
        "{wide_bar} {pos}/{len} tokens, {per_sec}, {eta} left",
        common.quiet,
    );
    let mut sums = Sums::default();
    let mut batch: Vec<Window> = Vec::new();
    for window in windows(tokens, config.context)? {
        let window = window?;
        let full = window.inputs.len() == config.context;
        // Windows of one batch have one length; the last window may be shorter.
        if !full || batch.len() == usize::from(arguments.batch) {
            sums.add(
                &transformer,
                &std::mem::take(&mut batch),
                &tokenizer,
                &device,
            );
        }
        batch.push(window);
        bar.set_position(sums.tokens);
        if sums.tokens + (batch.len() * config.context) as u64 >= limit {
            break;
        }
    }
    sums.add(&transformer, &batch, &tokenizer, &device);
    bar.finish_and_clear();
    let used = match cut {
        Some(_) => Some(threshold::used(&mut transformer)),
        None => sums.used(&config),
    };
    sums.report(used, common)
}

fn data_folder(arguments: &EvalArguments) -> Result<DataFolder, Failure> {
    if let Some(path) = &arguments.data {
        return Ok(DataFolder::open(path)?);
    }
    named_model::data_of(&arguments.model)?.ok_or_else(|| {
        Failure::Usage(format!(
            "{}: not part of a run that says what data it was trained on; give --data",
            arguments.model.display()
        ))
    })
}

/// The value of a tensor of one element.
fn number(tensor: &Tensor<1>) -> f64 {
    let data = tensor.to_data();
    data.iter::<f32>().next().map_or(f64::NAN, f64::from)
}

impl Sums {
    fn add(
        &mut self,
        transformer: &Transformer,
        batch: &[Window],
        tokenizer: &Tokenizer,
        device: &Device,
    ) {
        let Some(first) = batch.first() else { return };
        let shape = [batch.len(), first.inputs.len()];
        let tensor = |part: fn(&Window) -> &Vec<u32>| {
            let ids: Vec<i32> = batch.iter().flat_map(part).map(|&id| id as i32).collect();
            Tensor::<2, Int>::from_data(TensorData::new(ids, shape), device)
        };
        let inputs = tensor(|window| &window.inputs);
        let targets = tensor(|window| &window.targets);
        let loss = transformer.loss(inputs, targets, &Pass::Evaluate);
        let count = (shape[0] * shape[1]) as u64;
        self.loss += number(&loss.cross_entropy) * count as f64;
        self.tokens += count;
        let masks: Vec<MaskValues> = loss.statistics().iter().map(|mask| mask.read()).collect();
        if let Some(mask) = MaskValues::mean(&masks) {
            self.masked = true;
            self.kept += f64::from(mask.kept) * count as f64;
        }
        if !loss.activities.is_empty() {
            let layers = loss.activities.len() as f64;
            let shares = loss
                .activities
                .iter()
                .map(|used| used.shares.clone().mean());
            let sum: f64 = shares.map(|share| number(&share)).sum();
            *self.density.get_or_insert(0.0) += sum / layers * count as f64;
        }
        let end = tokenizer.end_of_text();
        let targets = batch.iter().flat_map(|window| &window.targets);
        self.bytes += targets
            .filter(|&&id| Some(id) != end)
            .map(|&id| tokenizer.token_bytes(id).map_or(0, <[u8]>::len) as u64)
            .sum::<u64>();
    }

    fn used(&self, config: &TransformerConfig) -> Option<Used> {
        let density = self.density? / self.tokens as f64;
        let used = UsedShares::new([], Some(density));
        Some(Used {
            density,
            forward_flops_per_token: ForwardFlops {
                dense: flops::forward_per_token(config) as u64,
                executed: flops::executed_per_token(config, &used) as u64,
            },
        })
    }

    fn report(&self, used: Option<Used>, common: &Common) -> Result<(), Failure> {
        let loss = self.loss / self.tokens as f64;
        let bits = self.loss / std::f64::consts::LN_2;
        let report = Report {
            loss,
            perplexity: loss.exp(),
            bits_per_byte: (self.bytes > 0).then(|| bits / self.bytes as f64),
            tokens: self.tokens,
            kept: self.masked.then(|| self.kept / self.tokens as f64),
            used,
        };
        if common.json {
            return print_json(&report);
        }
        print(&format!("loss           {:.4}", report.loss))?;
        print(&format!("perplexity     {:.2}", report.perplexity))?;
        if let Some(bits) = report.bits_per_byte {
            print(&format!("bits per byte  {bits:.4}"))?;
        }
        if let Some(kept) = report.kept {
            print(&format!("kept           {:.2}%", kept * 100.0))?;
        }
        if let Some(used) = &report.used {
            let operations = &used.forward_flops_per_token;
            print(&format!("used           {:.2}%", used.density * 100.0))?;
            print(&format!(
                "FLOPs a token  {} executed of {}",
                grouped(operations.executed),
                grouped(operations.dense)
            ))?;
        }
        print(&format!("tokens         {}", grouped(report.tokens)))
    }
}
