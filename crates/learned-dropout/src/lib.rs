//! Dropout that learns, for each token, which of its activations to drop.

pub mod attention;
pub mod config;
pub mod device;
pub mod dropout;
pub mod feed_forward;
pub mod files;
pub mod function;
pub mod initialization;
pub mod learned_dropout;
pub mod linear;
pub mod model_folder;
pub mod norm;
pub mod ops;
pub mod parameters;
pub mod pass;
pub mod penalty;
#[cfg(feature = "pytorch")]
pub mod pytorch;
pub mod rounding;
pub mod statistics;
pub mod transformer;
pub mod weights;

pub use config::{MaskConfig, MaskInput, Site, TransformerConfig};
pub use learned_dropout::{LearnedDropout, LearnedDropoutConfig, Masked};
pub use transformer::Transformer;
