//! What goes backwards through each operation.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use burn::backend::TensorMetadata;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, unary};
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::tensor::Shape;
use kernels::dropout::Dropout;
use kernels::mask::{Keep, Moment};
use kernels::product::Precision;

use crate::ops::{MaskedSettings, NormSettings, TransformerOps};

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
pub(super) struct MaskedProduct;

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
pub(super) struct RoundedMask;

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
pub(super) struct MaskMean;

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
pub(super) struct GroupedProduct;

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
pub(super) struct CausalAttention;

impl<B: TransformerOps> Backward<B, 1> for CausalAttention {
    type State = (FloatTensor<B>, usize, Option<Dropout>, Precision);

    fn backward(
        self,
        ops: Ops<Self::State, 1>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let (packed, heads, dropout, precision) = ops.state;
        unary::<B, _>(ops.parents, ops.node, gradients, |gradient| {
            B::causal_attention_backward(gradient, packed, heads, dropout, precision)
        });
    }
}

#[derive(Debug)]
pub(super) struct LinearAttention;

impl<B: TransformerOps> Backward<B, 2> for LinearAttention {
    /// Input and weight; queries, keys and values unless they are many; heads and precision.
    type State = (
        [FloatTensor<B>; 2],
        Option<FloatTensor<B>>,
        usize,
        Precision,
    );

    fn backward(
        self,
        ops: Ops<Self::State, 2>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let gradient = gradients.consume::<B>(&ops.node);
        let ([x, weight], kept, heads, precision) = ops.state;
        let packed =
            kept.unwrap_or_else(|| B::linear_without_bias(x.clone(), weight.clone(), precision));
        let dpacked = B::causal_attention_backward(gradient, packed, heads, None, precision);
        let (dx, dweight) = B::linear_without_bias_backward(dpacked, x, weight, precision);
        register!(gradients, ops.parents, [dx, dweight]);
    }
}

#[derive(Debug)]
pub(super) struct Linear;

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
pub(super) struct NormLinear;

impl<B: TransformerOps> Backward<B, 3> for NormLinear {
    type State = ([FloatTensor<B>; 3], NormSettings);

    fn backward(
        self,
        ops: Ops<Self::State, 3>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let gradient = gradients.consume::<B>(&ops.node);
        let ([x, norm, weight], settings) = ops.state;
        let (dx, dnorm, dweight) = B::norm_linear_backward(gradient, x, norm, weight, settings);
        register!(gradients, ops.parents, [dx, dnorm, dweight]);
    }
}

#[derive(Debug)]
pub(super) struct NormFeedForward;

impl<B: TransformerOps> Backward<B, 4> for NormFeedForward {
    /// The inputs, what is kept of the hidden units, and the settings.
    type State = ([FloatTensor<B>; 4], FloatTensor<B>, NormSettings);

    fn backward(
        self,
        ops: Ops<Self::State, 4>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let gradient = gradients.consume::<B>(&ops.node);
        let ([x, norm, up, down], kept, settings) = ops.state;
        let (dx, dnorm, dup, ddown) =
            B::norm_feed_forward_backward(gradient, x, norm, up, down, kept, settings);
        register!(gradients, ops.parents, [dx, dnorm, dup, ddown]);
    }
}

#[derive(Debug)]
pub(super) struct MaskedFeedForward;

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
pub(super) struct TiedRows;

impl<B: TransformerOps> Backward<B, 1> for TiedRows {
    /// The ids, the shape of the table, and whether the [other use](TiedTable) has registered its
    /// gradient.
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
            let table = if registered.load(Ordering::Relaxed) {
                gradients.consume::<B>(&node)
            } else {
                B::float_zeros(shape, &gradient.device(), gradient.dtype().into())
            };
            gradients.register::<B>(node.id, B::add_to_rows(table, ids, gradient));
        }
    }
}

/// The table of [`TiedRows`] for its other use, and a [node](Later) that lets it come first in a backward
/// pass, so that the gradient of the rows needs no table of its own.
#[derive(Debug)]
pub(super) struct TiedTable;

impl<B: TransformerOps> Backward<B, 2> for TiedTable {
    /// Whether this use has registered its gradient.
    type State = Arc<AtomicBool>;

    fn backward(
        self,
        ops: Ops<Self::State, 2>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let gradient = gradients.consume::<B>(&ops.node);
        let [table, _] = ops.parents;
        if let Some(node) = table {
            ops.state.store(true, Ordering::Relaxed);
            gradients.register::<B>(node.id, gradient);
        }
    }
}

/// A parent without a gradient: a backward pass goes from what has more ancestors in a line to what has
/// fewer, and this is one.
#[derive(Debug)]
pub(super) struct Later;

impl<B: TransformerOps> Backward<B, 1> for Later {
    type State = ();

    fn backward(self, _: Ops<(), 1>, _: &mut Gradients, _: &mut Checkpointer) {}
}

/// The tensor itself: a node whose gradient can be taken back before it reaches a parameter.
#[derive(Debug)]
pub(super) struct Identity;

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
pub(super) struct Dropped;

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
pub(super) struct ExactGelu;

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
pub(super) struct LayerNormWithoutBias;

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
pub(super) struct SumOfTwo;

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

#[derive(Debug)]
pub(super) struct SumWithShared;

impl<B: TransformerOps> Backward<B, 2> for SumWithShared {
    type State = ();

    fn backward(
        self,
        ops: Ops<Self::State, 2>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let gradient = gradients.consume::<B>(&ops.node);
        let [x, shared] = ops.parents;
        if let Some(node) = shared {
            gradients.register::<B>(node.id, B::sum_over_batch(gradient.clone()));
        }
        if let Some(node) = x {
            gradients.register::<B>(node.id, gradient);
        }
    }
}

/// One of two uses of a tensor. Whichever comes first in the backward pass registers its gradient;
/// the other one takes what is registered by then and puts the sum in its place.
#[derive(Debug)]
pub(super) struct Duplicated;

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
pub(super) struct LinearCrossEntropy;

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
