//! A transformer has the parameters that its layout names, and gives back the weights it was given.

use burn::tensor::Device;
use learned_dropout::Transformer;
use model::feed_forward::{Dense, MixtureOfExperts, Relu, ReluRoutedExperts, Swiglu};
use model::initialization::initial_weights;
use model::{FeedForwardConfig, MaskConfig, TransformerConfig};

#[test]
fn every_feed_forward_has_the_parameters_of_its_layout() {
    for feed_forward in [
        FeedForwardConfig::Dense(Dense {
            hidden: Some(6.into()),
        }),
        FeedForwardConfig::Relu(Relu::default()),
        FeedForwardConfig::MixtureOfExperts(MixtureOfExperts {
            hidden: Some(6),
            shared: 3,
            ..MixtureOfExperts::default()
        }),
        FeedForwardConfig::ReluRoutedExperts(ReluRoutedExperts::default()),
        FeedForwardConfig::Swiglu(Swiglu::default()),
    ] {
        let config = TransformerConfig {
            vocabulary: 7,
            context: 4,
            width: 4,
            heads: 2,
            layers: 1,
            dropout: 0.25,
            feed_forward,
            learned_dropout: Some(MaskConfig::default()),
        };
        let weights = initial_weights(&config, 5);
        let model = Transformer::from_weights(&config, &weights, &Device::flex());
        assert_eq!(model.to_weights(), weights);
    }
}
