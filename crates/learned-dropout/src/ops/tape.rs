//! How operations on training devices record their backward passes.

use std::fmt::{self, Debug, Formatter};
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, AutodiffBackend, Backend, TensorMetadata};
use burn::tensor::{FloatDType, Shape};

/// burn's record of what was computed on the backend `B`, which a backward pass goes through in reverse.
///
/// Each function computes an operation on `B` and gives its output on the training device. If a gradient
/// is wanted of one of the inputs, it saves what the backward pass needs. `backward` is called at most
/// once, with the gradient of the output and what was saved, and gives the gradients of the inputs in
/// their order: an array, or a tuple where there are several.
pub(super) struct Tape<B, C>(PhantomData<(B, C)>);

impl<B: Backend, C: CheckpointStrategy> Tape<B, C> {
    /// An operation whose backward pass needs its inputs.
    pub(super) fn saving_inputs<G, const N: usize>(
        inputs: [FloatTensor<Autodiff<B, C>>; N],
        forward: impl Fn([FloatTensor<B>; N]) -> FloatTensor<B>,
        backward: impl FnOnce(FloatTensor<B>, [FloatTensor<B>; N]) -> G + Send + 'static,
    ) -> FloatTensor<Autodiff<B, C>>
    where
        G: Into<[FloatTensor<B>; N]>,
    {
        let forward_saving = |inputs: [FloatTensor<B>; N]| {
            let saved = inputs.clone();
            (forward(inputs), saved)
        };
        Self::saving(inputs, &forward, forward_saving, backward)
    }

    /// [`saving_inputs`](Self::saving_inputs) for an operation with a second output that has no gradient.
    pub(super) fn saving_inputs_with_measured<G, const N: usize>(
        inputs: [FloatTensor<Autodiff<B, C>>; N],
        forward: impl FnOnce([FloatTensor<B>; N]) -> Two<B>,
        backward: impl FnOnce(FloatTensor<B>, [FloatTensor<B>; N]) -> G + Send + 'static,
    ) -> Two<Autodiff<B, C>>
    where
        G: Into<[FloatTensor<B>; N]>,
    {
        let below = inputs.each_ref().map(|input| input.primitive().clone());
        let (output, measured) = forward(below);
        let output = Self::saving(
            inputs,
            |_| output.clone(),
            |inputs| (output.clone(), inputs),
            backward,
        );
        (output, Autodiff::<B, C>::from_inner(measured))
    }

    /// An operation whose backward pass needs its output.
    pub(super) fn saving_output<G, const N: usize>(
        inputs: [FloatTensor<Autodiff<B, C>>; N],
        forward: impl Fn([FloatTensor<B>; N]) -> FloatTensor<B>,
        backward: impl FnOnce(FloatTensor<B>, FloatTensor<B>) -> G + Send + 'static,
    ) -> FloatTensor<Autodiff<B, C>>
    where
        G: Into<[FloatTensor<B>; N]>,
    {
        let forward_saving = |inputs: [FloatTensor<B>; N]| {
            let output = forward(inputs);
            (output.clone(), output)
        };
        Self::saving(inputs, &forward, forward_saving, backward)
    }

    /// An operation whose backward pass needs no tensor but the gradient.
    pub(super) fn saving_nothing<G, const N: usize>(
        inputs: [FloatTensor<Autodiff<B, C>>; N],
        forward: impl Fn([FloatTensor<B>; N]) -> FloatTensor<B>,
        backward: impl FnOnce(FloatTensor<B>) -> G + Send + 'static,
    ) -> FloatTensor<Autodiff<B, C>>
    where
        G: Into<[FloatTensor<B>; N]>,
    {
        let forward_saving = |inputs: [FloatTensor<B>; N]| (forward(inputs), ());
        Self::saving(inputs, &forward, forward_saving, |gradient, ()| {
            backward(gradient)
        })
    }

    /// An operation whose backward pass needs what `forward_saving` gives beside the output. Where no
    /// gradient is wanted, `forward` is called instead.
    pub(super) fn saving<S, G, const N: usize>(
        inputs: [FloatTensor<Autodiff<B, C>>; N],
        forward: impl FnOnce([FloatTensor<B>; N]) -> FloatTensor<B>,
        forward_saving: impl FnOnce([FloatTensor<B>; N]) -> (FloatTensor<B>, S),
        backward: impl FnOnce(FloatTensor<B>, S) -> G + Send + 'static,
    ) -> FloatTensor<Autodiff<B, C>>
    where
        S: Clone + Debug + Send + 'static,
        G: Into<[FloatTensor<B>; N]>,
    {
        let nodes = inputs.each_ref().map(|input| input.node());
        let inputs = inputs.map(|input| input.into_primitive());
        let backward = move |gradient, saved| backward(gradient, saved).into();
        match Node::new(backward)
            .prepare::<C>(nodes)
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prepared) => {
                let (output, saved) = forward_saving(inputs);
                prepared.finish(saved, output)
            }
            OpsKind::UnTracked(prepared) => prepared.finish(forward(inputs)),
        }
    }
}

impl<B: Backend, C: CheckpointStrategy> Tape<B, C> {
    /// [`saving`](Self::saving) for an operation with a second output, of a few numbers. `backward` gets
    /// the gradients of both. Where nothing depends on an output, its gradient is 0.
    pub(super) fn saving_with_second<S, G, const N: usize>(
        inputs: [FloatTensor<Autodiff<B, C>>; N],
        forward: impl FnOnce([FloatTensor<B>; N]) -> Two<B>,
        forward_saving: impl FnOnce([FloatTensor<B>; N]) -> (Two<B>, S),
        backward: impl FnOnce(Two<B>, S) -> G + Send + 'static,
    ) -> Two<Autodiff<B, C>>
    where
        S: Clone + Debug + Send + 'static,
        G: Into<[FloatTensor<B>; N]>,
    {
        // burn's nodes have one output. The node of the operation has the second; the first comes from a
        // node behind it, which only hands on its gradient, here and not through burn's graph: the
        // gradient that the graph takes along is that of the second output, and small.
        let handed_on: Arc<Mutex<Option<FloatTensor<B>>>> = Arc::default();
        let nodes = inputs.each_ref().map(|input| input.node());
        let inputs = inputs.map(|input| input.into_primitive());
        let first_gradient = handed_on.clone();
        type Saved<S> = (S, Shape, FloatDType);
        let backward = move |second: FloatTensor<B>, (saved, shape, dtype): Saved<S>| {
            let first = locked(&first_gradient).take();
            let first = first.unwrap_or_else(|| B::float_zeros(shape, &second.device(), dtype));
            backward((first, second), saved).into()
        };
        let prepared = Node::new(backward).prepare::<C>(nodes);
        let (first, second) = match prepared.compute_bound().stateful() {
            OpsKind::Tracked(prepared) => {
                let ((first, second), saved) = forward_saving(inputs);
                let saved = (saved, first.shape(), first.dtype().into());
                (first, prepared.finish(saved, second))
            }
            OpsKind::UnTracked(prepared) => {
                let (first, second) = forward(inputs);
                (first, prepared.finish(second))
            }
        };
        let like_second = second.clone().into_primitive();
        let hand_on = move |gradient, like: FloatTensor<B>| {
            *locked(&handed_on) = Some(gradient);
            [B::float_zeros(
                like.shape(),
                &like.device(),
                like.dtype().into(),
            )]
        };
        let prepared = Node::new(hand_on).prepare::<C>([second.node()]);
        let first = match prepared.compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish(like_second, first),
            OpsKind::UnTracked(prepared) => prepared.finish(first),
        };
        (first, second)
    }
}

/// Two outputs, or their gradients.
type Two<B> = (FloatTensor<B>, FloatTensor<B>);

/// Nothing panics while it holds one of these locks.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A node in burn's graph with any backward pass.
struct Node<B, S, F> {
    backward: F,
    types: PhantomData<fn() -> (B, S)>,
}

impl<B, S, F> Node<B, S, F> {
    fn new(backward: F) -> Self {
        Self {
            backward,
            types: PhantomData,
        }
    }
}

impl<B, S, F> Debug for Node<B, S, F> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(std::any::type_name::<F>())
    }
}

impl<B, S, F, const N: usize> Backward<B, N> for Node<B, S, F>
where
    B: Backend,
    S: Clone + Debug + Send + 'static,
    F: FnOnce(FloatTensor<B>, S) -> [FloatTensor<B>; N] + Send + 'static,
{
    type State = S;

    fn backward(self, ops: Ops<S, N>, gradients: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let gradient = gradients.consume::<B>(&ops.node);
        let found = (self.backward)(gradient, ops.state);
        for (parent, gradient) in ops.parents.into_iter().zip(found) {
            if let Some(parent) = parent {
                gradients.register::<B>(parent.id, gradient);
            }
        }
    }
}
