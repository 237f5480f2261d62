//! Embeddings: rows of a table, and positions that all sequences share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind, unary};
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Autodiff, Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::tensor::{Int, Shape, Tensor};

use super::cpu::{Float, KernelInput, are_f32, indices, into_values, kernel_inputs, tensor};
use super::tape::Tape;

/// The rows of `table` that `ids` name, and the table for another use: the gradient of the rows is
/// added into the one of the other use.
///
/// # Shapes
/// - `table`: `[entries, channels]`
/// - `ids`: `[count]`, each below the entries
/// - result: `[count, channels]` and `[entries, channels]`
pub fn tied_rows(table: Tensor<2>, ids: Tensor<1, Int>) -> (Tensor<2>, Tensor<2>) {
    let (rows, table) = Dispatch::tied_rows(table.into_dispatch(), ids.into_dispatch());
    (Tensor::from_dispatch(rows), Tensor::from_dispatch(table))
}

/// `x + shared`: what all sequences share is added to each.
///
/// # Shapes
/// - `x`: `[batch, time, channels]`
/// - `shared`: `[time, channels]`
/// - result: `[batch, time, channels]`
///
/// # Panics
/// If the shapes do not fit each other.
pub fn sum_with_shared(x: Tensor<3>, shared: Tensor<2>) -> Tensor<3> {
    let [_, time, channels] = x.dims();
    assert_eq!(shared.dims(), [time, channels], "shapes differ");
    on_backend!(sum_with_shared(x, shared))
}

/// Embeddings on a backend.
#[backend_extension(Flex, Cube: cfg(feature = "gpu"), Autodiff)]
pub trait EmbeddingOps: Backend {
    /// The rows of `table`, `[entries, channels]`, that `ids`, `[count]`, name: `[count, channels]`.
    fn rows(table: FloatTensor<Self>, ids: IntTensor<Self>) -> FloatTensor<Self> {
        plain::rows::<Self>(table, ids)
    }

    /// Adds row `i` of `gradient` to row `ids[i]` of `table`.
    fn add_to_rows(
        table: FloatTensor<Self>,
        ids: IntTensor<Self>,
        gradient: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        plain::add_to_rows::<Self>(table, ids, gradient)
    }

    /// [`rows`](Self::rows) of a table, and the table once more for another use: the gradient of the
    /// rows is added into the one of the other use.
    fn tied_rows(
        table: FloatTensor<Self>,
        ids: IntTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        (Self::rows(table.clone(), ids), table)
    }

    /// `x + shared` for `x` of `[batch, time, channels]` and what all sequences share, `[time, channels]`.
    fn sum_with_shared(x: FloatTensor<Self>, shared: FloatTensor<Self>) -> FloatTensor<Self> {
        plain::sum_with_shared::<Self>(x, shared)
    }

    /// The gradient of what is shared in [`sum_with_shared`](Self::sum_with_shared): the sum of
    /// `gradient`, `[batch, time, channels]`, over the batch.
    fn sum_over_batch(gradient: FloatTensor<Self>) -> FloatTensor<Self> {
        plain::sum_over_batch::<Self>(gradient)
    }
}

pub mod plain {
    use burn::backend::tensor::{FloatTensor, IntTensor};
    use burn::backend::{Backend, TensorMetadata};
    use burn::tensor::{IndexingUpdateOp, Shape};

    /// Plain body of the method of this name.
    pub fn rows<B: Backend>(table: FloatTensor<B>, ids: IntTensor<B>) -> FloatTensor<B> {
        B::float_select(table, 0, ids)
    }

    /// Plain body of the method of this name.
    pub fn add_to_rows<B: Backend>(
        table: FloatTensor<B>,
        ids: IntTensor<B>,
        gradient: FloatTensor<B>,
    ) -> FloatTensor<B> {
        B::float_select_assign(table, 0, ids, gradient, IndexingUpdateOp::Add)
    }

    /// Plain body of the method of this name.
    pub fn sum_with_shared<B: Backend>(
        x: FloatTensor<B>,
        shared: FloatTensor<B>,
    ) -> FloatTensor<B> {
        let [time, channels] = shared.shape().dims();
        B::float_add(x, B::float_reshape(shared, Shape::new([1, time, channels])))
    }

    /// Plain body of the method of this name.
    pub fn sum_over_batch<B: Backend>(gradient: FloatTensor<B>) -> FloatTensor<B> {
        let [_, time, channels] = gradient.shape().dims();
        let sums = B::float_sum_dim(gradient, 0);
        B::float_reshape(sums, Shape::new([time, channels]))
    }
}

impl EmbeddingOps for Flex {
    fn rows(table: Float, ids: IntTensor<Self>) -> Float {
        match indices(&ids).filter(|_| are_f32(&[&table])) {
            Some(ids) => {
                let table = KernelInput::new(table);
                let channels = table.channels();
                let rows = kernels::embedding::gather(&table, &ids, channels);
                tensor(rows, Shape::new([ids.len(), channels]))
            }
            None => plain::rows::<Self>(table, ids),
        }
    }

    fn add_to_rows(table: Float, ids: IntTensor<Self>, gradient: Float) -> Float {
        match indices(&ids).filter(|_| are_f32(&[&table, &gradient])) {
            Some(ids) => {
                let gradient = KernelInput::new(gradient);
                let (mut sums, shape) = into_values(table);
                kernels::embedding::scatter_add(&mut sums, &ids, &gradient, shape[1]);
                tensor(sums, shape)
            }
            None => plain::add_to_rows::<Self>(table, ids, gradient),
        }
    }

    fn sum_with_shared(x: Float, shared: Float) -> Float {
        match kernel_inputs([x, shared]) {
            Ok([x, shared]) => tensor(kernels::update::add_repeated(&x, &shared), x.shape()),
            Err([x, shared]) => plain::sum_with_shared::<Self>(x, shared),
        }
    }

    fn sum_over_batch(gradient: Float) -> Float {
        match kernel_inputs([gradient]) {
            Ok([gradient]) => {
                let [_, time, channels] = gradient.dims();
                let sums = kernels::update::sum_repeated(&gradient, time * channels);
                tensor(sums, Shape::new([time, channels]))
            }
            Err([gradient]) => plain::sum_over_batch::<Self>(gradient),
        }
    }
}

#[cfg(feature = "gpu")]
impl EmbeddingOps for burn::backend::Cube {}

impl<B: EmbeddingOps, C: CheckpointStrategy> EmbeddingOps for Autodiff<B, C> {
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
            OpsKind::Tracked(prepared) => {
                prepared.finish((ids, shape, Arc::clone(&registered)), rows)
            }
            OpsKind::UnTracked(prepared) => prepared.finish(rows),
        };
        let deeper = Backward::<B, 1>::prepare::<C>(OneDeeper, [table.node()])
            .compute_bound()
            .stateless(table.primitive().clone());
        let (table, node) = table.into_parts();
        let prepared = Backward::<B, 2>::prepare::<C>(TiedTable, [node, deeper.node()]);
        let table = match prepared.compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish(registered, table),
            OpsKind::UnTracked(prepared) => prepared.finish(table),
        };
        (rows, table)
    }

    fn sum_with_shared(x: FloatTensor<Self>, shared: FloatTensor<Self>) -> FloatTensor<Self> {
        Tape::<B, C>::saving_nothing(
            [x, shared],
            |[x, shared]| B::sum_with_shared(x, shared),
            |gradient| [gradient.clone(), B::sum_over_batch(gradient)],
        )
    }
}

/// The table itself: a node whose gradient can be taken back before it reaches a parameter.
#[derive(Debug)]
struct Identity;

impl<B: Backend> Backward<B, 1> for Identity {
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

/// Rows of a table that has another use, whose gradient may be there already.
#[derive(Debug)]
struct TiedRows;

impl<B: EmbeddingOps> Backward<B, 1> for TiedRows {
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
        if let Some(parent) = parent {
            let table = if registered.load(Ordering::Relaxed) {
                gradients.consume::<B>(&parent)
            } else {
                B::float_zeros(shape, &gradient.device(), gradient.dtype().into())
            };
            gradients.register::<B>(parent.id, B::add_to_rows(table, ids, gradient));
        }
    }
}

/// The table of [`TiedRows`] for its other use. Its second parent, [`OneDeeper`], lets it come before
/// the rows in a backward pass, so that the gradient of the rows needs no table of its own.
#[derive(Debug)]
struct TiedTable;

impl<B: Backend> Backward<B, 2> for TiedTable {
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
        if let Some(table) = table {
            ops.state.store(true, Ordering::Relaxed);
            gradients.register::<B>(table.id, gradient);
        }
    }
}

/// A parent without a gradient, which makes its child one level deeper in the graph than another child of
/// the same tensor. A backward pass goes from the deepest nodes to the others.
#[derive(Debug)]
struct OneDeeper;

impl<B: Backend> Backward<B, 1> for OneDeeper {
    type State = ();

    fn backward(self, _: Ops<(), 1>, _: &mut Gradients, _: &mut Checkpointer) {}
}
