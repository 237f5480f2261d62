//! An encoder: masks that depend on the whole sentence, and on no padding.
//!
//! ```console
//! $ cargo run --release --example encoder
//! ```
//!
//! Each sentence says what to fetch, and perhaps, before or after that, `not`: then the answer is the next
//! thing on the list. The model adds up the vectors of the words and reads the answer from the sum. A sum
//! cannot say "this word, unless that one is there too", so all that is left to decide it is the mask: it
//! sees the sentence in both directions and drops what the sum should not have.
//!
//! `burn_nn` and `burn_optim` are `burn::nn` and `burn::optim` in the crate `burn`.

use std::time::Instant;

use burn::module::Module;
use burn::tensor::{Bool, Device, Int, Tensor, TensorData};
use burn_nn::loss::CrossEntropyLossConfig;
use burn_nn::{Embedding, EmbeddingConfig, Linear, LinearConfig};
use burn_optim::{AdamWConfig, GradientsParams};
use learned_dropout::{DropoutInput, LearnedDropout, LearnedDropoutConfig, Mask};

const WORDS: [&str; 9] = [
    "", "tea", "milk", "bread", "not", "please", "fetch", "the", "now",
];
/// `tea`, `milk` and `bread` are the words 1 to 3.
const THINGS: usize = 3;
const NOT: i32 = 4;
const LONGEST: usize = 9;
const BATCH: usize = 64;
const STEPS: usize = 200;

#[derive(Module, Debug)]
struct Encoder {
    embedding: Embedding,
    dropout: Option<LearnedDropout>,
    answer: Linear,
}

impl Encoder {
    fn new(width: usize, masked: bool, device: &Device) -> Self {
        let dropout = LearnedDropoutConfig::new(width, 4)
            .with_causal(false)
            // A narrow attention begins with weights of a useful size.
            .with_rank(Some(width));
        Self {
            embedding: EmbeddingConfig::new(WORDS.len(), width).init(device),
            dropout: masked.then(|| dropout.init(device)),
            answer: LinearConfig::new(width, THINGS).init(device),
        }
    }

    /// Scores of the answers, `[batch, things]`, and what the dropout gives, where there is one.
    fn forward(&self, words: Tensor<2, Int>) -> (Tensor<2>, Option<(Tensor<1>, Mask)>) {
        let padding: Tensor<2, Bool> = words.clone().equal_elem(0);
        let vectors = self.embedding.forward(words);
        let (vectors, made) = match &self.dropout {
            Some(dropout) => {
                let input = DropoutInput::new(vectors).padding(padding);
                let masked = dropout.forward_input(input);
                // What is padding is 0 in the output.
                (masked.output, Some((masked.penalty, masked.mask)))
            }
            None => {
                let padding = padding.unsqueeze_dim::<3>(2).expand(vectors.dims());
                (vectors.mask_fill(padding, 0.0), None)
            }
        };
        let sum = vectors.sum_dim(1).squeeze_dim::<2>(1);
        (self.answer.forward(sum), made)
    }
}

/// Numbers from a simple generator.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % bound
    }
}

/// A sentence, padded, and its answer.
fn sentence(numbers: &mut Numbers) -> (Vec<i32>, i32) {
    let length = 2 + numbers.below(LONGEST - 1);
    let mut words: Vec<i32> = (0..length).map(|_| 5 + numbers.below(4) as i32).collect();
    let (thing, place) = (numbers.below(THINGS), numbers.below(length));
    words[place] = 1 + thing as i32;
    let negated = numbers.below(2) == 1;
    if negated {
        words[(place + 1 + numbers.below(length - 1)) % length] = NOT;
    }
    words.resize(LONGEST, 0);
    (words, ((thing + usize::from(negated)) % THINGS) as i32)
}

/// Words, `[count, LONGEST]`, and answers, `[count]`.
fn sentences(
    count: usize,
    numbers: &mut Numbers,
    device: &Device,
) -> (Tensor<2, Int>, Tensor<1, Int>) {
    let (words, answers): (Vec<_>, Vec<_>) = (0..count).map(|_| sentence(numbers)).unzip();
    let words = TensorData::new(words.concat(), [count, LONGEST]);
    let answers = TensorData::new(answers, [count]);
    (
        Tensor::from_data(words, device),
        Tensor::from_data(answers, device),
    )
}

/// The share of answers that are right.
fn accuracy(model: &Encoder, device: &Device) -> f32 {
    let (words, answers) = sentences(2_000, &mut Numbers(77), device);
    let found = model.forward(words).0.argmax(1).squeeze_dim::<1>(1);
    found.equal(answers).float().mean().into_scalar()
}

/// A trained model, as it is used: without noise.
fn trained(masked: bool, device: &Device) -> Encoder {
    device.seed(1);
    let mut model = Encoder::new(32, masked, device);
    let mut optimizer = AdamWConfig::new().init();
    let loss = CrossEntropyLossConfig::new().init(device);
    let mut numbers = Numbers(1);
    for _ in 0..STEPS {
        let (words, answers) = sentences(BATCH, &mut numbers, device);
        let (scores, made) = model.forward(words);
        let mut total = loss.forward(scores, answers);
        if let Some((penalty, _)) = made {
            total = total + penalty * 0.01;
        }
        let gradients = GradientsParams::from_grads(total.backward(), &model);
        model = optimizer.step(1e-2, model, gradients);
    }
    model.valid()
}

fn main() {
    let begun = Instant::now();
    let plain = Device::flex();
    let device = plain.clone().autodiff();
    let [dense, masked] = [false, true].map(|masked| trained(masked, &device));
    let [without, with] = [&dense, &masked].map(|model| accuracy(model, &plain) * 100.0);
    println!("right answers: {without:.1}% without masks, {with:.1}% with");
    println!("\nwhat each word keeps of its vector");
    for words in [
        [7, 6, 1, 5, 0, 0, 0, 0, 0],
        [7, 6, 1, NOT, 5, 0, 0, 0, 0],
        [NOT, 7, 6, 1, 5, 0, 0, 0, 0],
    ] {
        show(&masked, words, &plain);
    }
    println!("\n{:.1} s", begun.elapsed().as_secs_f32());
}

/// Prints a sentence with the share of channels that each word keeps, and the answer.
fn show(model: &Encoder, words: [i32; LONGEST], device: &Device) {
    let (scores, made) = model.forward(Tensor::from_data([words], device));
    let (_, mask) = made.expect("the model has masks");
    let shares: Vec<f32> = mask.kept().mean_dim(2).into_data().iter::<f32>().collect();
    for (word, share) in words.iter().zip(shares).filter(|(word, _)| **word != 0) {
        print!("{} {:.0}%  ", WORDS[*word as usize], share * 100.0);
    }
    let answer: i64 = scores.argmax(1).into_scalar();
    println!("→ {}", WORDS[1 + answer as usize]);
}
