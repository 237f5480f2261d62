//! The decode engine: a trained transformer's forward pass on plain slices, with sampling. It has key-value
//! caches for the transformer's attention and for the attention of its learned masks.
//!
//! It uses no tensor library. [`Engine`] holds the weights and [`Session`] one sequence of tokens.
//! [`generate`](generate::generate) writes text; [`Engine::inspect`] and [`Engine::loss`] examine given
//! tokens.
//!
//! ```
//! use model::{TransformerConfig, layout, weights};
//! use learned_dropout_inference::{Engine, Session};
//!
//! let config = TransformerConfig {
//!     vocabulary: 11, context: 8, width: 4, heads: 2, layers: 1, dropout: 0.0,
//!     feed_forward: Default::default(),
//!     learned_dropout: Some(Default::default()),
//! };
//! // All zeros: a model that finds every token equally likely.
//! let weights = layout::layout(&config)
//!     .map(|spec| {
//!         let values = vec![0.0; spec.shape.iter().product()];
//!         (spec.name, weights::HostTensor { shape: spec.shape, values })
//!     })
//!     .collect();
//! let engine = Engine::new(config, weights, 1)?;
//! let mut session = Session::new(&engine)?;
//! session.prefill(&[1, 2, 3])?;
//! assert_eq!(session.decode(4)?, [0.0; 11]);
//! # Ok::<(), learned_dropout_inference::EngineError>(())
//! ```

mod builder;
mod engine;
mod error;
mod experts;
mod forward;
pub mod generate;
mod inspect;
mod layers;
mod linear;
mod mask;
mod mask_function;
mod mask_rounding;
mod mask_statistics;
mod options;
pub mod sampling;
mod sequence;
mod session;
mod work;
mod workers;

pub use engine::Engine;
pub use error::EngineError;
pub use generate::{GenerateOptions, Generated, StopReason, generate};
pub use inspect::{Inspection, Loss};
pub use kernels::decode::Format;
pub use mask_rounding::{MaskRule, MaskSampling};
pub use mask_statistics::{LayerMask, MaskStatistics, MaskValues, SiteMask};
pub use options::{EngineOptions, Thresholds, fastest_format};
pub use sampling::{Sampler, SamplingError, SamplingOptions};
pub use session::{Batch, Session};
pub use work::Work;
