//! Compares every operation, over random shapes, with the same computation by burn's own operations, whose
//! gradients burn derives. Also compares the plain bodies of every operation with its kernels.
//!
//! [`operation::Operation::check`] defines the comparisons and their tolerances. Each file of `src/ops` has
//! a file here, with one function for each operation.

mod activation;
mod arithmetic;
mod attention;
mod channels;
mod cosine_series;
mod cross_entropy;
mod differentiate;
mod draw;
mod dropout;
mod embedding;
mod experts;
mod feed_forward;
mod gate;
mod grouped_product;
mod linear;
mod mask;
mod mask_statistics;
mod masked_attention;
mod masked_feed_forward;
mod norm;
mod operation;
mod optimizer;
mod routing;
#[path = "../support/mod.rs"]
mod support;
mod swiglu;

use draw::Draw;
use learned_dropout::ops::OPERATIONS;
use proptest::prelude::*;

/// Creates a test for every operation of a file, which calls the function of its name. Also lists the names.
macro_rules! operations {
    ($($file:ident: $($operation:ident),+;)+) => {
        proptest! {
            #![proptest_config(ProptestConfig::with_cases(24))]

            $($(
                #[test]
                fn $operation(seed in any::<u64>()) {
                    crate::$file::$operation(&mut Draw::new(seed));
                }
            )+)+
        }

        const TESTED: &[&str] = &[$($(stringify!($operation)),+),+];
    };
}

operations! {
    activation: gelu, relu;
    arithmetic: duplicated, mean, scaled, sum_of_two;
    attention: causal_attention, linear_attention;
    channels: channels;
    cosine_series: cosine_series;
    cross_entropy: linear_cross_entropy, token_losses;
    dropout: dropped;
    embedding: sum_with_shared, tied_rows;
    experts: gated_experts;
    feed_forward: norm_feed_forward, norm_feed_forward_with_sum;
    gate: gate;
    grouped_product: grouped_product;
    linear: linear;
    mask: mask_mean, masked_product, rounded_mask, rounded_values, value_mean;
    mask_statistics: differing_share, mask_statistics, value_statistics;
    masked_attention: masked_attention;
    masked_feed_forward: masked_feed_forward, masked_feed_forward_with_sum;
    norm: layer_norm, norm_linear;
    optimizer: adamw, sum_of_squares;
    routing: best_gates, mean_softmax, used_share;
    swiglu: swiglu;
}

#[test]
fn every_operation_is_tested() {
    for operation in OPERATIONS {
        assert!(
            TESTED.contains(operation),
            "add `{operation}` to the list in tests/operations/main.rs"
        );
    }
}
