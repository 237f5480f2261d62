//! Where the masks of a block find what they are computed from.

use burn::tensor::Tensor;

use crate::learned_dropout::{LearnedDropout, MaskSource};
use crate::norm::LayerNorm;
use crate::ops::duplicated;
use model::MaskInput;

/// One more use of a tensor; a kernel adds its gradient to that of the others.
///
/// The tensor must be the result of an operation, not a parameter.
pub(crate) fn shared(tensor: &mut Tensor<3>) -> Tensor<3> {
    let [first, second] = duplicated(tensor.clone());
    *tensor = second;
    first
}

/// Whether any of the masks is computed from the input of its half of the block.
pub(crate) fn reads_layer_input<'a>(mut masks: impl Iterator<Item = &'a LearnedDropout>) -> bool {
    masks.any(|module| module.reads() == MaskInput::LayerInput)
}

/// What masks can be computed from that does not belong to their half of the block.
#[derive(Default)]
pub(crate) struct Elsewhere<'a> {
    /// The input that all masks share.
    pub(crate) embedding: Option<&'a Tensor<3>>,
    /// The residual stream as it entered the block.
    pub(crate) residual: Option<Tensor<3>>,
}

impl Elsewhere<'_> {
    /// What a mask is computed from: what it masks, `hidden`; its half's input and the norm in front
    /// of that; or something from elsewhere.
    pub(crate) fn source<'n>(
        &mut self,
        module: &LearnedDropout,
        norm: Option<&'n LayerNorm>,
        hidden: &mut Tensor<3>,
        layer_input: Option<&mut Tensor<3>>,
    ) -> MaskSource<'n> {
        let once_more = |tensor: &mut Tensor<3>| {
            if module.detaches_input() {
                tensor.clone()
            } else {
                shared(tensor)
            }
        };
        let there = "the model provides what its masks are computed from";
        match module.reads() {
            MaskInput::Hidden => MaskSource::Plain(once_more(hidden)),
            MaskInput::Embedding => MaskSource::Plain(self.embedding.expect(there).clone()),
            MaskInput::Residual => {
                MaskSource::Plain(once_more(self.residual.as_mut().expect(there)))
            }
            MaskInput::LayerInput => {
                let input = once_more(layer_input.expect(there));
                match norm {
                    Some(norm) => MaskSource::Normalized(norm, input),
                    None => MaskSource::Plain(input),
                }
            }
        }
    }
}
