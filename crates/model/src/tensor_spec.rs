//! One tensor of a transformer: its name, its shape and its role.

use crate::function::FunctionParameter;

/// The name, shape and role of one tensor of a transformer.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorSpec {
    /// The name in `model.safetensors`.
    pub name: String,
    /// The shape.
    pub shape: Vec<usize>,
    /// The role, which determines the initial values.
    pub role: TensorRole,
}

impl TensorSpec {
    pub(crate) fn new(name: impl Into<String>, shape: &[usize], role: TensorRole) -> Self {
        Self {
            name: name.into(),
            shape: shape.to_vec(),
            role,
        }
    }
}

/// The role of a tensor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TensorRole {
    /// A matrix, a table of embeddings, or the matrices of experts.
    Weight,
    /// Like [`Weight`](Self::Weight), but its output is added to the residual stream.
    ResidualProjection,
    /// The scale of a norm.
    NormScale,
    /// A matrix of the attention that computes the common input of all masks.
    MaskEmbedding,
    /// Queries, keys and values of a mask's attention.
    MaskAttention {
        /// The standard deviation of the initial values.
        deviation: f64,
        /// Whether its output is the mask's values, without a projection.
        makes_values: bool,
    },
    /// The linear layer that makes a mask's values, from the output of the mask's attention or from the input.
    MaskProjection {
        /// The standard deviation of the initial values.
        deviation: f64,
    },
    /// A parameter of a mask function.
    MaskFunction(FunctionParameter),
    /// The threshold of a mask with a control. It is not trained.
    MaskThreshold,
}

impl TensorRole {
    /// Whether the tensor belongs to a single learned mask.
    pub fn belongs_to_one_mask(self) -> bool {
        matches!(
            self,
            Self::MaskAttention { .. }
                | Self::MaskProjection { .. }
                | Self::MaskFunction(_)
                | Self::MaskThreshold
        )
    }
}
