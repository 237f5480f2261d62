//! Gates with a threshold.

use burn::backend::Dispatch;
use burn::tensor::Tensor;
use learned_dropout::ops;
use learned_dropout::ops::{GateFactor, plain};

use crate::differentiate::{Primitive, constant, tensor};
use crate::draw::Draw;
use crate::mask::mask_formula;
use crate::operation::Operation;

/// The factors and the kept share. The share is in the graph, but its gradient is 0.
fn gate_formula(mask: Tensor<3>, threshold: f32, factor: GateFactor) -> [Primitive; 2] {
    let excess = mask.clone() * 2.0 - 1.0 - threshold;
    let kept = excess.clone().detach().greater_elem(0.0).float();
    let kept = kept.cast(mask.dtype());
    let share = (kept.clone() + mask.clone() * 0.0).mean();
    let factors = match factor {
        GateFactor::Excess => excess * kept,
        GateFactor::One => mask.clone() - mask.detach() + kept,
    };
    [factors.into_dispatch(), share.into_dispatch()]
}

pub fn gate(draw: &mut Draw) {
    let [batch, time, width] = [draw.size(1..3), draw.size(1..90), draw.size(1..40)];
    let (threshold, scale) = (draw.number(-1.1..1.1), draw.number(0.1..30.0));
    let shift = draw.normal([width]);
    // Cosines are exact to 1e-6: values that close to the threshold could be on either side.
    let attended = draw.normal([batch, time, width]);
    let attended = attended.map_with_index(|index, value| {
        let shift = shift.values[index % width];
        let cosine = f64::from(value * scale + shift).cos();
        match (cosine - f64::from(threshold)).abs() < 1e-4 {
            true => std::f32::consts::FRAC_PI_2 - shift,
            false => value * scale,
        }
    });
    // A cosine of 0 takes the place of those that are left out.
    let threshold = if threshold.abs() < 0.01 {
        0.01
    } else {
        threshold
    };
    for factor in [GateFactor::Excess, GateFactor::One] {
        let threshold_like = |attended: &Primitive| {
            let like = tensor::<3>(attended.clone());
            constant(vec![threshold], [1], &like)
        };
        Operation {
            inputs: [attended.clone(), shift.clone()],
            operation: &|[attended, shift]| {
                let threshold = threshold_like(&attended);
                let (factors, share) =
                    ops::gate(tensor(attended), tensor(shift), threshold, factor);
                // The share is in no graph; a gradient of 0 puts it into one.
                let share = share + factors.clone().sum() * 0.0;
                [factors.into_dispatch(), share.into_dispatch()]
            },
            plain: &|[attended, shift]| {
                let threshold = threshold_like(&attended).into_dispatch();
                plain::gate::<Dispatch>(attended, shift, threshold, factor).into()
            },
            plain_backward: Some(&|[gradient, _], [attended, shift]| {
                let threshold = threshold_like(&attended).into_dispatch();
                plain::gate_backward::<Dispatch>(gradient, attended, shift, threshold, factor)
                    .into()
            }),
            formula: &|[attended, shift]| {
                let mask = mask_formula(tensor(attended), tensor(shift));
                gate_formula(mask, threshold, factor)
            },
        }
        .check();
    }
}
