//! The input of a learned dropout: a tensor, and optional settings of the forward pass.

use burn::tensor::{Bool, Tensor};
use model::Pass;

/// The input of [`LearnedDropout::forward_input`](crate::LearnedDropout::forward_input): a tensor, and
/// optionally another input for the mask, padding and the pass.
///
/// ```
/// use burn::tensor::{Bool, Device, Tensor};
/// use learned_dropout::{DropoutInput, LearnedDropoutConfig};
///
/// let device = Device::flex();
/// let dropout = LearnedDropoutConfig::new(8, 2).with_causal(false).init(&device);
/// let x = Tensor::<3>::ones([1, 4, 8], &device);
/// let padding = Tensor::<2, Bool>::from_data([[false, false, false, true]], &device);
/// let masked = dropout.forward_input(DropoutInput::new(x).padding(padding));
/// assert_eq!(masked.output.dims(), [1, 4, 8]);
/// ```
#[derive(Clone, Debug)]
pub struct DropoutInput<const D: usize> {
    pub(crate) x: Tensor<D>,
    pub(crate) mask_input: Option<Tensor<D>>,
    pub(crate) padding: Option<Tensor<2, Bool>>,
    pub(crate) pass: Option<Pass>,
}

impl<const D: usize> DropoutInput<D> {
    /// The tensor whose activations are dropped, `[..., time, channels]`.
    pub fn new(x: Tensor<D>) -> Self {
        Self {
            x,
            mask_input: None,
            padding: None,
            pass: None,
        }
    }

    /// Computes the mask from this tensor instead of from `x`: `[..., time, input]`.
    pub fn mask_input(self, mask_input: Tensor<D>) -> Self {
        Self {
            mask_input: Some(mask_input),
            ..self
        }
    }

    /// Marks padding tokens by true: `[batch, time]`. The batch is the product of all dimensions before
    /// the time.
    ///
    /// Padding has no influence on the masks of other tokens, on the penalty or on the kept share. Its
    /// own output, mask and gradients are 0.
    pub fn padding(self, padding: Tensor<2, Bool>) -> Self {
        Self {
            padding: Some(padding),
            ..self
        }
    }

    /// Sets how the mask is rounded and with which noise. Without it, the module decides as in
    /// [`LearnedDropout::forward`](crate::LearnedDropout::forward).
    pub fn pass(self, pass: Pass) -> Self {
        Self {
            pass: Some(pass),
            ..self
        }
    }
}
