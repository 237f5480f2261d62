#![doc = include_str!("../README.md")]
//!
//! # The module
//! [`LearnedDropout`], made by [`LearnedDropoutConfig`], computes `M = 0.5 cos(attention + B) + 0.5` from
//! its input, rounds it to 0 and 1, and multiplies the input by it.
//!
//! | | |
//! |---|---|
//! | [`forward`](LearnedDropout::forward) | the masked tensor, of any number of dimensions from 2 on: `[..., time, channels]` |
//! | [`forward_with_mask`](LearnedDropout::forward_with_mask) | and the penalty, and the [`Mask`] |
//! | [`forward_from`](LearnedDropout::forward_from) | the same, with the mask computed from another tensor |
//! | [`forward_input`](LearnedDropout::forward_input) | the same, with all that [`DropoutInput`] can say: padding, other noise |
//!
//! The mask of a token depends on the tokens up to it; with
//! [`causal = false`](LearnedDropoutConfig::causal), on all tokens of its sequence. [`function`],
//! [`rounding`] and [`penalty`] hold the alternatives for what the module computes. [`Transformer`] is a
//! decoder that can use the module in every block. The crate [`model`] describes it as data, and reads and
//! writes its files.
//!
//! # When noise is used
//! In training, activations are kept with probability `M`; else where `M ≥ 0.5`, so that the same input
//! gives the same output. Training means: a [training device](burn::tensor::Device::autodiff), a module
//! that is not [frozen](burn::module::Module::freeze) and not from
//! [`valid`](burn::module::Module::valid), and a parameter that requires gradients.
//! [`LearnedDropout`] has the details, and says how a saved module goes on with its noise.
//!
//! NaN and infinity in a token make that token's output NaN, and with it those of later tokens, which
//! depend on it; earlier ones stay as they are (on the CPU, without padding).
//!
//! # Devices and types
//! | device | feature | f32 | bf16, f16 |
//! |---|---|---|---|
//! | [`Device::flex`](burn::tensor::Device::flex), the processor | none | own kernels | own kernels for the mask, in f32; burn's operations for the product |
//! | CUDA | `cuda` | burn's operations | burn's operations; masks in f32 |
//! | Vulkan, Metal | `vulkan`, `metal` | as CUDA, but not tried | as CUDA, but not tried |
//! | burn's others: NdArray, LibTorch, ... | | no: [`init`](LearnedDropoutConfig::init) says so | no |
//!
//! A module has the type of its device's floats when it is made, as any module of burn. Outputs and
//! penalties have the type of `x`; what a [`Mask`] tells is f32.
//!
//! # The penalty
//! TODO
//!
//! # Versions
//! Version 0.1 of this crate goes with burn 0.22. Modules and tensors of two minor versions of burn do not
//! fit together, so a new minor version of burn means a new minor version of this crate.
//!
//! # Features
//! - `cuda`, `vulkan`, `metal`: burn's backends of these names; the processor is always there.
//! - `pytorch`: reads and writes PyTorch checkpoints of the transformer.
//!
//! # Memory
//! A program that trains on the processor is faster with [`memory::Aligned`] as its allocator, and after
//! [`memory::pool_freed_memory`]:
//!
//! ```no_run
//! use learned_dropout::memory;
//!
//! #[global_allocator]
//! static ALLOCATOR: memory::Aligned = memory::Aligned;
//!
//! fn main() {
//!     memory::pool_freed_memory();
//!     // ...
//! }
//! ```

pub mod attention;
mod cut;
pub mod device;
pub mod dropout;
pub mod dropout_input;
pub mod feed_forward;
pub mod function;
pub mod learned_dropout;
pub mod learned_dropout_config;
pub mod linear;
pub mod mask;
mod mask_attention;
mod mask_sources;
pub mod noise_state;
pub mod norm;
pub mod ops;
pub mod parameters;
pub mod penalty;
pub mod rounding;
mod rows;
pub mod statistics;
mod supported_device;
pub mod threshold_sparsity;
pub mod transformer;

pub use kernels::memory;
pub use model;

pub use dropout_input::DropoutInput;
pub use learned_dropout::{LearnedDropout, Masked};
pub use learned_dropout_config::LearnedDropoutConfig;
pub use mask::Mask;
pub use model::{
    MaskConfig, MaskFunction, MaskGradient, MaskInput, Pass, Penalty, PenaltyKind, Rounding, Site,
    Sites, TransformerConfig,
};
pub use noise_state::NoiseState;
pub use transformer::Transformer;
