//! The statistics of masks. They have no gradient.

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, AutodiffBackend, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::Tensor;
use kernels::mask::Keep;
use kernels::mask_statistics::MaskStatistics;

use super::cpu::{Float, kernel_inputs, vector};

/// The statistics of the mask `M = 0.5 cos(attended + shift) + 0.5`, and its sides.
///
/// The statistics are the means and shares of [`kernels::mask_statistics::MaskStatistics`], in its order:
/// kept, near one, near zero, entropy, squared penalty, never kept, always kept. The sides are the words of
/// the same type, each the whole number that its 16 bits make.
///
/// # Shapes
/// - `attended`: `[batch, time, values]`
/// - `shift`: `[values]`
/// - result: `[7]` and `[words]`
pub fn mask_statistics(
    attended: Tensor<3>,
    shift: Tensor<1>,
    keep: Keep,
) -> (Tensor<1>, Tensor<1>) {
    let found = Dispatch::mask_statistics(attended.into_dispatch(), shift.into_dispatch(), keep);
    (
        Tensor::from_dispatch(found.0),
        Tensor::from_dispatch(found.1),
    )
}

/// [`mask_statistics`] of any mask, from its values and its rounded values.
///
/// # Shapes
/// - `mask`, `kept`: `[batch, time, values]`
/// - result: `[7]` and `[words]`
pub fn value_statistics(mask: Tensor<3>, kept: Tensor<3>) -> (Tensor<1>, Tensor<1>) {
    let found = Dispatch::value_statistics(mask.into_dispatch(), kept.into_dispatch());
    (
        Tensor::from_dispatch(found.0),
        Tensor::from_dispatch(found.1),
    )
}

/// The share of `count` elements whose sides differ, `[1]`.
///
/// # Shapes
/// - `left`, `right`: `[words]`, the sides that [`mask_statistics`] gives
pub fn differing_share(left: Tensor<1>, right: Tensor<1>, count: usize) -> Tensor<1> {
    on_backend!(differing_share(left, right; count))
}

/// Statistics of masks on a backend.
#[backend_extension(Flex, Cube: cfg(feature = "gpu"), Autodiff)]
pub trait MaskStatisticsOps: Backend {
    /// The statistics, `[7]`, and the sides, `[words]`, of `0.5 cos(attended + shift) + 0.5` for
    /// `attended` of `[batch, time, values]` and `shift` of `[values]`.
    fn mask_statistics(
        attended: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        keep: Keep,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        plain::mask_statistics::<Self>(attended, shift, keep)
    }

    /// The statistics, `[7]`, and the sides, `[words]`, of a mask and its rounded values, both
    /// `[batch, time, values]`.
    fn value_statistics(
        mask: FloatTensor<Self>,
        kept: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        plain::value_statistics::<Self>(mask, kept)
    }

    /// The share of `count` elements whose sides differ, `[1]`, from two tensors of sides, `[words]`.
    fn differing_share(
        left: FloatTensor<Self>,
        right: FloatTensor<Self>,
        count: usize,
    ) -> FloatTensor<Self> {
        plain::differing_share::<Self>(left, right, count)
    }
}

pub mod plain {
    use std::f64::consts::LOG2_E;

    use burn::backend::tensor::{BoolTensor, FloatTensor};
    use burn::backend::{Backend, TensorMetadata, get_or_init_device_settings};
    use burn::tensor::Shape;
    use kernels::mask::Keep;
    use kernels::mask_statistics::SIDES;

    use crate::ops::host_values::host_values;
    use crate::ops::mask::plain::{kept, mask, shifted};
    use crate::ops::tokens::sum_over_tokens;

    /// Plain body of the method of this name.
    pub fn mask_statistics<B: Backend>(
        attended: FloatTensor<B>,
        shift: FloatTensor<B>,
        keep: Keep,
    ) -> (FloatTensor<B>, FloatTensor<B>) {
        let mask = mask::<B>(shifted::<B>(attended, shift));
        value_statistics::<B>(mask.clone(), kept::<B>(mask, keep))
    }

    /// Plain body of the method of this name.
    pub fn value_statistics<B: Backend>(
        mask: FloatTensor<B>,
        kept: FloatTensor<B>,
    ) -> (FloatTensor<B>, FloatTensor<B>) {
        let settings = get_or_init_device_settings::<B>(&mask.device());
        let (bools, dtype) = (settings.bool_dtype, mask.dtype().into());
        let share = |elements: BoolTensor<B>| B::float_mean(B::bool_into_float(elements, dtype));
        let entropy = {
            let logarithm = B::float_log(B::float_add_scalar(mask.clone(), 1e-9.into()));
            B::float_mul_scalar(B::float_mul(mask.clone(), logarithm), (-LOG2_E).into())
        };
        let squared = B::float_mul_scalar(B::float_mul(mask.clone(), mask.clone()), 0.5.into());
        let by_value = sum_over_tokens::<B>(kept.clone());
        let tokens = kept.shape().num_elements() / by_value.shape().num_elements();
        // Counts are whole numbers: a bound between two of them is safe from rounding errors.
        let never = B::float_lower_elem(by_value.clone(), 0.5.into(), bools);
        let always = B::float_greater_elem(by_value, (tokens as f64 - 0.5).into(), bools);
        let statistics = vec![
            B::float_mean(kept),
            share(B::float_greater_elem(mask.clone(), 0.9.into(), bools)),
            share(B::float_lower_elem(mask.clone(), 0.1.into(), bools)),
            B::float_mean(entropy),
            B::float_mean(squared),
            share(never),
            share(always),
        ];
        let sides = B::float_greater_equal_elem(mask, 0.5.into(), bools);
        let words = words::<B>(B::bool_into_float(sides, dtype));
        (B::float_cat(statistics, 0), words)
    }

    /// Sides, 0 or 1, as words.
    fn words<B: Backend>(sides: FloatTensor<B>) -> FloatTensor<B> {
        let (count, device) = (sides.shape().num_elements(), sides.device());
        let dtype = sides.dtype().into();
        let words = count.div_ceil(SIDES);
        let mut sides = B::float_reshape(sides, Shape::new([count]));
        let missing = words * SIDES - count;
        if missing > 0 {
            let zeros = B::float_zeros(Shape::new([missing]), &device, dtype);
            sides = B::float_cat(vec![sides, zeros], 0);
        }
        let places = (0..SIDES as i32).map(|place| 2f32.powi(place)).collect();
        let places = host_values::<B>(places, Shape::new([1, SIDES]), &sides);
        let sides = B::float_reshape(sides, Shape::new([words, SIDES]));
        let sums = B::float_sum_dim(B::float_mul(sides, places), 1);
        B::float_reshape(sums, Shape::new([words]))
    }

    /// Plain body of the method of this name.
    pub fn differing_share<B: Backend>(
        left: FloatTensor<B>,
        right: FloatTensor<B>,
        count: usize,
    ) -> FloatTensor<B> {
        let above = |words: FloatTensor<B>, place: usize| {
            B::float_floor(B::float_mul_scalar(words, 0.5f64.powi(place as i32).into()))
        };
        let bit = |words: FloatTensor<B>, place: usize| {
            let higher = B::float_mul_scalar(above(words.clone(), place + 1), 2.0.into());
            B::float_sub(above(words, place), higher)
        };
        let differing = (0..SIDES).map(|place| {
            let [left, right] = [&left, &right].map(|words| bit(words.clone(), place));
            B::float_abs(B::float_sub(left, right))
        });
        let sum = differing.reduce(B::float_add).expect("sixteen places");
        B::float_mul_scalar(B::float_sum(sum), (1.0 / count as f64).into())
    }
}

/// The statistics and the sides as tensors.
fn tensors(found: MaskStatistics) -> (Float, Float) {
    let statistics = vec![
        found.kept,
        found.near_one,
        found.near_zero,
        found.entropy,
        found.squared,
        found.never_kept,
        found.always_kept,
    ];
    let sides = found.sides.into_iter().map(f32::from).collect();
    (vector(statistics), vector(sides))
}

impl MaskStatisticsOps for Flex {
    fn mask_statistics(attended: Float, shift: Float, keep: Keep) -> (Float, Float) {
        match kernel_inputs([attended, shift]) {
            Ok([attended, shift]) => {
                tensors(kernels::mask_statistics::of_cosine(&attended, &shift, keep))
            }
            Err([attended, shift]) => plain::mask_statistics::<Self>(attended, shift, keep),
        }
    }

    fn value_statistics(mask: Float, kept: Float) -> (Float, Float) {
        match kernel_inputs([mask, kept]) {
            Ok([mask, kept]) => {
                let width = mask.channels();
                tensors(kernels::mask_statistics::of_values(&mask, &kept, width))
            }
            Err([mask, kept]) => plain::value_statistics::<Self>(mask, kept),
        }
    }

    fn differing_share(left: Float, right: Float, count: usize) -> Float {
        match kernel_inputs([left, right]) {
            Ok(inputs) => {
                let [left, right] = inputs
                    .map(|words| -> Vec<u16> { words.iter().map(|&word| word as u16).collect() });
                let share = kernels::mask_statistics::differing_share(&left, &right, count);
                vector(vec![share])
            }
            Err([left, right]) => plain::differing_share::<Self>(left, right, count),
        }
    }
}

#[cfg(feature = "gpu")]
impl MaskStatisticsOps for burn::backend::Cube {}

impl<B: MaskStatisticsOps, C: CheckpointStrategy> MaskStatisticsOps for Autodiff<B, C> {
    fn mask_statistics(
        attended: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        keep: Keep,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let (attended, shift) = (attended.into_primitive(), shift.into_primitive());
        let (statistics, sides) = B::mask_statistics(attended, shift, keep);
        let [statistics, sides] = [statistics, sides].map(<Self as AutodiffBackend>::from_inner);
        (statistics, sides)
    }

    fn value_statistics(
        mask: FloatTensor<Self>,
        kept: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let (statistics, sides) = B::value_statistics(mask.into_primitive(), kept.into_primitive());
        let [statistics, sides] = [statistics, sides].map(<Self as AutodiffBackend>::from_inner);
        (statistics, sides)
    }

    fn differing_share(
        left: FloatTensor<Self>,
        right: FloatTensor<Self>,
        count: usize,
    ) -> FloatTensor<Self> {
        let share = B::differing_share(left.into_primitive(), right.into_primitive(), count);
        <Self as AutodiffBackend>::from_inner(share)
    }
}
