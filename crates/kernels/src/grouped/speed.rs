//! Whether it is faster to compute kept groups only.

use crate::product::{Engine, Precision};

/// Whether these kernels are faster than the dense ones, for groups of `group` hidden units and the
/// kept share of all pairs of tokens and groups.
///
/// The bounds are rounded down from measurements with AVX2, at widths of 256 and 768, of the
/// forward and the backward pass together. Small groups fill no register, and gather much for few
/// products. The dense kernels of pairs of bf16 values are so fast that gathering does not keep up
/// with them; the bounds are then halved, which is an estimate.
pub fn is_faster_than_dense(group: usize, share: f64, precision: Precision) -> bool {
    let bound = match group {
        32.. => 0.65,
        16.. => 0.55,
        8.. => 0.4,
        4.. => 0.12,
        _ => 0.03,
    };
    let takes_pairs = Engine::for_precision(precision).takes_pairs();
    share <= if takes_pairs { 0.5 * bound } else { bound }
}
