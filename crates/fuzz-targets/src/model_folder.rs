//! A model folder: `config.json` and `model.safetensors`.
//!
//! A model that is read has a valid configuration and exactly its tensors in their shapes. It is written
//! and read again unchanged, and a small one decodes.

use inference::{Engine, Session};
use model::TransformerConfig;
use model::layout::layout;
use model::model_folder::{self, CONFIG_FILE, WEIGHTS_FILE};
use model::weights::Weights;

use crate::{parts, place};

/// The most parameters of a model that is written again and that decodes.
const SMALL: usize = 1 << 16;

/// Reads a model: up to the first zero byte the configuration, then the weights.
pub fn run(bytes: &[u8]) {
    let [config, weights] = parts::split(bytes);
    place::file(CONFIG_FILE, config);
    place::file(WEIGHTS_FILE, weights);
    match model_folder::read(&place::folder()) {
        Ok((config, weights)) => {
            check(&config, &weights);
            if config.parameters() <= SMALL && config.context <= SMALL {
                write_again(&config, &weights);
                decode(config, weights);
            }
        }
        Err(error) => {
            let message = error.to_string();
            let named = [CONFIG_FILE, WEIGHTS_FILE]
                .iter()
                .any(|file| message.contains(file));
            assert!(named, "no file name in: {message}");
        }
    }
}

/// Checks that the weights are those of the configuration.
pub(crate) fn check(config: &TransformerConfig, weights: &Weights) {
    assert_eq!(config.validate(), Ok(()));
    assert_eq!(layout(config).count(), weights.len());
    for spec in layout(config) {
        let tensor = &weights[&spec.name];
        assert_eq!(tensor.shape, spec.shape);
        assert_eq!(tensor.values.len(), spec.shape.iter().product::<usize>());
    }
}

fn write_again(config: &TransformerConfig, weights: &Weights) {
    let folder = place::folder();
    model_folder::write(&folder, config, weights).expect("the folder can be written");
    let (config_again, weights_again) =
        model_folder::read(&folder).expect("what was written can be read");
    assert_eq!(&config_again, config);
    assert!(same_bits(&weights_again, weights));
}

/// Whether weights are the same, those that are no number included.
pub(crate) fn same_bits(left: &Weights, right: &Weights) -> bool {
    left.len() == right.len()
        && left
            .iter()
            .zip(right)
            .all(|((name, left), (other, right))| {
                let bits = |values: &[f32]| {
                    values
                        .iter()
                        .map(|value| value.to_bits())
                        .collect::<Vec<_>>()
                };
                name == other
                    && left.shape == right.shape
                    && bits(&left.values) == bits(&right.values)
            })
}

/// Reads a few tokens, as many at once and one by one.
fn decode(config: TransformerConfig, weights: Weights) {
    let vocabulary = config.vocabulary;
    let last = u32::try_from(vocabulary - 1).expect("a small vocabulary");
    let engine = Engine::new(config, weights, 1).expect("a model that was read decodes");
    let mut session = Session::new(&engine).expect("there is memory for a small model");
    session.prefill(&[0, last]).expect("both tokens are known");
    assert_eq!(session.logits().len(), vocabulary);
    let logits = session.decode(last).expect("the token is known");
    assert_eq!(logits.len(), vocabulary);
    assert!(session.decode(last + 1).is_err());
}
