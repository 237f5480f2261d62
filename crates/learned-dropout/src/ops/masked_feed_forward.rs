//! The dense feed-forward with a mask on its hidden units that is known before them.

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::Tensor;
use kernels::activation::Activation;
use kernels::feed_forward::Wanted;
use kernels::kept_groups::KeptGroups;
use kernels::product::Precision;
use kernels::unit_sum::UnitSum;
use kernels::{feed_forward, grouped};

use super::cpu::{Float, KernelInput, kernel_inputs, tensor, vector};
use super::feed_forward::{
    HiddenUnits, kernel_gradients, kernel_shape, kernel_sums, kernel_weights, nothing_like,
};
use super::tape::Tape;

/// How a masked feed-forward is computed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MaskedSettings {
    /// What the norm adds to the variance.
    pub epsilon: f32,
    /// The activation function of the hidden units.
    pub activation: Activation,
    /// Whether the gradient of a factor of 0 is 0.
    pub kept_only: bool,
    /// What the CPU backend rounds operands to.
    pub precision: Precision,
}

/// [`norm_feed_forward`](super::norm_feed_forward) with hidden units that are multiplied by factors after
/// the activation function; unit `i` by factor `i / group`, with as many units to a group as the shapes say.
///
/// # Shapes
/// - `x`, result: `[batch, time, channels]`
/// - `norm`: `[channels]`; without it `x` is taken as it is
/// - `up`: `[hidden, channels]`
/// - `down`: `[channels, hidden]`
/// - `factors`: `[batch, time, groups]`, with groups a divisor of hidden
pub fn masked_feed_forward(
    x: Tensor<3>,
    norm: impl Into<Option<Tensor<1>>>,
    [up, down]: [Tensor<2>; 2],
    factors: Tensor<3>,
    settings: MaskedSettings,
) -> Tensor<3> {
    check_groups(&up, &factors);
    let norm = norm_or_nothing(norm.into(), &x);
    on_backend!(masked_feed_forward(x, norm, up, down, factors; settings))
}

/// [`masked_feed_forward`], and the sum of the hidden units whose factor is not 0.
pub fn masked_feed_forward_with_sum(
    x: Tensor<3>,
    norm: impl Into<Option<Tensor<1>>>,
    [up, down]: [Tensor<2>; 2],
    factors: Tensor<3>,
    settings: MaskedSettings,
) -> (Tensor<3>, HiddenUnits) {
    check_groups(&up, &factors);
    let norm = norm_or_nothing(norm.into(), &x);
    let (output, sums) = Dispatch::masked_feed_forward_with_sum(
        x.into_dispatch(),
        norm.into_dispatch(),
        up.into_dispatch(),
        down.into_dispatch(),
        factors.into_dispatch(),
        settings,
    );
    let sums = HiddenUnits::new(Tensor::from_dispatch(sums));
    (Tensor::from_dispatch(output), sums)
}

/// The norm, or `[0]` for none.
fn norm_or_nothing(norm: Option<Tensor<1>>, x: &Tensor<3>) -> Tensor<1> {
    norm.unwrap_or_else(|| Tensor::zeros([0], (&x.device(), x.dtype())))
}

fn check_groups(up: &Tensor<2>, factors: &Tensor<3>) {
    let ([hidden, _], [_, _, groups]) = (up.dims(), factors.dims());
    assert!(
        groups > 0 && hidden.is_multiple_of(groups),
        "{groups} groups do not divide {hidden} hidden units"
    );
}

/// Masked feed-forwards on a backend.
#[backend_extension(Flex, Cube: cfg(feature = "gpu"), Autodiff)]
pub trait MaskedFeedForwardOps: Backend {
    /// `(activation(norm(x) · upᵀ) · factors) · downᵀ`, with one factor for each group of neighbouring hidden
    /// units, `factors` of `[batch, time, groups]`. A unit whose factor is 0 need not be computed. With a norm
    /// of `[0]`, `x` is normalized already.
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

    /// [`masked_feed_forward`](Self::masked_feed_forward), and the sum of the hidden units whose factor is
    /// not 0, and the share of them that are not 0, `[2]`. The share has no gradient.
    fn masked_feed_forward_with_sum(
        x: FloatTensor<Self>,
        norm: FloatTensor<Self>,
        up: FloatTensor<Self>,
        down: FloatTensor<Self>,
        factors: FloatTensor<Self>,
        settings: MaskedSettings,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        plain::masked_feed_forward_with_sum::<Self>(x, norm, up, down, factors, settings)
    }

    /// The gradients with respect to `x`, `norm`, `up`, `down` and `factors` for those of the output and of
    /// what [`masked_feed_forward_with_sum`](Self::masked_feed_forward_with_sum) gives besides it, `[2]` or
    /// nothing, `[0]`. With `settings.kept_only`, the gradient of a factor of 0 is 0, and
    /// then a unit whose factor is 0 need not be computed here either.
    // `backend_extension` does not see through a type alias.
    #[allow(clippy::type_complexity, clippy::too_many_arguments)]
    fn masked_feed_forward_backward(
        gradient: FloatTensor<Self>,
        dsums: FloatTensor<Self>,
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
        plain::masked_feed_forward_backward::<Self>(
            gradient, dsums, x, norm, up, down, factors, settings,
        )
    }
}

pub mod plain {
    use burn::backend::tensor::FloatTensor;
    use burn::backend::{Backend, TensorMetadata};

    use super::MaskedSettings;
    use crate::ops::activation::plain::{activated, activated_backward};
    use crate::ops::feed_forward::plain::{gradient_of_sum, sum_and_share};
    use crate::ops::grouped_product::plain::{grouped_product, grouped_product_backward};
    use crate::ops::linear::plain::{linear_without_bias, linear_without_bias_backward};
    use crate::ops::norm::plain::{norm_linear, norm_linear_backward};
    use crate::ops::routing::plain::used;

    /// Plain body of the method of this name.
    pub fn masked_feed_forward<B: Backend>(
        x: FloatTensor<B>,
        norm: FloatTensor<B>,
        up: FloatTensor<B>,
        down: FloatTensor<B>,
        factors: FloatTensor<B>,
        settings: MaskedSettings,
    ) -> FloatTensor<B> {
        let (units, group) = hidden_units::<B>(x, norm, up, &factors, settings);
        linear_without_bias::<B>(grouped_product::<B>(units, factors, group), down)
    }

    /// Plain body of the method of this name.
    pub fn masked_feed_forward_with_sum<B: Backend>(
        x: FloatTensor<B>,
        norm: FloatTensor<B>,
        up: FloatTensor<B>,
        down: FloatTensor<B>,
        factors: FloatTensor<B>,
        settings: MaskedSettings,
    ) -> (FloatTensor<B>, FloatTensor<B>) {
        let (units, group) = hidden_units::<B>(x, norm, up, &factors, settings);
        let kept = kept_units::<B>(&units, &factors, group);
        let sums = sum_and_share::<B>(units.clone(), kept, settings.activation);
        let masked = grouped_product::<B>(units, factors, group);
        (linear_without_bias::<B>(masked, down), sums)
    }

    /// The hidden units after the activation function, and how many of them share a factor.
    fn hidden_units<B: Backend>(
        x: FloatTensor<B>,
        norm: FloatTensor<B>,
        up: FloatTensor<B>,
        factors: &FloatTensor<B>,
        settings: MaskedSettings,
    ) -> (FloatTensor<B>, usize) {
        let group = up.shape()[0] / factors.shape()[2];
        let hidden = before_activation::<B>(x, norm, up, settings.epsilon);
        (activated::<B>(hidden, settings.activation), group)
    }

    /// The up projection of the norm of `x`, or of `x` with a norm of `[0]`.
    fn before_activation<B: Backend>(
        x: FloatTensor<B>,
        norm: FloatTensor<B>,
        up: FloatTensor<B>,
        epsilon: f32,
    ) -> FloatTensor<B> {
        match norm.shape()[0] {
            0 => linear_without_bias::<B>(x, up),
            _ => norm_linear::<B>(x, norm, up, epsilon),
        }
    }

    /// 1 for the units whose factor is not 0, else 0; in the shape of the units.
    fn kept_units<B: Backend>(
        units: &FloatTensor<B>,
        factors: &FloatTensor<B>,
        group: usize,
    ) -> FloatTensor<B> {
        let ones = B::float_ones(units.shape(), &units.device(), units.dtype().into());
        grouped_product::<B>(ones, used::<B>(factors.clone()), group)
    }

    /// The gradients with respect to five inputs.
    type Five<T> = (T, T, T, T, T);

    /// Plain body of the method of this name.
    #[allow(clippy::too_many_arguments)]
    pub fn masked_feed_forward_backward<B: Backend>(
        gradient: FloatTensor<B>,
        dsums: FloatTensor<B>,
        x: FloatTensor<B>,
        norm: FloatTensor<B>,
        up: FloatTensor<B>,
        down: FloatTensor<B>,
        factors: FloatTensor<B>,
        settings: MaskedSettings,
    ) -> Five<FloatTensor<B>> {
        let epsilon = settings.epsilon;
        let group = up.shape()[0] / factors.shape()[2];
        let hidden = before_activation::<B>(x.clone(), norm.clone(), up.clone(), epsilon);
        let units = activated::<B>(hidden.clone(), settings.activation);
        let dkept = gradient_of_sum::<B>(dsums)
            .map(|dsum| B::float_mul(kept_units::<B>(&units, &factors, group), dsum));
        let masked = grouped_product::<B>(units.clone(), factors.clone(), group);
        let (dmasked, ddown) = linear_without_bias_backward::<B>(gradient, masked, down);
        let (dunits, dfactors) =
            grouped_product_backward::<B>(dmasked, units, factors, group, settings.kept_only);
        let dunits = match dkept {
            Some(dkept) => B::float_add(dunits, dkept),
            None => dunits,
        };
        let dhidden = activated_backward::<B>(dunits, hidden, settings.activation);
        let (dx, dnorm, dup) = match norm.shape()[0] {
            0 => {
                let (dx, dup) = linear_without_bias_backward::<B>(dhidden, x, up);
                (dx, norm, dup)
            }
            _ => norm_linear_backward::<B>(dhidden, x, norm, up, epsilon),
        };
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

/// The share of factors that are not 0; 1 if there are none.
pub(super) fn kept_share(factors: &[f32]) -> f64 {
    match factors.len() {
        0 => 1.0,
        all => factors.iter().filter(|factor| **factor != 0.0).count() as f64 / all as f64,
    }
}

/// The kept groups, where it is faster to compute them alone.
fn few_kept(
    factors: &feed_forward::Factors<'_>,
    shape: feed_forward::Shape,
    precision: Precision,
) -> Option<KeptGroups> {
    let share = kept_share(factors.values);
    grouped::is_faster_than_dense(factors.group, share, precision).then(|| {
        let groups = shape.hidden / factors.group;
        KeptGroups::with_factors(factors.values, shape.tokens, groups)
    })
}

/// The output and, if `with_sum`, the sums of a kernel from `x`, `norm`, `up`, `down` and `factors`.
fn forward(
    [x, norm, up, down, factors]: &[KernelInput; 5],
    settings: MaskedSettings,
    with_sum: bool,
) -> (Float, Option<Float>) {
    let shape = kernel_shape(x, up);
    let weights = kernel_weights(norm, up, down, (settings.epsilon, settings.activation));
    let factors = kernel_factors(factors, shape, settings);
    let precision = settings.precision;
    let (y, sum) = match few_kept(&factors, shape, precision) {
        Some(kept) if with_sum => grouped::forward_with_sum(x, &weights, &kept, shape, precision),
        Some(kept) => {
            let y = grouped::forward(x, &weights, &kept, shape, precision);
            (y, UnitSum::default())
        }
        None => {
            let wanted = Wanted {
                before: false,
                sum: with_sum,
            };
            let factors = Some(factors);
            let found = feed_forward::forward_with(x, &weights, factors, wanted, shape, precision);
            (found.y, found.sum)
        }
    };
    let sums = with_sum.then(|| {
        let kept = factors.values.iter().filter(|factor| **factor != 0.0);
        kernel_sums(sum, kept.count() * factors.group, settings.activation)
    });
    (tensor(y, x.shape()), sums)
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
            Ok(inputs) => forward(&inputs, settings, false).0,
            Err([x, norm, up, down, factors]) => {
                plain::masked_feed_forward::<Self>(x, norm, up, down, factors, settings)
            }
        }
    }

    fn masked_feed_forward_with_sum(
        x: Float,
        norm: Float,
        up: Float,
        down: Float,
        factors: Float,
        settings: MaskedSettings,
    ) -> (Float, Float) {
        match kernel_inputs([x, norm, up, down, factors]) {
            Ok(inputs) => {
                let (y, sums) = forward(&inputs, settings, true);
                (y, sums.unwrap_or_else(|| vector(Vec::new())))
            }
            Err([x, norm, up, down, factors]) => {
                plain::masked_feed_forward_with_sum::<Self>(x, norm, up, down, factors, settings)
            }
        }
    }

    fn masked_feed_forward_backward(
        gradient: Float,
        dsums: Float,
        x: Float,
        norm: Float,
        up: Float,
        down: Float,
        factors: Float,
        settings: MaskedSettings,
    ) -> (Float, Float, Float, Float, Float) {
        match kernel_inputs([gradient, dsums, x, norm, up, down, factors]) {
            Ok([gradient, dsums, x, norm, up, down, factors]) => {
                let shape = kernel_shape(&x, &up);
                let layer = (settings.epsilon, settings.activation);
                let weights = kernel_weights(&norm, &up, &down, layer);
                let gradients = kernel_gradients(&gradient, &dsums);
                let masks = kernel_factors(&factors, shape, settings);
                let precision = settings.precision;
                // The exact gradient of a mask needs what is dropped.
                let kept = few_kept(&masks, shape, precision).filter(|_| settings.kept_only);
                let found = match kept {
                    Some(kept) => {
                        grouped::backward_with_sum(gradients, &x, &weights, &kept, shape, precision)
                    }
                    None => {
                        let masks = Some(masks);
                        feed_forward::backward_with(
                            gradients,
                            &x,
                            &weights,
                            masks,
                            &[],
                            shape,
                            precision,
                        )
                    }
                };
                (
                    tensor(found.x, x.shape()),
                    tensor(found.norm, norm.shape()),
                    tensor(found.up, up.shape()),
                    tensor(found.down, down.shape()),
                    tensor(found.factors, factors.shape()),
                )
            }
            Err([gradient, dsums, x, norm, up, down, factors]) => {
                plain::masked_feed_forward_backward::<Self>(
                    gradient, dsums, x, norm, up, down, factors, settings,
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
                let dsums = nothing_like::<B>(&x);
                B::masked_feed_forward_backward(
                    gradient, dsums, x, norm, up, down, factors, settings,
                )
            },
        )
    }

    fn masked_feed_forward_with_sum(
        x: FloatTensor<Self>,
        norm: FloatTensor<Self>,
        up: FloatTensor<Self>,
        down: FloatTensor<Self>,
        factors: FloatTensor<Self>,
        settings: MaskedSettings,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let forward = |[x, norm, up, down, factors]: [FloatTensor<B>; 5]| {
            B::masked_feed_forward_with_sum(x, norm, up, down, factors, settings)
        };
        Tape::<B, C>::saving_with_second(
            [x, norm, up, down, factors],
            forward,
            |inputs| (forward(inputs.clone()), inputs),
            move |(gradient, dsums), [x, norm, up, down, factors]| {
                B::masked_feed_forward_backward(
                    gradient, dsums, x, norm, up, down, factors, settings,
                )
            },
        )
    }
}
