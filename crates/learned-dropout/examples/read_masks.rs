//! Reads the masks of a trained model: what each token keeps, layer by layer.
//!
//! ```console
//! $ cargo run --release --example read_masks
//! $ cargo run --release --example read_masks -- runs/quickstart 17 4 256
//! ```
//!
//! Without arguments it trains a tiny transformer on a rhyme, letter by letter. With arguments it reads a
//! model folder or a run folder that `ldrop train` has written, and takes the numbers behind it as tokens.
//!
//! `burn_optim` is `burn::optim` in the crate `burn`.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor, TensorData};
use burn_optim::{AdamWConfig, GradientsParams};
use learned_dropout::model::function::Cosine;
use learned_dropout::model::model_folder;
use learned_dropout::model::pass::NoiseKey;
use learned_dropout::{
    Mask, MaskConfig, MaskFunction, Pass, Penalty, Site, Transformer, TransformerConfig,
};

const RHYME: &str = "one two buckle my shoe; three four knock at the door; five six pick up sticks; \
                     seven eight lay them straight; nine ten a big fat hen; ";
const CONTEXT: usize = 32;
const BATCH: usize = 8;
const STEPS: u64 = 160;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let device = Device::flex();
    let (model, ids, names): (_, _, Vec<String>) = match arguments.next() {
        Some(folder) => {
            let (config, weights) = model_folder::read(&model_in(Path::new(&folder))?)?;
            let model = Transformer::from_weights(&config, &weights, &device);
            let ids = arguments
                .map(|id| id.parse())
                .collect::<Result<Vec<i32>, _>>()?;
            let ids = if ids.is_empty() { vec![0] } else { ids };
            let names = ids.iter().map(ToString::to_string).collect();
            (model, ids, names)
        }
        None => {
            let text = &RHYME[..CONTEXT];
            let names = text.chars().map(String::from).collect();
            (trained(&device), letters(text), names)
        }
    };
    show(&model, &ids, &names);
    Ok(())
}

/// The folder that holds the model: the folder itself, or the best checkpoint of a run.
fn model_in(folder: &Path) -> Result<PathBuf, Box<dyn Error>> {
    if folder.join(model_folder::CONFIG_FILE).exists() {
        return Ok(folder.to_path_buf());
    }
    let best = fs::read_to_string(folder.join("best")).map_err(|_| {
        format!(
            "{}: neither a model folder nor a run folder",
            folder.display()
        )
    })?;
    Ok(folder.join("checkpoints").join(best.trim()))
}

/// Letters as numbers: 0 for a blank, then `a` to `z`, then all the rest.
fn letters(text: &str) -> Vec<i32> {
    let number = |letter: u8| match letter {
        b' ' => 0,
        b'a'..=b'z' => i32::from(letter - b'a') + 1,
        _ => 27,
    };
    text.bytes().map(number).collect()
}

/// A tiny transformer that knows the rhyme.
fn trained(plain: &Device) -> Transformer {
    let device = plain.clone().autodiff();
    let config = TransformerConfig {
        vocabulary: 28,
        context: CONTEXT,
        width: 32,
        heads: 4,
        layers: 2,
        dropout: 0.0,
        feed_forward: Default::default(),
        learned_dropout: Some(MaskConfig {
            site: vec![Site::AttentionOutput, Site::FeedForwardOutput].into(),
            rank: Some(16),
            // Masks begin between keeping and dropping, so that they decide within so few steps.
            function: MaskFunction::Cosine(Cosine {
                shift_init: 1.2,
                ..Cosine::default()
            }),
            penalty: Some(Penalty::default()),
            ..MaskConfig::default()
        }),
    };
    let mut model = Transformer::new(&config, 1, &device);
    let mut optimizer = AdamWConfig::new().init();
    let text = letters(RHYME);
    for step in 0..STEPS {
        let window = |shift: usize| {
            let first = |sequence: usize| step as usize * 7 + sequence * 19 + shift;
            let letter = |index: usize| text[index % text.len()];
            let ids: Vec<i32> = (0..BATCH)
                .flat_map(|sequence| (0..CONTEXT).map(move |i| first(sequence) + i))
                .map(letter)
                .collect();
            Tensor::<2, Int>::from_data(TensorData::new(ids, [BATCH, CONTEXT]), &device)
        };
        // The noise of a pass follows from a seed and the number of the pass.
        let pass = Pass::Train(NoiseKey { seed: 1, step });
        let loss = model.loss(window(0), window(1), &pass);
        if step % 40 == 39 {
            let nats: f32 = loss.cross_entropy.clone().into_scalar();
            println!("step {}: {nats:.3} nats per letter", step + 1);
        }
        let penalty = loss.penalty.expect("the model has masks");
        let total = loss.cross_entropy + penalty * 0.1;
        let gradients = GradientsParams::from_grads(total.backward(), &model);
        model = optimizer.step(5e-3, model, gradients);
    }
    model.valid()
}

/// Prints a bar of what is kept for every token and mask, and the numbers of each mask.
fn show(model: &Transformer, ids: &[i32], names: &[String]) {
    let device = model.devices()[0].clone();
    let ids = Tensor::from_data(TensorData::new(ids.to_vec(), [1, ids.len()]), &device);
    let masks = model.forward(ids, &Pass::Evaluate).masks;
    if masks.is_empty() {
        println!("the model has no masks");
        return;
    }
    println!("\nshare of activations that each token keeps");
    let columns: Vec<Vec<f32>> = masks.iter().map(shares).collect();
    let heading = |mask: &Mask| format!("{} {}", mask.layer(), mask.site());
    print!("{:>8}", "token");
    for mask in &masks {
        print!("  {:<22}", heading(mask));
    }
    println!();
    for (token, name) in names.iter().enumerate() {
        print!("{name:>8}");
        for column in &columns {
            let filled = (column[token] * 16.0).round() as usize;
            let (bar, rest) = ("█".repeat(filled), "·".repeat(16 - filled));
            print!("  {bar}{rest} {:>4.0}%", column[token] * 100.0);
        }
        println!();
    }
    println!(
        "\n{:<24} {:>6} {:>12} {:>11}",
        "mask", "kept", "always kept", "never kept"
    );
    for mask in &masks {
        let values = mask.statistics().read();
        let [kept, always, never] =
            [values.kept, values.always_kept, values.never_kept].map(|share| share * 100.0);
        println!(
            "{:<24} {kept:>5.1}% {always:>11.1}% {never:>10.1}%",
            heading(mask)
        );
    }
}

/// The share of a mask's values that each token keeps.
fn shares(mask: &Mask) -> Vec<f32> {
    let kept = mask.kept().mean_dim(2).into_data();
    kept.iter::<f32>().collect()
}
