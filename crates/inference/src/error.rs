//! Errors of the decode engine.

use model::ConfigProblem;

use crate::sampling::SamplingError;

/// An error of the decode engine.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The configuration is not valid.
    #[error("no model can be made: {}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Impossible {
        /// All its problems.
        problems: Vec<ConfigProblem>,
    },
    /// A tensor that the configuration asks for is missing.
    #[error("no tensor `{name}`, which this configuration needs with shape {expected:?}")]
    Missing {
        /// The tensor's name.
        name: String,
        /// The shape that it should have.
        expected: Vec<usize>,
    },
    /// A tensor has another shape than the configuration asks for.
    #[error("tensor `{name}` has shape {found:?}, the configuration expects {expected:?}")]
    Shape {
        /// The tensor's name.
        name: String,
        /// The shape that it should have.
        expected: Vec<usize>,
        /// The shape that it has.
        found: Vec<usize>,
    },
    /// A weight is too large for the format of the weights.
    #[error(
        "tensor `{name}` has a weight of {value}, more than f16 can hold; choose the precision bf16 \
         or f32"
    )]
    TooLarge {
        /// The tensor's name.
        name: String,
        /// The weight.
        value: f32,
    },
    /// A token is outside the vocabulary.
    #[error(
        "token {id} at position {position} is outside the model's vocabulary of {vocabulary}; \
         encode the text with the tokenizer that belongs to the model"
    )]
    Token {
        /// Its position among the given tokens, from 0.
        position: usize,
        /// The token.
        id: u32,
        /// Number of tokens that the model knows.
        vocabulary: usize,
    },
    /// The thresholds belong to another model.
    #[error(
        "{found} thresholds for small inputs, the model has {expected} layers that take them; \
         calibrate them with this model, which must have neither experts nor learned masks"
    )]
    Thresholds {
        /// Number of the model's layers that can have thresholds.
        expected: usize,
        /// Number of thresholds given.
        found: usize,
    },
    /// There is nothing to predict from.
    #[error("no tokens were given; the model needs at least one to continue from")]
    NoTokens,
    /// The numbers of inputs and targets of a loss differ.
    #[error("{inputs} input tokens but {targets} target tokens; each input needs one target")]
    Targets {
        /// Number of input tokens.
        inputs: usize,
        /// Number of target tokens.
        targets: usize,
    },
    /// More tokens than the context, in an operation that cannot leave any out.
    #[error("{found} tokens, but the model's context is {context}; pass them in shorter pieces")]
    TooLong {
        /// Number of tokens given.
        found: usize,
        /// Longest sequence that the model can see.
        context: usize,
    },
    /// There is not enough memory for the caches.
    #[error(
        "no memory for the key-value caches of a context of {context} tokens; free some memory, \
         or use fewer sessions at once"
    )]
    Memory {
        /// Longest sequence that the model can see.
        context: usize,
    },
    /// The threads could not be started.
    #[error("{threads} threads could not be started: {reason}; ask for fewer")]
    Threads {
        /// The number asked for.
        threads: usize,
        /// What the operating system said.
        reason: String,
    },
    /// The temperature of the masks is not valid.
    #[error("the mask temperature is {found}; expected a finite number above 0")]
    MaskTemperature {
        /// The temperature given.
        found: f32,
    },
    /// A sampling option is not valid, or no logit is usable.
    #[error(transparent)]
    Sampling(#[from] SamplingError),
}
