//! The forward pass and its tensors.

use kernels::grouped::is_faster_than_dense;
use kernels::kept_groups::KeptGroups;
use kernels::{layer_norm, swiglu};
use model::{MaskInput, Site};
use rayon::prelude::*;

use crate::engine::Engine;
use crate::layers::{AttentionOutput, Block, FeedForwardLayers};
use crate::mask::{Mask, MaskActivations};
use crate::sequence::{Sequence, Span, attend};
use crate::workers::FEW_TOKENS;

/// Added to the variance in a norm, as in the model's training.
const EPSILON: f32 = 1e-5;

/// The tensors of one forward pass, row by row, one row for each token.
#[derive(Debug, Default)]
pub(crate) struct Activations {
    /// The residual stream.
    pub(crate) hidden: Vec<f32>,
    /// The masks' common input, if masks are computed from the embedding.
    embedded: Vec<f32>,
    /// The residual stream before the block, if masks are computed from it.
    residual: Vec<f32>,
    normed: Vec<f32>,
    packed: Vec<f32>,
    attended: Vec<f32>,
    output: Vec<f32>,
    /// Hidden units, or the values of the attention if a mask is computed from them.
    units: Vec<f32>,
    mask: MaskActivations,
    /// The factors of the heads, if there is a mask on them: `[tokens, heads]`.
    head_factors: Vec<f32>,
}

/// Appends tokens to the windows of sequences and computes their residual streams, sequence by sequence.
/// The tokens count in the statistics if `measured`.
pub(crate) fn forward(
    engine: &Engine,
    activations: &mut Activations,
    sequences: &mut [Sequence],
    ids: &[&[u32]],
    measured: bool,
) {
    let mut first = 0;
    let mut spans = Vec::with_capacity(ids.len());
    for (sequence, ids) in sequences.iter().zip(ids) {
        spans.push(Span {
            first,
            count: ids.len(),
            start: sequence.window.len(),
            measured,
        });
        first += ids.len();
    }
    let mut pass = Pass {
        engine,
        sequences,
        spans: &spans,
        tensors: activations,
    };
    pass.embed(ids);
    for (layer, block) in engine.blocks.iter().enumerate() {
        if pass.mask_input() == Some(MaskInput::Residual) {
            pass.tensors.residual.clone_from(&pass.tensors.hidden);
        }
        pass.attention(layer, block);
        pass.feed_forward(block);
    }
    for (sequence, ids) in sequences.iter_mut().zip(ids) {
        sequence.window.extend_from_slice(ids);
        sequence.seen += ids.len() as u64;
    }
}

/// Number of values that one parallel task adds.
const CHUNK: usize = 1 << 14;

/// `to += from`.
fn add(to: &mut [f32], from: &[f32]) {
    let chunks = to.par_chunks_mut(CHUNK).zip(from.par_chunks(CHUNK));
    chunks.for_each(|(to, from)| {
        for (to, from) in to.iter_mut().zip(from) {
            *to += from;
        }
    });
}

/// Applies the final norm to rows.
pub(crate) fn final_norm(engine: &Engine, hidden: &[f32]) -> Vec<f32> {
    layer_norm::forward(hidden, &engine.final_norm, EPSILON)
}

struct Pass<'a> {
    engine: &'a Engine,
    sequences: &'a mut [Sequence],
    spans: &'a [Span],
    tensors: &'a mut Activations,
}

impl Pass<'_> {
    /// What masks are computed from; none without masks.
    fn mask_input(&self) -> Option<MaskInput> {
        let masks = self.engine.config().learned_dropout.as_ref()?;
        Some(masks.input)
    }

    /// Computes `hidden = token embedding + positional embedding`, the masks' common input and the mask on
    /// the embedding.
    fn embed(&mut self, ids: &[&[u32]]) {
        let engine = self.engine;
        let width = engine.config().width;
        let tensors = &mut *self.tensors;
        let tokens: usize = ids.iter().map(|ids| ids.len()).sum();
        for tensor in [
            &mut tensors.hidden,
            &mut tensors.normed,
            &mut tensors.attended,
            &mut tensors.output,
        ] {
            tensor.resize(tokens * width, 0.0);
        }
        tensors.packed.resize(3 * tokens * width, 0.0);
        let mut rows = tensors.hidden.chunks_exact_mut(width);
        for (span, ids) in self.spans.iter().zip(ids) {
            let positions = &engine.positional_embedding[span.start * width..];
            for (id, position) in ids.iter().zip(positions.chunks_exact(width)) {
                let row = rows.next().expect("a row for each token");
                engine.token_embedding.row(*id as usize, row);
                add(row, position);
            }
        }
        if let Some(weights) = &engine.mask_embedding {
            let Activations {
                hidden,
                packed,
                attended,
                embedded,
                ..
            } = tensors;
            engine
                .workers
                .multiply(&weights.query_key_value, hidden, packed);
            let sequences = self.sequences.iter_mut();
            let caches = sequences.filter_map(|sequence| sequence.embedding_cache.as_mut());
            attend(
                engine.workers.team(),
                caches,
                self.spans,
                packed,
                None,
                attended,
            );
            embedded.resize(tokens * width, 0.0);
            engine.workers.multiply(&weights.output, attended, embedded);
        }
        if let Some(mask) = &engine.embedding_mask {
            let Activations {
                hidden,
                embedded,
                mask: tensors,
                ..
            } = &mut *self.tensors;
            let input = match &engine.mask_embedding {
                Some(_) => embedded,
                None => &*hidden,
            };
            mask.compute(&engine.workers, self.sequences, self.spans, input, tensors);
            mask.apply(&tensors.factors, hidden, width);
        }
    }

    /// Computes a mask whose input is known before the masked tensor is computed.
    fn compute_known_mask(&mut self, mask: &Mask) {
        let input = match self.mask_input() {
            Some(MaskInput::Embedding) => &self.tensors.embedded,
            Some(MaskInput::LayerInput) => &self.tensors.normed,
            Some(MaskInput::Residual) => &self.tensors.residual,
            Some(MaskInput::Hidden) | None => {
                unreachable!("computed from the masked tensor itself")
            }
        };
        let tensors = &mut self.tensors.mask;
        mask.compute(
            &self.engine.workers,
            self.sequences,
            self.spans,
            input,
            tensors,
        );
    }

    /// Whether the inputs of masks are known before the masked tensors are computed.
    fn masks_are_known_first(&self) -> bool {
        self.mask_input() != Some(MaskInput::Hidden)
    }

    /// `hidden += attention(norm(hidden))`.
    fn attention(&mut self, layer: usize, block: &Block) {
        let engine = self.engine;
        let width = engine.config().width;
        self.tensors.normed =
            layer_norm::forward(&self.tensors.hidden, &block.attention_norm, EPSILON);
        let mask = block.mask(Site::AttentionHeads);
        let known = mask.filter(|_| self.masks_are_known_first());
        if let Some(mask) = known {
            self.compute_known_mask(mask);
            let Activations {
                mask, head_factors, ..
            } = &mut *self.tensors;
            std::mem::swap(&mut mask.factors, head_factors);
        }
        let skips = known.is_some() && engine.skips_heads();
        let heads = engine.config().heads;
        let tensors = &mut *self.tensors;
        let tokens = tensors.hidden.len() / width;
        let kept = skips.then(|| KeptGroups::new(&tensors.head_factors, tokens, heads));
        block.query_key_value.multiply_kept(
            &engine.workers,
            &tensors.normed,
            &mut tensors.packed,
            kept.as_ref().map(|kept| (kept, width / heads)),
        );
        if let Some(mask) = block.mask(Site::AttentionProbabilities) {
            if self.masks_are_known_first() {
                self.compute_known_mask(mask);
            } else {
                let Activations { packed, units, .. } = &mut *self.tensors;
                units.clear();
                for packed in packed.chunks_exact(3 * width) {
                    units.extend_from_slice(&packed[2 * width..]);
                }
                let tensors = &mut self.tensors.mask;
                mask.compute(
                    &engine.workers,
                    self.sequences,
                    self.spans,
                    &self.tensors.units,
                    tensors,
                );
            }
            let values = &mut self.tensors.packed[2 * width..];
            mask.apply(&self.tensors.mask.factors, values, 3 * width);
        }
        let Activations {
            packed,
            attended,
            output,
            mask: tensors,
            head_factors,
            ..
        } = &mut *self.tensors;
        let sequences = self.sequences.iter_mut();
        let caches = sequences.map(|sequence| &mut sequence.attention_caches[layer]);
        let factors = skips.then_some(&head_factors[..]);
        attend(
            engine.workers.team(),
            caches,
            self.spans,
            packed,
            factors,
            attended,
        );
        if let Some(mask) = mask {
            if known.is_none() {
                mask.compute(
                    &engine.workers,
                    self.sequences,
                    self.spans,
                    attended,
                    tensors,
                );
                std::mem::swap(&mut tensors.factors, head_factors);
            }
            mask.apply(head_factors, attended, width);
        }
        match &block.attention_output {
            AttentionOutput::Whole(layer) => layer.multiply(&engine.workers, attended, output),
            AttentionOutput::ByHead(columns) => {
                // A mask that is computed from the heads is known only now.
                let kept = kept.unwrap_or_else(|| KeptGroups::new(head_factors, tokens, heads));
                if tokens <= FEW_TOKENS {
                    columns.multiply(engine.workers.team(), output, attended, &kept);
                } else {
                    columns.multiply_many(output, attended, &kept, engine.workers.precision());
                }
            }
        }
        self.add_output(block.mask(Site::AttentionOutput));
    }

    /// `hidden += feed-forward(norm(hidden))`.
    fn feed_forward(&mut self, block: &Block) {
        let engine = self.engine;
        self.tensors.normed =
            layer_norm::forward(&self.tensors.hidden, &block.feed_forward_norm, EPSILON);
        let mask = block.mask(Site::FeedForwardHidden);
        let known = mask.filter(|_| self.masks_are_known_first());
        if let Some(mask) = known {
            self.compute_known_mask(mask);
        }
        let tokens = self.tensors.hidden.len() / engine.config().width;
        let Activations {
            normed,
            output,
            units,
            mask: tensors,
            ..
        } = &mut *self.tensors;
        match &block.feed_forward {
            FeedForwardLayers::Fused(layer) if tokens <= FEW_TOKENS => {
                let kept = match known {
                    Some(mask) => mask.kept_groups(&tensors.factors, tokens),
                    None => KeptGroups::all(tokens, layer.groups()),
                };
                layer.forward(engine.workers.team(), output, normed, &kept);
            }
            FeedForwardLayers::Fused(layer) => {
                let precision = engine.workers.precision();
                let kept = known.map(|mask| mask.kept_groups(&tensors.factors, tokens));
                let group = layer.hidden() / layer.groups();
                match kept.filter(|kept| is_faster_than_dense(group, kept.share(), precision)) {
                    Some(kept) => layer.forward_grouped(output, normed, &kept, precision),
                    None => {
                        let factors = known.map(|_| &tensors.factors[..]);
                        layer.forward_many(output, normed, factors, precision);
                    }
                }
            }
            FeedForwardLayers::Experts(experts) => experts.forward(&engine.workers, normed, output),
            FeedForwardLayers::Swiglu { gate_and_up, down } => {
                units.resize(tokens * gate_and_up.outputs(), 0.0);
                gate_and_up.multiply(&engine.workers, normed, units);
                *units = swiglu::forward(units, gate_and_up.outputs() / 2);
                down.multiply(&engine.workers, units, output);
            }
            FeedForwardLayers::Layers {
                up,
                down,
                activation,
            } => {
                units.resize(tokens * up.outputs(), 0.0);
                up.multiply(&engine.workers, normed, units);
                *units = activation.forward(units);
                if let Some(mask) = mask {
                    if known.is_none() {
                        mask.compute(&engine.workers, self.sequences, self.spans, units, tensors);
                    }
                    mask.apply(&tensors.factors, units, up.outputs());
                }
                down.multiply(&engine.workers, units, output);
            }
        }
        self.add_output(block.mask(Site::FeedForwardOutput));
    }

    /// `hidden += output`, masked.
    fn add_output(&mut self, mask: Option<&Mask>) {
        if let Some(mask) = mask {
            if self.masks_are_known_first() {
                self.compute_known_mask(mask);
            } else {
                let tensors = &mut self.tensors.mask;
                let input = &self.tensors.output;
                mask.compute(
                    &self.engine.workers,
                    self.sequences,
                    self.spans,
                    input,
                    tensors,
                );
            }
            let width = self.engine.config().width;
            let Activations {
                output,
                mask: tensors,
                ..
            } = &mut *self.tensors;
            mask.apply(&tensors.factors, output, width);
        }
        add(&mut self.tensors.hidden, &self.tensors.output);
    }
}
