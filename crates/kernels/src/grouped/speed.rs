//! Whether leaving groups out is faster.

use crate::product::{Engine, Precision};

/// Whether the kept share of all pairs of tokens and groups is so small that these kernels are faster
/// than the dense ones, for groups of `group` hidden units.
///
/// The bounds are rounded down from measurements with AVX2, at widths of 256 and 768, of the forward
/// and the backward pass together. Small groups fill no register and gather much for little. The
/// dense kernels of the tile unit are so fast that gathering does not keep up with them; there the
/// bounds are halved, which is an estimate.
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
