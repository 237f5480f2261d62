//! Feed-forwards: the second part of a block.
//!
//! Each kind has its own file with its module, and a variant of [`Kind`]. Their settings are in
//! [`model::feed_forward`].

mod activity;
mod dense;
mod experts;
mod mixture_of_experts;
mod relu;
mod relu_routed_experts;
mod swiglu;

use burn::module::Module;
use burn::tensor::Tensor;

use crate::dropout::dropout;
use crate::learned_dropout::LearnedDropout;
use crate::mask::Mask;
use crate::mask_sources::{MaskInputs, any_uses_layer_input, duplicate, shared_norm};
use crate::norm::LayerNorm;
use crate::ops::{Activation, Precision, gelu, relu};
use model::pass::Purpose;
use model::{MaskInput, Pass};

pub use activity::{Activity, auxiliary_loss, unit_mean};
pub use dense::Dense;
pub use experts::{ExpertOutput, Experts, UnitMeans};
pub use mixture_of_experts::MixtureOfExperts;
pub use relu::Relu;
pub use relu_routed_experts::ReluRoutedExperts;
pub use swiglu::Swiglu;

/// A feed-forward, followed by a learned mask or ordinary dropout. One without experts may also have a learned
/// mask on its hidden units.
#[derive(Module, Debug)]
pub struct FeedForward {
    /// The feed-forward itself. Neither `kind` nor the variant's name is part of a parameter's path.
    pub kind: Kind,
    /// The learned mask on the hidden units, if there is one.
    pub hidden_learned_dropout: Option<LearnedDropout>,
    /// The learned mask on the output, if there is one.
    pub learned_dropout: Option<LearnedDropout>,
    /// Rate of the ordinary dropout on the output. A learned mask replaces it.
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
    /// See [`Swiglu`].
    Swiglu(Swiglu),
}

impl Kind {
    fn set_precision(&mut self, precision: Precision) {
        match self {
            Self::Dense(layer) => layer.set_precision(precision),
            Self::MixtureOfExperts(layer) => layer.set_precision(precision),
            Self::ReluRoutedExperts(layer) => layer.set_precision(precision),
            Self::Relu(layer) => layer.set_precision(precision),
            Self::Swiglu(layer) => layer.set_precision(precision),
        }
    }

    fn forward(&self, norm: &LayerNorm, input: Tensor<3>) -> (Tensor<3>, Option<Activity>) {
        let (output, activity) = match self {
            Self::Dense(layer) => return (layer.forward(norm, input), None),
            Self::Swiglu(layer) => return (layer.forward(norm, input), None),
            Self::MixtureOfExperts(layer) => layer.forward(norm, input),
            Self::ReluRoutedExperts(layer) => layer.forward(norm, input),
            Self::Relu(layer) => layer.forward(norm, input),
        };
        (output, Some(activity))
    }
}

/// Hidden units from the up projection, `[batch, time, hidden]`.
fn activated(before: Tensor<3>, activation: Activation) -> Tensor<3> {
    match activation {
        Activation::Gelu => gelu(before),
        Activation::Relu => relu(before),
        Activation::SquaredRelu => {
            let units = relu(before);
            units.clone() * units
        }
    }
}

impl FeedForward {
    /// The learned masks, in the order of the forward pass.
    pub(crate) fn masks(&self) -> impl Iterator<Item = &LearnedDropout> {
        [&self.hidden_learned_dropout, &self.learned_dropout]
            .into_iter()
            .flatten()
    }

    /// Sets the precision that linear layers round their operands to.
    pub(crate) fn set_precision(&mut self, precision: Precision) {
        self.kind.set_precision(precision);
        for module in self.masks_mut() {
            module.set_precision(precision);
        }
    }

    /// The learned masks, in the order of the forward pass.
    pub(crate) fn masks_mut(&mut self) -> impl Iterator<Item = &mut LearnedDropout> {
        [&mut self.hidden_learned_dropout, &mut self.learned_dropout]
            .into_iter()
            .flatten()
    }

    /// Applies a norm and the feed-forward to `[batch, time, width]` and adds its masks to `masks`. Also
    /// returns the activity, if the feed-forward has experts or ReLU.
    pub(crate) fn forward(
        &self,
        norm: &LayerNorm,
        input: Tensor<3>,
        mask_inputs: &mut MaskInputs<'_>,
        masks: &mut Vec<Mask>,
        pass: &Pass,
    ) -> (Tensor<3>, Option<Activity>) {
        let hidden_mask = self.hidden_learned_dropout.iter();
        let (norm_before, mut input) = shared_norm(Some(norm), input, hidden_mask);
        let mut layer_input = any_uses_layer_input(self.masks()).then(|| duplicate(&mut input));
        let mut compute_mask = |module: &LearnedDropout, hidden: &mut Tensor<3>| {
            let source = mask_inputs.source(module, norm_before, hidden, layer_input.as_mut());
            module.mask(source, pass)
        };
        let (mut output, activity) = match (&self.hidden_learned_dropout, &self.kind) {
            (None, kind) => kind.forward(norm, input),
            (Some(module), Kind::Dense(layer)) if module.mask_input() == MaskInput::Hidden => {
                let mut units = layer.units(norm, input);
                let mask = compute_mask(module, &mut units);
                let output = layer.down.forward(mask.product(units));
                masks.push(mask);
                (output, None)
            }
            (Some(module), Kind::Dense(layer)) => {
                let mask = compute_mask(module, &mut input);
                let output = layer.forward_masked(norm_before, input, &mask);
                masks.push(mask);
                (output, None)
            }
            (Some(module), Kind::Relu(layer)) if module.mask_input() == MaskInput::Hidden => {
                let mut units = layer.units(norm, input);
                let mask = compute_mask(module, &mut units);
                let (output, activity) = layer.masked(units, &mask);
                masks.push(mask);
                (output, Some(activity))
            }
            (Some(module), Kind::Relu(layer)) => {
                let mask = compute_mask(module, &mut input);
                let (output, activity) = layer.forward_masked(norm_before, input, &mask);
                masks.push(mask);
                (output, Some(activity))
            }
            (Some(_), _) => unreachable!("no masks on these hidden units"),
        };
        let output = match &self.learned_dropout {
            Some(module) => {
                let mask = compute_mask(module, &mut output);
                output = mask.product(output);
                masks.push(mask);
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
