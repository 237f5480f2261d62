//! Dropout that learns, for each token, which of its activations to drop.
//!
//! [`LearnedDropout`] is a burn module that computes a binary mask from its input,
//! `M = 0.5 cos(causal attention + B) + 0.5`, rounds it, and multiplies the input by it:
//!
//! ```
//! use burn::tensor::{Device, Distribution, Tensor};
//! use learned_dropout::LearnedDropoutConfig;
//!
//! let device = Device::flex();
//! let dropout = LearnedDropoutConfig::new(64, 4).init(&device);
//! let x = Tensor::<3>::random([2, 16, 64], Distribution::Default, &device);
//! assert_eq!(dropout.forward(x).dims(), [2, 16, 64]);
//! ```
//!
//! For training with the penalty, [`LearnedDropout::apply`] gives the masked tensor and what is
//! to be added to the loss. [`function`], [`rounding`] and [`penalty`] hold the alternatives.
//! [`Transformer`] is a decoder that uses the module in every block. The crate [`model`] describes
//! it as data, and reads and writes its files.
//!
//! A program that trains on the CPU is faster with [`memory::Aligned`] as its allocator, and after
//! [`memory::keep_freed`].

pub mod attention;
mod cut;
pub mod device;
pub mod dropout;
pub mod feed_forward;
pub mod function;
pub mod learned_dropout;
pub mod learned_dropout_config;
pub mod linear;
pub mod mask;
mod mask_sources;
pub mod norm;
pub mod ops;
pub mod parameters;
pub mod penalty;
pub mod rounding;
pub mod statistics;
pub mod threshold_sparsity;
pub mod transformer;

pub use kernels::memory;
pub use model;

pub use learned_dropout::{LearnedDropout, Masked};
pub use learned_dropout_config::LearnedDropoutConfig;
pub use mask::Mask;
pub use model::{
    MaskConfig, MaskFunction, MaskGradient, MaskInput, Pass, Penalty, PenaltyKind, Rounding, Site,
    Sites, TransformerConfig,
};
pub use transformer::Transformer;

/// The examples of the README, compiled as tests.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
pub struct ReadmeExamples;
