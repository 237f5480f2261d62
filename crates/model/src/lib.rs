//! A transformer with learned dropout, described as plain data.
//!
//! This crate uses no tensor library. It describes a model and its files, so that training,
//! inference and any other program agree on them:
//!
//! - [`TransformerConfig`] and [`MaskConfig`] are the configuration. [`generator`], [`function`],
//!   [`rounding`], [`mask_control`], [`penalty`] and [`feed_forward`] hold its alternatives, with
//!   their settings and checks.
//! - [`layout`](layout::layout) names every tensor, with its shape and its role.
//! - [`initialization`] generates initial weights, and [`pass`] defines the keys of all random numbers.
//! - [`model_folder`] and [`weights`] read and write models. With the feature `pytorch`, the module
//!   `pytorch` reads and writes PyTorch checkpoints.

pub mod config;
pub mod cut_inputs;
pub mod feed_forward;
pub mod files;
pub mod function;
pub mod generator;
pub mod initialization;
pub mod layout;
pub mod mask_config;
pub mod mask_control;
pub mod mask_shape;
pub mod model_folder;
mod parameter_count;
pub mod pass;
pub mod penalty;
pub mod problem;
#[cfg(feature = "pytorch")]
pub mod pytorch;
pub mod rounding;
pub mod site;
pub mod site_settings;
pub mod tensor_spec;
mod validation;
pub mod weights;

pub use config::{ModelConfig, TransformerConfig};
pub use cut_inputs::CutInputs;
pub use feed_forward::FeedForwardConfig;
pub use function::MaskFunction;
pub use generator::Generator;
pub use mask_config::{MaskConfig, MaskGradient, noise_spread};
pub use mask_control::MaskControl;
pub use mask_shape::MaskShape;
pub use pass::Pass;
pub use penalty::{Penalty, PenaltyKind};
pub use problem::{Checks, ConfigProblem};
pub use rounding::Rounding;
pub use site::{MaskInput, Site, Sites};
pub use validation::{check_heads, check_mask_dropout, check_rounding, check_threshold};
