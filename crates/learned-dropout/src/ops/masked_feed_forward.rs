//! The dense feed-forward with a mask on its hidden units that is known before them.

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Flex, backend_extension};
use burn::tensor::Tensor;
use kernels::kept_groups::KeptGroups;
use kernels::product::Precision;
use kernels::{feed_forward, grouped};

use super::cpu::{Float, KernelInput, kernel_inputs, tensor};
use super::feed_forward::{kernel_shape, kernel_weights};
use super::tape::Tape;

/// How a masked feed-forward is computed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MaskedSettings {
    /// What the norm adds to the variance.
    pub epsilon: f32,
    /// Whether the gradient of a factor of 0 is 0.
    pub kept_only: bool,
    /// What the CPU backend rounds operands to.
    pub precision: Precision,
}

/// [`norm_feed_forward`](super::norm_feed_forward) with hidden units that are multiplied by factors after
/// the GELU; unit `i` by factor `i / group`, with as many units to a group as the shapes say.
///
/// # Shapes
/// - `x`, result: `[batch, time, channels]`
/// - `norm`: `[channels]`
/// - `up`: `[hidden, channels]`
/// - `down`: `[channels, hidden]`
/// - `factors`: `[batch, time, groups]`, with groups a divisor of hidden
pub fn masked_feed_forward(
    x: Tensor<3>,
    norm: Tensor<1>,
    [up, down]: [Tensor<2>; 2],
    factors: Tensor<3>,
    settings: MaskedSettings,
) -> Tensor<3> {
    let ([hidden, _], [_, _, groups]) = (up.dims(), factors.dims());
    assert!(
        groups > 0 && hidden.is_multiple_of(groups),
        "{groups} groups do not divide {hidden} hidden units"
    );
    on_backend!(masked_feed_forward(x, norm, up, down, factors; settings))
}

/// Masked feed-forwards on a backend.
#[backend_extension(Flex, Cube: cfg(feature = "gpu"), Autodiff)]
pub trait MaskedFeedForwardOps: Backend {
    /// `(gelu(norm(x) · upᵀ) · factors) · downᵀ`, with one factor for each group of neighbouring hidden
    /// units, `factors` of `[batch, time, groups]`. A unit whose factor is 0 need not be computed.
    fn masked_feed_forward(
        x: FloatTensor<Self>,
        norm: FloatTensor<Self>,
        up: FloatTensor<Self>,
        down: FloatTensor<Self>,
        factors: FloatTensor<Self>,
        settings: MaskedSettings,
    ) -> FloatTensor<Self> {
        plain::masked_feed_forward::<Self>(x, norm, up, down, factors, settings)
    }

    /// The gradients of [`masked_feed_forward`](Self::masked_feed_forward) with respect to `x`, `norm`,
    /// `up`, `down` and `factors`. With `settings.kept_only`, the gradient of a factor of 0 is 0, and
    /// then a unit whose factor is 0 need not be computed here either.
    // `backend_extension` does not see through a type alias.
    #[allow(clippy::type_complexity)]
    fn masked_feed_forward_backward(
        gradient: FloatTensor<Self>,
        x: FloatTensor<Self>,
        norm: FloatTensor<Self>,
        up: FloatTensor<Self>,
        down: FloatTensor<Self>,
        factors: FloatTensor<Self>,
        settings: MaskedSettings,
    ) -> (
        FloatTensor<Self>,
        FloatTensor<Self>,
        FloatTensor<Self>,
        FloatTensor<Self>,
        FloatTensor<Self>,
    ) {
        plain::masked_feed_forward_backward::<Self>(gradient, x, norm, up, down, factors, settings)
    }
}

pub mod plain {
    use burn::backend::tensor::FloatTensor;
    use burn::backend::{Backend, TensorMetadata};

    use super::MaskedSettings;
    use crate::ops::activation::plain::{exact_gelu, exact_gelu_backward};
    use crate::ops::grouped_product::plain::{grouped_product, grouped_product_backward};
    use crate::ops::linear::plain::{linear_without_bias, linear_without_bias_backward};
    use crate::ops::norm::plain::{norm_linear, norm_linear_backward};

    /// Plain body of the method of this name.
    pub fn masked_feed_forward<B: Backend>(
        x: FloatTensor<B>,
        norm: FloatTensor<B>,
        up: FloatTensor<B>,
        down: FloatTensor<B>,
        factors: FloatTensor<B>,
        settings: MaskedSettings,
    ) -> FloatTensor<B> {
        let group = up.shape()[0] / factors.shape()[2];
        let units = exact_gelu::<B>(norm_linear::<B>(x, norm, up, settings.epsilon));
        linear_without_bias::<B>(grouped_product::<B>(units, factors, group), down)
    }

    /// The gradients with respect to five inputs.
    type Five<T> = (T, T, T, T, T);

    /// Plain body of the method of this name.
    pub fn masked_feed_forward_backward<B: Backend>(
        gradient: FloatTensor<B>,
        x: FloatTensor<B>,
        norm: FloatTensor<B>,
        up: FloatTensor<B>,
        down: FloatTensor<B>,
        factors: FloatTensor<B>,
        settings: MaskedSettings,
    ) -> Five<FloatTensor<B>> {
        let epsilon = settings.epsilon;
        let group = up.shape()[0] / factors.shape()[2];
        let hidden = norm_linear::<B>(x.clone(), norm.clone(), up.clone(), epsilon);
        let units = exact_gelu::<B>(hidden.clone());
        let masked = grouped_product::<B>(units.clone(), factors.clone(), group);
        let (dmasked, ddown) = linear_without_bias_backward::<B>(gradient, masked, down);
        let (dunits, dfactors) =
            grouped_product_backward::<B>(dmasked, units, factors, group, settings.kept_only);
        let dhidden = exact_gelu_backward::<B>(dunits, hidden);
        let (dx, dnorm, dup) = norm_linear_backward::<B>(dhidden, x, norm, up, epsilon);
        (dx, dnorm, dup, ddown, dfactors)
    }
}

/// The factors for a kernel.
fn kernel_factors(
    factors: &KernelInput,
    shape: feed_forward::Shape,
    settings: MaskedSettings,
) -> feed_forward::Factors<'_> {
    feed_forward::Factors {
        values: factors,
        group: shape.hidden / factors.channels(),
        kept_only: settings.kept_only,
    }
}

/// The kept groups of a mask of zeros and ones, where it is faster to compute them alone.
fn few_kept(
    factors: &feed_forward::Factors<'_>,
    shape: feed_forward::Shape,
    precision: Precision,
) -> Option<KeptGroups> {
    let count = |wanted| {
        let factors = factors.values.iter();
        factors.filter(|&&factor| factor == wanted).count()
    };
    let (ones, zeros) = (count(1.0), count(0.0));
    let all = factors.values.len();
    let few = grouped::worth_it(factors.group, ones as f64 / all.max(1) as f64, precision);
    (few && ones + zeros == all)
        .then(|| KeptGroups::new(factors.values, shape.tokens, shape.hidden / factors.group))
}

impl MaskedFeedForwardOps for Flex {
    fn masked_feed_forward(
        x: Float,
        norm: Float,
        up: Float,
        down: Float,
        factors: Float,
        settings: MaskedSettings,
    ) -> Float {
        match kernel_inputs([x, norm, up, down, factors]) {
            Ok([x, norm, up, down, factors]) => {
                let shape = kernel_shape(&x, &up);
                let weights = kernel_weights(&norm, &up, &down, settings.epsilon);
                let factors = kernel_factors(&factors, shape, settings);
                let precision = settings.precision;
                let output = match few_kept(&factors, shape, precision) {
                    Some(kept) => grouped::forward(&x, &weights, &kept, shape, precision),
                    None => {
                        feed_forward::forward_masked(&x, &weights, Some(factors), shape, precision)
                    }
                };
                tensor(output, x.shape())
            }
            Err([x, norm, up, down, factors]) => {
                plain::masked_feed_forward::<Self>(x, norm, up, down, factors, settings)
            }
        }
    }

    fn masked_feed_forward_backward(
        gradient: Float,
        x: Float,
        norm: Float,
        up: Float,
        down: Float,
        factors: Float,
        settings: MaskedSettings,
    ) -> (Float, Float, Float, Float, Float) {
        match kernel_inputs([gradient, x, norm, up, down, factors]) {
            Ok([gradient, x, norm, up, down, factors]) => {
                let shape = kernel_shape(&x, &up);
                let weights = kernel_weights(&norm, &up, &down, settings.epsilon);
                let masks = kernel_factors(&factors, shape, settings);
                let precision = settings.precision;
                // The exact gradient of a mask needs what is dropped.
                let kept = few_kept(&masks, shape, precision).filter(|_| settings.kept_only);
                let [dx, dnorm, dup, ddown, dfactors] = match kept {
                    Some(kept) => {
                        let found =
                            grouped::backward(&gradient, &x, &weights, &kept, shape, precision);
                        [found.x, found.norm, found.up, found.down, found.mask]
                    }
                    None => {
                        let masks = Some(masks);
                        let found = feed_forward::backward_masked(
                            &gradient, &x, &weights, masks, shape, precision,
                        );
                        [found.x, found.norm, found.up, found.down, found.factors]
                    }
                };
                (
                    tensor(dx, x.shape()),
                    tensor(dnorm, norm.shape()),
                    tensor(dup, up.shape()),
                    tensor(ddown, down.shape()),
                    tensor(dfactors, factors.shape()),
                )
            }
            Err([gradient, x, norm, up, down, factors]) => {
                plain::masked_feed_forward_backward::<Self>(
                    gradient, x, norm, up, down, factors, settings,
                )
            }
        }
    }
}

#[cfg(feature = "gpu")]
impl MaskedFeedForwardOps for burn::backend::Cube {}

impl<B: MaskedFeedForwardOps, C: CheckpointStrategy> MaskedFeedForwardOps for Autodiff<B, C> {
    fn masked_feed_forward(
        x: FloatTensor<Self>,
        norm: FloatTensor<Self>,
        up: FloatTensor<Self>,
        down: FloatTensor<Self>,
        factors: FloatTensor<Self>,
        settings: MaskedSettings,
    ) -> FloatTensor<Self> {
        Tape::<B, C>::saving_inputs(
            [x, norm, up, down, factors],
            |[x, norm, up, down, factors]| {
                B::masked_feed_forward(x, norm, up, down, factors, settings)
            },
            move |gradient, [x, norm, up, down, factors]| {
                B::masked_feed_forward_backward(gradient, x, norm, up, down, factors, settings)
            },
        )
    }
}
