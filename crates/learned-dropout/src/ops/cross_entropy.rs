//! The output layer and the cross-entropy in one operation: the logits of all tokens at once would be the
//! largest tensor by far.

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Autodiff, AutodiffBackend, Flex, backend_extension};
use burn::tensor::{Int, Tensor};
use kernels::product::Precision;

use super::arithmetic::ArithmeticOps;
use super::cpu::{Float, KernelInput, are_f32, indices, tensor, vector};
use super::tape::Tape;

/// The mean cross-entropy of `softmax(hidden · weightᵀ)` in nats, `[1]`.
///
/// # Shapes
/// - `hidden`: `[tokens, channels]`
/// - `weight`: `[vocabulary, channels]`
/// - `targets`: `[tokens]`, each below the vocabulary
pub fn linear_cross_entropy(
    hidden: Tensor<2>,
    weight: Tensor<2>,
    targets: Tensor<1, Int>,
    precision: Precision,
) -> Tensor<1> {
    on_backend!(linear_cross_entropy(hidden, weight, targets; precision))
}

/// The cross-entropy of each token in nats, `[tokens]`: those whose mean [`linear_cross_entropy`] gives.
/// Without gradient.
///
/// # Shapes
/// - `hidden`: `[tokens, channels]`
/// - `weight`: `[vocabulary, channels]`
/// - `targets`: `[tokens]`, each below the vocabulary
pub fn token_losses(
    hidden: Tensor<2>,
    weight: Tensor<2>,
    targets: Tensor<1, Int>,
    precision: Precision,
) -> Tensor<1> {
    on_backend!(token_losses(hidden, weight, targets; precision))
}

/// Cross-entropies on a backend.
#[backend_extension(Flex, Cube: cfg(feature = "gpu"), Autodiff)]
pub trait CrossEntropyOps: ArithmeticOps {
    /// The mean cross-entropy, `[1]`, of `softmax(hidden · weightᵀ)` in nats, for `hidden` of
    /// `[tokens, channels]`, `weight` of `[vocabulary, channels]` and `targets` of `[tokens]`.
    fn linear_cross_entropy(
        hidden: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        targets: IntTensor<Self>,
        _precision: Precision,
    ) -> FloatTensor<Self> {
        plain::linear_cross_entropy::<Self>(hidden, weight, targets)
    }

    /// The value of [`linear_cross_entropy`](Self::linear_cross_entropy) and its gradients with
    /// respect to `hidden` and `weight`.
    fn linear_cross_entropy_with_gradients(
        hidden: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        targets: IntTensor<Self>,
        _precision: Precision,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        plain::linear_cross_entropy_with_gradients::<Self>(hidden, weight, targets)
    }

    /// The cross-entropy of each token, `[tokens]`. Without gradient.
    fn token_losses(
        hidden: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        targets: IntTensor<Self>,
        _precision: Precision,
    ) -> FloatTensor<Self> {
        plain::token_losses::<Self>(hidden, weight, targets)
    }
}

pub mod plain {
    use burn::backend::tensor::{FloatTensor, IntTensor};
    use burn::backend::{Backend, TensorMetadata};
    use burn::tensor::{IndexingUpdateOp, Shape};

    /// Plain body of the method of this name.
    pub fn linear_cross_entropy<B: Backend>(
        hidden: FloatTensor<B>,
        weight: FloatTensor<B>,
        targets: IntTensor<B>,
    ) -> FloatTensor<B> {
        B::float_mean(token_losses::<B>(hidden, weight, targets))
    }

    /// Plain body of the method of this name.
    pub fn token_losses<B: Backend>(
        hidden: FloatTensor<B>,
        weight: FloatTensor<B>,
        targets: IntTensor<B>,
    ) -> FloatTensor<B> {
        let logits = B::float_matmul(hidden, B::float_transpose(weight));
        negative_at::<B>(B::log_softmax(logits, 1), targets)
    }

    fn negative_at<B: Backend>(
        logarithms: FloatTensor<B>,
        targets: IntTensor<B>,
    ) -> FloatTensor<B> {
        let [tokens, _] = logarithms.shape().dims();
        let targets = B::int_reshape(targets, Shape::new([tokens, 1]));
        let at_targets = B::float_gather(1, logarithms, targets);
        B::float_neg(B::float_reshape(at_targets, Shape::new([tokens])))
    }

    /// Plain body of the method of this name.
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
        let loss = B::float_mean(negative_at::<B>(logarithms.clone(), targets.clone()));
        let targets = B::int_reshape(targets, Shape::new([tokens, 1]));
        let minus_one = B::float_full(Shape::new([tokens, 1]), (-1.0).into(), &device, dtype);
        let probabilities = B::float_exp(logarithms);
        let dlogits = B::float_scatter(1, probabilities, targets, minus_one, IndexingUpdateOp::Add);
        let dlogits = B::float_mul_scalar(dlogits, (1.0 / tokens as f64).into());
        let dhidden = B::float_matmul(dlogits.clone(), weight);
        let dweight = B::float_matmul(B::float_transpose(dlogits), hidden);
        (loss, dhidden, dweight)
    }
}

fn kernel_shape(hidden: &KernelInput, weight: &KernelInput) -> kernels::cross_entropy::Shape {
    let ([tokens, width], [vocabulary, _]) = (hidden.dims(), weight.dims());
    kernels::cross_entropy::Shape {
        tokens,
        width,
        vocabulary,
    }
}

/// The kernel's loss, and the gradients with respect to `hidden` and `weight` if they are wanted.
fn by_kernel(
    hidden: &KernelInput,
    weight: &KernelInput,
    targets: &[u32],
    with_gradients: bool,
    precision: Precision,
) -> (Float, Option<kernels::cross_entropy::Gradients>) {
    let shape = kernel_shape(hidden, weight);
    let (loss, gradients) = kernels::cross_entropy::linear_cross_entropy(
        hidden,
        weight,
        targets,
        shape,
        with_gradients,
        precision,
    );
    (vector(vec![loss]), gradients)
}

impl CrossEntropyOps for Flex {
    fn linear_cross_entropy(
        hidden: Float,
        weight: Float,
        targets: IntTensor<Self>,
        precision: Precision,
    ) -> Float {
        match indices(&targets).filter(|_| are_f32(&[&hidden, &weight])) {
            Some(targets) => {
                let [hidden, weight] = [hidden, weight].map(KernelInput::new);
                by_kernel(&hidden, &weight, &targets, false, precision).0
            }
            None => plain::linear_cross_entropy::<Self>(hidden, weight, targets),
        }
    }

    fn linear_cross_entropy_with_gradients(
        hidden: Float,
        weight: Float,
        targets: IntTensor<Self>,
        precision: Precision,
    ) -> (Float, Float, Float) {
        match indices(&targets).filter(|_| are_f32(&[&hidden, &weight])) {
            Some(targets) => {
                let [hidden, weight] = [hidden, weight].map(KernelInput::new);
                let (loss, gradients) = by_kernel(&hidden, &weight, &targets, true, precision);
                let gradients = gradients.expect("gradients were asked for");
                (
                    loss,
                    tensor(gradients.hidden, hidden.shape()),
                    tensor(gradients.weight, weight.shape()),
                )
            }
            None => plain::linear_cross_entropy_with_gradients::<Self>(hidden, weight, targets),
        }
    }

    fn token_losses(
        hidden: Float,
        weight: Float,
        targets: IntTensor<Self>,
        precision: Precision,
    ) -> Float {
        match indices(&targets).filter(|_| are_f32(&[&hidden, &weight])) {
            Some(targets) => {
                let [hidden, weight] = [hidden, weight].map(KernelInput::new);
                let shape = kernel_shape(&hidden, &weight);
                vector(kernels::cross_entropy::token_losses(
                    &hidden, &weight, &targets, shape, precision,
                ))
            }
            None => plain::token_losses::<Self>(hidden, weight, targets),
        }
    }
}

#[cfg(feature = "gpu")]
impl CrossEntropyOps for burn::backend::Cube {}

impl<B: CrossEntropyOps, C: CheckpointStrategy> CrossEntropyOps for Autodiff<B, C> {
    fn linear_cross_entropy(
        hidden: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        targets: IntTensor<Self>,
        precision: Precision,
    ) -> FloatTensor<Self> {
        let same_targets = targets.clone();
        Tape::<B, C>::saving(
            [hidden, weight],
            |[hidden, weight]| B::linear_cross_entropy(hidden, weight, targets, precision),
            // The gradients of the loss are what is saved: the logits they are made of are gone then.
            |[hidden, weight]| {
                let (loss, dhidden, dweight) =
                    B::linear_cross_entropy_with_gradients(hidden, weight, same_targets, precision);
                (loss, [dhidden, dweight])
            },
            |gradient, saved| saved.map(|saved| B::scaled(saved, gradient.clone())),
        )
    }

    fn token_losses(
        hidden: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        targets: IntTensor<Self>,
        precision: Precision,
    ) -> FloatTensor<Self> {
        let (hidden, weight) = (hidden.into_primitive(), weight.into_primitive());
        let losses = B::token_losses(hidden, weight, targets, precision);
        <Self as AutodiffBackend>::from_inner(losses)
    }
}
