//! Operations of this crate on burn's backends, one file for each family of operations.
//!
//! A file holds everything of its operations, from top to bottom:
//!
//! 1. the functions on tensors, which modules call, with the shapes of their arguments;
//! 2. a trait with one method for each computation, and one for its backward pass. burn's
//!    [`backend_extension`](burn::backend::backend_extension) makes [`Dispatch`](burn::backend::Dispatch),
//!    the backend behind every tensor, choose the implementation of the backend that holds the tensors;
//! 3. the module `plain`: the bodies made of burn's own operations. They work on every backend and on
//!    every type of float, and the trait takes them as its defaults. Here they are together as [`plain`];
//! 4. the CPU's implementation of the trait, which calls `kernels` for f32 and `plain` for other types;
//! 5. the GPU's implementation, which has the plain bodies so far: a call of a GPU kernel goes here;
//! 6. the implementation on training devices, `Autodiff`: it computes the operation on the backend below
//!    and records the backward pass.
//!
//! # How to add an operation
//!
//! Here is the sine, in a file `sine.rs`:
//!
//! ```text
//! //! Sines.
//!
//! use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
//! use burn::backend::tensor::FloatTensor;
//! use burn::backend::{Autodiff, Backend, Flex, backend_extension};
//! use burn::tensor::Tensor;
//!
//! use super::cpu::{Float, kernel_inputs, tensor};
//! use super::tape::Tape;
//!
//! /// `sin(x)`, element by element.
//! pub fn sine(x: Tensor<3>) -> Tensor<3> {
//!     on_backend!(sine(x))
//! }
//!
//! /// Sines on a backend.
//! #[backend_extension(Flex, Cube: cfg(feature = "gpu"), Autodiff)]
//! pub trait SineOps: Backend {
//!     /// `sin(x)`.
//!     fn sine(x: FloatTensor<Self>) -> FloatTensor<Self> {
//!         plain::sine::<Self>(x)
//!     }
//!
//!     /// The gradient of [`sine`](Self::sine).
//!     fn sine_backward(gradient: FloatTensor<Self>, x: FloatTensor<Self>) -> FloatTensor<Self> {
//!         plain::sine_backward::<Self>(gradient, x)
//!     }
//! }
//!
//! pub mod plain {
//!     use burn::backend::Backend;
//!     use burn::backend::tensor::FloatTensor;
//!
//!     /// Plain body of the method of this name.
//!     pub fn sine<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
//!         B::float_sin(x)
//!     }
//!
//!     /// Plain body of the method of this name.
//!     pub fn sine_backward<B: Backend>(
//!         gradient: FloatTensor<B>,
//!         x: FloatTensor<B>,
//!     ) -> FloatTensor<B> {
//!         B::float_mul(gradient, B::float_cos(x))
//!     }
//! }
//!
//! // A method that no kernel computes is left out here.
//! impl SineOps for Flex {
//!     fn sine(x: Float) -> Float {
//!         match kernel_inputs([x]) {
//!             Ok([x]) => tensor(kernels::sine::forward(&x), x.shape()),
//!             Err([x]) => plain::sine::<Self>(x),
//!         }
//!     }
//! }
//!
//! // The same with a GPU kernel.
//! #[cfg(feature = "gpu")]
//! impl SineOps for burn::backend::Cube {}
//!
//! impl<B: SineOps, C: CheckpointStrategy> SineOps for Autodiff<B, C> {
//!     fn sine(x: FloatTensor<Self>) -> FloatTensor<Self> {
//!         Tape::<B, C>::saving_inputs(
//!             [x],
//!             |[x]| B::sine(x),
//!             |gradient, [x]| [B::sine_backward(gradient, x)],
//!         )
//!     }
//! }
//! ```
//!
//! Add `mod sine;` and the line `sine: SineOps, sine;` to the list at the end of this file. Then say what the
//! operation is compared with, in `tests/operations/sine.rs`,
//!
//! ```text
//! pub fn sine(draw: &mut Draw) {
//!     let (time, width) = (draw.size(1..60), draw.size(1..9));
//!     Operation {
//!         inputs: [draw.normal([2, time, width])],
//!         operation: &|[x]| [ops::sine(tensor(x)).into_dispatch()],
//!         plain: &|[x]| [plain::sine::<Dispatch>(x)],
//!         plain_backward: Some(&|[gradient], [x]| [plain::sine_backward::<Dispatch>(gradient, x)]),
//!         formula: &|[x]| [tensor::<3>(x).sin().into_dispatch()],
//!     }
//!     .check();
//! }
//! ```
//!
//! and add `mod sine;` and the line `sine: sine;` to the list in `tests/operations/main.rs`. A test fails while
//! an operation of the first list is not in the second.
//!
//! Two rules come from burn. The name of a method must differ from those of burn's backends, or calls of it are
//! ambiguous: a linear layer is `linear_without_bias`, because burn has a `linear`. And `backend_extension` reads
//! the text of signatures: tensors must be called `FloatTensor<Self>` and `IntTensor<Self>` there, several outputs
//! are a tuple, and no type alias may stand for either.

/// Calls a method of an operation's trait with tensors, and gives a tensor: `on_backend!(method(tensors;
/// settings))`.
macro_rules! on_backend {
    ($method:ident($($tensor:ident),+ $(; $($setting:expr),+)?)) => {
        burn::tensor::Tensor::from_dispatch(burn::backend::Dispatch::$method(
            $($tensor.into_dispatch(),)+
            $($($setting),+)?
        ))
    };
}

/// Makes the operations of each file public here, puts the plain bodies of all files together, and lists
/// the names of the operations.
macro_rules! operations {
    ($($file:ident: $trait:ident, $($operation:ident),+;)+) => {
        $(pub use $file::{$trait, $($operation),+};)+

        /// The plain bodies of all operations: burn's operations only, no kernels.
        pub mod plain {
            $(pub use super::$file::plain::*;)+
        }

        /// The names of all operations. There is a test for each.
        pub const OPERATIONS: &[&str] = &[$($(stringify!($operation)),+),+];
    };
}

mod activation;
mod arithmetic;
mod attention;
mod channels;
mod cosine_series;
mod cpu;
mod cross_entropy;
mod dropout;
mod embedding;
mod experts;
mod feed_forward;
mod gate;
mod grouped_product;
mod host_values;
mod linear;
mod mask;
mod mask_statistics;
mod masked_attention;
mod masked_feed_forward;
mod norm;
mod optimizer;
mod routing;
mod swiglu;
mod tape;
mod tokens;

pub use feed_forward::{FeedForwardSettings, HiddenUnits};
pub use kernels::activation::Activation;
pub use kernels::dropout::Dropout;
pub use kernels::experts::Settings as ExpertSettings;
pub use kernels::gate::GateFactor;
pub use kernels::mask::{Keep, Moment};
pub use kernels::product::Precision;
pub use kernels::update::AdamW;
pub use masked_attention::MaskedAttentionSettings;
pub use masked_feed_forward::MaskedSettings;
pub use norm::NormSettings;

operations! {
    activation: ActivationFunctionOps, gelu, relu;
    arithmetic: ArithmeticOps, duplicated, mean, scaled, sum_of_two;
    attention: AttentionOps, causal_attention, linear_attention;
    channels: ChannelOps, channels;
    cosine_series: CosineSeriesOps, cosine_series;
    cross_entropy: CrossEntropyOps, linear_cross_entropy, token_losses;
    dropout: DropoutOps, dropped;
    embedding: EmbeddingOps, sum_with_shared, tied_rows;
    experts: ExpertOps, gated_experts;
    feed_forward: FeedForwardOps, norm_feed_forward, norm_feed_forward_with_sum;
    gate: GateOps, gate;
    grouped_product: GroupedProductOps, grouped_product;
    linear: LinearOps, linear;
    mask: MaskOps, mask_mean, masked_product, rounded_mask, rounded_values, value_mean;
    mask_statistics: MaskStatisticsOps, differing_share, mask_statistics, value_statistics;
    masked_attention: MaskedAttentionOps, masked_attention;
    masked_feed_forward: MaskedFeedForwardOps, masked_feed_forward, masked_feed_forward_with_sum;
    norm: NormOps, layer_norm, norm_linear;
    optimizer: OptimizerOps, adamw, sum_of_squares;
    routing: RoutingOps, best_gates, mean_softmax, used_share;
    swiglu: SwigluOps, swiglu;
}
