//! Checkpoints of PyTorch programs: reading and writing the layout of the seed author's `.pt`
//! files.
//!
//! A checkpoint is a dictionary. Its `model` holds the weights under the author's names (see
//! [`author_names`]), its `model_config` what the model is made of; everything else, such as the
//! optimizer's state, is left alone. Choices may be plain strings or members of the author's own
//! enum classes, and the configuration may be a dictionary or an object of a class of its own:
//! nothing in the file is executed, so those classes need not be there.

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
