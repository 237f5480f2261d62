//! Whether it is faster to compute kept groups only.

use crate::product::{Engine, Precision};

/// Whether these kernels are faster than the dense ones, for groups of `group` hidden units and the
/// kept share of all pairs of tokens and groups.
///
/// The bounds are rounded down from measurements of the forward and the backward pass together: with AVX2
/// at widths of 256 and 768, with AVX-512 at widths of 192 and 512. Small groups fill no register, and
/// gather much for few products. The dense kernels of pairs of bf16 values are faster than gathering keeps
/// up with, so bounds are lower with them. With AMX, whose products are faster still, they are halved, which
/// is an estimate.
pub fn is_faster_than_dense(group: usize, share: f64, precision: Precision) -> bool {
    let bound = match group {
        64.. => 0.75,
        32.. => 0.65,
        16.. => 0.55,
        8.. => 0.4,
        4.. => 0.12,
        _ => 0.03,
    };
    let engine = Engine::for_precision(precision);
    let factor = match engine.takes_pairs() {
        true if engine.is_amx() => 0.5,
        true => 0.85,
        false => 1.0,
    };
    share <= factor * bound
}
