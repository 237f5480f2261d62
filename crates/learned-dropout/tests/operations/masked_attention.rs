//! Causal attention with a mask on its heads.

use burn::backend::Dispatch;
use learned_dropout::ops;
use learned_dropout::ops::{Dropout, MaskedAttentionSettings, Precision, plain};

use crate::attention::attention_formula;
use crate::differentiate::{dropout_factors, tensor};
use crate::draw::Draw;
use crate::grouped_product::product_formula;
use crate::operation::Operation;

pub fn masked_attention(draw: &mut Draw) {
    let (batch, time, outputs) = (draw.size(1..4), draw.size(1..60), draw.size(1..30));
    // With heads of 8 channels or more, few of which are kept, only the kept ones are multiplied.
    let (heads, size) = match draw.size(0..3) {
        0 => (draw.size(1..4), draw.size(1..12)),
        1 => (draw.size(1..4), 16),
        _ => (draw.size(1..3), 33),
    };
    let (kept, binary) = (draw.share(), draw.yes());
    let dropout = draw.yes().then(|| Dropout {
        rate: draw.number(0.1..0.8).into(),
        generator: draw.generator(),
    });
    let settings = MaskedAttentionSettings {
        dropout,
        precision: Precision::F32,
    };
    Operation {
        inputs: [
            draw.normal([batch, time, 3 * heads * size]),
            draw.factors([batch, time, heads], kept, binary),
            draw.normal([outputs, heads * size]),
        ],
        operation: &|[packed, factors, weight]| {
            let (packed, factors, weight) = (tensor(packed), tensor(factors), tensor(weight));
            [ops::masked_attention(packed, factors, weight, settings).into_dispatch()]
        },
        plain: &|[packed, factors, weight]| {
            let masked = plain::masked_heads::<Dispatch>(packed, factors, dropout);
            [plain::linear_without_bias::<Dispatch>(masked, weight)]
        },
        plain_backward: Some(&|[gradient], [packed, factors, weight]| {
            let (heads, kept) = (packed.clone(), factors.clone());
            let heads = plain::masked_heads::<Dispatch>(heads, kept, dropout);
            let (dheads, dweight) =
                plain::linear_without_bias_backward::<Dispatch>(gradient, heads, weight);
            let (dpacked, dfactors) =
                plain::masked_heads_backward::<Dispatch>(dheads, packed, factors, dropout);
            [dpacked, dfactors, dweight]
        }),
        formula: &|[packed, factors, weight]| {
            let attended = attention_formula(tensor(packed), heads, |weights| match dropout {
                Some(dropout) => weights.clone() * dropout_factors(dropout, &weights),
                None => weights,
            });
            let masked = product_formula(attended, tensor(factors), size, true);
            let output = masked.matmul(tensor::<2>(weight).transpose().unsqueeze());
            [output.into_dispatch()]
        },
    }
    .check();
}
