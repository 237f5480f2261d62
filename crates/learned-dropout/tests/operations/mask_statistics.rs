//! Statistics of masks.

use burn::backend::Dispatch;
use burn::tensor::{Bool, Tensor};
use kernels::mask::Keep;
use kernels::random::unit;
use learned_dropout::ops;
use learned_dropout::ops::plain;
use learned_dropout::penalty;
use model::PenaltyKind;

use crate::differentiate::{Input, Primitive, constant, tensor};
use crate::draw::Draw;
use crate::mask::{any_keep, mask_formula, rounded_formula, threshold_of};
use crate::operation::Operation;

/// Mask values far enough from all bounds that rounding errors move none of them across one.
fn clear_of_bounds(mask: f64, threshold: f32) -> bool {
    [0.1, 0.5, 0.9, f64::from(threshold)]
        .iter()
        .all(|bound| (mask - bound).abs() > 1e-5)
}

/// The outputs of a mask's attention, and the shift.
fn cosine_inputs(draw: &mut Draw, shape: [usize; 3], keep: Keep) -> [Input; 2] {
    let (width, scale) = (shape[2], draw.number(0.1..30.0));
    let shift = draw.normal([width]);
    let attended = draw.normal(shape).map_with_index(|index, value| {
        let shift = shift.values[index % width];
        let mask = (f64::from(value * scale + shift).cos() + 1.0) * 0.5;
        // A value of 1 reaches every threshold.
        match clear_of_bounds(mask, threshold_of(keep, index)) {
            true => value * scale,
            false => -shift,
        }
    });
    [attended, shift]
}

fn share<const D: usize>(elements: Tensor<D, Bool>, like: &Tensor<3>) -> Tensor<1> {
    elements.float().cast(like.dtype()).mean()
}

/// The statistics by burn's operations, and the sides one by one.
fn statistics_formula(mask: Tensor<3>, kept: Tensor<3>) -> [Primitive; 2] {
    let [batch, time, values] = mask.dims();
    let rows = kept.clone().reshape([batch * time, values]);
    let statistics = vec![
        kept.mean(),
        share(mask.clone().greater_elem(0.9), &mask),
        share(mask.clone().lower_elem(0.1), &mask),
        penalty::mean(PenaltyKind::Entropy, mask.clone()),
        penalty::mean(PenaltyKind::Squared, mask.clone()),
        share(rows.clone().max_dim(0).lower_elem(0.5), &mask),
        share(rows.min_dim(0).greater_elem(0.5), &mask),
    ];
    let sides = mask.clone().greater_equal_elem(0.5).float();
    let sides = sides.cast(mask.dtype()).reshape([batch * time * values]);
    [Tensor::cat(statistics, 0), sides].map(Tensor::into_dispatch)
}

/// The first `count` sides in words, one by one: errors of single bits are small parts of a word.
fn unpacked(words: Tensor<1>, count: usize) -> Tensor<1> {
    let places = (0..16).map(|place| 0.5f32.powi(place)).collect();
    let places = constant(places, [1, 16], &words);
    let shifted = (words.unsqueeze_dim::<2>(1) * places).floor();
    let bits = shifted.clone() - (shifted * 0.5).floor() * 2.0;
    let all = bits.dims()[0] * 16;
    bits.reshape([all]).narrow(0, 0, count)
}

fn found(statistics: Tensor<1>, sides: Tensor<1>, count: usize) -> [Primitive; 2] {
    [statistics, unpacked(sides, count)].map(Tensor::into_dispatch)
}

pub fn mask_statistics(draw: &mut Draw) {
    let shape = [draw.size(1..3), draw.size(1..90), draw.size(1..40)];
    let count = shape.iter().product();
    let keep = any_keep(draw);
    Operation {
        inputs: cosine_inputs(draw, shape, keep),
        operation: &|[attended, shift]| {
            let (statistics, sides) = ops::mask_statistics(tensor(attended), tensor(shift), keep);
            found(statistics, sides, count)
        },
        plain: &|[attended, shift]| {
            let (statistics, sides) = plain::mask_statistics::<Dispatch>(attended, shift, keep);
            found(tensor(statistics), tensor(sides), count)
        },
        plain_backward: None,
        formula: &|[attended, shift]| {
            let mask = mask_formula(tensor(attended), tensor(shift));
            statistics_formula(mask.clone(), rounded_formula(mask, keep))
        },
    }
    .check();
}

pub fn value_statistics(draw: &mut Draw) {
    let shape = [draw.size(1..3), draw.size(1..90), draw.size(1..40)];
    let count: usize = shape.iter().product();
    let (generator, share) = (draw.generator(), draw.share());
    let mask = draw.normal(shape).map_with_index(|index, _| {
        let mask = unit(generator.number(index as u64));
        if clear_of_bounds(mask.into(), 0.5) {
            mask
        } else {
            0.6
        }
    });
    Operation {
        inputs: [mask, draw.factors(shape, share, true)],
        operation: &|[mask, kept]| {
            let (statistics, sides) = ops::value_statistics(tensor(mask), tensor(kept));
            found(statistics, sides, count)
        },
        plain: &|[mask, kept]| {
            let (statistics, sides) = plain::value_statistics::<Dispatch>(mask, kept);
            found(tensor(statistics), tensor(sides), count)
        },
        plain_backward: None,
        formula: &|[mask, kept]| statistics_formula(tensor(mask), tensor(kept)),
    }
    .check();
}

pub fn differing_share(draw: &mut Draw) {
    let words = draw.size(1..200);
    let count = words * 16 - draw.size(0..16);
    let mut sides = || {
        let generator = draw.generator();
        let word = |index, _| generator.below(index as u64, 1 << 16) as f32;
        draw.normal([words]).map_with_index(word)
    };
    Operation {
        inputs: [sides(), sides()],
        operation: &|[left, right]| {
            [ops::differing_share(tensor(left), tensor(right), count).into_dispatch()]
        },
        plain: &|[left, right]| [plain::differing_share::<Dispatch>(left, right, count)],
        plain_backward: None,
        formula: &|[left, right]| {
            let [left, right] = [left, right].map(|words_| unpacked(tensor(words_), words * 16));
            let sum = (left - right).abs().sum();
            [(sum / count as f64).into_dispatch()]
        },
    }
    .check();
}
