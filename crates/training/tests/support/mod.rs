//! Runs of a tiny model, for several tests.
#![allow(dead_code)]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use burn::tensor::Device;
use data::folder::DataFolder;
use data::tokenizer::Tokenizer;
use learned_dropout_training::checkpoints::{OPTIMIZER_FILE, STATE_FILE};
use learned_dropout_training::config::{ConfigError, RunConfig};
use learned_dropout_training::trainer::{
    Hooks, Observer, Outcome, SampleRequest, Saved, Setup, Started, Stepped, TrainError, Trainer,
};

const CONFIG: &str = r#"
seed = 3
[data]
path = "data"
[model]
context = 8
width = 8
heads = 2
layers = 2
dropout = 0.1
[model.learned_dropout]
input = "embedding"
detach_input = true
penalty = { coefficient = 0.1 }
[train]
steps = 6
batch = 2
accumulate = 2
clip = 1.0
log_every = 1
[train.optimizer]
learning_rate = 1e-2
[train.evaluate]
every = 3
batches = 2
sample = { prompt = "ab", tokens = 4 }
[train.checkpoint]
every = 2
"#;

/// A data folder of bytes and a place for runs.
pub struct Place {
    folder: tempfile::TempDir,
    data: DataFolder,
}

impl Place {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().join("data");
        std::fs::create_dir(&at).unwrap();
        Tokenizer::byte().save(at.join("tokenizer.json")).unwrap();
        let hash = xxhash_rust::xxh3::xxh3_128(&std::fs::read(at.join("tokenizer.json")).unwrap());
        // Some Rust code that stays as it is: tiny models learn something else from another text.
        let text = include_str!("training_text.txt");
        let tokens: Vec<u8> = text.bytes().flat_map(|byte| [byte, 0]).collect();
        let part = serde_json::json!({"tokens": text.len(), "text_bytes": null, "hash": null});
        for file in ["train.bin", "val.bin"] {
            std::fs::write(at.join(file), &tokens).unwrap();
        }
        let meta = serde_json::json!({
            "format": 1, "program": "test", "token_type": "u16", "tokenizer": "byte",
            "tokenizer_hash": format!("{hash:032x}"), "vocabulary": 256, "end_of_text": null,
            "separated": false, "documents": 1, "train": part, "validation": part, "sources": [],
        });
        std::fs::write(at.join("meta.json"), meta.to_string()).unwrap();
        let data = DataFolder::open(&at).unwrap();
        Self { folder, data }
    }

    pub fn data(&self) -> &DataFolder {
        &self.data
    }

    pub fn run(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn setup(&self, config: RunConfig) -> Setup<'_> {
        Setup {
            config,
            data: &self.data,
            device: Device::flex(),
            peak_flops: &|_| Some(1e9),
        }
    }

    pub fn start(&self, run: &Path, overrides: &[&str]) -> Result<Trainer<'_>, TrainError> {
        Trainer::new(self.setup(config(overrides)), run)
    }

    pub fn resume(&self, run: &Path, overrides: &[&str]) -> Result<Trainer<'_>, TrainError> {
        Trainer::resume(self.stored_setup(run, overrides)?, run)
    }

    pub fn resume_changed(
        &self,
        run: &Path,
        overrides: &[&str],
    ) -> Result<Trainer<'_>, TrainError> {
        Trainer::resume_changed(self.stored_setup(run, overrides)?, run)
    }

    fn stored_setup(&self, run: &Path, overrides: &[&str]) -> Result<Setup<'_>, TrainError> {
        let overrides: Vec<String> = overrides.iter().map(ToString::to_string).collect();
        Ok(self.setup(Setup::stored_config(run, &overrides)?))
    }
}

fn config(overrides: &[&str]) -> RunConfig {
    parsed(overrides).unwrap()
}

/// The configuration of the tiny model with overrides, or the problems of these.
pub fn parsed(overrides: &[&str]) -> Result<RunConfig, ConfigError> {
    let overrides: Vec<String> = overrides.iter().map(ToString::to_string).collect();
    RunConfig::parse(CONFIG, Path::new("test"), &overrides)
}

/// Records all events, and stops the run after a step if told so.
#[derive(Default)]
struct Recorder<'a> {
    stop: Option<(u64, &'a AtomicBool)>,
    damaged: usize,
    samples: Vec<String>,
    saved: Vec<Saved>,
}

impl Observer for Recorder<'_> {
    fn started(&mut self, started: &Started<'_>) {
        self.damaged = started.damaged.len();
    }
    fn stepped(&mut self, step: &Stepped) {
        if let Some((last, stop)) = self.stop
            && step.step == last
        {
            stop.store(true, Ordering::Relaxed);
        }
    }
    fn sampled(&mut self, _step: u64, sample: Result<&str, &str>) {
        self.samples.push(sample.unwrap().into());
    }
    fn saved(&mut self, saved: &Saved) {
        self.saved.push(saved.clone());
    }
}

/// The end of a run; its checkpoints and samples; the number of damaged checkpoints.
pub type Recorded = (Result<Outcome, TrainError>, Vec<Saved>, Vec<String>, usize);

pub fn train(trainer: &mut Trainer<'_>, stop_at: Option<u64>) -> Recorded {
    let stop = AtomicBool::new(false);
    let mut recorder = Recorder {
        stop: stop_at.map(|step| (step, &stop)),
        ..Recorder::default()
    };
    let mut sampler = |request: &SampleRequest<'_>| {
        Ok(format!(
            "{} {} {}",
            request.prompt,
            request.tokens,
            request.weights.len()
        ))
    };
    let outcome = trainer.run(&mut Hooks {
        observer: &mut recorder,
        sampler: Some(&mut sampler),
        stop: &stop,
    });
    (outcome, recorder.saved, recorder.samples, recorder.damaged)
}

/// Runs to the end and gives the bytes of the last checkpoint's files.
pub fn finish(mut trainer: Trainer<'_>) -> Vec<Vec<u8>> {
    let outcome = train(&mut trainer, None).0.unwrap();
    assert!(!outcome.stopped);
    let latest = outcome.latest.unwrap();
    ["model.safetensors", OPTIMIZER_FILE, STATE_FILE]
        .map(|file| std::fs::read(latest.join(file)).unwrap())
        .into()
}
