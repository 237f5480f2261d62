//! Feed-forwards: what stands in the second half of a block.
//!
//! Each kind is a file of its own, with its configuration and its module, and a line in
//! [`FeedForwardConfig`] and [`Kind`].

mod config;
mod dense;
mod experts;
pub mod mixture_of_experts;
pub mod relu;
pub mod relu_routed_experts;

use burn::module::Module;
use burn::tensor::Tensor;

use crate::dropout::dropout;
use crate::learned_dropout::{LearnedDropout, Masked};
use crate::norm::LayerNorm;
use crate::ops::tensor::{Precision, duplicated};
use crate::pass::{Pass, Purpose};

pub use config::{
    AdaptiveCoefficient, Coefficient, Dense as DenseConfig, FeedForwardConfig, Optional,
};
pub use dense::Dense;
pub use experts::Experts;
use mixture_of_experts::MixtureOfExperts;
use relu::Relu;
use relu_routed_experts::ReluRoutedExperts;

/// A feed-forward, then a learned mask or ordinary dropout.
#[derive(Module, Debug)]
pub struct FeedForward {
    /// The feed-forward itself. Its parameters have the names of its fields, without this one's.
    pub kind: Kind,
    /// The learned mask on the output, where there is one.
    pub learned_dropout: Option<LearnedDropout>,
    /// Rate of the ordinary dropout on the output, where there is no learned mask.
    pub rate: f64,
    /// Number of the block.
    pub layer: usize,
}

/// The feed-forward of [`FeedForwardConfig`].
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant, reason = "one for each block")]
pub enum Kind {
    /// See [`Dense`].
    Dense(Dense),
    /// See [`mixture_of_experts`].
    MixtureOfExperts(MixtureOfExperts),
    /// See [`relu_routed_experts`].
    ReluRoutedExperts(ReluRoutedExperts),
    /// See [`relu`].
    Relu(Relu),
}

/// What a feed-forward that does not use all of itself for every token did in a forward pass.
pub struct Activity {
    /// The auxiliary loss of the layer, `[1]`, with gradient and without its coefficient.
    pub penalty: Tensor<1>,
    /// The share of tokens that used each expert, `[experts]`; or the share of hidden units that
    /// were not 0, `[1]`.
    pub shares: Tensor<1>,
}

/// What a feed-forward gives.
pub struct Fed {
    /// `[batch, time, width]`.
    pub output: Tensor<3>,
    /// The learned mask, where there is one.
    pub masked: Option<Masked>,
    /// What it used of itself; none where it uses all.
    pub activity: Option<Activity>,
}

/// `[batch, time, channels]` to `[channels]`.
fn mean_over_tokens(values: Tensor<3>) -> Tensor<1> {
    let [batch, time, channels] = values.dims();
    values
        .reshape([batch * time, channels])
        .mean_dim(0)
        .reshape([channels])
}

/// The share of tokens that use each expert, from 1 where one does and 0 where it does not.
fn share_of_tokens(uses: Tensor<3>) -> Tensor<1> {
    mean_over_tokens(uses.detach())
}

impl Kind {
    fn set_precision(&mut self, precision: Precision) {
        match self {
            Self::Dense(layer) => layer.set_precision(precision),
            Self::MixtureOfExperts(layer) => layer.set_precision(precision),
            Self::ReluRoutedExperts(layer) => layer.set_precision(precision),
            Self::Relu(layer) => layer.set_precision(precision),
        }
    }

    fn forward(&self, norm: &LayerNorm, input: Tensor<3>) -> (Tensor<3>, Option<Activity>) {
        let (output, activity) = match self {
            Self::Dense(layer) => return (layer.forward(norm, input), None),
            Self::MixtureOfExperts(layer) => layer.forward(norm, input),
            Self::ReluRoutedExperts(layer) => layer.forward(norm, input),
            Self::Relu(layer) => layer.forward(norm, input),
        };
        (output, Some(activity))
    }
}

impl FeedForward {
    /// Sets what the linear layers round their operands to.
    pub(crate) fn set_precision(&mut self, precision: Precision) {
        self.kind.set_precision(precision);
        if let Some(module) = &mut self.learned_dropout {
            module.query_key_value.precision = precision;
        }
    }

    /// Applies a norm and the feed-forward to `[batch, time, width]`.
    ///
    /// Masks are computed from `mask_input`, or from the output where none is given.
    pub fn forward(
        &self,
        norm: &LayerNorm,
        input: Tensor<3>,
        mask_input: Option<&Tensor<3>>,
        pass: &Pass,
    ) -> Fed {
        let (output, activity) = self.kind.forward(norm, input);
        let (output, masked) = match &self.learned_dropout {
            Some(module) => {
                let (output, mask_input) = match mask_input {
                    Some(input) => (output, input.clone()),
                    None if module.detaches_input() => (output.clone(), output),
                    None => duplicated(output).into(),
                };
                let masked = module.apply(output, mask_input, pass);
                (masked.output.clone(), Some(masked))
            }
            None => {
                let purpose = Purpose::FeedForwardDropout;
                (dropout(output, self.rate, pass, purpose, self.layer), None)
            }
        };
        Fed {
            output,
            masked,
            activity,
        }
    }
}
