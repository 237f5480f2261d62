//! Rounding at 0.5.

use burn::tensor::Tensor;

/// 1 where `M ≥ 0.5`, else 0, in the type of `M`.
pub(super) fn kept(mask: &Tensor<3>) -> Tensor<3> {
    mask.clone()
        .greater_equal_elem(0.5)
        .float()
        .cast(mask.dtype())
}
