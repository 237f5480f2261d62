//! Statistics of feed-forwards with experts or ReLU: the shares of them that tokens use.

use serde::{Deserialize, Serialize};

/// The shares of a model's feed-forwards that were used.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FeedForwardMetrics {
    /// Mean of the layers' `density`.
    pub density: f64,
    /// The auxiliary loss, before its coefficient.
    pub auxiliary: f64,
    /// The coefficient of the auxiliary loss; none in evaluations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coefficient: Option<f64>,
    /// Each layer, from the first.
    pub layers: Vec<FeedForwardLayerMetrics>,
}

/// The share of one layer's feed-forward that was used.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FeedForwardLayerMetrics {
    /// Mean share of the experts that a token used; without experts, the share of hidden units that
    /// were not 0.
    pub density: f64,
    /// Of the hidden units of the experts that tokens used, the share that was not 0; none without experts with
    /// ReLU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit_density: Option<f64>,
    /// For each expert, the share of tokens that used it; empty without experts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub load: Vec<f64>,
}

/// The mean; 0 without values.
fn mean(values: impl Iterator<Item = f64> + Clone) -> f64 {
    weighted_mean(values.map(|value| (value, 1.0)))
}

/// The mean of values, each with its weight; 0 without values.
fn weighted_mean(values: impl Iterator<Item = (f64, f64)> + Clone) -> f64 {
    let weights: f64 = values.clone().map(|(_, weight)| weight).sum();
    let sum: f64 = values.map(|(value, weight)| value * weight).sum();
    if weights > 0.0 { sum / weights } else { 0.0 }
}

impl FeedForwardLayerMetrics {
    /// From the shares of a layer: one for each expert, or a single one of the hidden units.
    pub fn of_shares(shares: Vec<f64>) -> Self {
        Self {
            density: mean(shares.iter().copied()),
            unit_density: None,
            load: if shares.len() > 1 { shares } else { Vec::new() },
        }
    }

    fn of_batches(batches: &[(&Self, f64)]) -> Self {
        let experts = batches.first().map_or(0, |(batch, _)| batch.load.len());
        let mean = |value: &dyn Fn(&Self) -> f64| {
            weighted_mean(
                batches
                    .iter()
                    .map(|(batch, weight)| (value(batch), *weight)),
            )
        };
        let load = |expert: usize| mean(&|batch| batch.load[expert]);
        Self {
            density: mean(&|batch| batch.density),
            unit_density: batches
                .iter()
                .all(|(batch, _)| batch.unit_density.is_some())
                .then(|| mean(&|batch| batch.unit_density.unwrap_or_default())),
            load: (0..experts).map(load).collect(),
        }
    }
}

impl FeedForwardMetrics {
    /// Statistics of a model from those of its layers; none without layers.
    pub fn of_layers(auxiliary: f64, layers: Vec<FeedForwardLayerMetrics>) -> Option<Self> {
        (!layers.is_empty()).then(|| Self {
            density: mean(layers.iter().map(|layer| layer.density)),
            auxiliary,
            coefficient: None,
            layers,
        })
    }

    /// The mean of several batches' statistics of one model, each with its weight; none without any.
    pub fn of_batches(batches: &[(Self, f64)]) -> Option<Self> {
        let layers = batches.first()?.0.layers.len();
        let layer = |index: usize| {
            let of_batches = batches.iter();
            let of_batches: Vec<_> = of_batches
                .map(|(batch, weight)| (&batch.layers[index], *weight))
                .collect();
            FeedForwardLayerMetrics::of_batches(&of_batches)
        };
        let auxiliary = batches
            .iter()
            .map(|(batch, weight)| (batch.auxiliary, *weight));
        let auxiliary = weighted_mean(auxiliary);
        Self::of_layers(auxiliary, (0..layers).map(layer).collect())
    }

    /// Names and values for charts; the names begin with the group.
    pub(super) fn chart_values(&self, group: &str) -> Vec<(String, f64)> {
        let mut values = vec![
            (format!("{group}/density"), self.density),
            (format!("{group}/auxiliary"), self.auxiliary),
        ];
        let coefficient = self.coefficient;
        values.extend(coefficient.map(|value| (format!("{group}/coefficient"), value)));
        for (index, layer) in self.layers.iter().enumerate() {
            values.push((format!("{group}/density/layer_{index:02}"), layer.density));
            values.extend(
                layer
                    .unit_density
                    .map(|density| (format!("{group}/unit_density/layer_{index:02}"), density)),
            );
            let load = layer.load.iter().enumerate().map(|(expert, &share)| {
                let name = format!("{group}/load/layer_{index:02}/expert_{expert:02}");
                (name, share)
            });
            values.extend(load);
        }
        values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_worked_by_hand() {
        let model = |shares: [[f64; 2]; 2], auxiliary| {
            let layer = |shares: [f64; 2]| FeedForwardLayerMetrics::of_shares(shares.into());
            FeedForwardMetrics::of_layers(auxiliary, shares.map(layer).into()).unwrap()
        };
        let one = model([[1.0, 0.0], [0.5, 1.0]], 1.0);
        assert_eq!(one.layers[1].density, 0.75);
        assert_eq!(one.density, 0.625);
        let mean =
            FeedForwardMetrics::of_batches(&[(one.clone(), 1.0), (model([[0.0; 2]; 2], 3.0), 1.0)])
                .unwrap();
        assert_eq!((mean.density, mean.auxiliary), (0.3125, 2.0));
        assert_eq!(mean.layers[0].load, [0.5, 0.0]);
        let thrice = [(one, 3.0), (model([[0.0; 2]; 2], 3.0), 1.0)];
        let thrice = FeedForwardMetrics::of_batches(&thrice).unwrap();
        assert_eq!((thrice.density, thrice.auxiliary), (0.46875, 1.5));
        assert_eq!(thrice.layers[0].load, [0.75, 0.0]);
        let named = mean.chart_values("feed_forward");
        assert!(named.contains(&("feed_forward/load/layer_01/expert_01".into(), 0.5)));
        assert_eq!(FeedForwardMetrics::of_batches(&[]), None);
        assert!(
            FeedForwardLayerMetrics::of_shares(vec![0.25])
                .load
                .is_empty()
        );
    }
}
