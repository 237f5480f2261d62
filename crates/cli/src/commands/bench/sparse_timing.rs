//! Times the kernels that leave out dropped groups of hidden units, and those of decoding.

use kernels::activation::Activation;
use kernels::decode::{FeedForward, Format, Matrix};
use kernels::grouped::{self, Prepared};
use kernels::kept_groups::KeptGroups;
use kernels::product::Precision;
use kernels::random::Philox;
use kernels::team::Team;

use super::kernel_timing::{Amount, FeedForwardOperands, Shape, Stopwatch, operations, random};

/// Hidden units of a group.
const GROUP: usize = 32;

/// The most weights that decoding reads in turn: more than caches hold.
const MOST_DECODED: usize = 1 << 26;

/// Hidden units of a group: as many as [`GROUP`], or fewer where that does not divide `hidden`.
fn group_size(hidden: usize) -> usize {
    let divides = |group: &usize| hidden.is_multiple_of(*group);
    [GROUP, 16, 8].into_iter().find(divides).unwrap_or(4)
}

/// Groups that are kept at random: `percent` % of them for each token, at least one.
fn random_groups(tokens: usize, groups: usize, percent: usize, stream: u64) -> KeptGroups {
    let mask = random_mask(tokens, groups, percent, stream);
    KeptGroups::new(&mask, tokens, groups)
}

/// A mask `[tokens, groups]` that keeps groups at random: `percent` % of them for each token, at least one.
pub(super) fn random_mask(tokens: usize, groups: usize, percent: usize, stream: u64) -> Vec<f32> {
    let count = (groups * percent).div_ceil(100).max(1);
    let generator = Philox::new(1, stream);
    let mut mask = vec![0.0; tokens * groups];
    for (token, mask) in mask.chunks_exact_mut(groups).enumerate() {
        let mut order: Vec<usize> = (0..groups).collect();
        order.sort_unstable_by_key(|&group| generator.number((token * groups + group) as u64));
        order[..count].iter().for_each(|&group| mask[group] = 1.0);
    }
    mask
}

impl Stopwatch<'_> {
    pub(super) fn grouped(&mut self, shape: Shape, precision: Precision) {
        let operands = FeedForwardOperands::new(shape);
        let (x, gradient) = (&operands.x, &operands.gradient);
        let (layer, weights) = (operands.layer, operands.weights());
        let width = layer.width;
        let group = group_size(layer.hidden);
        let groups = layer.hidden / group;
        let (up, down, gelu) = (weights.up, weights.down, Activation::Gelu);
        let prepared = Prepared::new(up, down, width, group, gelu, precision);
        for (percent, prepared_name, name, backward_name) in [
            (
                25,
                "prefill, 25% kept",
                "grouped forward, 25% kept",
                "grouped backward, 25% kept",
            ),
            (
                10,
                "prefill, 10% kept",
                "grouped forward, 10% kept",
                "grouped backward, 10% kept",
            ),
        ] {
            let kept = random_groups(layer.tokens, groups, percent, 5);
            let product = operations(&[kept.pairs(), group, width]);
            self.time(prepared_name, Amount::Operations(2.0 * product), || {
                prepared.forward(x, weights.norm, &kept)
            });
            self.time(name, Amount::Operations(2.0 * product), || {
                grouped::forward(x, &weights, &kept, layer, precision)
            });
            self.time(backward_name, Amount::Operations(4.0 * product), || {
                grouped::backward(gradient, x, &weights, &kept, layer, precision)
            });
        }
    }

    /// Decodes one token with more layers than fit into caches, so that weights come from memory.
    pub(super) fn decode(&mut self, shape: Shape) {
        let names = [
            (
                Format::F32,
                [
                    "decode linear f32",
                    "decode f32",
                    "decode f32, 25% kept",
                    "decode f32, ReLU",
                ],
            ),
            (
                Format::Bf16,
                [
                    "decode linear bf16",
                    "decode bf16",
                    "decode bf16, 25% kept",
                    "decode bf16, ReLU",
                ],
            ),
            (
                Format::F16,
                [
                    "decode linear f16",
                    "decode f16",
                    "decode f16, 25% kept",
                    "decode f16, ReLU",
                ],
            ),
        ];
        let (width, hidden) = (shape.width, 4 * shape.width);
        let group = group_size(hidden);
        let team = Team::new(rayon::current_num_threads());
        let x = random(width, 1.0, 1);
        let weights = MOST_DECODED.min(4 * shape.parameters);
        let (up, down) = (
            Shape::weight(hidden, width, 2),
            Shape::weight(width, hidden, 3),
        );
        // Inputs and up weights that make every fourth hidden unit positive and the others negative.
        let positive: Vec<f32> = x.iter().map(|value| value.abs() + 0.1).collect();
        let quarter_positive: Vec<f32> = up
            .iter()
            .enumerate()
            .map(|(place, weight)| match place / width % 4 {
                0 => weight.abs(),
                _ => -weight.abs(),
            })
            .collect();
        for (format, [linear, dense, sparse, relu]) in names {
            let layers = |up: &[f32], activation| -> Vec<FeedForward> {
                let layer = || FeedForward::new(up, &down, width, group, activation, format);
                let count = weights.div_ceil(2 * hidden * width);
                std::iter::repeat_with(layer).take(count).collect()
            };
            let dense_layers = layers(&up, Activation::Gelu);
            let mut y = vec![0.0; width];
            for (name, percent) in [(dense, 100), (sparse, 25)] {
                let kept: Vec<KeptGroups> = (0..dense_layers.len())
                    .map(|index| random_groups(1, hidden / group, percent, index as u64))
                    .collect();
                let pairs: usize = kept.iter().map(KeptGroups::pairs).sum();
                let bytes = 2 * pairs * group * width * format.bytes();
                self.time(name, Amount::Reads(bytes as f64), || {
                    for (layer, kept) in dense_layers.iter().zip(&kept) {
                        layer.forward(&team, &mut y, &x, kept);
                    }
                });
            }
            drop(dense_layers);
            // The down weights of the units that are 0 are not read.
            let relu_layers = layers(&quarter_positive, Activation::Relu);
            let bytes = relu_layers.len() * (hidden + hidden / 4) * width * format.bytes();
            let kept = KeptGroups::all(1, hidden / group);
            self.time(relu, Amount::Reads(bytes as f64), || {
                for layer in &relu_layers {
                    layer.forward(&team, &mut y, &positive, &kept);
                }
            });
            drop(relu_layers);
            let layer = || Matrix::new(&up, hidden, width, format);
            let layers: Vec<Matrix> = std::iter::repeat_with(layer)
                .take(weights.div_ceil(hidden * width))
                .collect();
            let bytes = layers.len() * hidden * width * format.bytes();
            let mut y = vec![0.0; hidden];
            self.time(linear, Amount::Reads(bytes as f64), || {
                for layer in &layers {
                    layer.multiply(&team, &mut y, &x);
                }
            });
        }
    }
}
