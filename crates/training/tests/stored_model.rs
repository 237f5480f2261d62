//! Models on disk, by the folders that people name.

mod support;

use std::path::Path;

use data::Tokenizer;
use learned_dropout_training::config::RunConfig;
use learned_dropout_training::stored_model::{
    StoredModel, StoredModelError, model_of_run, write_model,
};
use model::TransformerConfig;
use model::initialization::initial_weights;
use support::{Place, finish};

fn message(path: &Path) -> String {
    StoredModel::find(path).unwrap_err().to_string()
}

/// A trained run whose configuration says where its data is, wherever the tests are run.
fn trained(place: &Place) -> std::path::PathBuf {
    let run = place.run("run");
    finish(place.start(&run, &[]).unwrap());
    let path = run.join("config.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let data = format!("path = {:?}", place.data().path());
    std::fs::write(path, text.replace("path = \"data\"", &data)).unwrap();
    run
}

#[test]
fn a_run_stands_for_its_best_checkpoint() {
    let place = Place::new();
    let run = trained(&place);
    let stored = StoredModel::find(&run).unwrap();
    let best = std::fs::read_to_string(run.join("best")).unwrap();
    assert_eq!(
        stored.folder(),
        run.join("checkpoints").join(best.trim()).as_path()
    );
    std::fs::remove_file(run.join("best")).unwrap();
    let latest = StoredModel::find(&run).unwrap();
    assert!(latest.folder().ends_with("step-00000006"));
    let (config, weights) = latest.read().unwrap();
    assert_eq!(config, latest.config().unwrap());
    assert!(!weights.is_empty());

    // A checkpoint by its own path knows its run's data too.
    for model in [&latest, &StoredModel::find(latest.folder()).unwrap()] {
        let data = model.training_data().unwrap().unwrap();
        assert_eq!(data.path(), place.data().path());
        let tokenizer = model.tokenizer_for(&config, &data).unwrap();
        assert_eq!(tokenizer.vocabulary(), 256);
        assert!(model.required_tokenizer().is_ok());
    }
}

#[test]
fn what_is_there_instead_of_a_model_is_said() {
    let place = Place::new();
    let absent = place.run("absent");
    assert!(message(&absent).contains("no such folder"));
    assert!(message(place.data().path()).contains("neither a model folder"));
    drop(place.start(&place.run("begun"), &[]).unwrap());
    assert!(message(&place.run("begun")).contains("without a checkpoint"));
}

#[test]
fn data_of_another_tokenizer_is_refused() {
    let place = Place::new();
    let run = trained(&place);
    let stored = StoredModel::find(&run).unwrap();
    let config = stored.config().unwrap();
    let small = TransformerConfig {
        vocabulary: 255,
        ..config.clone()
    };
    assert!(matches!(
        stored.tokenizer_for(&small, place.data()),
        Err(StoredModelError::Vocabulary {
            data: 256,
            model: 255,
            ..
        })
    ));
    let characters = Tokenizer::characters(&['a', 'b'].into());
    characters
        .save(stored.folder().join("tokenizer.json"))
        .unwrap();
    assert!(matches!(
        stored.tokenizer_for(&config, place.data()),
        Err(StoredModelError::OtherTokenizer { .. })
    ));
}

#[test]
fn a_written_model_has_no_tokenizer_of_another_one() {
    let config = TransformerConfig {
        vocabulary: 256,
        context: 8,
        width: 4,
        heads: 1,
        layers: 1,
        dropout: 0.0,
        feed_forward: Default::default(),
        learned_dropout: None,
    };
    let weights = initial_weights(&config, 1);
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_model(folder, &config, &weights, Some(&Tokenizer::byte())).unwrap();
    let stored = StoredModel::find(folder).unwrap();
    assert_eq!(stored.read().unwrap(), (config.clone(), weights.clone()));
    assert!(stored.tokenizer().unwrap().is_some());
    assert!(stored.training_data().unwrap().is_none());
    let generation = std::fs::read(folder.join("generation_config.json")).unwrap();
    let generation: serde_json::Value = serde_json::from_slice(&generation).unwrap();
    let expected = serde_json::json!({"do_sample": true, "max_length": 8, "temperature": 1.0});
    assert_eq!(generation, expected);

    write_model(folder, &config, &weights, None).unwrap();
    assert!(stored.tokenizer().unwrap().is_none());
    let error = stored.required_tokenizer().err().unwrap();
    assert!(matches!(error, StoredModelError::NoTokenizer { .. }));
}

#[test]
fn a_run_takes_the_vocabulary_of_its_data() {
    let place = Place::new();
    let text = format!(
        "data.path = {:?}\nmodel = {{ context = 8, width = 8, heads = 2, layers = 1 }}\n\
         train = {{ steps = 1, batch = 1 }}",
        place.data().path()
    );
    let path = Path::new("run.toml");
    let config = RunConfig::parse(&text, path, &[]).unwrap();
    assert_eq!(model_of_run(&config, path).unwrap().vocabulary, 256);
    let absent = RunConfig::parse(&text, path, &["data.path=absent".into()]).unwrap();
    let error = model_of_run(&absent, path).unwrap_err().to_string();
    assert!(
        error.starts_with("run.toml: ") && error.contains("model.vocabulary"),
        "{error}"
    );
}
