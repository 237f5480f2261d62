//! The number of parameters of a transformer.

use crate::config::TransformerConfig;
use crate::layout::layout;

impl TransformerConfig {
    /// The number of parameters; the tied output layer counts once.
    pub fn parameters(&self) -> usize {
        usize::try_from(self.parameters_wide()).unwrap_or(usize::MAX)
    }

    /// The number of parameters that a token uses on average: all except those of the experts that it
    /// does not choose.
    pub fn active_parameters(&self) -> usize {
        self.parameters() - self.layers * self.inactive_parameters_of_layer()
    }

    /// The number of parameters of one layer that a token does not use on average.
    fn inactive_parameters_of_layer(&self) -> usize {
        let optional = self.feed_forward.optional(self.width);
        optional.map_or(0, |optional| {
            (optional.parameters as f64 * (1.0 - optional.used)).round() as usize
        })
    }

    /// The number of parameters without the positional embedding, as the published tables count them.
    pub fn parameters_without_positions(&self) -> usize {
        self.parameters() - self.context * self.width
    }

    /// Counts one block and multiplies, instead of naming every tensor: a configuration that was not
    /// checked yet may have millions of layers. Where layers differ, a list in the configuration is as long.
    pub(crate) fn parameters_wide(&self) -> u128 {
        let count = |layers: usize| -> u128 {
            let config = Self {
                layers,
                ..self.clone()
            };
            layout(&config)
                .map(|spec| {
                    spec.shape
                        .iter()
                        .map(|&size| size as u128)
                        .product::<u128>()
                })
                .sum()
        };
        if let Some(listed) = self.feed_forward.listed_layers() {
            return count(self.layers.min(listed));
        }
        let without_blocks = count(0);
        without_blocks + self.layers as u128 * (count(1) - without_blocks)
    }
}
