//! Feed-forwards: what stands in the second half of a block.
//!
//! Each kind has a file of its own with its module, and a line in [`Kind`]. Their settings are in
//! [`model::feed_forward`].

mod activity;
mod dense;
mod experts;
mod mixture_of_experts;
mod relu;
mod relu_routed_experts;

use burn::module::Module;
use burn::tensor::Tensor;

use crate::dropout::dropout;
use crate::learned_dropout::LearnedDropout;
use crate::mask::Mask;
use crate::mask_sources::{Elsewhere, reads_layer_input, shared};
use crate::norm::LayerNorm;
use crate::ops::Precision;
use model::pass::Purpose;
use model::{MaskInput, Pass};

pub use activity::{Activity, auxiliary_loss};
pub use dense::Dense;
pub use experts::Experts;
pub use mixture_of_experts::MixtureOfExperts;
pub use relu::Relu;
pub use relu_routed_experts::ReluRoutedExperts;

/// A feed-forward, then a learned mask or ordinary dropout; in the dense one a learned mask may also
/// stand on the hidden units.
#[derive(Module, Debug)]
pub struct FeedForward {
    /// The feed-forward itself. Its parameters have the names of its fields, without this one's.
    pub kind: Kind,
    /// The learned mask on the hidden units, where there is one.
    pub hidden_learned_dropout: Option<LearnedDropout>,
    /// The learned mask on the output, where there is one.
    pub learned_dropout: Option<LearnedDropout>,
    /// Rate of the ordinary dropout on the output, where there is no learned mask.
    pub rate: f64,
    /// Number of the block.
    pub layer: usize,
}

/// The feed-forward of [`FeedForwardConfig`](model::FeedForwardConfig).
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant, reason = "one for each block")]
pub enum Kind {
    /// See [`Dense`].
    Dense(Dense),
    /// See [`MixtureOfExperts`].
    MixtureOfExperts(MixtureOfExperts),
    /// See [`ReluRoutedExperts`].
    ReluRoutedExperts(ReluRoutedExperts),
    /// See [`Relu`].
    Relu(Relu),
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
    /// The learned masks, in the order of the forward pass.
    pub(crate) fn masks(&self) -> impl Iterator<Item = &LearnedDropout> {
        [&self.hidden_learned_dropout, &self.learned_dropout]
            .into_iter()
            .flatten()
    }

    /// Sets what the linear layers round their operands to.
    pub(crate) fn set_precision(&mut self, precision: Precision) {
        self.kind.set_precision(precision);
        let masks = [&mut self.hidden_learned_dropout, &mut self.learned_dropout];
        for module in masks.into_iter().flatten() {
            module.set_precision(precision);
        }
    }

    /// Applies a norm and the feed-forward to `[batch, time, width]`; adds its masks to `masks`. Gives
    /// also what it used of itself, where it does not use all.
    pub(crate) fn forward(
        &self,
        norm: &LayerNorm,
        mut input: Tensor<3>,
        elsewhere: &mut Elsewhere<'_>,
        masks: &mut Vec<Mask>,
        pass: &Pass,
    ) -> (Tensor<3>, Option<Activity>) {
        let mut layer_input = reads_layer_input(self.masks()).then(|| shared(&mut input));
        let mut mask = |module: &LearnedDropout, hidden: &mut Tensor<3>| {
            let source = elsewhere.source(module, Some(norm), hidden, layer_input.as_mut());
            module.mask(source, pass)
        };
        let (mut output, activity) = match (&self.hidden_learned_dropout, &self.kind) {
            (None, kind) => kind.forward(norm, input),
            (Some(module), Kind::Dense(layer)) if module.reads() == MaskInput::Hidden => {
                let mut units = layer.units(norm, input);
                let made = mask(module, &mut units);
                let output = layer.down.forward(made.product(units));
                masks.push(made);
                (output, None)
            }
            (Some(module), Kind::Dense(layer)) => {
                let made = mask(module, &mut input);
                let output = layer.forward_masked(norm, input, &made);
                masks.push(made);
                (output, None)
            }
            (Some(_), _) => unreachable!("only the dense feed-forward has masks on hidden units"),
        };
        let output = match &self.learned_dropout {
            Some(module) => {
                let made = mask(module, &mut output);
                output = made.product(output);
                masks.push(made);
                output
            }
            None => {
                let purpose = Purpose::FeedForwardDropout;
                dropout(output, self.rate, pass, purpose, self.layer)
            }
        };
        (output, activity)
    }
}
