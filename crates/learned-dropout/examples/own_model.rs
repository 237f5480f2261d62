//! Learned dropout in a model of one's own: training with burn's optimizer, the penalty, saving, loading.
//!
//! ```console
//! $ cargo run --release --example own_model
//! $ cargo run --release --example own_model -- all
//! ```
//!
//! The task is one where a model learns its examples by heart: 512 sequences of 16 vectors, of which at
//! most 4 hold the pattern of one of 4 classes and the others nothing, all of them under much noise. With `all`,
//! the example trains every variant with five seeds and prints the table of the crate's documentation.
//!
//! `burn_nn` and `burn_optim` are `burn::nn` and `burn::optim` in the crate `burn`.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::time::Instant;

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor, TensorData, activation::gelu};
use burn_nn::loss::CrossEntropyLossConfig;
use burn_nn::{Dropout, DropoutConfig, Linear, LinearConfig};
use burn_optim::{AdamWConfig, GradientsParams};
use learned_dropout::{LearnedDropout, LearnedDropoutConfig};

const CLASSES: usize = 4;
const TIME: usize = 16;
const INPUTS: usize = 16;
const WIDTH: usize = 64;
const TRAINING: usize = 512;
const TEST: usize = 2_048;
const BATCH: usize = 32;
/// Passes over the examples for the table, and for a look.
const EPOCHS: [usize; 2] = [30, 12];
const RATE: f64 = 2e-3;
/// The standard deviation of the noise; that of the patterns is 1.
const NOISE: f64 = 1.8;

/// The model; at most one of the two kinds of dropout stands between its layers.
#[derive(Module, Debug)]
struct Classifier {
    first: Linear,
    random: Option<Dropout>,
    learned: Option<LearnedDropout>,
    second: Linear,
    last: Linear,
}

/// What is trained.
#[derive(Clone)]
struct Variant {
    name: &'static str,
    /// The rate of random dropout, if any.
    random: Option<f64>,
    learned: Option<LearnedDropoutConfig>,
    /// What the penalty is multiplied by.
    coefficient: f64,
    /// The learning rate of the masks, as a share of that of the others.
    mask_rate: f64,
}

/// The scores of classes, `[batch, classes]`, and what learned dropout adds to them.
struct Output {
    scores: Tensor<2>,
    penalty: Option<Tensor<1>>,
    /// The share of activations that is kept at inference.
    kept: Option<Tensor<1>>,
}

impl Classifier {
    fn new(variant: &Variant, device: &Device) -> Self {
        Self {
            first: LinearConfig::new(INPUTS, WIDTH).init(device),
            random: variant.random.map(|rate| DropoutConfig::new(rate).init()),
            learned: variant.learned.as_ref().map(|config| config.init(device)),
            second: LinearConfig::new(WIDTH, WIDTH).init(device),
            last: LinearConfig::new(WIDTH, CLASSES).init(device),
        }
    }

    /// Classifies sequences, `[batch, time, inputs]`.
    fn forward(&self, x: Tensor<3>) -> Output {
        let mut hidden = gelu(self.first.forward(x));
        let (mut penalty, mut kept) = (None, None);
        if let Some(dropout) = &self.random {
            hidden = dropout.forward(hidden);
        }
        if let Some(dropout) = &self.learned {
            let masked = dropout.forward_with_mask(hidden);
            hidden = masked.output;
            penalty = Some(masked.penalty);
            kept = Some(masked.mask.kept_at_inference());
        }
        let hidden = gelu(self.second.forward(hidden)).mean_dim(1);
        Output {
            scores: self.last.forward(hidden.squeeze_dim::<2>(1)),
            penalty,
            kept,
        }
    }
}

impl Variant {
    const NOTHING: Self = Self {
        name: "no dropout",
        random: None,
        learned: None,
        coefficient: 0.0,
        mask_rate: 1.0,
    };

    fn random(name: &'static str, rate: f64) -> Self {
        let random = Some(rate);
        Self {
            name,
            random,
            ..Self::NOTHING
        }
    }

    /// The module with its defaults and the penalty's original coefficient.
    fn learned(name: &'static str) -> Self {
        Self {
            name,
            learned: Some(LearnedDropoutConfig::new(WIDTH, 4)),
            coefficient: 0.1,
            ..Self::NOTHING
        }
    }

    /// The same with masks that see the whole sequence.
    fn of_sequences(self) -> Self {
        let config = self.learned.map(|config| config.with_causal(false));
        Self {
            learned: config,
            ..self
        }
    }

    /// The same behind a random dropout, so that masks cannot learn the examples by heart.
    fn behind_random(self, rate: f64) -> Self {
        Self {
            random: Some(rate),
            ..self
        }
    }

    /// What does not do worse than no dropout here.
    fn recipe() -> Self {
        Self::learned("random 0.5, then learned, whole sequences")
            .of_sequences()
            .behind_random(0.5)
    }

    /// Everything that the table compares.
    fn all() -> Vec<Self> {
        vec![
            Self::NOTHING,
            Self::random("random 0.1", 0.1),
            Self::random("random 0.3", 0.3),
            Self::random("random 0.5", 0.5),
            Self::learned("learned"),
            Self {
                coefficient: 0.0,
                ..Self::learned("learned, coefficient 0")
            },
            Self {
                coefficient: 0.01,
                ..Self::learned("learned, coefficient 0.01")
            },
            Self {
                mask_rate: 0.1,
                ..Self::learned("learned, a tenth of the learning rate")
            },
            Self::learned("learned, whole sequences").of_sequences(),
            Self::learned("random 0.5, then learned").behind_random(0.5),
            Self::recipe(),
            Self {
                name: "the same, coefficient 1",
                coefficient: 1.0,
                ..Self::recipe()
            },
        ]
    }
}

/// Normally distributed numbers, and whole ones, from a simple generator.
struct Numbers(u64);

impl Numbers {
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.unit() * bound as f64) as usize
    }

    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }
}

/// Sequences and their classes.
struct Examples {
    x: Vec<Vec<f32>>,
    classes: Vec<i32>,
}

impl Examples {
    fn new(count: usize, seed: u64) -> Self {
        let mut patterns = Numbers(99);
        let patterns: Vec<f64> = (0..CLASSES * INPUTS).map(|_| patterns.normal()).collect();
        let mut numbers = Numbers(seed);
        let mut example = || {
            let class = numbers.below(CLASSES);
            let mut holds = [false; TIME];
            for _ in 0..4 {
                holds[numbers.below(TIME)] = true;
            }
            let mut x = Vec::with_capacity(TIME * INPUTS);
            for holds in holds {
                for pattern in &patterns[class * INPUTS..][..INPUTS] {
                    let signal = if holds { *pattern } else { 0.0 };
                    x.push((signal + NOISE * numbers.normal()) as f32);
                }
            }
            (x, class as i32)
        };
        let (x, classes) = (0..count).map(|_| example()).unzip();
        Self { x, classes }
    }

    /// Some of the examples: `[batch, time, inputs]` and `[batch]`.
    fn batch(&self, chosen: &[usize], device: &Device) -> (Tensor<3>, Tensor<1, Int>) {
        let x: Vec<f32> = chosen.iter().flat_map(|&i| self.x[i].clone()).collect();
        let classes: Vec<i32> = chosen.iter().map(|&i| self.classes[i]).collect();
        let x = TensorData::new(x, [chosen.len(), TIME, INPUTS]);
        let classes = TensorData::new(classes, [chosen.len()]);
        (
            Tensor::from_data(x, device),
            Tensor::from_data(classes, device),
        )
    }

    fn all(&self, device: &Device) -> (Tensor<3>, Tensor<1, Int>) {
        self.batch(&(0..self.x.len()).collect::<Vec<_>>(), device)
    }
}

/// Trains a model, and gives it as it is used: without noise.
fn train(variant: &Variant, epochs: usize, seed: u64, device: &Device) -> Classifier {
    device.seed(seed);
    let examples = Examples::new(TRAINING, 1_000 * seed);
    let mut model = Classifier::new(variant, device);
    let [mut optimizer, mut mask_optimizer] = [(); 2].map(|()| AdamWConfig::new().init());
    let cross_entropy = CrossEntropyLossConfig::new().init(device);
    let mut numbers = Numbers(77 * seed);
    let mut order: Vec<usize> = (0..TRAINING).collect();
    for _ in 0..epochs {
        for i in (1..TRAINING).rev() {
            order.swap(i, numbers.below(i + 1));
        }
        for chosen in order.chunks(BATCH) {
            let (x, classes) = examples.batch(chosen, device);
            let output = model.forward(x);
            let mut loss = cross_entropy.forward(output.scores, classes);
            if let Some(penalty) = output.penalty {
                loss = loss + penalty * variant.coefficient;
            }
            let mut gradients = loss.backward();
            // A second optimizer, so that masks can learn at a rate of their own.
            if let Some(dropout) = &model.learned {
                let of_masks = GradientsParams::from_module(&mut gradients, dropout);
                model = mask_optimizer.step(RATE * variant.mask_rate, model, of_masks);
            }
            let others = GradientsParams::from_grads(gradients, &model);
            model = optimizer.step(RATE, model, others);
        }
    }
    model.valid()
}

/// The share of sequences that a model classifies rightly, and the share of activations that it keeps.
fn measure(model: &Classifier, examples: &Examples, device: &Device) -> (f64, f64) {
    let (x, classes) = examples.all(device);
    let output = model.forward(x);
    let found = output.scores.argmax(1).squeeze_dim::<1>(1);
    let right: f32 = found.equal(classes).float().mean().into_scalar();
    let kept = output.kept.map_or(1.0, |kept| kept.into_scalar::<f32>());
    (right.into(), kept.into())
}

/// Trains variants with several seeds, and prints means and standard deviations; gives the last model.
fn compare(variants: &[Variant], epochs: usize, seeds: u64) -> Option<Classifier> {
    let plain = Device::flex();
    let test = Examples::new(TEST, 12_345);
    println!("{:<44} {:>14} {:>9} {:>6}", "", "test", "training", "kept");
    let mut last = None;
    for variant in variants {
        let measured = (1..=seeds).map(|seed| {
            let model = train(variant, epochs, seed, &plain.clone().autodiff());
            last = Some(model.clone());
            let (right, kept) = measure(&model, &test, &plain);
            let (learned, _) = measure(&model, &Examples::new(TRAINING, 1_000 * seed), &plain);
            [right, learned, kept]
        });
        let measured: Vec<[f64; 3]> = measured.collect();
        let mean = |index: usize| {
            let sum: f64 = measured.iter().map(|values| values[index]).sum();
            sum / seeds as f64
        };
        let squares = measured.iter().map(|values| (values[0] - mean(0)).powi(2));
        let deviation = (squares.sum::<f64>() / (seeds as f64 - 1.0).max(1.0)).sqrt();
        let [right, learned, kept] = [0, 1, 2].map(mean);
        println!(
            "{:<44} {right:.3} ± {deviation:.3} {learned:>10.3} {kept:>6.2}",
            variant.name
        );
    }
    last
}

/// Writes a trained model, reads it into a new one, and compares the two.
fn save_and_load(model: &Classifier, folder: &Path) -> Result<(), Box<dyn Error>> {
    let plain = Device::flex();
    let path = folder.join("classifier");
    model.clone().save_file(&path)?;
    let loaded = Classifier::new(&Variant::recipe(), &plain).try_load_file(&path)?;
    let (x, _) = Examples::new(100, 5).all(&plain);
    let [before, after] = [model, &loaded].map(|model| model.forward(x.clone()).scores);
    if before.into_data() != after.into_data() {
        return Err("the loaded model gives other scores".into());
    }
    println!("\nsaved, and loaded with the same scores");
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let begun = Instant::now();
    if std::env::args().nth(1).as_deref() == Some("all") {
        compare(&Variant::all(), EPOCHS[0], 5);
    } else {
        let model = compare(&[Variant::NOTHING, Variant::recipe()], EPOCHS[1], 1).expect("models");
        println!("\n{model}");
        let folder = std::env::temp_dir().join(format!("own-model-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        let outcome = save_and_load(&model, &folder);
        fs::remove_dir_all(&folder)?;
        outcome?;
    }
    println!("{:.1} s", begun.elapsed().as_secs_f32());
    Ok(())
}
