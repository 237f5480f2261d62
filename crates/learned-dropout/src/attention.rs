//! Causal multi-head attention.

use burn::module::Module;
use burn::tensor::Tensor;

use crate::dropout::{active_dropout, dropout};
use crate::learned_dropout::LearnedDropout;
use crate::linear::Linear;
use crate::mask::Mask;
use crate::mask_sources::{MaskInputs, any_uses_layer_input, duplicate, shared_norm};
use crate::norm::LayerNorm;
use crate::ops::{self, MaskedAttentionSettings, Precision};
use model::pass::Purpose;
use model::{MaskInput, Pass};

/// Causal attention over packed queries, keys and values, without any projection.
///
/// Scores are scaled by `1 / sqrt(head size)` and masked before the softmax. `rate` is the
/// ordinary dropout on the probabilities. The CPU backend rounds the operands of its products to
/// `precision`.
///
/// # Shapes
/// - `packed`: `[batch, time, 3 · channels]`: queries, keys, values, each head by head
/// - result: `[batch, time, channels]`
pub fn causal_attention(
    packed: Tensor<3>,
    heads: usize,
    rate: f64,
    pass: &Pass,
    layer: usize,
    precision: Precision,
) -> Tensor<3> {
    let purpose = Purpose::AttentionProbabilityDropout;
    let dropout = active_dropout(rate, pass, purpose, layer);
    ops::causal_attention(packed, heads, dropout, precision)
}

/// Attention with its projections: packed queries, keys and values in, one output.
#[derive(Module, Debug)]
pub struct Attention {
    /// `[3 · width, width]`: queries, keys, values.
    pub query_key_value: Linear,
    /// The learned mask on the probabilities, if there is one. It multiplies the values.
    pub probability_learned_dropout: Option<LearnedDropout>,
    /// The learned mask on the heads' outputs, if there is one.
    pub head_learned_dropout: Option<LearnedDropout>,
    /// `[width, width]`.
    pub output: Linear,
    /// The learned mask on the output, if there is one.
    pub learned_dropout: Option<LearnedDropout>,
    /// Number of heads.
    pub heads: usize,
    /// Rate of the ordinary dropout on the probabilities and on the output. A learned mask replaces it.
    pub rate: f64,
    /// Number of the block, or [`OUTSIDE_BLOCKS`](model::pass::OUTSIDE_BLOCKS).
    pub layer: usize,
}

impl Attention {
    /// The learned masks, in the order of the forward pass.
    pub(crate) fn masks(&self) -> impl Iterator<Item = &LearnedDropout> {
        [
            &self.probability_learned_dropout,
            &self.head_learned_dropout,
            &self.learned_dropout,
        ]
        .into_iter()
        .flatten()
    }

    /// Sets the precision that matrix products round their operands to.
    pub(crate) fn set_precision(&mut self, precision: Precision) {
        self.query_key_value.precision = precision;
        self.output.precision = precision;
        for module in self.masks_mut() {
            module.set_precision(precision);
        }
    }

    /// The learned masks, in the order of the forward pass.
    pub(crate) fn masks_mut(&mut self) -> impl Iterator<Item = &mut LearnedDropout> {
        [
            &mut self.probability_learned_dropout,
            &mut self.head_learned_dropout,
            &mut self.learned_dropout,
        ]
        .into_iter()
        .flatten()
    }

    /// Whether what a mask on the heads drops can be left out: the mask is known before the attention, and
    /// dropped heads need no gradient.
    fn leaves_heads_out(&self, module: &LearnedDropout) -> bool {
        module.mask_input() != MaskInput::Hidden
            && module.is_kept_only()
            && !self.output.cut.is_active()
    }

    /// Attends over `[batch, time, width]`, after a norm if one is given; the result has the same shape.
    /// Uses no learned masks.
    pub(crate) fn forward(
        &self,
        norm: Option<&LayerNorm>,
        input: Tensor<3>,
        pass: &Pass,
    ) -> Tensor<3> {
        self.masked(
            norm,
            input,
            &mut MaskInputs::default(),
            &mut Vec::new(),
            pass,
        )
    }

    /// Attends over `[batch, time, width]`, after a norm if one is given; the result has the same shape.
    /// Adds its masks to `masks`.
    pub(crate) fn masked(
        &self,
        norm: Option<&LayerNorm>,
        input: Tensor<3>,
        mask_inputs: &mut MaskInputs<'_>,
        masks: &mut Vec<Mask>,
        pass: &Pass,
    ) -> Tensor<3> {
        let (norm, mut input) = shared_norm(norm, input, self.masks());
        let mut layer_input = any_uses_layer_input(self.masks()).then(|| duplicate(&mut input));
        let mut packed = match norm {
            Some(norm) => self.query_key_value.forward_normalized(norm, input),
            None => self.query_key_value.forward(input),
        };
        let mut compute_mask = |module: &LearnedDropout, hidden: &mut Tensor<3>| {
            let source = mask_inputs.source(module, norm, hidden, layer_input.as_mut());
            module.mask(source, pass)
        };
        let mut rate = self.rate;
        if let Some(module) = &self.probability_learned_dropout {
            let width = packed.dims()[2] / 3;
            let mut values = packed.clone().narrow(2, 2 * width, width);
            let mask = compute_mask(module, &mut values);
            packed = mask.product(packed);
            masks.push(mask);
            rate = 0.0;
        }
        let precision = self.query_key_value.precision;
        let mut output = match &self.head_learned_dropout {
            Some(module) if self.leaves_heads_out(module) => {
                let mask = compute_mask(module, &mut packed);
                let purpose = Purpose::AttentionProbabilityDropout;
                let settings = MaskedAttentionSettings {
                    dropout: active_dropout(rate, pass, purpose, self.layer),
                    precision,
                };
                let factors = mask.multiplier().cast(packed.dtype());
                masks.push(mask);
                ops::masked_attention(packed, factors, self.output.weight.val(), settings)
            }
            module => {
                let mut attended =
                    causal_attention(packed, self.heads, rate, pass, self.layer, precision);
                if let Some(module) = module {
                    let mask = compute_mask(module, &mut attended);
                    attended = mask.product(attended);
                    masks.push(mask);
                }
                self.output.forward(attended)
            }
        };
        match &self.learned_dropout {
            Some(module) => {
                let mask = compute_mask(module, &mut output);
                output = mask.product(output);
                masks.push(mask);
                output
            }
            None => {
                let purpose = Purpose::AttentionOutputDropout;
                dropout(output, self.rate, pass, purpose, self.layer)
            }
        }
    }
}
