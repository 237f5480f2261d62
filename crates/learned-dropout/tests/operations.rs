//! Every fast operation against a composition of burn's own tensor operations, whose gradients
//! burn derives: values and gradients, over random shapes.

mod support;

use burn::tensor::activation::{log_softmax, softmax};
use burn::tensor::{Bool, DType, Device, Int, Tensor, TensorData};
use kernels::random::unit;
use learned_dropout::dropout::dropout;
use learned_dropout::function::MaskFunction;
use learned_dropout::ops::tensor::{
    AdamW, Dropout, Keep, Moment, NormSettings, Precision, adamw, best_gates, causal_attention,
    dropped, gated_experts, gelu, layer_norm, linear, linear_cross_entropy, mask_mean,
    masked_product, mean, mean_softmax, norm_feed_forward, norm_linear, relu, scaled,
    sum_of_squares, sum_of_two, sum_with_shared, tied_rows, used_share,
};
use learned_dropout::pass::{NoiseKey, Pass, Place, Purpose};
use learned_dropout::penalty::PenaltyKind;
use learned_dropout::rounding::{Rounding, SIGMOID_SCALE};
use proptest::prelude::*;
use support::{assert_close, device, random, read};

/// Sums of products in f32: the relative error grows with the root of their number, at most a few
/// thousand here, times 6e-8; and both sides have it.
const TOLERANCE: f32 = 2e-5;

const NORM: NormSettings = NormSettings {
    epsilon: 1e-2,
    precision: Precision::F32,
};

/// Where the noise of the roundings comes from.
const PLACE: Place = Place {
    purpose: Purpose::Rounding,
    layer: 4,
};

/// The output of a function, and the gradients of `Σ weight · output` for its inputs.
fn differentiate<const D: usize, const E: usize>(
    inputs: [Tensor<D>; 2],
    function: impl Fn([Tensor<D>; 2]) -> Tensor<E>,
) -> (Vec<f32>, [Vec<f32>; 2]) {
    let inputs = inputs.map(Tensor::require_grad);
    let output = function(inputs.clone());
    let weight = random(output.dims(), 99, &output.device());
    let gradients = (output.clone() * weight).sum().backward();
    let gradients = inputs.map(|input| input.grad(&gradients).map(read).unwrap_or_default());
    (read(output.inner()), gradients)
}

#[track_caller]
fn assert_agree(found: (Vec<f32>, [Vec<f32>; 2]), expected: (Vec<f32>, [Vec<f32>; 2])) {
    assert_close(&found.0, &expected.0, TOLERANCE);
    for (found, expected) in found.1.iter().zip(&expected.1) {
        assert_close(found, expected, TOLERANCE);
    }
}

fn plain_attention(
    packed: Tensor<3>,
    heads: usize,
    change: impl Fn(Tensor<4>) -> Tensor<4>,
) -> Tensor<3> {
    let [batch, time, packed_width] = packed.dims();
    let width = packed_width / 3;
    let part = |index: usize| {
        let part = packed.clone().narrow(2, index * width, width);
        part.reshape([batch, time, heads, width / heads])
            .swap_dims(1, 2)
    };
    let scores = part(0).matmul(part(1).transpose()) / ((width / heads) as f64).sqrt();
    let future = Tensor::<2, Bool>::tril_mask([time, time], 0, &packed.device());
    let scores = scores.mask_fill(future.unsqueeze(), f32::NEG_INFINITY);
    change(softmax(scores, 3))
        .matmul(part(2))
        .swap_dims(1, 2)
        .reshape([batch, time, width])
}

fn plain_norm(x: Tensor<3>, gain: Tensor<1>, epsilon: f32) -> Tensor<3> {
    let centered = x.clone() - x.mean_dim(2);
    let variance = centered.clone().square().mean_dim(2);
    centered / (variance + epsilon).sqrt() * gain.unsqueeze()
}

/// The gradient of `Σ weight · output` for one parameter.
fn gradient_of<const D: usize, const E: usize>(
    parameter: &Tensor<D>,
    output: Tensor<E>,
) -> Vec<f32> {
    let weight = random(output.dims(), 99, &output.device());
    let gradients = (output * weight).sum().backward();
    read(
        parameter
            .grad(&gradients)
            .expect("the parameter takes part"),
    )
}

fn training_device() -> Device {
    device().autodiff()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn attention(batch in 1usize..4, time in 1usize..40, heads in 1usize..4, size in 1usize..20) {
        let device = training_device();
        let packed = random([batch, time, 3 * heads * size], 1, &device);
        let unused = random([1, 1, 1], 2, &device);
        let inputs = [packed, unused];
        assert_agree(
            differentiate(inputs.clone(), |[packed, _]| {
                causal_attention(packed, heads, None, Precision::F32)
            }),
            differentiate(inputs, |[packed, _]| plain_attention(packed, heads, |weights| weights)),
        );
    }

    #[test]
    fn attention_with_dropout(batch in 1usize..4, time in 1usize..30, rate in 0.1f64..0.8) {
        let device = training_device();
        let packed = random([batch, time, 36], 1, &device);
        let inputs = [packed, random([1, 1, 1], 2, &device)];
        let key = NoiseKey { seed: 9, step: 4 };
        let purpose = Purpose::AttentionProbabilityDropout;
        let generator = key.stream(purpose, 3);
        let pass = Pass::Train(key);
        assert_agree(
            differentiate(inputs.clone(), |[packed, _]| {
                causal_attention(packed, 3, Some(Dropout { rate, generator }), Precision::F32)
            }),
            differentiate(inputs, |[packed, _]| {
                plain_attention(packed, 3, |weights| dropout(weights, rate, &pass, purpose, 3))
            }),
        );
    }

    #[test]
    fn masked_products(
        batch in 1usize..4, time in 1usize..30, width in 1usize..40,
        scale in 0.1f32..30.0, step in 0u64..100, random_rounding in any::<bool>(),
    ) {
        let device = training_device();
        let x = random([batch, time, width], 1, &device);
        let attended = random([batch, time, width], 2, &device) * scale;
        let shift = random([width], 3, &device);
        let key = NoiseKey { seed: 5, step };
        let (keep, rounding) = if random_rounding {
            (Keep::Random(key.stream_at(PLACE)), Rounding::Stochastic)
        } else {
            (Keep::Threshold(0.5), Rounding::Threshold)
        };
        let shift = shift.require_grad();
        let pass = Pass::Train(key);
        let fast = |[x, attended]: [Tensor<3>; 2]| {
            masked_product(x, attended, shift.clone(), keep)
        };
        let plain = |[x, attended]: [Tensor<3>; 2]| {
            let mask = MaskFunction::default().mask(attended, shift.clone());
            x * rounding.round(mask, SIGMOID_SCALE, &pass, PLACE).multiplier
        };
        let inputs = [x, attended.detach()];
        assert_agree(differentiate(inputs.clone(), fast), differentiate(inputs.clone(), plain));
        let shift_gradient = |function: &dyn Fn([Tensor<3>; 2]) -> Tensor<3>| {
            let output = function(inputs.clone());
            let weight = random(output.dims(), 99, &device);
            let gradients = (output * weight).sum().backward();
            read(shift.grad(&gradients).expect("the shift takes part"))
        };
        // The slope of the cosine is known to 1e-6 of its largest value, 0.5.
        assert_close(&shift_gradient(&fast), &shift_gradient(&plain), TOLERANCE);
    }

    #[test]
    fn mask_means(time in 1usize..60, width in 1usize..40, scale in 0.1f32..20.0) {
        let device = training_device();
        let attended = (random([2, time, width], 2, &device) * scale).detach();
        let shift = random([1, 1, width], 3, &device);
        let kinds = [
            (Moment::Squared, PenaltyKind::Squared),
            (Moment::Linear, PenaltyKind::Linear),
            (Moment::Entropy, PenaltyKind::Entropy),
        ];
        for (moment, kind) in kinds {
            let inputs = [attended.clone(), shift.clone()];
            assert_agree(
                differentiate(inputs.clone(), |[attended, shift]| {
                    mask_mean(attended, shift.reshape([width]), moment)
                }),
                differentiate(inputs, |[attended, shift]| {
                    let shift = shift.reshape([width]);
                    kind.mean(MaskFunction::default().mask(attended, shift))
                }),
            );
        }
    }

    #[test]
    fn gelus(time in 1usize..60, scale in 0.1f32..5.0) {
        let device = training_device();
        let x = (random([2, time, 9], 2, &device) * scale).detach();
        let inputs = [x.clone(), x];
        assert_agree(
            differentiate(inputs.clone(), |[x, _]| gelu(x)),
            differentiate(inputs, |[x, _]| {
                x.clone() * ((x * std::f64::consts::FRAC_1_SQRT_2).erf() + 1.0) * 0.5
            }),
        );
    }

    #[test]
    fn layer_norms(batch in 1usize..4, time in 1usize..90, width in 3usize..40) {
        // Two channels are normalized to ±1 whatever they are: a gradient of rounding errors.
        let device = training_device();
        let x = random([batch, time, width], 1, &device);
        let weight = random([1, 1, width], 2, &device);
        let inputs = [x, weight];
        assert_agree(
            differentiate(inputs.clone(), |[x, weight]| {
                layer_norm(x, weight.reshape([width]), 1e-5)
            }),
            differentiate(inputs, |[x, weight]| {
                let centered = x.clone() - x.mean_dim(2);
                let variance = centered.clone().square().mean_dim(2);
                centered / (variance + 1e-5).sqrt() * weight
            }),
        );
    }

    #[test]
    fn linear_layers(batch in 1usize..4, time in 1usize..60, inputs in 3usize..40, outputs in 1usize..40) {
        let device = training_device();
        let x = random([batch, time, inputs], 1, &device);
        let weight = random([1, outputs, inputs], 2, &device);
        let gain = random([inputs], 3, &device).require_grad();
        let plain = |x: Tensor<3>, weight: Tensor<3>| x.matmul(weight.transpose());
        let inputs = [x, weight];
        assert_agree(
            differentiate(inputs.clone(), |[x, weight]| {
                linear(x, weight.squeeze_dim(0), Precision::F32)
            }),
            differentiate(inputs.clone(), |[x, weight]| plain(x, weight)),
        );
        let fast = |[x, weight]: [Tensor<3>; 2]| {
            norm_linear(x, gain.clone(), weight.squeeze_dim(0), NORM)
        };
        let slow = |[x, weight]: [Tensor<3>; 2]| plain(plain_norm(x, gain.clone(), 1e-2), weight);
        assert_agree(differentiate(inputs.clone(), fast), differentiate(inputs.clone(), slow));
        assert_close(
            &gradient_of(&gain, fast(inputs.clone())),
            &gradient_of(&gain, slow(inputs)),
            TOLERANCE,
        );
    }

    #[test]
    fn feed_forwards(batch in 1usize..4, time in 1usize..60, width in 3usize..24, hidden in 1usize..50) {
        let device = training_device();
        let x = random([batch, time, width], 1, &device);
        let up = random([1, hidden, width], 2, &device);
        let gain = random([width], 3, &device).require_grad();
        let down = random([width, hidden], 4, &device).require_grad();
        let fast = |[x, up]: [Tensor<3>; 2]| {
            let weights = [up.squeeze_dim(0), down.clone()];
            norm_feed_forward(x, gain.clone(), weights, NORM)
        };
        let slow = |[x, up]: [Tensor<3>; 2]| {
            let units = plain_norm(x, gain.clone(), 1e-2).matmul(up.transpose());
            let kept = (units.clone() * std::f64::consts::FRAC_1_SQRT_2).erf() + 1.0;
            (units * kept * 0.5).matmul(down.clone().transpose().unsqueeze())
        };
        let inputs = [x, up];
        assert_agree(differentiate(inputs.clone(), fast), differentiate(inputs.clone(), slow));
        // A graph can be gone through once.
        let outputs = || [fast(inputs.clone()), slow(inputs.clone())];
        let [found, expected] = outputs().map(|output| gradient_of(&gain, output));
        assert_close(&found, &expected, TOLERANCE);
        let [found, expected] = outputs().map(|output| gradient_of(&down, output));
        assert_close(&found, &expected, TOLERANCE);
    }

    #[test]
    fn experts(
        time in 1usize..60, width in 1usize..20, hidden in 1usize..30, count in 1usize..5,
        used in 0u64..=8,
    ) {
        let device = training_device();
        let x = random([2, time, width], 1, &device);
        // The second expert has no token.
        let chosen = NoiseKey { seed: 6, step: used }.stream(Purpose::Rounding, 0);
        let chosen: Vec<f32> = (0..2 * time * count)
            .map(|i| f32::from(i % count != 1 && chosen.below(i as u64, 8) < used))
            .collect();
        let shape = [2, time, count];
        let gates = random(shape, 2, &device)
            * Tensor::<3>::from_data(TensorData::new(chosen, shape), &device);
        let up = random([count, hidden, width], 3, &device);
        let down = random([count, width, hidden], 4, &device);
        let plain = |x: Tensor<3>, gates: Tensor<3>, up: Tensor<3>, down: Tensor<3>| {
            let mut sum = Tensor::zeros_like(&x);
            for expert in 0..count {
                let weight = |all: &Tensor<3>| all.clone().narrow(0, expert, 1).transpose();
                let units = x.clone().matmul(weight(&up).repeat_dim(0, 2));
                let kept = (units.clone() * std::f64::consts::FRAC_1_SQRT_2).erf() + 1.0;
                let output = (units * kept * 0.5).matmul(weight(&down).repeat_dim(0, 2));
                let gate = gates.clone().narrow(2, expert, 1);
                // A gate that is 0 stays so.
                let open = gate.clone().detach().not_equal_elem(0.0).float();
                sum = sum + output * gate * open;
            }
            sum
        };
        let fast = |x, gates, up, down| gated_experts(x, gates, [up, down], Precision::F32);
        // The plain body, in another type than the kernels take.
        let wide = |x: Tensor<3>, gates: Tensor<3>, up: Tensor<3>, down: Tensor<3>| {
            let [x, gates, up, down] = [x, gates, up, down].map(|part| part.cast(DType::F64));
            fast(x, gates, up, down).cast(DType::F32)
        };
        type Function<'a> = &'a dyn Fn(Tensor<3>, Tensor<3>, Tensor<3>, Tensor<3>) -> Tensor<3>;
        let run = |function: Function<'_>| {
            let inputs = [x.clone(), gates.clone(), up.clone(), down.clone()]
                .map(|input| input.detach().require_grad());
            let [x, gates, up, down] = inputs.clone();
            let output = function(x, gates, up, down);
            let weight = random(output.dims(), 99, &device);
            let gradients = (output.clone() * weight).sum().backward();
            let mut found = vec![read(output.inner())];
            found.extend(inputs.map(|input| read(input.grad(&gradients).expect("a part"))));
            found
        };
        let expected = run(&plain);
        for found in [run(&fast), run(&wide)] {
            for (found, expected) in found.iter().zip(&expected) {
                assert_close(found, expected, TOLERANCE);
            }
        }
    }

    #[test]
    fn routings(time in 1usize..60, experts in 1usize..9, best in 0usize..9) {
        let device = training_device();
        let count = 1 + best % experts;
        let scores = random([2, time, experts], 1, &device);
        let inputs = || [scores.clone().detach(), random([1, 1, 1], 2, &device)];
        // What is larger than all but `count` others, by comparing each with each.
        let chosen = |scores: Tensor<3>| {
            let scores = scores.detach();
            let [mine, other] = [3, 2].map(|dim| scores.clone().unsqueeze_dim::<4>(dim));
            let shape = [2, time, experts, experts];
            let larger = other.expand(shape).greater(mine.expand(shape)).float();
            larger.sum_dim(3).squeeze_dim::<3>(3).lower_elem(count as f64 - 0.5).float()
        };
        let plain_gates = |scores: Tensor<3>| {
            let chosen = chosen(scores.clone());
            if count == 1 {
                // The softmax of a single score is 1, whatever it is; burn's gradient would be noise.
                return chosen + scores * 0.0;
            }
            let taken = softmax(scores, 2) * chosen;
            taken.clone() / taken.sum_dim(2)
        };
        let mean_softmax_of = |scores: Tensor<3>| {
            softmax(scores, 2).reshape([2 * time, experts]).mean_dim(0)
        };
        for wide in [false, true] {
            // The plain bodies take the types that the kernels do not.
            let before = |x: Tensor<3>| if wide { x.cast(DType::F64) } else { x };
            assert_agree(
                differentiate(inputs(), |[x, _]| best_gates(before(x), count).cast(DType::F32)),
                differentiate(inputs(), |[x, _]| plain_gates(x)),
            );
            assert_agree(
                differentiate(inputs(), |[x, _]| mean_softmax(before(x)).cast(DType::F32)),
                differentiate(inputs(), |[x, _]| mean_softmax_of(x)),
            );
            assert_agree(
                differentiate(inputs(), |[x, _]| relu(before(x)).cast(DType::F32)),
                differentiate(inputs(), |[x, _]| x.clamp_min(0.0)),
            );
            assert_agree(
                differentiate(inputs(), |[x, _]| mean(before(x)).cast(DType::F32)),
                differentiate(inputs(), |[x, _]| x.mean()),
            );
            let gates = before(plain_gates(scores.clone()));
            let shares = chosen(scores.clone()).reshape([2 * time, experts]).mean_dim(0);
            let found = used_share(gates).cast(DType::F32);
            assert_close(&read(found), &read(shares), TOLERANCE);
        }
    }

    #[test]
    fn tables_with_two_uses(entries in 1usize..30, width in 1usize..20, count in 1usize..60) {
        let device = training_device();
        let ids: Vec<i32> = (0..count).map(|i| (i * i % entries) as i32).collect();
        let ids = Tensor::<1, Int>::from_data(TensorData::new(ids, [count]), &device);
        let table = random([entries, width], 1, &device);
        let other = random([count, width], 2, &device);
        let inputs = [table, other];
        assert_agree(
            differentiate(inputs.clone(), |[table, other]| {
                let (rows, table) = tied_rows(table, ids.clone());
                (rows * other.clone()).matmul(table.transpose()) + other.sum_dim(1)
            }),
            differentiate(inputs.clone(), |[table, other]| {
                let rows = table.clone().select(0, ids.clone());
                (rows * other.clone()).matmul(table.transpose()) + other.sum_dim(1)
            }),
        );
        // One of both uses may be missing.
        assert_agree(
            differentiate(inputs.clone(), |[table, other]| tied_rows(table, ids.clone()).0 * other),
            differentiate(inputs.clone(), |[table, other]| table.select(0, ids.clone()) * other),
        );
        assert_agree(
            differentiate(inputs.clone(), |[table, other]| {
                other.matmul(tied_rows(table, ids.clone()).1.transpose())
            }),
            differentiate(inputs, |[table, other]| other.matmul(table.transpose())),
        );
    }

    #[test]
    fn dropouts(batch in 1usize..4, time in 1usize..60, rate in 0.05f64..0.9) {
        let device = training_device();
        let generator = NoiseKey { seed: 3, step: 8 }.stream(Purpose::FeedForwardDropout, 2);
        let x = random([batch, time, 7], 1, &device);
        let noise: Vec<f32> = (0..(batch * time * 7) as u64)
            .map(|i| {
                let kept = f64::from(unit(generator.number(i))) >= rate;
                f32::from(u8::from(kept)) / (1.0 - rate as f32)
            })
            .collect();
        let noise = Tensor::<3>::from_data(TensorData::new(noise, [batch, time, 7]), &device);
        let inputs = [x.clone(), x];
        assert_agree(
            differentiate(inputs.clone(), |[x, _]| dropped(x, Dropout { rate, generator })),
            differentiate(inputs, |[x, _]| x * noise.clone()),
        );
    }

    /// Its probability is 1. What a gradient adds up for it and takes off again are sums of as many
    /// terms as there are tokens, of at most the largest factor altogether, each rounded to 2⁻²⁴.
    #[test]
    fn the_only_token_is_certain(tokens in 1usize..80, width in 1usize..20) {
        let device = training_device();
        let targets = Tensor::<1, Int>::zeros([tokens], &device);
        let inputs = [random([tokens, width], 1, &device), random([1, width], 2, &device)];
        let [largest_hidden, largest_weight] = inputs
            .clone()
            .map(|input| read(input.inner()).iter().fold(0f32, |most, value| most.max(value.abs())));
        let (loss, [hidden, weight]) = differentiate(inputs, |[hidden, weight]| {
            linear_cross_entropy(hidden, weight, targets.clone(), Precision::F32)
        });
        prop_assert!(loss[0].abs() <= 2f32.powi(-20), "{}", loss[0]);
        for (gradient, largest) in [(hidden, largest_weight), (weight, largest_hidden)] {
            let bound = 2.0 * (tokens + 4) as f32 * 2f32.powi(-24) * largest;
            prop_assert!(gradient.iter().all(|value| value.abs() <= bound), "{gradient:?}");
        }
    }

    #[test]
    fn cross_entropies(tokens in 1usize..80, width in 1usize..20, vocabulary in 2usize..300) {
        // The only token of a vocabulary is certain: a gradient of rounding errors.
        let device = training_device();
        let ids: Vec<i32> =
            (0..tokens).map(|token| (token * 7919 % vocabulary) as i32).collect();
        let targets = Tensor::<1, Int>::from_data(TensorData::new(ids, [tokens]), &device);
        let hidden = random([tokens, width], 1, &device);
        let weight = random([vocabulary, width], 2, &device);
        let inputs = [hidden, weight];
        assert_agree(
            differentiate(inputs.clone(), |[hidden, weight]| {
                linear_cross_entropy(hidden, weight, targets.clone(), Precision::F32)
            }),
            differentiate(inputs, |[hidden, weight]| {
                let logits = log_softmax(hidden.matmul(weight.transpose()), 1);
                let targets = targets.clone().reshape([tokens, 1]);
                -logits.gather(1, targets).mean()
            }),
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn element_by_element(batch in 1usize..4, time in 1usize..50, width in 1usize..50) {
        let device = training_device();
        let inputs = [1, 2].map(|seed| random([batch, time, width], seed, &device));
        assert_agree(
            differentiate(inputs.clone(), |[left, right]| sum_of_two(left, right)),
            differentiate(inputs.clone(), |[left, right]| left + right),
        );
        let [x, _] = inputs;
        let inputs = [x, random([1, time, width], 7, &device)];
        assert_agree(
            differentiate(inputs.clone(), |[x, shared]| {
                sum_with_shared(x, shared.reshape([time, width]))
            }),
            differentiate(inputs, |[x, shared]| x + shared),
        );
        let device = device.inner();
        let count = batch * time * width;
        let [p, g, m, v] = [3, 4, 5, 6].map(|seed| random([count], seed, &device));
        let v = v.abs();
        let squares: f64 = read(g.clone()).iter().map(|&v| f64::from(v).powi(2)).sum();
        assert_close(&read(sum_of_squares(g.clone())), &[squares as f32], TOLERANCE);
        assert_close(&read(scaled(g.clone(), 0.3)), &read(g.clone() * 0.3), TOLERANCE);
        let step = AdamW {
            betas: [0.9, 0.95],
            gradient_scale: 0.6,
            epsilon: 1e-8,
            decay_factor: 0.99,
            rate: 0.01,
            root_scale: 1.7,
        };
        let (updated, [first, second]) = adamw(p.clone(), g.clone(), [m.clone(), v.clone()], step);
        let g = g * 0.6;
        let expected_first = m * 0.9 + g.clone() * 0.1;
        let expected_second = v * 0.95 + g.square() * 0.05;
        let root = expected_second.clone().sqrt() * 1.7 + 1e-8;
        let expected = p * 0.99 - expected_first.clone() / root * 0.01;
        assert_close(&read(first), &read(expected_first), TOLERANCE);
        assert_close(&read(second), &read(expected_second), TOLERANCE);
        assert_close(&read(updated), &read(expected), TOLERANCE);
    }
}
