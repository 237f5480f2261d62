//! The operation of masks that are a series of cosines: its plain bodies, its CPU version and its
//! backward pass.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Flex, TensorMetadata};
use burn::tensor::{Shape, Slice};
use kernels::series;

use super::TransformerOps;
use super::flex::{Float, is_f32, slice, tensor};
use super::reference::by_token;

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

/// Plain body of [`TransformerOps::cosine_series`].
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

/// Plain body of [`TransformerOps::cosine_series_backward`].
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
        let part = B::float_mul_scalar(slope, ((term + 1) as f64).into());
        dattended = Some(match dattended {
            None => part,
            Some(sum) => B::float_add(sum, part),
        });
    }
    (
        B::float_reshape(dattended.expect("at least one term"), shape),
        B::float_cat(dangles, 0),
        B::float_cat(dweights, 0),
    )
}

fn learned<'a>(attended: &Float, angles: &'a Float, weights: &'a Float) -> series::Series<'a> {
    assert_eq!(angles.shape(), weights.shape(), "angles and weights");
    let shape = attended.shape();
    let values = shape[shape.num_dims() - 1];
    assert_eq!(values, angles.shape()[1], "values of a mask");
    series::Series {
        angles: slice(angles),
        weights: slice(weights),
        values,
    }
}

/// The operation by the kernel.
pub(super) fn on_cpu(attended: Float, angles: Float, weights: Float) -> Float {
    if !is_f32(&[&attended, &angles, &weights]) {
        return cosine_series::<Flex>(attended, angles, weights);
    }
    let [attended, angles, weights] =
        [attended, angles, weights].map(|tensor| tensor.to_contiguous());
    let masks = series::forward(slice(&attended), learned(&attended, &angles, &weights));
    tensor(masks, attended.shape())
}

/// The gradients by the kernel.
pub(super) fn backward_on_cpu(
    gradient: Float,
    attended: Float,
    angles: Float,
    weights: Float,
) -> (Float, Float, Float) {
    if !is_f32(&[&gradient, &attended, &angles, &weights]) {
        return cosine_series_backward::<Flex>(gradient, attended, angles, weights);
    }
    let [gradient, attended, angles, weights] =
        [gradient, attended, angles, weights].map(|tensor| tensor.to_contiguous());
    let gradients = series::backward(
        slice(&gradient),
        slice(&attended),
        learned(&attended, &angles, &weights),
    );
    let learned = |values| -> Float {
        let shape: Shape = angles.shape();
        tensor(values, shape)
    };
    (
        tensor(gradients.attended, attended.shape()),
        learned(gradients.angles),
        learned(gradients.weights),
    )
}

/// What goes backwards through a series of cosines.
#[derive(Debug)]
pub(super) struct CosineSeries;

impl<B: TransformerOps> Backward<B, 3> for CosineSeries {
    type State = [FloatTensor<B>; 3];

    fn backward(
        self,
        ops: Ops<Self::State, 3>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let gradient = gradients.consume::<B>(&ops.node);
        let [attended, angles, weights] = ops.state;
        let (dattended, dangles, dweights) =
            B::cosine_series_backward(gradient, attended, angles, weights);
        let parts = [dattended, dangles, dweights];
        for (parent, part) in ops.parents.into_iter().zip(parts) {
            if let Some(node) = parent {
                gradients.register::<B>(node.id, part);
            }
        }
    }
}
