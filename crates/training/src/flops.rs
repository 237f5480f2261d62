//! Floating-point operations of a model, and the share of a processor's peak that a training speed
//! reaches.
//!
//! Counted as in appendix B of "PaLM: Scaling Language Modeling with Pathways" (Chowdhery et al., 2022):
//! a multiplication and an addition per weight and token forwards, twice that backwards; and for
//! each attention `2 · 2 · context · width` per token forwards for its scores and its sums, as if
//! every position attended to the whole context. Looking up an embedding costs nothing: the
//! positional embedding does not count, and the token embedding counts once, as the output layer. A learned
//! mask has an attention of its own, as wide as its rank where it has one, and the masks from the
//! embedding share one more. Experts that a token does not choose are not executed for it.

use model::{FeedForwardConfig, MaskInput, Site, TransformerConfig};

use crate::metrics::UsedShares;

/// Operations of the forward pass per token, if everything is computed.
///
/// ```
/// use model::TransformerConfig;
/// let config = TransformerConfig {
///     vocabulary: 10, context: 4, width: 2, heads: 1, layers: 1, dropout: 0.0,
///     feed_forward: Default::default(),
///     learned_dropout: None,
/// };
/// // 20 (output) + 12 + 4 (attention) + 16 + 16 (feed-forward) + 6 (norms) = 74 weights.
/// assert_eq!(learned_dropout_training::flops::forward_per_token(&config), 2.0 * 74.0 + 4.0 * 4.0 * 2.0);
/// ```
pub fn forward_per_token(config: &TransformerConfig) -> f64 {
    // Masks outside blocks are there once.
    let shapes = (0..config.layers).flat_map(|layer| {
        let shapes = config.mask_shapes(layer);
        shapes.filter(move |shape| layer == 0 || shape.site.is_in_blocks())
    });
    let attentions = shapes.filter_map(|shape| shape.attention);
    let masks: usize = attentions.map(|attention| attention.width).sum();
    let shared = usize::from(config.masks_from_embedding());
    let attention = (config.layers + shared) * config.width + masks;
    2.0 * config.parameters_without_positions() as f64
        + 4.0 * config.context as f64 * attention as f64
}

/// Operations of the forward pass per token that compute the masks: a part of
/// [`forward_per_token`].
///
/// ```
/// use model::{MaskConfig, MaskInput, Site, TransformerConfig};
/// use learned_dropout_training::flops::mask_generation_per_token;
/// let config = TransformerConfig {
///     vocabulary: 10, context: 4, width: 8, heads: 2, layers: 3, dropout: 0.0,
///     feed_forward: Default::default(),
///     learned_dropout: Some(MaskConfig {
///         site: Site::FeedForwardHidden.into(), input: MaskInput::LayerInput,
///         rank: Some(2), group: 4, ..MaskConfig::default()
///     }),
/// };
/// // 3 · 2 · 8 (attention) + 8 · 2 (output) + 8 (shift) = 72 weights, and an attention of width 2.
/// assert_eq!(mask_generation_per_token(&config), 3.0 * (2.0 * 72.0 + 4.0 * 4.0 * 2.0));
/// ```
pub fn mask_generation_per_token(config: &TransformerConfig) -> f64 {
    let plain = TransformerConfig {
        learned_dropout: None,
        ..config.clone()
    };
    forward_per_token(config) - forward_per_token(&plain)
}

/// Operations of the forward pass per token if values that masks drop, experts that are not chosen
/// and hidden units that are 0 are left out.
///
/// If the share of chosen experts is not known, the share that the configuration aims at is taken; if
/// the share of hidden units with ReLU is not known, all of them count. Values that masks drop in the
/// output of experts save nothing.
///
/// The work that a dropped value saves depends on when the mask is known. A mask that is computed from
/// what it masks is too late for the work that computes that.
///
/// | site | mask known before | mask from what it masks |
/// |---|---|---|
/// | hidden units | rows of the up and the down projection | those of the down projection |
/// | attention heads | rows of the queries, scores and sums, columns of the output projection | columns of the output projection |
/// | attention probabilities | rows of the values, sums | sums |
/// | attention and feed-forward output | rows of the last projection | nothing |
/// | embedding | nothing | nothing |
///
/// The engine leaves out all of this for heads; when it reads many tokens and most are kept, it computes
/// all queries because that is faster. It leaves out hidden units whose mask is known before, and computes
/// the work of the other lines in full. Training with kept-only gradients leaves out what the mask drops of
/// hidden units and, except for the queries, of heads, where few are kept.
///
/// Keys and values of a dropped head are still needed: later tokens may keep it. A hidden unit that
/// ReLU makes 0 saves its row of the down projection; where a mask drops units, or a token does not use an
/// expert, their share is that of the others. Of the expert that every token uses all units count. Masks
/// at several sites are assumed to be independent of each other. Masks that round to neither 0 nor a gate,
/// such as sigmoids, save nothing.
pub fn executed_per_token(config: &TransformerConfig, used: &UsedShares) -> f64 {
    let layers = (0..config.layers).map(|layer| saved_in_layer(config, used, layer));
    let saved: f64 = layers.sum();
    let unused = unused_by_experts(config, used.density) + zero_in_experts(config, used);
    forward_per_token(config) - saved - 2.0 * unused
}

/// The down weights, in the experts of all layers that a token uses, of units that are 0.
fn zero_in_experts(config: &TransformerConfig, used: &UsedShares) -> f64 {
    let Some(optional) = config.feed_forward.optional(config.width) else {
        return 0.0;
    };
    let down = optional.parameters as f64 / 2.0;
    let layers = (0..config.layers).map(|layer| {
        let zero = 1.0 - used.unit_density_in(layer).unwrap_or(1.0);
        down * used.density_in(layer).unwrap_or(optional.used) * zero
    });
    layers.sum()
}

/// Operations of one layer that need not be executed.
fn saved_in_layer(config: &TransformerConfig, used: &UsedShares, layer: usize) -> f64 {
    let mask = config.learned_dropout.as_ref();
    // The share that remains of work behind a site, whenever its mask is known. What a mask keeps in part is
    // computed whole.
    let late = |site: Site| match config.masks_at(site) {
        Some(mask) if mask.rounding.drops_whole() => used.kept_in(site, layer),
        _ => 1.0,
    };
    // The share that remains of work in front of a site: all, if the mask is computed from its result.
    let early = |site: Site| match mask {
        Some(mask) if mask.input == MaskInput::Hidden => 1.0,
        _ => late(site),
    };
    let (width, context) = (config.width as f64, config.context as f64);
    let (matrix, attention) = (2.0 * width * width, 2.0 * context * width);
    let projection = match config.feed_forward.experts() {
        None => 2.0 * (config.feed_forward.hidden(config.width, layer) * config.width) as f64,
        Some(_) => 0.0,
    };
    let units = match config.feed_forward {
        FeedForwardConfig::Relu(_) => used.density_in(layer).unwrap_or(1.0),
        _ => 1.0,
    };
    let heads = early(Site::AttentionHeads);
    let parts = [
        (matrix, heads),
        (matrix, early(Site::AttentionProbabilities)),
        (attention, heads),
        (attention, heads * late(Site::AttentionProbabilities)),
        (
            matrix,
            late(Site::AttentionHeads) * early(Site::AttentionOutput),
        ),
        (projection, early(Site::FeedForwardHidden)),
        (
            projection,
            units * late(Site::FeedForwardHidden) * early(Site::FeedForwardOutput),
        ),
    ];
    parts.iter().map(|(whole, left)| whole * (1.0 - left)).sum()
}

/// The parameters of all layers' experts that a token does not use on average.
fn unused_by_experts(config: &TransformerConfig, density: Option<f64>) -> f64 {
    let optional = config.feed_forward.optional(config.width);
    match (density, optional) {
        (Some(density), Some(optional)) => {
            (config.layers * optional.parameters) as f64 * (1.0 - density)
        }
        _ => (config.parameters() - config.active_parameters()) as f64,
    }
}

/// Operations of the forward and the backward pass per token: three times what the forward pass
/// executes.
pub fn training_per_token(config: &TransformerConfig) -> f64 {
    3.0 * executed_per_token(config, &UsedShares::default())
}

/// The share of the processor's peak that a training speed reaches, usually from 0 to 1.
///
/// `peak` is in operations per second; the share is unknown without it.
pub fn utilization(
    config: &TransformerConfig,
    tokens_per_second: f64,
    peak: Option<f64>,
) -> Option<f64> {
    peak.filter(|peak| *peak > 0.0)
        .map(|peak| training_per_token(config) * tokens_per_second / peak)
}

#[cfg(test)]
mod tests {
    use model::MaskConfig;
    use model::feed_forward::{
        ExpertActivation, MixtureOfExperts, Relu, ReluRoutedExperts, Swiglu,
    };

    use super::*;

    /// Sizes whose sums all differ.
    fn config(site: Site, input: MaskInput) -> TransformerConfig {
        TransformerConfig {
            vocabulary: 11,
            context: 5,
            width: 6,
            heads: 3,
            layers: 2,
            dropout: 0.0,
            feed_forward: Default::default(),
            learned_dropout: Some(MaskConfig {
                site: site.into(),
                input,
                rank: Some(3),
                ..MaskConfig::default()
            }),
        }
    }

    fn all_used() -> UsedShares {
        UsedShares::default()
    }

    fn of_density(density: f64) -> UsedShares {
        UsedShares::new([], Some(density))
    }

    fn saved(site: Site, input: MaskInput) -> f64 {
        let config = config(site, input);
        assert_eq!(
            executed_per_token(&config, &all_used()),
            forward_per_token(&config)
        );
        forward_per_token(&config) - executed_per_token(&config, &all_used().with_kept(0.5))
    }

    #[test]
    fn half_of_what_can_be_left_out_is_left_out() {
        use MaskInput::{Embedding, Hidden, LayerInput};
        // Per layer: 24 units of 2 · 6 operations in each projection.
        assert_eq!(saved(Site::FeedForwardHidden, LayerInput), 2.0 * 288.0);
        assert_eq!(saved(Site::FeedForwardHidden, Hidden), 2.0 * 144.0);
        // 72 of the queries, 72 of the output projection, 60 of the scores and 60 of the sums.
        assert_eq!(saved(Site::AttentionHeads, LayerInput), 264.0);
        assert_eq!(saved(Site::AttentionHeads, Hidden), 72.0);
        assert_eq!(saved(Site::AttentionProbabilities, Embedding), 132.0);
        assert_eq!(saved(Site::AttentionProbabilities, Hidden), 60.0);
        assert_eq!(saved(Site::FeedForwardOutput, LayerInput), 288.0);
        assert_eq!(saved(Site::FeedForwardOutput, Hidden), 0.0);
        assert_eq!(saved(Site::AttentionOutput, LayerInput), 72.0);
        assert_eq!(saved(Site::Embedding, Hidden), 0.0);
    }

    #[test]
    fn nothing_is_left_out_twice() {
        let mut all = config(Site::Embedding, MaskInput::Embedding);
        all.learned_dropout.as_mut().unwrap().site = Site::ALL.to_vec().into();
        // Keys and the output layer are left, and the masks.
        let left = 2.0 * (11.0 * 6.0 + 2.0 * (36.0 + 2.0 * 6.0) + 6.0);
        assert_eq!(
            executed_per_token(&all, &all_used().with_kept(0.0)),
            left + mask_generation_per_token(&all)
        );
    }

    /// The attentions of masks on 64 and on 16 hidden units are as wide as these; that of the mask on the
    /// embedding, once, is as wide as the model.
    #[test]
    fn masks_of_layers_with_different_hidden_units_worked_by_hand() {
        let layer = Relu {
            hidden: Some(vec![64, 16].into()),
            ..Default::default()
        };
        let config = TransformerConfig {
            width: 8,
            heads: 2,
            layers: 2,
            learned_dropout: Some(MaskConfig {
                site: vec![Site::Embedding, Site::FeedForwardHidden].into(),
                input: MaskInput::Hidden,
                ..MaskConfig::default()
            }),
            ..model(FeedForwardConfig::Relu(layer))
        };
        // Queries, keys and values, and the shifts.
        let weights = 3 * (8 * 8 + 64 * 64 + 16 * 16) + 8 + 64 + 16;
        let expected = 2.0 * f64::from(weights) + 4.0 * 4.0 * f64::from(8 + 64 + 16);
        assert_eq!(mask_generation_per_token(&config), expected);
    }

    fn model(feed_forward: FeedForwardConfig) -> TransformerConfig {
        TransformerConfig {
            vocabulary: 10,
            context: 4,
            width: 2,
            heads: 1,
            layers: 3,
            dropout: 0.0,
            feed_forward,
            learned_dropout: None,
        }
    }

    #[test]
    fn experts_worked_by_hand() {
        let layer = MixtureOfExperts {
            experts: 4,
            active: 1,
            hidden: Some(5),
            shared: 3,
            scaling: 1.0,
            balance: 0.0,
            ..Default::default()
        };
        let config = model(FeedForwardConfig::MixtureOfExperts(layer));
        // In each layer 4 experts of 2 · 5 · 2 weights, of which a token leaves 3 out.
        let dense = 2.0 * (20 + 3 * (12 + 4 + 4 + 8 + 80 + 12) + 2) as f64 + 3.0 * 4.0 * 4.0 * 2.0;
        assert_eq!(forward_per_token(&config), dense);
        assert_eq!(config.parameters() - config.active_parameters(), 3 * 60);
        assert_eq!(
            executed_per_token(&config, &all_used()),
            dense - 2.0 * 180.0
        );
        assert_eq!(
            executed_per_token(&config, &of_density(0.25)),
            executed_per_token(&config, &all_used())
        );
        // Half of the experts instead of a quarter: a token leaves 2 of 4 out.
        assert_eq!(
            executed_per_token(&config, &of_density(0.5)),
            dense - 2.0 * 3.0 * 2.0 * 20.0
        );
        assert_eq!(
            training_per_token(&config),
            3.0 * executed_per_token(&config, &all_used())
        );
    }

    /// Three matrices of 10 · 2 weights in each layer instead of two of 8 · 2. A mask on the output that is known
    /// before leaves half of the down weights out.
    #[test]
    fn swiglu_has_three_matrices() {
        let swiglu = |hidden: Option<usize>| {
            let hidden = hidden.map(Into::into);
            model(FeedForwardConfig::Swiglu(Swiglu { hidden }))
        };
        let dense = forward_per_token(&model(FeedForwardConfig::default()));
        let more = forward_per_token(&swiglu(Some(10))) - dense;
        assert_eq!(more, 2.0 * 3.0 * (3.0 * 20.0 - 2.0 * 16.0));
        assert_eq!(
            forward_per_token(&swiglu(None)),
            forward_per_token(&swiglu(Some(8)))
        );
        let masked = TransformerConfig {
            learned_dropout: Some(MaskConfig {
                site: Site::FeedForwardOutput.into(),
                input: MaskInput::LayerInput,
                ..MaskConfig::default()
            }),
            ..swiglu(Some(10))
        };
        let used = all_used().with_kept(0.5);
        let saved = forward_per_token(&masked) - executed_per_token(&masked, &used);
        assert_eq!(saved, 3.0 * 2.0 * 20.0 * 0.5);
    }

    /// Two experts of 5 · 2 down weights in each of three layers.
    #[test]
    fn units_that_are_zero_in_used_experts_save_their_down_weights() {
        let layer = ReluRoutedExperts {
            experts: 2,
            hidden: Some(5),
            activation: ExpertActivation::Relu,
            ..Default::default()
        };
        let config = model(FeedForwardConfig::ReluRoutedExperts(layer));
        let used = of_density(0.5).with_densities(vec![0.25, 0.5, 0.75]);
        let whole = executed_per_token(&config, &used);
        let sparse = used.with_unit_densities(vec![0.5, 1.0, 0.1]);
        let saved = whole - executed_per_token(&config, &sparse);
        let expected = 2.0 * 20.0 * (0.25 * 0.5 + 0.75 * 0.9);
        assert!((saved - expected).abs() < 1e-9, "{saved}");
    }

    #[test]
    fn units_that_are_zero_save_their_down_weights() {
        let layer = Relu {
            hidden: Some(10.into()),
            ..Default::default()
        };
        let config = model(FeedForwardConfig::Relu(layer));
        assert_eq!(
            executed_per_token(&config, &all_used()),
            forward_per_token(&config)
        );
        let saved = forward_per_token(&config) - executed_per_token(&config, &of_density(0.1));
        assert!((saved - 2.0 * 3.0 * 9.0 * 2.0).abs() < 1e-9);
    }

    /// A mask on the output that is known before keeps half of the 10 · 2 down weights; a tenth of the
    /// units is not 0 and keeps a tenth of these.
    #[test]
    fn units_that_are_zero_and_masks_save_nothing_twice() {
        let layer = Relu {
            hidden: Some(10.into()),
            ..Default::default()
        };
        let config = TransformerConfig {
            learned_dropout: Some(MaskConfig {
                site: Site::FeedForwardOutput.into(),
                input: MaskInput::LayerInput,
                ..MaskConfig::default()
            }),
            ..model(FeedForwardConfig::Relu(layer))
        };
        let used = of_density(0.1).with_kept(0.5);
        let saved = forward_per_token(&config) - executed_per_token(&config, &used);
        assert!((saved - 3.0 * 2.0 * 20.0 * 0.95).abs() < 1e-9);
    }
}
