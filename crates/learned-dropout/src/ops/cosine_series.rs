//! Masks that are a series of cosines.

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Flex, backend_extension};
use burn::tensor::Tensor;

use super::cpu::{Float, KernelInput, kernel_inputs, tensor};
use super::tape::Tape;

/// The mask `0.5 + 0.5 Σ_k weight_k cos(k · attended + angle_k)` of weights that are positive and add up
/// to 1 for each value. It is clamped to [0, 1], which rounding may leave; gradients are those without.
///
/// # Shapes
/// - `attended`, result: `[batch, time, values]`
/// - `angles`, `weights`: `[terms, values]`
pub fn cosine_series(attended: Tensor<3>, angles: Tensor<2>, weights: Tensor<2>) -> Tensor<3> {
    on_backend!(cosine_series(attended, angles, weights))
}

/// Series of cosines on a backend.
#[backend_extension(Flex, Cube: cfg(feature = "gpu"), Autodiff)]
pub trait CosineSeriesOps: Backend {
    /// `0.5 + 0.5 Σ_k weight_k cos(k · attended + angle_k)`, in [0, 1]: `attended` is `[batch, time,
    /// values]`, `angles` and `weights` are `[terms, values]`.
    fn cosine_series(
        attended: FloatTensor<Self>,
        angles: FloatTensor<Self>,
        weights: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        plain::cosine_series::<Self>(attended, angles, weights)
    }

    /// The gradients of [`cosine_series`](Self::cosine_series) with respect to all three.
    fn cosine_series_backward(
        gradient: FloatTensor<Self>,
        attended: FloatTensor<Self>,
        angles: FloatTensor<Self>,
        weights: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        plain::cosine_series_backward::<Self>(gradient, attended, angles, weights)
    }
}

pub mod plain {
    use burn::backend::tensor::FloatTensor;
    use burn::backend::{Backend, TensorMetadata};
    use burn::tensor::Slice;

    use crate::ops::tokens::by_token;

    /// Row `term` of `[terms, values]`.
    fn row<B: Backend>(learned: &FloatTensor<B>, term: usize) -> FloatTensor<B> {
        let slices = [Slice::from(term..term + 1), Slice::from(..)];
        B::float_slice(learned.clone(), &slices)
    }

    /// `k · attended + angle_k` of the term with the index `term`, `[tokens, values]`.
    fn argument<B: Backend>(
        rows: &FloatTensor<B>,
        angles: &FloatTensor<B>,
        term: usize,
    ) -> FloatTensor<B> {
        let turned = B::float_mul_scalar(rows.clone(), ((term + 1) as f64).into());
        B::float_add(turned, row::<B>(angles, term))
    }

    /// Plain body of the method of this name.
    pub fn cosine_series<B: Backend>(
        attended: FloatTensor<B>,
        angles: FloatTensor<B>,
        weights: FloatTensor<B>,
    ) -> FloatTensor<B> {
        let shape = attended.shape();
        let rows = by_token::<B>(attended);
        let term = |term| {
            let cosine = B::float_cos(argument::<B>(&rows, &angles, term));
            B::float_mul(cosine, row::<B>(&weights, term))
        };
        let first = term(0);
        let sum = (1..angles.shape()[0]).fold(first, |sum, index| B::float_add(sum, term(index)));
        let mask = B::float_add_scalar(B::float_mul_scalar(sum, 0.5.into()), 0.5.into());
        // Rounded weights add up to a little more than 1 at times.
        B::float_reshape(B::float_clamp(mask, 0.0.into(), 1.0.into()), shape)
    }

    /// Plain body of the method of this name.
    pub fn cosine_series_backward<B: Backend>(
        gradient: FloatTensor<B>,
        attended: FloatTensor<B>,
        angles: FloatTensor<B>,
        weights: FloatTensor<B>,
    ) -> (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>) {
        let shape = attended.shape();
        let rows = by_token::<B>(attended);
        let half = B::float_mul_scalar(by_token::<B>(gradient), 0.5.into());
        let (mut dangles, mut dweights) = (Vec::new(), Vec::new());
        let mut dattended = None;
        for term in 0..angles.shape()[0] {
            let argument = argument::<B>(&rows, &angles, term);
            let cosine = B::float_mul(half.clone(), B::float_cos(argument.clone()));
            let sine = B::float_mul(half.clone(), B::float_sin(argument));
            let slope = B::float_neg(B::float_mul(sine, row::<B>(&weights, term)));
            dweights.push(B::float_sum_dim(cosine, 0));
            dangles.push(B::float_sum_dim(slope.clone(), 0));
            let through_term = B::float_mul_scalar(slope, ((term + 1) as f64).into());
            dattended = Some(match dattended {
                None => through_term,
                Some(sum) => B::float_add(sum, through_term),
            });
        }
        (
            B::float_reshape(dattended.expect("at least one term"), shape),
            B::float_cat(dangles, 0),
            B::float_cat(dweights, 0),
        )
    }
}

/// What is learned of a series, for a kernel.
fn kernel_series<'a>(
    attended: &KernelInput,
    angles: &'a KernelInput,
    weights: &'a KernelInput,
) -> kernels::series::Series<'a> {
    assert_eq!(angles.shape(), weights.shape(), "angles and weights");
    assert_eq!(attended.channels(), angles.channels(), "values of a mask");
    kernels::series::Series {
        angles,
        weights,
        values: angles.channels(),
    }
}

impl CosineSeriesOps for Flex {
    fn cosine_series(attended: Float, angles: Float, weights: Float) -> Float {
        match kernel_inputs([attended, angles, weights]) {
            Ok([attended, angles, weights]) => {
                let series = kernel_series(&attended, &angles, &weights);
                tensor(
                    kernels::series::forward(&attended, series),
                    attended.shape(),
                )
            }
            Err([attended, angles, weights]) => {
                plain::cosine_series::<Self>(attended, angles, weights)
            }
        }
    }

    fn cosine_series_backward(
        gradient: Float,
        attended: Float,
        angles: Float,
        weights: Float,
    ) -> (Float, Float, Float) {
        match kernel_inputs([gradient, attended, angles, weights]) {
            Ok([gradient, attended, angles, weights]) => {
                let series = kernel_series(&attended, &angles, &weights);
                let found = kernels::series::backward(&gradient, &attended, series);
                (
                    tensor(found.attended, attended.shape()),
                    tensor(found.angles, angles.shape()),
                    tensor(found.weights, weights.shape()),
                )
            }
            Err([gradient, attended, angles, weights]) => {
                plain::cosine_series_backward::<Self>(gradient, attended, angles, weights)
            }
        }
    }
}

#[cfg(feature = "gpu")]
impl CosineSeriesOps for burn::backend::Cube {}

impl<B: CosineSeriesOps, C: CheckpointStrategy> CosineSeriesOps for Autodiff<B, C> {
    fn cosine_series(
        attended: FloatTensor<Self>,
        angles: FloatTensor<Self>,
        weights: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        Tape::<B, C>::saving_inputs(
            [attended, angles, weights],
            |[attended, angles, weights]| B::cosine_series(attended, angles, weights),
            |gradient, [attended, angles, weights]| {
                B::cosine_series_backward(gradient, attended, angles, weights)
            },
        )
    }
}
