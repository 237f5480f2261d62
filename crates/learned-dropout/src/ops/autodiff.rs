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
use kernels::dropout::Dropout;
use kernels::mask::{Keep, Moment};
use kernels::product::Precision;

use super::{MaskedSettings, TransformerOps};

/// Registers the gradients of the parents that have a node. (A macro: burn does not name the type of
/// a node.)
macro_rules! register {
    ($gradients:ident, $parents:expr, $parts:expr) => {
        for (parent, part) in $parents.into_iter().zip($parts) {
            if let Some(node) = parent {
                $gradients.register::<B>(node.id, part);
            }
        }
    };
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
        let (dx, dattended, dshift) =
            B::masked_product_backward(gradient, x, attended, shift, keep);
        register!(gradients, ops.parents, [dx, dattended, dshift]);
    }
}

#[derive(Debug)]
struct RoundedMask;

impl<B: TransformerOps> Backward<B, 2> for RoundedMask {
    type State = (FloatTensor<B>, FloatTensor<B>);

    fn backward(
        self,
        ops: Ops<Self::State, 2>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let gradient = gradients.consume::<B>(&ops.node);
        let (attended, shift) = ops.state;
        let (dattended, dshift) = B::rounded_mask_backward(gradient, attended, shift);
        register!(gradients, ops.parents, [dattended, dshift]);
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
        let (dattended, dshift) = B::mask_mean_backward(gradient, attended, shift, moment);
        register!(gradients, ops.parents, [dattended, dshift]);
    }
}

#[derive(Debug)]
struct GroupedProduct;

impl<B: TransformerOps> Backward<B, 2> for GroupedProduct {
    type State = (FloatTensor<B>, FloatTensor<B>, usize, bool);

    fn backward(
        self,
        ops: Ops<Self::State, 2>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let gradient = gradients.consume::<B>(&ops.node);
        let (x, factors, group, kept_only) = ops.state;
        let (dx, dfactors) = B::grouped_product_backward(gradient, x, factors, group, kept_only);
        register!(gradients, ops.parents, [dx, dfactors]);
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
struct Linear;

impl<B: TransformerOps> Backward<B, 2> for Linear {
    type State = (FloatTensor<B>, FloatTensor<B>, Precision);

    fn backward(
        self,
        ops: Ops<Self::State, 2>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let gradient = gradients.consume::<B>(&ops.node);
        let (x, weight, precision) = ops.state;
        let (dx, dweight) = B::linear_without_bias_backward(gradient, x, weight, precision);
        register!(gradients, ops.parents, [dx, dweight]);
    }
}

#[derive(Debug)]
struct NormLinear;

impl<B: TransformerOps> Backward<B, 3> for NormLinear {
    type State = ([FloatTensor<B>; 3], f32, Precision);

    fn backward(
        self,
        ops: Ops<Self::State, 3>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let gradient = gradients.consume::<B>(&ops.node);
        let ([x, norm, weight], epsilon, precision) = ops.state;
        let (dx, dnorm, dweight) =
            B::norm_linear_backward(gradient, x, norm, weight, epsilon, precision);
        register!(gradients, ops.parents, [dx, dnorm, dweight]);
    }
}

#[derive(Debug)]
struct NormFeedForward;

impl<B: TransformerOps> Backward<B, 4> for NormFeedForward {
    type State = ([FloatTensor<B>; 4], f32, Precision);

    fn backward(
        self,
        ops: Ops<Self::State, 4>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let gradient = gradients.consume::<B>(&ops.node);
        let ([x, norm, up, down], epsilon, precision) = ops.state;
        let (dx, dnorm, dup, ddown) =
            B::norm_feed_forward_backward(gradient, x, norm, up, down, epsilon, precision);
        register!(gradients, ops.parents, [dx, dnorm, dup, ddown]);
    }
}

#[derive(Debug)]
struct MaskedFeedForward;

impl<B: TransformerOps> Backward<B, 5> for MaskedFeedForward {
    type State = ([FloatTensor<B>; 5], MaskedSettings);

    fn backward(
        self,
        ops: Ops<Self::State, 5>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let gradient = gradients.consume::<B>(&ops.node);
        let ([x, norm, up, down, factors], settings) = ops.state;
        let (dx, dnorm, dup, ddown, dfactors) =
            B::masked_feed_forward_backward(gradient, x, norm, up, down, factors, settings);
        register!(gradients, ops.parents, [dx, dnorm, dup, ddown, dfactors]);
    }
}

/// Rows of a table that has another use, whose gradient may be there already.
#[derive(Debug)]
struct TiedRows;

impl<B: TransformerOps> Backward<B, 1> for TiedRows {
    /// The ids, the shape of the table, and whether the other use has registered its gradient.
    type State = (IntTensor<B>, Shape, Arc<AtomicBool>);

    fn backward(
        self,
        ops: Ops<Self::State, 1>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let gradient = gradients.consume::<B>(&ops.node);
        let (ids, shape, registered) = ops.state;
        let [parent] = ops.parents;
        if let Some(node) = parent {
            let table = if registered.swap(true, Ordering::Relaxed) {
                gradients.consume::<B>(&node)
            } else {
                B::float_zeros(shape, &gradient.device(), gradient.dtype().into())
            };
            gradients.register::<B>(node.id, B::add_to_rows(table, ids, gradient));
        }
    }
}

/// The tensor itself: a node whose gradient can be taken back before it reaches a parameter.
#[derive(Debug)]
struct Identity;

impl<B: TransformerOps> Backward<B, 1> for Identity {
    type State = ();

    fn backward(
        self,
        ops: Ops<Self::State, 1>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        unary::<B, _>(ops.parents, ops.node, gradients, |gradient| gradient);
    }
}

#[derive(Debug)]
struct Dropped;

impl<B: TransformerOps> Backward<B, 1> for Dropped {
    type State = Dropout;

    fn backward(
        self,
        ops: Ops<Self::State, 1>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let dropout = ops.state;
        unary::<B, _>(ops.parents, ops.node, gradients, |gradient| {
            B::dropped(gradient, dropout)
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
        register!(gradients, ops.parents, [dx, dweight]);
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
        let parts = [dhidden, dweight].map(|part| B::scaled(part, gradient.clone()));
        register!(gradients, ops.parents, parts);
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

    fn rounded_mask(
        attended: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        keep: Keep,
    ) -> FloatTensor<Self> {
        let nodes = [attended.node(), shift.node()];
        let [attended, shift] = [attended, shift].map(|tensor| tensor.into_primitive());
        match Backward::<B, 2>::prepare::<C>(RoundedMask, nodes)
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => {
                let state = (attended.clone(), shift.clone());
                prep.finish(state, B::rounded_mask(attended, shift, keep))
            }
            OpsKind::UnTracked(prep) => prep.finish(B::rounded_mask(attended, shift, keep)),
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

    fn grouped_product(
        x: FloatTensor<Self>,
        factors: FloatTensor<Self>,
        group: usize,
        kept_only: bool,
    ) -> FloatTensor<Self> {
        let nodes = [x.node(), factors.node()];
        let [x, factors] = [x, factors].map(|tensor| tensor.into_primitive());
        match Backward::<B, 2>::prepare::<C>(GroupedProduct, nodes)
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => {
                let state = (x.clone(), factors.clone(), group, kept_only);
                prep.finish(state, B::grouped_product(x, factors, group, kept_only))
            }
            OpsKind::UnTracked(prep) => {
                prep.finish(B::grouped_product(x, factors, group, kept_only))
            }
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

    fn linear_without_bias(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        precision: Precision,
    ) -> FloatTensor<Self> {
        let nodes = [x.node(), weight.node()];
        let [x, weight] = [x, weight].map(|tensor| tensor.into_primitive());
        match Backward::<B, 2>::prepare::<C>(Linear, nodes)
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => {
                let state = (x.clone(), weight.clone(), precision);
                prep.finish(state, B::linear_without_bias(x, weight, precision))
            }
            OpsKind::UnTracked(prep) => prep.finish(B::linear_without_bias(x, weight, precision)),
        }
    }

    fn norm_linear(
        x: FloatTensor<Self>,
        norm: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        epsilon: f32,
        precision: Precision,
    ) -> FloatTensor<Self> {
        let nodes = [x.node(), norm.node(), weight.node()];
        let inputs = [x, norm, weight].map(|tensor| tensor.into_primitive());
        let state = (inputs.clone(), epsilon, precision);
        let [x, norm, weight] = inputs;
        let output = B::norm_linear(x, norm, weight, epsilon, precision);
        match Backward::<B, 3>::prepare::<C>(NormLinear, nodes)
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => prep.finish(state, output),
            OpsKind::UnTracked(prep) => prep.finish(output),
        }
    }

    fn norm_feed_forward(
        x: FloatTensor<Self>,
        norm: FloatTensor<Self>,
        up: FloatTensor<Self>,
        down: FloatTensor<Self>,
        epsilon: f32,
        precision: Precision,
    ) -> FloatTensor<Self> {
        let nodes = [x.node(), norm.node(), up.node(), down.node()];
        let inputs = [x, norm, up, down].map(|tensor| tensor.into_primitive());
        let state = (inputs.clone(), epsilon, precision);
        let [x, norm, up, down] = inputs;
        let output = B::norm_feed_forward(x, norm, up, down, epsilon, precision);
        match Backward::<B, 4>::prepare::<C>(NormFeedForward, nodes)
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => prep.finish(state, output),
            OpsKind::UnTracked(prep) => prep.finish(output),
        }
    }

    fn masked_feed_forward(
        x: FloatTensor<Self>,
        norm: FloatTensor<Self>,
        up: FloatTensor<Self>,
        down: FloatTensor<Self>,
        factors: FloatTensor<Self>,
        settings: MaskedSettings,
    ) -> FloatTensor<Self> {
        let nodes = [
            x.node(),
            norm.node(),
            up.node(),
            down.node(),
            factors.node(),
        ];
        let inputs = [x, norm, up, down, factors].map(|tensor| tensor.into_primitive());
        let state = (inputs.clone(), settings);
        let [x, norm, up, down, factors] = inputs;
        let output = B::masked_feed_forward(x, norm, up, down, factors, settings);
        match Backward::<B, 5>::prepare::<C>(MaskedFeedForward, nodes)
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => prep.finish(state, output),
            OpsKind::UnTracked(prep) => prep.finish(output),
        }
    }

    fn tied_rows(
        table: FloatTensor<Self>,
        ids: IntTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let (table, node) = table.into_parts();
        let shape = table.shape();
        let table = Backward::<B, 1>::prepare::<C>(Identity, [node])
            .compute_bound()
            .stateless(table);
        let registered: Arc<AtomicBool> = Arc::default();
        let rows = B::rows(table.primitive().clone(), ids.clone());
        let prepared = Backward::<B, 1>::prepare::<C>(TiedRows, [table.node()]);
        let rows = match prepared.compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((ids, shape, Arc::clone(&registered)), rows),
            OpsKind::UnTracked(prep) => prep.finish(rows),
        };
        let (table, node) = table.into_parts();
        let prepared = Backward::<B, 1>::prepare::<C>(Duplicated, [node]);
        let table = match prepared.compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(registered, table),
            OpsKind::UnTracked(prep) => prep.finish(table),
        };
        (rows, table)
    }

    fn dropped(x: FloatTensor<Self>, dropout: Dropout) -> FloatTensor<Self> {
        let (x, node) = x.into_parts();
        match Backward::<B, 1>::prepare::<C>(Dropped, [node])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => prep.finish(dropout, B::dropped(x, dropout)),
            OpsKind::UnTracked(prep) => prep.finish(B::dropped(x, dropout)),
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
        precision: Precision,
    ) -> FloatTensor<Self> {
        let nodes = [hidden.node(), weight.node()];
        let [hidden, weight] = [hidden, weight].map(|tensor| tensor.into_primitive());
        let prepared = Backward::<B, 2>::prepare::<C>(LinearCrossEntropy, nodes);
        match prepared.compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let (loss, dhidden, dweight) =
                    B::linear_cross_entropy_with_gradients(hidden, weight, targets, precision);
                prep.finish((dhidden, dweight), loss)
            }
            OpsKind::UnTracked(prep) => {
                prep.finish(B::linear_cross_entropy(hidden, weight, targets, precision))
            }
        }
    }
}
