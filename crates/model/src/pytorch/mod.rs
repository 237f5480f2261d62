//! PyTorch checkpoints: reading and writing the `.pt` files of the author of the original write-up.
//!
//! A checkpoint is a dictionary. Its entry `model` holds the weights under the author's names (see
//! [`author_names`]), and `model_config` the configuration. All other entries, such as the optimizer's
//! state, are ignored. Choices in the configuration may be strings or members of the author's enum
//! classes, and the configuration may be a dictionary or an object. Nothing in the file is executed, so
//! these classes need not exist.

mod archive;
mod author_config;
mod author_config_out;
mod error;
mod export;
mod import;
mod names;
mod opcode;
mod pickle;
mod pickle_machine;
mod pickle_out;
mod pickle_value;

pub use error::PytorchError;
pub use export::export;
pub use import::{Imported, import};
pub use names::author_names;
