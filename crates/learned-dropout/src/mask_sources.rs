//! The tensors that the masks of a block are computed from.

use burn::tensor::Tensor;

use crate::learned_dropout::{LearnedDropout, MaskSource};
use crate::norm::LayerNorm;
use crate::ops::duplicated;
use model::MaskInput;

/// Returns a second handle to a tensor. In the backward pass, one kernel adds the gradients of both.
///
/// The tensor must be the result of an operation, not a parameter.
pub(crate) fn duplicate(tensor: &mut Tensor<3>) -> Tensor<3> {
    let [first, second] = duplicated(tensor.clone());
    *tensor = second;
    first
}

/// The norm to apply before what uses the input, and the input. A norm that the linear generator of a mask
/// needs too is applied here, once, and none is left to apply.
pub(crate) fn shared_norm<'n, 'a>(
    norm: Option<&'n LayerNorm>,
    input: Tensor<3>,
    mut masks: impl Iterator<Item = &'a LearnedDropout>,
) -> (Option<&'n LayerNorm>, Tensor<3>) {
    let needs_norm = |module: &LearnedDropout| {
        module.mask_input() == MaskInput::LayerInput && module.has_linear_generator()
    };
    match norm {
        Some(norm) if masks.any(needs_norm) => (None, norm.forward(input)),
        norm => (norm, input),
    }
}

/// Whether any of the masks is computed from the input of its attention or feed-forward.
pub(crate) fn any_uses_layer_input<'a>(
    mut masks: impl Iterator<Item = &'a LearnedDropout>,
) -> bool {
    masks.any(|module| module.mask_input() == MaskInput::LayerInput)
}

/// The tensors from outside an attention or feed-forward that its masks can be computed from.
#[derive(Default)]
pub(crate) struct MaskInputs<'a> {
    /// The input that all masks share, made from the embedding.
    pub(crate) embedding: Option<&'a Tensor<3>>,
    /// The residual stream as it entered the block.
    pub(crate) residual: Option<Tensor<3>>,
}

impl MaskInputs<'_> {
    /// The tensor that a mask is computed from: the masked tensor `hidden`, the input of the attention or
    /// feed-forward after its norm, or one of these tensors.
    pub(crate) fn source<'n>(
        &mut self,
        module: &LearnedDropout,
        norm: Option<&'n LayerNorm>,
        hidden: &mut Tensor<3>,
        layer_input: Option<&mut Tensor<3>>,
    ) -> MaskSource<'n> {
        let use_again = |tensor: &mut Tensor<3>| {
            if module.detaches_input() {
                tensor.clone()
            } else {
                duplicate(tensor)
            }
        };
        let missing = "the model provides the inputs of its masks";
        match module.mask_input() {
            MaskInput::Hidden => MaskSource::Plain(use_again(hidden)),
            MaskInput::Embedding => MaskSource::Plain(self.embedding.expect(missing).clone()),
            MaskInput::Residual => {
                MaskSource::Plain(use_again(self.residual.as_mut().expect(missing)))
            }
            MaskInput::LayerInput => {
                let input = use_again(layer_input.expect(missing));
                match norm {
                    Some(norm) => MaskSource::Normalized(norm, input),
                    None => MaskSource::Plain(input),
                }
            }
        }
    }
}
