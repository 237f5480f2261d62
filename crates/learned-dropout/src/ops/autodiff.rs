//! The explicit backward passes on training devices.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind, unary};
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Autodiff, TensorMetadata};
use burn::tensor::Shape;
use kernels::attention::Dropout;
use kernels::mask::{Keep, Moment};

use super::TransformerOps;

/// Sums `[batch, time, channels]` over all tokens: `[channels]`.
fn sum_over_tokens<B: TransformerOps>(tensor: FloatTensor<B>) -> FloatTensor<B> {
    let shape = tensor.shape();
    let channels = shape[shape.num_dims() - 1];
    let rows = Shape::new([shape.num_elements() / channels, channels]);
    let sum = B::float_sum_dim(B::float_reshape(tensor, rows), 0);
    B::float_reshape(sum, Shape::new([channels]))
}

#[derive(Debug)]
struct MaskedProduct;

impl<B: TransformerOps> Backward<B, 3> for MaskedProduct {
    type State = (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>, Keep);

    fn backward(
        self,
        ops: Ops<Self::State, 3>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let gradient = gradients.consume::<B>(&ops.node);
        let (x, attended, shift, keep) = ops.state;
        let (dx, dattended) = B::masked_product_backward(gradient, x, attended, shift, keep);
        let [x, attended, shift] = ops.parents;
        if let Some(node) = x {
            gradients.register::<B>(node.id, dx);
        }
        if let Some(node) = shift {
            gradients.register::<B>(node.id, sum_over_tokens::<B>(dattended.clone()));
        }
        if let Some(node) = attended {
            gradients.register::<B>(node.id, dattended);
        }
    }
}

#[derive(Debug)]
struct MaskMean;

impl<B: TransformerOps> Backward<B, 2> for MaskMean {
    type State = (FloatTensor<B>, FloatTensor<B>, Moment);

    fn backward(
        self,
        ops: Ops<Self::State, 2>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let gradient = gradients.consume::<B>(&ops.node);
        let (attended, shift, moment) = ops.state;
        let dattended = B::mask_mean_backward(gradient, attended, shift, moment);
        let [attended, shift] = ops.parents;
        if let Some(node) = shift {
            gradients.register::<B>(node.id, sum_over_tokens::<B>(dattended.clone()));
        }
        if let Some(node) = attended {
            gradients.register::<B>(node.id, dattended);
        }
    }
}

#[derive(Debug)]
struct CausalAttention;

impl<B: TransformerOps> Backward<B, 1> for CausalAttention {
    type State = (FloatTensor<B>, usize, Option<Dropout>);

    fn backward(
        self,
        ops: Ops<Self::State, 1>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let (packed, heads, dropout) = ops.state;
        unary::<B, _>(ops.parents, ops.node, gradients, |gradient| {
            B::causal_attention_backward(gradient, packed, heads, dropout)
        });
    }
}

#[derive(Debug)]
struct ExactGelu;

impl<B: TransformerOps> Backward<B, 1> for ExactGelu {
    type State = FloatTensor<B>;

    fn backward(
        self,
        ops: Ops<Self::State, 1>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let x = ops.state;
        unary::<B, _>(ops.parents, ops.node, gradients, |gradient| {
            B::exact_gelu_backward(gradient, x)
        });
    }
}

#[derive(Debug)]
struct LayerNormWithoutBias;

impl<B: TransformerOps> Backward<B, 2> for LayerNormWithoutBias {
    type State = (FloatTensor<B>, FloatTensor<B>, f32);

    fn backward(
        self,
        ops: Ops<Self::State, 2>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let gradient = gradients.consume::<B>(&ops.node);
        let (x, weight, epsilon) = ops.state;
        let (dx, dweight) = B::layer_norm_without_bias_backward(gradient, x, weight, epsilon);
        for (parent, part) in ops.parents.into_iter().zip([dx, dweight]) {
            if let Some(node) = parent {
                gradients.register::<B>(node.id, part);
            }
        }
    }
}

#[derive(Debug)]
struct SumOfTwo;

impl<B: TransformerOps> Backward<B, 2> for SumOfTwo {
    type State = ();

    fn backward(
        self,
        ops: Ops<Self::State, 2>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let gradient = gradients.consume::<B>(&ops.node);
        for node in ops.parents.into_iter().flatten() {
            gradients.register::<B>(node.id, gradient.clone());
        }
    }
}

/// One of two uses of a tensor. Whichever comes first in the backward pass registers its gradient;
/// the other one takes what is registered by then and puts the sum in its place.
#[derive(Debug)]
struct Duplicated;

impl<B: TransformerOps> Backward<B, 1> for Duplicated {
    /// Whether the other use has registered its gradient.
    type State = Arc<AtomicBool>;

    fn backward(
        self,
        ops: Ops<Self::State, 1>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let mut gradient = gradients.consume::<B>(&ops.node);
        let [parent] = ops.parents;
        if let Some(node) = parent {
            if ops.state.swap(true, Ordering::Relaxed) {
                gradient = B::sum_of_two(gradients.consume::<B>(&node), gradient);
            }
            gradients.register::<B>(node.id, gradient);
        }
    }
}

#[derive(Debug)]
struct LinearCrossEntropy;

impl<B: TransformerOps> Backward<B, 2> for LinearCrossEntropy {
    type State = (FloatTensor<B>, FloatTensor<B>);

    fn backward(
        self,
        ops: Ops<Self::State, 2>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let gradient = gradients.consume::<B>(&ops.node);
        let (dhidden, dweight) = ops.state;
        for (parent, part) in ops.parents.into_iter().zip([dhidden, dweight]) {
            if let Some(node) = parent {
                gradients.register::<B>(node.id, B::scaled(part, gradient.clone()));
            }
        }
    }
}

impl<B: TransformerOps, C: CheckpointStrategy> TransformerOps for Autodiff<B, C> {
    fn masked_product(
        x: FloatTensor<Self>,
        attended: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        keep: Keep,
    ) -> FloatTensor<Self> {
        let nodes = [x.node(), attended.node(), shift.node()];
        let [x, attended, shift] = [x, attended, shift].map(|tensor| tensor.into_primitive());
        match Backward::<B, 3>::prepare::<C>(MaskedProduct, nodes)
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => {
                let state = (x.clone(), attended.clone(), shift.clone(), keep);
                prep.finish(state, B::masked_product(x, attended, shift, keep))
            }
            OpsKind::UnTracked(prep) => prep.finish(B::masked_product(x, attended, shift, keep)),
        }
    }

    fn mask_mean(
        attended: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        moment: Moment,
    ) -> FloatTensor<Self> {
        let nodes = [attended.node(), shift.node()];
        let [attended, shift] = [attended, shift].map(|tensor| tensor.into_primitive());
        match Backward::<B, 2>::prepare::<C>(MaskMean, nodes)
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => {
                let state = (attended.clone(), shift.clone(), moment);
                prep.finish(state, B::mask_mean(attended, shift, moment))
            }
            OpsKind::UnTracked(prep) => prep.finish(B::mask_mean(attended, shift, moment)),
        }
    }

    fn causal_attention(
        packed: FloatTensor<Self>,
        heads: usize,
        dropout: Option<Dropout>,
    ) -> FloatTensor<Self> {
        let (packed, node) = packed.into_parts();
        match Backward::<B, 1>::prepare::<C>(CausalAttention, [node])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => {
                let state = (packed.clone(), heads, dropout);
                prep.finish(state, B::causal_attention(packed, heads, dropout))
            }
            OpsKind::UnTracked(prep) => prep.finish(B::causal_attention(packed, heads, dropout)),
        }
    }

    fn exact_gelu(x: FloatTensor<Self>) -> FloatTensor<Self> {
        let (x, node) = x.into_parts();
        match Backward::<B, 1>::prepare::<C>(ExactGelu, [node])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => prep.finish(x.clone(), B::exact_gelu(x)),
            OpsKind::UnTracked(prep) => prep.finish(B::exact_gelu(x)),
        }
    }

    fn layer_norm_without_bias(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        epsilon: f32,
    ) -> FloatTensor<Self> {
        let nodes = [x.node(), weight.node()];
        let [x, weight] = [x, weight].map(|tensor| tensor.into_primitive());
        let prepared = Backward::<B, 2>::prepare::<C>(LayerNormWithoutBias, nodes);
        match prepared.compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let state = (x.clone(), weight.clone(), epsilon);
                prep.finish(state, B::layer_norm_without_bias(x, weight, epsilon))
            }
            OpsKind::UnTracked(prep) => prep.finish(B::layer_norm_without_bias(x, weight, epsilon)),
        }
    }

    fn sum_of_two(left: FloatTensor<Self>, right: FloatTensor<Self>) -> FloatTensor<Self> {
        let nodes = [left.node(), right.node()];
        let [left, right] = [left, right].map(|tensor| tensor.into_primitive());
        Backward::<B, 2>::prepare::<C>(SumOfTwo, nodes)
            .compute_bound()
            .stateless(B::sum_of_two(left, right))
    }

    fn duplicated(tensor: FloatTensor<Self>) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let registered = Arc::default();
        let once = |tensor: FloatTensor<Self>| {
            let (tensor, node) = tensor.into_parts();
            let prepared = Backward::<B, 1>::prepare::<C>(Duplicated, [node]);
            match prepared.compute_bound().stateful() {
                OpsKind::Tracked(prep) => prep.finish(Arc::clone(&registered), tensor),
                OpsKind::UnTracked(prep) => prep.finish(tensor),
            }
        };
        (once(tensor.clone()), once(tensor))
    }

    fn linear_cross_entropy(
        hidden: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        targets: IntTensor<Self>,
    ) -> FloatTensor<Self> {
        let nodes = [hidden.node(), weight.node()];
        let [hidden, weight] = [hidden, weight].map(|tensor| tensor.into_primitive());
        let prepared = Backward::<B, 2>::prepare::<C>(LinearCrossEntropy, nodes);
        match prepared.compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let (loss, dhidden, dweight) =
                    B::linear_cross_entropy_with_gradients(hidden, weight, targets);
                prep.finish((dhidden, dweight), loss)
            }
            OpsKind::UnTracked(prep) => {
                prep.finish(B::linear_cross_entropy(hidden, weight, targets))
            }
        }
    }
}
