//! Seeds of models.

use std::io::{Cursor, Read};

use model::initialization::initial_weights;
use model::model_folder::{self, CONFIG_FILE, WEIGHTS_FILE};
use model::pytorch;
use model::{
    FeedForwardConfig, MaskConfig, MaskFunction, MaskInput, Site, Sites, TransformerConfig,
};

use crate::{parts, place};

/// A model of one block.
fn tiny() -> TransformerConfig {
    TransformerConfig {
        vocabulary: 5,
        context: 4,
        width: 4,
        heads: 2,
        layers: 1,
        dropout: 0.0,
        feed_forward: FeedForwardConfig::default(),
        learned_dropout: None,
    }
}

fn masked(masks: MaskConfig) -> TransformerConfig {
    TransformerConfig {
        learned_dropout: Some(masks),
        ..tiny()
    }
}

/// Models with and without masks, with several feed-forwards, functions and sites.
fn configurations() -> Vec<TransformerConfig> {
    let feed_forward = |kind: &str| TransformerConfig {
        feed_forward: serde_json::from_value(serde_json::json!({ "kind": kind }))
            .expect("the other settings have defaults"),
        ..tiny()
    };
    vec![
        tiny(),
        masked(MaskConfig::default()),
        masked(MaskConfig {
            input: MaskInput::Embedding,
            ..MaskConfig::default()
        }),
        masked(MaskConfig {
            function: MaskFunction::Fourier(Default::default()),
            ..MaskConfig::default()
        }),
        masked(MaskConfig {
            site: Sites::from(vec![Site::FeedForwardHidden, Site::AttentionHeads]),
            input: MaskInput::LayerInput,
            rank: Some(2),
            ..MaskConfig::default()
        }),
        feed_forward("mixture-of-experts"),
        feed_forward("relu"),
    ]
}

/// Model folders of [`configurations`].
pub(crate) fn model_folder() -> Vec<Vec<u8>> {
    let folder = place::folder();
    let input = |config: TransformerConfig| {
        let weights = initial_weights(&config, 7);
        model_folder::write(&folder, &config, &weights).expect("the folder can be written");
        let read = |file| std::fs::read(folder.join(file)).expect("it was written");
        parts::join(&[&read(CONFIG_FILE), &read(WEIGHTS_FILE)])
    };
    configurations().into_iter().map(input).collect()
}

const FIXTURE: &[u8] = include_bytes!("../../../model/tests/fixtures/tiny-objects.pt");

/// Checkpoints as PyTorch and this program write them, whole and as pickles.
pub(crate) fn pytorch() -> Vec<Vec<u8>> {
    let path = place::folder().join("seed.pt");
    let mut files = vec![FIXTURE.to_vec()];
    for config in configurations() {
        let weights = initial_weights(&config, 7);
        // The author's format has not all of them.
        if pytorch::export(&path, &config, &weights).is_ok() {
            files.push(std::fs::read(&path).expect("it was written"));
        }
    }
    let pickles: Vec<Vec<u8>> = files.iter().map(|file| pickle(file)).collect();
    files.into_iter().chain(pickles).collect()
}

/// The input with the pickle of a file and the lengths of its storages.
fn pickle(file: &[u8]) -> Vec<u8> {
    let mut archive = zip::ZipArchive::new(Cursor::new(file)).expect("a good archive");
    let (mut pickle, mut storages) = (Vec::new(), Vec::new());
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).expect("a good entry");
        let name = entry.name().expect("a good name").into_owned();
        if name.ends_with("data.pkl") {
            entry.read_to_end(&mut pickle).expect("a good entry");
        } else if let Some((_, number)) = name.split_once("/data/") {
            let number: usize = number.parse().expect("storages have numbers");
            storages.resize(storages.len().max(number + 1), 0);
            storages[number] = entry.size() as usize;
        }
    }
    crate::pytorch::input(&pickle, &storages)
}
