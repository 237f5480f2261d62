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
//! [`Transformer`] is a decoder that uses the module in every block; [`model_folder`] reads and
//! writes it.
//!
//! A program that trains on the CPU is faster with [`memory::Aligned`] as its allocator, and after
//! [`memory::pool_freed_memory`].

pub mod attention;
pub mod config;
pub mod cut;
pub mod device;
pub mod dropout;
pub mod feed_forward;
pub mod files;
pub mod function;
pub mod initialization;
pub mod learned_dropout;
pub mod linear;
pub mod mask;
mod mask_sources;
pub mod model_folder;
pub mod norm;
pub mod ops;
pub mod parameters;
pub mod pass;
pub mod penalty;
#[cfg(feature = "pytorch")]
pub mod pytorch;
pub mod rounding;
pub mod site;
pub mod statistics;
pub mod transformer;
pub mod weights;

pub use kernels::memory;

pub use config::{MaskConfig, MaskGradient, MaskInput, Site, Sites, TransformerConfig};
pub use learned_dropout::{LearnedDropout, LearnedDropoutConfig, Masked};
pub use mask::Mask;
pub use transformer::Transformer;

/// The examples of the README, compiled as tests.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
pub struct ReadmeExamples;
