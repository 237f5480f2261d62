//! Weights whose masks keep a given share, for measurements of models that were never trained.

use model::weights::Weights;
use model::{MaskConfig, MaskFunction, Rounding, Site, TransformerConfig};

/// The masks of a model cannot be made to keep a given share.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum KeptShareError {
    /// The model has no masks, or masks of another kind.
    #[error(
        "expected a model with learned masks of the cosine that are rounded at random, at every site"
    )]
    OtherMasks,
    /// The share is not from 0 to 1.
    #[error("the kept share is {found}; expected a number from 0 to 1")]
    Share {
        /// The share.
        found: f64,
    },
}

/// Changes the weights of a model so that its masks are `kept` everywhere before they are rounded,
/// whatever the text.
///
/// All weights of the masks become 0 but the shift `B`, so that `0.5 cos(B) + 0.5 = kept`. Training
/// may change that again.
///
/// # Errors
/// The model has no learned masks, at some site their function is not the cosine or their rounding is not
/// stochastic, or `kept` is not from 0 to 1.
pub fn set_kept_share(
    weights: &mut Weights,
    model: &TransformerConfig,
    kept: f64,
) -> Result<(), KeptShareError> {
    if !(0.0..=1.0).contains(&kept) {
        return Err(KeptShareError::Share { found: kept });
    }
    let is_suitable = |masks: MaskConfig| {
        masks.rounding == Rounding::Stochastic && matches!(masks.function, MaskFunction::Cosine(_))
    };
    let mut masks = Site::ALL
        .map(|site| model.masks_at(site))
        .into_iter()
        .flatten();
    if model.learned_dropout.is_none() || !masks.all(is_suitable) {
        return Err(KeptShareError::OtherMasks);
    }
    let shift = (2.0 * kept - 1.0).acos() as f32;
    let of_masks = weights
        .iter_mut()
        .filter(|(name, _)| name.contains("learned_dropout."));
    for (name, tensor) in of_masks {
        let value = if name.ends_with(".shift") { shift } else { 0.0 };
        tensor.values.fill(value);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Int, Tensor};
    use learned_dropout::Transformer;
    use model::initialization::initial_weights;
    use model::site_settings::SiteSettings;
    use model::{MaskConfig, MaskInput, Pass};

    use super::*;

    fn model(learned_dropout: Option<MaskConfig>) -> TransformerConfig {
        TransformerConfig {
            vocabulary: 11,
            context: 8,
            width: 4,
            heads: 2,
            layers: 2,
            dropout: 0.0,
            feed_forward: Default::default(),
            learned_dropout,
        }
    }

    /// At inference a value is kept where M ≥ 0.5; at M = 0.9 all are, at M = 0.1 none.
    #[test]
    fn masks_keep_the_share_whatever_the_text() {
        let config = model(Some(MaskConfig::default()));
        let device = Device::flex();
        let ids = Tensor::<1, Int>::arange(0..8, &device).unsqueeze();
        for (kept, expected) in [(0.9, 1.0), (0.1, 0.0)] {
            let mut weights = initial_weights(&config, 1);
            set_kept_share(&mut weights, &config, kept).unwrap();
            let model = Transformer::from_weights(&config, &weights, &device);
            let masks = model.forward(ids.clone(), &Pass::Evaluate).masks;
            assert_eq!(masks.len(), 2);
            for mask in masks {
                let values = mask.statistics().read();
                assert_eq!(values.kept, expected);
                let penalty = (kept * kept / 2.0) as f32;
                assert!((values.penalty - penalty).abs() < 1e-6, "{values:?}");
            }
        }
    }

    /// What holds at a site counts, not what the other sites have.
    #[test]
    fn masks_of_every_site_must_suit() {
        let masks = |all: Rounding, heads: Rounding| {
            let own = SiteSettings {
                rounding: Some(heads),
                ..SiteSettings::default()
            };
            model(Some(MaskConfig {
                site: vec![Site::AttentionHeads, Site::FeedForwardOutput].into(),
                input: MaskInput::LayerInput,
                rounding: all,
                at: [(Site::AttentionHeads, own)].into(),
                ..MaskConfig::default()
            }))
        };
        let mixed = masks(Rounding::Stochastic, Rounding::Threshold);
        let mut weights = initial_weights(&mixed, 1);
        let before = weights.clone();
        assert_eq!(
            set_kept_share(&mut weights, &mixed, 0.5),
            Err(KeptShareError::OtherMasks)
        );
        assert!(weights == before);
        // The settings of all sites do not count at a site that has its own.
        let mut only = masks(Rounding::Threshold, Rounding::Stochastic);
        only.learned_dropout.as_mut().unwrap().site = Site::AttentionHeads.into();
        let mut weights = initial_weights(&only, 1);
        assert_eq!(set_kept_share(&mut weights, &only, 0.5), Ok(()));
    }

    #[test]
    fn other_masks_and_other_shares_are_refused() {
        let masked = model(Some(MaskConfig::default()));
        let mut weights = initial_weights(&masked, 1);
        for (config, kept, expected) in [
            (&model(None), 0.5, KeptShareError::OtherMasks),
            (&masked, 1.5, KeptShareError::Share { found: 1.5 }),
        ] {
            assert_eq!(set_kept_share(&mut weights, config, kept), Err(expected));
        }
        let rounding = Rounding::Threshold;
        let config = model(Some(MaskConfig {
            rounding,
            ..MaskConfig::default()
        }));
        assert_eq!(
            set_kept_share(&mut weights, &config, 0.5),
            Err(KeptShareError::OtherMasks)
        );
    }
}
