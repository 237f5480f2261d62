#![doc = include_str!("../README.md")]
//!
//! # The module
//! [`LearnedDropout`] computes `M = 0.5 cos(attention + B) + 0.5` from its input, rounds it to 0 and 1, and
//! multiplies the input by it. [`LearnedDropoutConfig`] creates it.
//!
//! | | |
//! |---|---|
//! | [`forward`](LearnedDropout::forward) | returns the masked tensor; `x` has two or more dimensions: `[..., time, channels]` |
//! | [`forward_with_mask`](LearnedDropout::forward_with_mask) | also returns the penalty and the [`Mask`] |
//! | [`forward_from`](LearnedDropout::forward_from) | the same, but computes the mask from another tensor |
//! | [`forward_input`](LearnedDropout::forward_input) | the same, with the options of [`DropoutInput`]: padding, other noise |
//!
//! The mask of a token depends on this token and earlier ones or, with
//! [`causal = false`](LearnedDropoutConfig::causal), on all tokens of its sequence. [`function`],
//! [`rounding`] and [`penalty`] hold the alternatives for what the module computes. [`Transformer`] is a
//! decoder that can use the module in every block. The crate [`model`] describes it as data, and reads and
//! writes its files.
//!
//! # Gates
//! With [`Rounding::Carried`] a mask is a gate that keeps its value: the output is
//! `x · max(0, 2 M − 1 − θ)`, and what a gate drops gets no gradient. With a [`MaskControl`] the threshold `θ`
//! moves after each step until a target share is kept, and no penalty is needed;
//! [`LearnedDropout::move_threshold`] shows the loop. A [linear generator](Generator::Linear) makes masks
//! without attention.
//!
//! | setting | formula |
//! |---|---|
//! | [`Generator::Attention`] | `z = attention(input)`, with a rank `z = W attention(input)` |
//! | [`Generator::Linear`] | `z = W input` |
//! | [`MaskFunction`] | `M` from `z + B`: cosine, Fourier series, linear, sigmoid |
//! | [`Rounding::Threshold`] with a control | `x` where `2 M − 1 > θ`, else 0 |
//! | [`Rounding::Carried`] | `x · max(0, 2 M − 1 − θ)` |
//! | [`MaskControl::Threshold`] | after a step `θ += rate · sign(kept − target)` |
//!
//! # When noise is used
//! In training, activations are kept with probability `M`. Otherwise they are kept where `M ≥ 0.5`, and the
//! same input gives the same output. Training requires a [training device](burn::tensor::Device::autodiff), a module
//! that is not [frozen](burn::module::Module::freeze) and not from
//! [`valid`](burn::module::Module::valid), and a parameter that requires gradients.
//! [`LearnedDropout`] has the details, and describes how a saved module continues its noise.
//!
//! NaN or infinity in a token makes the output of this token and of later ones NaN. The outputs of earlier
//! tokens do not change (on the CPU, without padding).
//!
//! # Devices and types
//! | device | feature | f32 | bf16, f16 |
//! |---|---|---|---|
//! | [`Device::flex`](burn::tensor::Device::flex), the processor | none | own kernels | own kernels for the mask, in f32; burn's operations for the product |
//! | CUDA | `cuda` | burn's operations | burn's operations; masks in f32 |
//! | Vulkan, Metal | `vulkan`, `metal` | as CUDA, but untested | as CUDA, but untested |
//! | others of burn: NdArray, LibTorch, ... | | no: [`init`](LearnedDropoutConfig::init) panics | no |
//!
//! Like any module of burn, a module gets the device's type of floats when it is created. Outputs and
//! penalties have the type of `x`; the tensors of a [`Mask`] are f32.
//!
//! # The penalty
//! Without a penalty, masks have no reason to drop anything. Train with `loss + coefficient · penalty`. The
//! coefficient of the original write-up, 0.1, is for language models with far more data than parameters.
//!
//! With a small model and little data, masks overfit at any coefficient, and the model is worse than without
//! dropout. Two changes help. Put a random dropout in front of the learned one, so that masks never see the
//! same input twice. And use [`causal = false`](LearnedDropoutConfig::causal) if the whole sequence is
//! available. With both, the coefficient sets how much is kept and hardly changes the accuracy. The example
//! `own_model` measures this on 512 noisy sequences of 4 classes, and tests on 2,048 others (mean and
//! standard deviation of five seeds):
//!
//! | between the layers | accuracy | kept at inference |
//! |---|---|---|
//! | no dropout | 0.883 ± 0.002 | 100% |
//! | random dropout, rate 0.5, the best of 0.1, 0.3 and 0.5 | 0.893 ± 0.005 | 100% |
//! | learned dropout, coefficient 0.1 | 0.859 ± 0.005 | 45% |
//! | coefficient 0 | 0.865 ± 0.005 | 62% |
//! | learning rate of the masks a tenth of the others' | 0.884 ± 0.002 | 76% |
//! | masks of whole sequences | 0.866 ± 0.005 | 39% |
//! | random dropout of rate 0.5, then learned dropout | 0.895 ± 0.008 | 59% |
//! | the same, masks of whole sequences | **0.902 ± 0.007** | 49% |
//! | the same, coefficient 1 | 0.901 ± 0.005 | 12% |
//!
//! Rounding without noise, noise that fades, a warm-up of the penalty, other initial shifts, narrower
//! masks, groups, and weight decay of the masks helped less or not at all. All were compared on the same
//! test sequences, so a difference of 0.01 is weak evidence.
//!
//! # Speed
//! Computing a mask takes matrix products, since it is an attention over its input; random dropout only
//! takes random numbers. A [`rank`](LearnedDropoutConfig::rank) makes the attention narrower, and a
//! [`group`](LearnedDropoutConfig::group) lets neighbouring channels share a value. The example `cost_beside_dropout`
//! measured for `[16, 128, 256]` and 4 heads, on two cores of an AMD EPYC with AVX-512, in milliseconds:
//!
//! | | forward | with backward |
//! |---|---|---|
//! | random dropout of burn | 5.1 | 6.8 |
//! | learned dropout, with or without the penalty | 5.6 | 12.7 |
//! | with rank 32 | 1.1 | 3.8 |
//! | with rank 32 and groups of 8 | 0.7 | 2.7 |
//! | with `causal = false`, by burn's operations | 7.2 | 23 |
//!
//! # Versions
//! Version 0.1 of this crate needs burn 0.22. Modules and tensors of different minor versions of burn are
//! not compatible, so each minor version of burn needs a new minor version of this crate.
//!
//! # Features
//! - `cuda`, `vulkan`, `metal`: burn's backends of these names; the processor is always available.
//! - `pytorch`: reads and writes PyTorch checkpoints of the transformer.
//!
//! # Memory
//! A program that trains on the processor is faster if it uses [`memory::Aligned`] as its allocator and
//! calls [`memory::pool_freed_memory`] first:
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
mod dropout_input;
pub mod feed_forward;
pub mod function;
mod learned_dropout;
mod learned_dropout_config;
mod learned_dropout_init;
pub mod linear;
pub mod mask;
mod mask_attention;
mod mask_sources;
mod noise_state;
pub mod norm;
pub mod ops;
pub mod parameters;
pub mod penalty;
pub mod rounding;
mod rows;
pub mod statistics;
mod supported_device;
pub mod threshold_sparsity;
mod thresholds;
pub mod transformer;

pub use kernels::memory;
pub use model;

pub use dropout_input::DropoutInput;
pub use learned_dropout::{LearnedDropout, Masked};
pub use learned_dropout_config::LearnedDropoutConfig;
pub use mask::Mask;
pub use model::{
    Generator, MaskConfig, MaskControl, MaskFunction, MaskGradient, MaskInput, Pass, Penalty,
    PenaltyKind, Rounding, Site, Sites, TransformerConfig,
};
pub use noise_state::NoiseState;
pub use transformer::Transformer;
