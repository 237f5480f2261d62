//! The explicit backward passes on training devices.

mod backward;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::ops::{Backward, OpsKind};
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Autodiff, AutodiffBackend, TensorMetadata};
use kernels::dropout::Dropout;
use kernels::mask::{Keep, Moment};
use kernels::memory::SAVED_VALUES;
use kernels::product::Precision;

use backward::{
    CausalAttention, Dropped, Duplicated, ExactGelu, GroupedProduct, Identity, Later,
    LayerNormWithoutBias, Linear, LinearAttention, LinearCrossEntropy, MaskMean, MaskedFeedForward,
    MaskedProduct, NormFeedForward, NormLinear, RoundedMask, SumOfTwo, SumWithShared, TiedRows,
    TiedTable,
};

use super::experts::GatedExperts;
use super::routing::{BestGates, Mean, MeanSoftmax, Relu};
use super::series::CosineSeries;
use super::{MaskedSettings, NormSettings, TransformerOps};

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

    fn cosine_series(
        attended: FloatTensor<Self>,
        angles: FloatTensor<Self>,
        weights: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let nodes = [attended.node(), angles.node(), weights.node()];
        let inputs = [attended, angles, weights].map(|tensor| tensor.into_primitive());
        let [attended, angles, weights] = inputs.clone();
        match Backward::<B, 3>::prepare::<C>(CosineSeries, nodes)
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => {
                prep.finish(inputs, B::cosine_series(attended, angles, weights))
            }
            OpsKind::UnTracked(prep) => prep.finish(B::cosine_series(attended, angles, weights)),
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
        precision: Precision,
    ) -> FloatTensor<Self> {
        let (packed, node) = packed.into_parts();
        match Backward::<B, 1>::prepare::<C>(CausalAttention, [node])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => {
                let state = (packed.clone(), heads, dropout, precision);
                let output = B::causal_attention(packed, heads, dropout, precision);
                prep.finish(state, output)
            }
            OpsKind::UnTracked(prep) => {
                prep.finish(B::causal_attention(packed, heads, dropout, precision))
            }
        }
    }

    fn linear_attention(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        heads: usize,
        precision: Precision,
    ) -> FloatTensor<Self> {
        let nodes = [x.node(), weight.node()];
        let inputs = [x, weight].map(|tensor| tensor.into_primitive());
        let [x, weight] = inputs.clone();
        let packed = B::linear_without_bias(x, weight, precision);
        let kept = (packed.shape().num_elements() <= SAVED_VALUES).then(|| packed.clone());
        let output = B::causal_attention(packed, heads, None, precision);
        match Backward::<B, 2>::prepare::<C>(LinearAttention, nodes)
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => prep.finish((inputs, kept, heads, precision), output),
            OpsKind::UnTracked(prep) => prep.finish(output),
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
        settings: NormSettings,
    ) -> FloatTensor<Self> {
        let nodes = [x.node(), norm.node(), weight.node()];
        let inputs = [x, norm, weight].map(|tensor| tensor.into_primitive());
        let state = (inputs.clone(), settings);
        let [x, norm, weight] = inputs;
        let output = B::norm_linear(x, norm, weight, settings);
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
        settings: NormSettings,
    ) -> FloatTensor<Self> {
        let nodes = [x.node(), norm.node(), up.node(), down.node()];
        let inputs = [x, norm, up, down].map(|tensor| tensor.into_primitive());
        let [x, norm, up, down] = inputs.clone();
        match Backward::<B, 4>::prepare::<C>(NormFeedForward, nodes)
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => {
                let (output, kept) = B::norm_feed_forward_keeping(x, norm, up, down, settings);
                prep.finish((inputs, kept, settings), output)
            }
            OpsKind::UnTracked(prep) => {
                prep.finish(B::norm_feed_forward(x, norm, up, down, settings))
            }
        }
    }

    fn gated_experts(
        x: FloatTensor<Self>,
        gates: FloatTensor<Self>,
        up: FloatTensor<Self>,
        down: FloatTensor<Self>,
        precision: Precision,
    ) -> FloatTensor<Self> {
        let nodes = [x.node(), gates.node(), up.node(), down.node()];
        let inputs = [x, gates, up, down].map(|tensor| tensor.into_primitive());
        let state = (inputs.clone(), precision);
        let [x, gates, up, down] = inputs;
        let output = B::gated_experts(x, gates, up, down, precision);
        match Backward::<B, 4>::prepare::<C>(GatedExperts, nodes)
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

    fn relu_units(x: FloatTensor<Self>) -> FloatTensor<Self> {
        let (x, node) = x.into_parts();
        let prepared = Backward::<B, 1>::prepare::<C>(Relu, [node]);
        match prepared.compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let output = B::relu_units(x);
                prep.finish(output.clone(), output)
            }
            OpsKind::UnTracked(prep) => prep.finish(B::relu_units(x)),
        }
    }

    fn mean(values: FloatTensor<Self>) -> FloatTensor<Self> {
        let (values, node) = values.into_parts();
        let prepared = Backward::<B, 1>::prepare::<C>(Mean, [node]);
        match prepared.compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let shape = values.shape();
                prep.finish(shape, B::mean(values))
            }
            OpsKind::UnTracked(prep) => prep.finish(B::mean(values)),
        }
    }

    fn used_share(values: FloatTensor<Self>) -> FloatTensor<Self> {
        <Self as AutodiffBackend>::from_inner(B::used_share(values.into_primitive()))
    }

    fn best_gates(scores: FloatTensor<Self>, count: usize) -> FloatTensor<Self> {
        let (scores, node) = scores.into_parts();
        let prepared = Backward::<B, 1>::prepare::<C>(BestGates, [node]);
        match prepared.compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let gates = B::best_gates(scores, count);
                prep.finish(gates.clone(), gates)
            }
            OpsKind::UnTracked(prep) => prep.finish(B::best_gates(scores, count)),
        }
    }

    fn mean_softmax(scores: FloatTensor<Self>) -> FloatTensor<Self> {
        let (scores, node) = scores.into_parts();
        let prepared = Backward::<B, 1>::prepare::<C>(MeanSoftmax, [node]);
        match prepared.compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(scores.clone(), B::mean_softmax(scores)),
            OpsKind::UnTracked(prep) => prep.finish(B::mean_softmax(scores)),
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
        let later = Backward::<B, 1>::prepare::<C>(Later, [table.node()])
            .compute_bound()
            .stateless(table.primitive().clone());
        let (table, node) = table.into_parts();
        let prepared = Backward::<B, 2>::prepare::<C>(TiedTable, [node, later.node()]);
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

    fn sum_with_shared(x: FloatTensor<Self>, shared: FloatTensor<Self>) -> FloatTensor<Self> {
        let nodes = [x.node(), shared.node()];
        let [x, shared] = [x, shared].map(|tensor| tensor.into_primitive());
        Backward::<B, 2>::prepare::<C>(SumWithShared, nodes)
            .compute_bound()
            .stateless(B::sum_with_shared(x, shared))
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
