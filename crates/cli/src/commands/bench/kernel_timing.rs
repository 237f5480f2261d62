//! Times each CPU kernel on random values.

use std::hint::black_box;
use std::time::Instant;

use kernels::activation::Activation;
use kernels::cross_entropy::linear_cross_entropy;
use kernels::feed_forward::{OutputGradients, Wanted};
use kernels::gate::{self, GateFactor};
use kernels::linear::Norm;
use kernels::mask::{Keep, Moment};
use kernels::memory::SAVED_VALUES;
use kernels::product::Precision;
use kernels::random::{Philox, unit};
use kernels::series::{self, Series};
use kernels::{attention, cross_entropy, embedding, experts, feed_forward, group_product};
use kernels::{layer_norm, linear, mask, mask_statistics, update};

/// Measured runs of each kernel; an odd number, so that the median is one of them.
const RUNS: usize = 7;

const EPSILON: f32 = 1e-5;

/// Terms of the mask function that is a cosine series.
const SERIES_TERMS: usize = 4;

/// The sizes that kernels are measured at.
#[derive(Clone, Copy)]
pub struct Shape {
    pub width: usize,
    /// A divisor of the width.
    pub heads: usize,
    pub tokens: usize,
    /// A divisor of the tokens.
    pub time: usize,
    pub vocabulary: usize,
    pub parameters: usize,
}

/// The amount of work of a kernel.
#[derive(Clone, Copy)]
pub enum Amount {
    /// Floating-point operations of the products that the algorithm needs.
    Operations(f64),
    /// Bytes of the inputs and outputs.
    Bytes(f64),
    /// Bytes of weights that are only read.
    Reads(f64),
}

/// The name of a kernel, the median of its seconds, and its amount of work.
pub type Measured = (&'static str, f64, Amount);

/// Measures all kernels; `announce` gets the name of each before it is measured.
pub fn measure(
    shape: Shape,
    precision: Precision,
    announce: &dyn Fn(&'static str),
) -> Vec<Measured> {
    let mut stopwatch = Stopwatch {
        measured: Vec::new(),
        announce,
    };
    stopwatch.linear(shape, precision);
    stopwatch.feed_forward(shape, precision);
    stopwatch.experts(shape, precision);
    stopwatch.attention(shape, precision);
    stopwatch.heads(shape, precision);
    stopwatch.cross_entropy(shape, precision);
    stopwatch.layer_norm(shape);
    stopwatch.mask(shape);
    stopwatch.activations(shape);
    stopwatch.embedding(shape);
    stopwatch.parameters(shape);
    stopwatch.grouped(shape, precision);
    stopwatch.decode(shape);
    stopwatch.measured
}

/// Times kernels and collects what it measured.
pub(super) struct Stopwatch<'a> {
    measured: Vec<Measured>,
    announce: &'a dyn Fn(&'static str),
}

/// Bytes per second of the best of several passes that change `count` values in place. A pass that
/// writes to new memory would measure the system's page faults.
pub fn memory_bandwidth(count: usize) -> f64 {
    let mut values = vec![1.0; count];
    let best = seconds(|| update::scale(&mut values, 1.0))[0];
    8.0 * count as f64 / best
}

/// The seconds of each run, the shortest first.
fn seconds<R>(mut work: impl FnMut() -> R) -> [f64; RUNS] {
    black_box(work());
    let mut seconds = [0.0; RUNS];
    for seconds in &mut seconds {
        let began = Instant::now();
        let result = black_box(work());
        // The clock may be too coarse for a tiny piece of work.
        *seconds = began.elapsed().as_secs_f64().max(1e-9);
        drop(result);
    }
    seconds.sort_by(f64::total_cmp);
    seconds
}

/// Uniform values from −1 to 1 times `scale`.
pub(super) fn random(count: usize, scale: f32, stream: u64) -> Vec<f32> {
    let generator = Philox::new(1, stream);
    let blocks = (0..count.div_ceil(4) as u64).flat_map(|block| generator.block(block));
    blocks
        .take(count)
        .map(|number| (2.0 * unit(number) - 1.0) * scale)
        .collect()
}

fn random_ids(count: usize, below: usize) -> Vec<u32> {
    let generator = Philox::new(1, 0);
    let id = |index| generator.below(index, below as u64) as u32;
    (0..count as u64).map(id).collect()
}

/// Operations of the products of `factors`: 2 for each multiplication.
pub(super) fn operations(factors: &[usize]) -> f64 {
    2.0 * factors.iter().map(|&factor| factor as f64).product::<f64>()
}

fn bytes(values: usize) -> Amount {
    Amount::Bytes(4.0 * values as f64)
}

impl Shape {
    pub(super) fn activations(&self, stream: u64) -> Vec<f32> {
        random(self.tokens * self.width, 1.0, stream)
    }

    /// A weight of `[outputs, inputs]` that keeps the variance of its input.
    pub(super) fn weight(outputs: usize, inputs: usize, stream: u64) -> Vec<f32> {
        random(outputs * inputs, (3.0 / inputs as f32).sqrt(), stream)
    }
}

/// A feed-forward behind a norm: its input, the gradient of its output, and its weights.
pub(super) struct FeedForwardOperands {
    pub(super) layer: feed_forward::Shape,
    pub(super) x: Vec<f32>,
    pub(super) gradient: Vec<f32>,
    up: Vec<f32>,
    down: Vec<f32>,
    scale: Vec<f32>,
}

impl FeedForwardOperands {
    pub(super) fn new(shape: Shape) -> Self {
        let Shape { width, tokens, .. } = shape;
        let hidden = 4 * width;
        Self {
            layer: feed_forward::Shape {
                tokens,
                width,
                hidden,
            },
            x: shape.activations(1),
            gradient: shape.activations(2),
            up: Shape::weight(hidden, width, 3),
            down: Shape::weight(width, hidden, 4),
            scale: vec![1.0; width],
        }
    }

    pub(super) fn weights(&self) -> feed_forward::Weights<'_> {
        feed_forward::Weights {
            norm: Some(Norm {
                weight: &self.scale,
                epsilon: EPSILON,
            }),
            up: &self.up,
            activation: Activation::Gelu,
            down: &self.down,
        }
    }
}

impl Stopwatch<'_> {
    pub(super) fn time<R>(&mut self, name: &'static str, amount: Amount, work: impl FnMut() -> R) {
        (self.announce)(name);
        let median = seconds(work)[RUNS / 2];
        self.measured.push((name, median, amount));
    }

    /// Queries, keys and values behind a norm.
    fn linear(&mut self, shape: Shape, precision: Precision) {
        let Shape { width, tokens, .. } = shape;
        let layer = linear::Shape {
            tokens,
            inputs: width,
            outputs: 3 * width,
        };
        let x = shape.activations(1);
        let gradient = random(tokens * layer.outputs, 1.0, 2);
        let weight = Shape::weight(layer.outputs, width, 3);
        let scale = vec![1.0; width];
        let norm = Some(Norm {
            weight: &scale,
            epsilon: EPSILON,
        });
        let product = operations(&[tokens, width, layer.outputs]);
        self.time("linear forward", Amount::Operations(product), || {
            linear::forward(&x, norm, &weight, layer, precision)
        });
        self.time("linear backward", Amount::Operations(2.0 * product), || {
            linear::backward(&gradient, &x, norm, &weight, layer, precision)
        });
    }

    fn feed_forward(&mut self, shape: Shape, precision: Precision) {
        let operands = FeedForwardOperands::new(shape);
        let (x, gradient) = (&operands.x, &operands.gradient);
        let (layer, weights) = (operands.layer, operands.weights());
        let product = operations(&[layer.tokens, layer.width, layer.hidden]);
        self.time(
            "feed-forward forward",
            Amount::Operations(2.0 * product),
            || feed_forward::forward(x, &weights, layer, precision),
        );
        // Training saves the hidden values only where they are few enough.
        let saves = layer.tokens * layer.hidden <= SAVED_VALUES;
        let wanted = Wanted {
            before: saves,
            sum: false,
        };
        let saved = feed_forward::forward_with(x, &weights, None, wanted, layer, precision).before;
        self.time(
            "feed-forward backward",
            Amount::Operations(4.0 * product),
            || {
                let gradients = OutputGradients {
                    y: gradient,
                    sum: 0.0,
                };
                feed_forward::backward_with(gradients, x, &weights, None, &saved, layer, precision)
            },
        );
    }

    /// Two of eight experts for each token, as many hidden units as channels in each.
    fn experts(&mut self, shape: Shape, precision: Precision) {
        let Shape { width, tokens, .. } = shape;
        let layer = experts::Shape {
            tokens,
            width,
            hidden: width,
            experts: 8,
        };
        let (x, gradient) = (shape.activations(1), shape.activations(2));
        let mut gates = vec![0.0; tokens * layer.experts];
        for (token, gates) in gates.chunks_exact_mut(layer.experts).enumerate() {
            gates[token % 8] = 0.5;
            gates[(token + 1 + token / 8 % 7) % 8] = 0.5;
        }
        let up = Shape::weight(layer.experts * width, width, 3);
        let down = Shape::weight(layer.experts * width, width, 4);
        let weights = experts::Weights {
            up: &up,
            down: &down,
        };
        let settings = experts::Settings {
            activation: Activation::Gelu,
            precision,
        };
        let uses = gates.iter().filter(|&&gate| gate != 0.0).count();
        let product = operations(&[uses, width, width]);
        self.time("experts forward", Amount::Operations(2.0 * product), || {
            experts::forward(&x, &gates, &weights, layer, settings)
        });
        self.time(
            "experts backward",
            Amount::Operations(4.0 * product),
            || experts::backward(&gradient, &x, &gates, &weights, layer, settings),
        );
    }

    fn attention(&mut self, shape: Shape, precision: Precision) {
        let Shape { width, time, .. } = shape;
        let layer = attention::Shape {
            batch: shape.tokens / time,
            time,
            heads: shape.heads,
            size: width / shape.heads,
        };
        let packed = random(3 * shape.tokens * width, 1.0, 1);
        let gradient = shape.activations(2);
        // Each token sees itself and those before it: (time + 1) / 2 on average.
        let product = operations(&[shape.tokens, width, time + 1]) / 2.0;
        self.time(
            "attention forward",
            Amount::Operations(2.0 * product),
            || attention::forward(&packed, layer, None, precision),
        );
        self.time(
            "attention backward",
            Amount::Operations(4.0 * product),
            || attention::backward(&gradient, &packed, layer, None, precision),
        );
    }

    fn cross_entropy(&mut self, shape: Shape, precision: Precision) {
        let Shape {
            width,
            tokens,
            vocabulary,
            ..
        } = shape;
        let layer = cross_entropy::Shape {
            tokens,
            width,
            vocabulary,
        };
        let hidden = shape.activations(1);
        let weight = Shape::weight(vocabulary, width, 2);
        let targets = random_ids(tokens, vocabulary);
        let product = operations(&[tokens, width, vocabulary]);
        for (name, count, with_gradients) in [
            ("cross-entropy", product, false),
            ("cross-entropy, gradients", 3.0 * product, true),
        ] {
            self.time(name, Amount::Operations(count), || {
                linear_cross_entropy(&hidden, &weight, &targets, layer, with_gradients, precision)
            });
        }
    }

    fn layer_norm(&mut self, shape: Shape) {
        let (x, gradient) = (shape.activations(1), shape.activations(2));
        let weight = vec![1.0; shape.width];
        self.time("layer norm forward", bytes(2 * x.len()), || {
            layer_norm::forward(&x, &weight, EPSILON)
        });
        self.time("layer norm backward", bytes(3 * x.len()), || {
            layer_norm::backward(&gradient, &x, &weight, EPSILON)
        });
    }

    fn mask(&mut self, shape: Shape) {
        let (x, gradient) = (shape.activations(1), shape.activations(2));
        let (attended, shift) = (shape.activations(3), random(shape.width, 1.0, 4));
        let keep = Keep::Random(Philox::new(1, 0));
        self.time("mask product forward", bytes(3 * x.len()), || {
            mask::product(&x, &attended, &shift, keep)
        });
        self.time("mask product backward", bytes(5 * x.len()), || {
            mask::product_backward(&gradient, &x, &attended, &shift, keep)
        });
        let groups = group_product::Shape {
            rows: shape.tokens,
            width: shape.width,
            values: 1,
            group: shape.width,
        };
        let factors = random(shape.tokens, 1.0, 5);
        self.time("group product forward", bytes(2 * x.len()), || {
            group_product::forward(&x, &factors, groups)
        });
        self.time("group product backward", bytes(3 * x.len()), || {
            group_product::backward(&gradient, &x, &factors, groups, false)
        });
        self.time("mask mean forward", bytes(x.len()), || {
            mask::mean(&attended, &shift, Moment::Squared)
        });
        self.time("mask mean backward", bytes(2 * x.len()), || {
            mask::mean_backward(&attended, &shift, Moment::Squared, 1.0)
        });
        self.time("gate forward", bytes(2 * x.len()), || {
            gate::forward(&attended, &shift, 0.1, GateFactor::Excess)
        });
        self.time("gate backward", bytes(3 * x.len()), || {
            gate::backward(&gradient, &attended, &shift, 0.1, GateFactor::Excess)
        });
        self.time("mask statistics", bytes(x.len()), || {
            mask_statistics::of_cosine(&attended, &shift, keep)
        });
        let series = Series {
            angles: &random(SERIES_TERMS * shape.width, 1.0, 5),
            weights: &vec![1.0 / SERIES_TERMS as f32; SERIES_TERMS * shape.width],
            values: shape.width,
        };
        self.time("mask of 4 cosines forward", bytes(2 * x.len()), || {
            series::forward(&attended, series)
        });
        self.time("mask of 4 cosines backward", bytes(3 * x.len()), || {
            series::backward(&gradient, &attended, series)
        });
    }

    fn activations(&mut self, shape: Shape) {
        let [x, gradient] =
            [1, 2].map(|stream| random(4 * shape.tokens * shape.width, 3.0, stream));
        for (activation, forward, backward) in [
            (Activation::Gelu, "GELU forward", "GELU backward"),
            (Activation::Relu, "ReLU forward", "ReLU backward"),
        ] {
            self.time(forward, bytes(2 * x.len()), || activation.forward(&x));
            self.time(backward, bytes(3 * x.len()), || {
                activation.backward(&gradient, &x)
            });
        }
    }

    fn embedding(&mut self, shape: Shape) {
        let Shape { width, tokens, .. } = shape;
        let mut table = random(shape.vocabulary * width, 1.0, 1);
        let gradient = shape.activations(2);
        let ids = random_ids(tokens, shape.vocabulary);
        self.time("embedding gather", bytes(2 * gradient.len()), || {
            embedding::gather(&table, &ids, width)
        });
        self.time("embedding scatter", bytes(3 * gradient.len()), || {
            embedding::scatter_add(&mut table, &ids, &gradient, width);
        });
    }

    fn parameters(&mut self, shape: Shape) {
        let count = shape.parameters;
        let [mut p, mut m, gradient] = [1, 2, 3].map(|stream| random(count, 1.0, stream));
        let mut v = vec![1.0; count];
        let step = update::AdamW {
            betas: [0.9, 0.95],
            epsilon: 1e-8,
            decay_factor: 1.0 - 1e-4,
            rate: 1e-3,
            gradient_scale: 1.0,
            root_scale: 1.0,
        };
        self.time("AdamW", bytes(7 * count), || {
            update::adamw(&mut p, &mut m, &mut v, &gradient, step);
        });
        self.time("sum of squares", bytes(count), || {
            update::sum_of_squares(&gradient)
        });
    }
}
