//! Plain bodies of the loss and of the optimizer.

use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, TensorMetadata};
use burn::tensor::{IndexingUpdateOp, Shape};
use kernels::update::AdamW;

/// Plain body of [`TransformerOps::adamw`](crate::ops::TransformerOps::adamw).
pub fn adamw<B: Backend>(
    parameter: FloatTensor<B>,
    gradient: FloatTensor<B>,
    first: FloatTensor<B>,
    second: FloatTensor<B>,
    step: AdamW,
) -> (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>) {
    let moved = |moment, beta: f32, term| {
        let old = B::float_mul_scalar(moment, beta.into());
        B::float_add(old, B::float_mul_scalar(term, (1.0 - beta).into()))
    };
    let gradient = B::float_mul_scalar(gradient, step.gradient_scale.into());
    let square = B::float_mul(gradient.clone(), gradient.clone());
    let first = moved(first, step.betas[0], gradient);
    let second = moved(second, step.betas[1], square);
    let root = B::float_mul_scalar(B::float_sqrt(second.clone()), step.root_scale.into());
    let change = B::float_div(
        first.clone(),
        B::float_add_scalar(root, step.epsilon.into()),
    );
    let kept = B::float_mul_scalar(parameter, step.decay_factor.into());
    let updated = B::float_sub(kept, B::float_mul_scalar(change, step.rate.into()));
    (updated, first, second)
}

/// Plain body of
/// [`TransformerOps::linear_cross_entropy`](crate::ops::TransformerOps::linear_cross_entropy).
pub fn linear_cross_entropy<B: Backend>(
    hidden: FloatTensor<B>,
    weight: FloatTensor<B>,
    targets: IntTensor<B>,
) -> FloatTensor<B> {
    let logits = B::float_matmul(hidden, B::float_transpose(weight));
    negative_mean_at::<B>(B::log_softmax(logits, 1), targets)
}

fn negative_mean_at<B: Backend>(
    logarithms: FloatTensor<B>,
    targets: IntTensor<B>,
) -> FloatTensor<B> {
    let [tokens, _] = logarithms.shape().dims();
    let targets = B::int_reshape(targets, Shape::new([tokens, 1]));
    B::float_neg(B::float_mean(B::float_gather(1, logarithms, targets)))
}

/// Plain body of [`TransformerOps::linear_cross_entropy_with_gradients`](crate::ops::TransformerOps::linear_cross_entropy_with_gradients).
pub fn linear_cross_entropy_with_gradients<B: Backend>(
    hidden: FloatTensor<B>,
    weight: FloatTensor<B>,
    targets: IntTensor<B>,
) -> (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>) {
    let [tokens, _] = hidden.shape().dims();
    let device = hidden.device();
    let dtype = hidden.dtype().into();
    let logits = B::float_matmul(hidden.clone(), B::float_transpose(weight.clone()));
    let logarithms = B::log_softmax(logits, 1);
    let loss = negative_mean_at::<B>(logarithms.clone(), targets.clone());
    let targets = B::int_reshape(targets, Shape::new([tokens, 1]));
    let minus_one = B::float_full(Shape::new([tokens, 1]), (-1.0).into(), &device, dtype);
    let probabilities = B::float_exp(logarithms);
    let dlogits = B::float_scatter(1, probabilities, targets, minus_one, IndexingUpdateOp::Add);
    let dlogits = B::float_mul_scalar(dlogits, (1.0 / tokens as f64).into());
    let dhidden = B::float_matmul(dlogits.clone(), weight);
    let dweight = B::float_matmul(B::float_transpose(dlogits), hidden);
    (loss, dhidden, dweight)
}
