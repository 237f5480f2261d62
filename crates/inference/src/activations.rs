//! The tensors of a forward pass, and the steps that fill them.

use learned_dropout::Site;
use rayon::prelude::*;

use crate::engine::{Block, BlockMask, Engine, MaskEmbedding};
use crate::mask::{MaskSampling, MaskSums, TokenMask};
use crate::numeric::attention::KeyValueCache;
use crate::numeric::elementwise::{add, gelu, layer_norm};
use crate::numeric::product::project;

/// Tokens that a thread masks at a time.
const MASK_PORTION: usize = 8;

/// The tensors of one forward pass, row by row, one row for each token.
#[derive(Debug, Default)]
pub(crate) struct Activations {
    /// The residual stream.
    pub(crate) hidden: Vec<f32>,
    /// The input of the masks, if they are made from the embedding.
    pub(crate) mask_input: Vec<f32>,
    pub(crate) normed: Vec<f32>,
    pub(crate) query_key_value: Vec<f32>,
    pub(crate) attended: Vec<f32>,
    pub(crate) inner: Vec<f32>,
    pub(crate) output: Vec<f32>,
}

/// Which mask of which token, and how it is rounded.
pub(crate) struct Place {
    pub(crate) layer: usize,
    pub(crate) token: u64,
    pub(crate) sampling: Option<MaskSampling>,
}

impl Activations {
    /// `hidden = token embedding + positional embedding`.
    pub(crate) fn embed(&mut self, engine: &Engine, start: usize, ids: &[u32]) {
        let width = engine.config().width;
        let size = ids.len() * width;
        let Self {
            hidden,
            mask_input,
            normed,
            query_key_value,
            attended,
            inner,
            output,
        } = self;
        for tensor in [hidden, normed, attended, output] {
            tensor.resize(size, 0.0);
        }
        query_key_value.resize(3 * size, 0.0);
        inner.resize(4 * size, 0.0);
        mask_input.resize(
            if engine.mask_embedding.is_some() {
                size
            } else {
                0
            },
            0.0,
        );
        let positions = engine.positional_embedding[start * width..].chunks_exact(width);
        let rows = self.hidden.chunks_exact_mut(width).zip(ids).zip(positions);
        for ((row, &id), position) in rows {
            row.copy_from_slice(&engine.token_embedding[id as usize * width..][..width]);
            add(row, position);
        }
    }

    /// `mask_input = linear(attention(hidden))`, for all masks.
    pub(crate) fn embed_masks(
        &mut self,
        engine: &Engine,
        weights: &MaskEmbedding,
        cache: &mut KeyValueCache,
        start: usize,
    ) {
        let Self {
            hidden,
            mask_input,
            query_key_value,
            attended,
            ..
        } = self;
        let (threads, config) = (engine.threads(), engine.config());
        let width = config.width;
        project(
            threads,
            hidden,
            width,
            &weights.query_key_value,
            query_key_value,
        );
        cache.write(start, query_key_value);
        cache.attend(threads, config.heads, start, query_key_value, attended);
        project(threads, attended, width, &weights.output, mask_input);
    }

    /// `hidden += attention(norm(hidden))`.
    pub(crate) fn attention(
        &mut self,
        engine: &Engine,
        block: &Block,
        cache: &mut KeyValueCache,
        start: usize,
    ) {
        let Self {
            hidden,
            normed,
            query_key_value,
            attended,
            output,
            ..
        } = self;
        let (threads, config) = (engine.threads(), engine.config());
        let width = config.width;
        layer_norm(hidden, &block.attention_norm, normed);
        project(
            threads,
            normed,
            width,
            &block.query_key_value,
            query_key_value,
        );
        cache.write(start, query_key_value);
        cache.attend(threads, config.heads, start, query_key_value, attended);
        project(threads, attended, width, &block.attention_output, output);
        add(hidden, output);
    }

    /// `output = down(gelu(up(norm(hidden))))`.
    pub(crate) fn feed_forward(&mut self, engine: &Engine, block: &Block) {
        let Self {
            hidden,
            normed,
            inner,
            output,
            ..
        } = self;
        let (threads, width) = (engine.threads(), engine.config().width);
        layer_norm(hidden, &block.feed_forward_norm, normed);
        project(threads, normed, width, &block.up, inner);
        if threads > 1 && inner.len() > 16 * width {
            inner.par_chunks_mut(16 * width).for_each(gelu);
        } else {
            gelu(inner);
        }
        project(threads, inner, 4 * width, &block.down, output);
    }

    /// `output *= rounded mask`.
    pub(crate) fn mask(
        &mut self,
        engine: &Engine,
        weights: &BlockMask,
        cache: &mut KeyValueCache,
        start: usize,
        place: Place,
    ) -> MaskSums {
        let Self {
            mask_input,
            query_key_value,
            attended,
            output,
            ..
        } = self;
        let (threads, config) = (engine.threads(), engine.config());
        let Some(mask_config) = &config.learned_dropout else {
            return MaskSums::default();
        };
        let width = config.width;
        let input = if mask_input.is_empty() {
            &*output
        } else {
            &*mask_input
        };
        project(
            threads,
            input,
            width,
            &weights.query_key_value,
            query_key_value,
        );
        cache.write(start, query_key_value);
        cache.attend(
            threads,
            config
                .mask_shape(Site::FeedForwardOutput)
                .map_or(config.heads, |shape| shape.heads),
            start,
            query_key_value,
            attended,
        );
        let portion = |(index, (output, attended)): (usize, (&mut [f32], &[f32]))| {
            let first = place.token + (index * MASK_PORTION) as u64;
            let mut sums = MaskSums::default();
            let rows = output
                .chunks_exact_mut(width)
                .zip(attended.chunks_exact(width));
            for (token, (output, attended)) in (first..).zip(rows) {
                let Place {
                    layer, sampling, ..
                } = place;
                let mask = TokenMask {
                    config: mask_config,
                    shift: &weights.shift,
                    sampling,
                    layer,
                    token,
                };
                sums.add(mask.apply(attended, output));
            }
            sums
        };
        let size = MASK_PORTION * width;
        // Added up in the order of the tokens, so that the threads do not change a bit.
        let parts: Vec<MaskSums> = if threads > 1 && output.len() > size {
            let parts = output.par_chunks_mut(size).zip(attended.par_chunks(size));
            parts.enumerate().map(portion).collect()
        } else {
            output
                .chunks_mut(size)
                .zip(attended.chunks(size))
                .enumerate()
                .map(portion)
                .collect()
        };
        let mut sums = MaskSums::default();
        parts.into_iter().for_each(|part| sums.add(part));
        sums
    }
}
