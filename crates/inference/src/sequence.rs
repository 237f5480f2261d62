//! The state of a sequence of tokens, and attention over it.

use kernels::cached_attention::Cache;
use kernels::kept_groups::KeptGroups;
use kernels::team::Team;
use model::mask_shape::AttentionShape;
use model::{MaskShape, TransformerConfig};

use crate::error::EngineError;
use crate::mask_rounding::MaskRule;
use crate::mask_statistics::MaskSums;

/// One sequence of tokens, with its caches and the sums of its mask statistics.
pub(crate) struct Sequence {
    /// The tokens whose keys and values are in the caches.
    pub(crate) window: Vec<u32>,
    /// Number of tokens since the sequence began.
    pub(crate) seen: u64,
    pub(crate) mask_rule: MaskRule,
    pub(crate) embedding_cache: Option<Cache>,
    pub(crate) attention_caches: Vec<Cache>,
    /// By the number of the mask; none for masks without attention.
    pub(crate) mask_caches: Vec<Option<Cache>>,
    /// By the number of the mask.
    pub(crate) sums: Vec<MaskSums>,
    /// By the number of the mask: the values of the mask function before rounding, for all measured tokens,
    /// `[tokens, values]`. None unless they are recorded.
    pub(crate) mask_values: Option<Vec<Vec<f32>>>,
}

/// The new tokens of one sequence among the rows of a forward pass.
#[derive(Clone, Copy)]
pub(crate) struct Span {
    /// The row of the first token.
    pub(crate) first: usize,
    pub(crate) count: usize,
    /// The position of the first token.
    pub(crate) start: usize,
    /// Whether the tokens count in the statistics of masks.
    pub(crate) measured: bool,
}

impl Sequence {
    /// An empty sequence.
    pub(crate) fn new(
        config: &TransformerConfig,
        masks: impl Iterator<Item = MaskShape>,
    ) -> Result<Self, EngineError> {
        let context = config.context;
        let memory = EngineError::Memory { context };
        let cache = || Cache::new(config.heads, config.width / config.heads, context);
        let caches = |count: usize| (0..count).map(|_| cache()).collect::<Option<Vec<_>>>();
        let embeddings = usize::from(config.masks_from_embedding());
        let masks: Option<Vec<_>> = masks
            .map(|mask| match mask.attention {
                Some(AttentionShape { width, heads }) => {
                    Cache::new(heads, width / heads, context).map(Some)
                }
                None => Some(None),
            })
            .collect();
        let (Some(attention_caches), Some(mask_caches), Some(mut embedding_caches)) =
            (caches(config.layers), masks, caches(embeddings))
        else {
            return Err(memory);
        };
        Ok(Self {
            window: Vec::new(),
            seen: 0,
            mask_rule: MaskRule::default(),
            embedding_cache: embedding_caches.pop(),
            attention_caches,
            sums: vec![MaskSums::default(); mask_caches.len()],
            mask_caches,
            mask_values: None,
        })
    }
}

/// Attention of the new tokens of some sequences, each with its own cache.
///
/// - `packed`: `[tokens, 3 · width]`
/// - `kept`: `[tokens, heads]`; where it is 0, the head is not computed for the token
/// - `output`: `[tokens, width]`
pub(crate) fn attend<'a>(
    team: &Team,
    caches: impl Iterator<Item = &'a mut Cache>,
    spans: &[Span],
    packed: &[f32],
    kept: Option<&[f32]>,
    output: &mut [f32],
) {
    for (span, cache) in spans.iter().zip(caches) {
        let rows = |width: usize| span.first * width..(span.first + span.count) * width;
        let width = cache.width();
        let packed = &packed[rows(3 * width)];
        cache.write(span.start, packed);
        let kept = kept.map(|kept| {
            let heads = cache.heads();
            KeptGroups::new(&kept[rows(heads)], span.count, heads)
        });
        let output = &mut output[rows(width)];
        cache.attend(team, span.start, packed, kept.as_ref(), output);
    }
}
