//! Feed-forwards on the CPU backend, by the kernels.

use burn::backend::{Flex, TensorMetadata};
use burn::tensor::Shape;
use kernels::memory::SAVED_VALUES;
use kernels::{feed_forward, grouped};

use super::slices::*;
use crate::ops::{MaskedSettings, NormSettings, reference};

/// Input, norm, up weight and down weight.
type Inputs = [Float; 4];

pub(super) fn of(inputs: Inputs, settings: NormSettings) -> Float {
    let [x, norm, up, down] = inputs.each_ref();
    if !is_f32(&[x, norm, up, down]) {
        let [x, norm, up, down] = inputs;
        return reference::norm_feed_forward::<Flex>(x, norm, up, down, settings.epsilon);
    }
    let [x, norm, up, down] = inputs.map(|tensor| tensor.to_contiguous());
    let weights = feed_forward_weights(&norm, &up, &down, settings.epsilon);
    let shape = feed_forward_shape(&x, &up);
    let output = feed_forward::forward(slice(&x), &weights, shape, settings.precision);
    tensor(output, x.shape())
}

/// The output, and what the hidden units are before the GELU, unless it is much.
pub(super) fn keeping(inputs: Inputs, settings: NormSettings) -> (Float, Float) {
    let [x, norm, up, down] = inputs.each_ref();
    let shape = feed_forward_shape(x, up);
    if !is_f32(&[x, norm, up, down]) || shape.tokens * shape.hidden > SAVED_VALUES {
        return (of(inputs, settings), tensor(Vec::new(), Shape::new([0])));
    }
    let [x, norm, up, down] = inputs.map(|tensor| tensor.to_contiguous());
    let weights = feed_forward_weights(&norm, &up, &down, settings.epsilon);
    let (output, before) =
        feed_forward::forward_saving(slice(&x), &weights, shape, settings.precision);
    (
        tensor(output, x.shape()),
        tensor(before, with_channels(&x, shape.hidden)),
    )
}

pub(super) fn backward(
    gradient: Float,
    inputs: Inputs,
    kept: Float,
    settings: NormSettings,
) -> (Float, Float, Float, Float) {
    let [x, norm, up, down] = inputs;
    let NormSettings { epsilon, precision } = settings;
    if !is_f32(&[&gradient, &x, &norm, &up, &down]) {
        return reference::norm_feed_forward_backward::<Flex>(gradient, x, norm, up, down, epsilon);
    }
    let [gradient, x, norm, up, down] =
        [gradient, x, norm, up, down].map(|tensor| tensor.to_contiguous());
    let weights = feed_forward_weights(&norm, &up, &down, epsilon);
    let shape = feed_forward_shape(&x, &up);
    let (gradient, input, kept) = (slice(&gradient), slice(&x), slice(&kept));
    let gradients = if kept.is_empty() {
        feed_forward::backward(gradient, input, &weights, shape, precision)
    } else {
        feed_forward::backward_saved(gradient, input, &weights, kept, shape, precision)
    };
    (
        tensor(gradients.x, x.shape()),
        tensor(gradients.norm, norm.shape()),
        tensor(gradients.up, up.shape()),
        tensor(gradients.down, down.shape()),
    )
}

/// `inputs` are those of a feed-forward and the factors.
pub(super) fn masked(inputs: [Float; 5], settings: MaskedSettings) -> Float {
    let [x, norm, up, down, factors] = inputs;
    if !is_f32(&[&x, &norm, &up, &down, &factors]) {
        return reference::masked_feed_forward::<Flex>(x, norm, up, down, factors, settings);
    }
    let [x, norm, up, down, factors] =
        [x, norm, up, down, factors].map(|tensor| tensor.to_contiguous());
    let shape = feed_forward_shape(&x, &up);
    let weights = feed_forward_weights(&norm, &up, &down, settings.epsilon);
    let precision = settings.precision;
    let factors = hidden_factors(&factors, shape, settings);
    let output = match few_kept(&factors, shape, precision) {
        Some(kept) => grouped::forward(slice(&x), &weights, &kept, shape, precision),
        None => feed_forward::forward_masked(slice(&x), &weights, Some(factors), shape, precision),
    };
    tensor(output, x.shape())
}

pub(super) fn masked_backward(
    gradient: Float,
    inputs: [Float; 5],
    settings: MaskedSettings,
) -> (Float, Float, Float, Float, Float) {
    let [x, norm, up, down, factors] = inputs;
    if !is_f32(&[&gradient, &x, &norm, &up, &down, &factors]) {
        return reference::masked_feed_forward_backward::<Flex>(
            gradient, x, norm, up, down, factors, settings,
        );
    }
    let [gradient, x, norm, up, down, factors] =
        [gradient, x, norm, up, down, factors].map(|tensor| tensor.to_contiguous());
    let shape = feed_forward_shape(&x, &up);
    let weights = feed_forward_weights(&norm, &up, &down, settings.epsilon);
    let masks = hidden_factors(&factors, shape, settings);
    let (gradient, input, precision) = (slice(&gradient), slice(&x), settings.precision);
    // The exact gradient of a mask needs what is dropped.
    let kept = few_kept(&masks, shape, precision).filter(|_| settings.kept_only);
    let [dx, dnorm, dup, ddown, dfactors] = match kept {
        Some(kept) => {
            let found = grouped::backward(gradient, input, &weights, &kept, shape, precision);
            [found.x, found.norm, found.up, found.down, found.mask]
        }
        None => {
            let masks = Some(masks);
            let found =
                feed_forward::backward_masked(gradient, input, &weights, masks, shape, precision);
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
