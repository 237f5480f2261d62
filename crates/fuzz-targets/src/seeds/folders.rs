//! Seeds of tokenizers, data folders and runs.

use data::folder::{META_FILE, TOKENIZER_FILE, TRAIN_FILE, VALIDATION_FILE};
use data::progress::Silent;
use data::sources::Source;
use data::{DataFolder, PrepareOptions, Tokenizer, TokenizerChoice, prepare};

use crate::{parts, place};

const TEXT: &str =
    "the cat sat on the mat, and the hat sat on the cat.\nNaïve? Not at all: 3 + 4 = 7.\n";

/// Tokenizers of every kind but GPT-2's, which is large, and forms of other programs.
pub(crate) fn tokenizer() -> Vec<Vec<u8>> {
    let pairs = Tokenizer::train(280, &[TEXT.to_owned()]).expect("a possible size");
    let all = [
        Tokenizer::byte(),
        Tokenizer::characters(&TEXT.chars().collect()),
        pairs,
    ];
    let mut seeds: Vec<String> = all.iter().map(Tokenizer::to_json).collect();
    // Without the blanks, a mutation more often changes something that counts.
    let compact = |seed: &String| {
        let value: serde_json::Value = serde_json::from_str(seed).expect("this is JSON");
        value.to_string()
    };
    seeds.extend(seeds.iter().map(compact).collect::<Vec<_>>());
    seeds.into_iter().map(String::into_bytes).collect()
}

/// Data folders of each small tokenizer, and one as nanoGPT writes it.
pub(crate) fn data_folder() -> Vec<Vec<u8>> {
    place::clear();
    let text = place::file("text.txt", TEXT.as_bytes());
    let out = place::folder().join("data");
    let input = |tokenizer: TokenizerChoice| {
        let options = PrepareOptions {
            tokenizer: tokenizer.into(),
            validation: 0.2,
            threads: 1,
            ..PrepareOptions::new(vec![Source::Path(text.clone())], &out)
        };
        prepare(&options, &Silent).expect("the text can be prepared");
        let read = |file| std::fs::read(out.join(file)).expect("it was written");
        let data = DataFolder::open(&out).expect("it was written");
        let meta = data.meta();
        let mut description = String::from_utf8(read(META_FILE)).expect("JSON is text");
        for (name, hash) in [
            ("TRAIN", &meta.train.hash),
            ("VALIDATION", &meta.validation.hash),
            ("TOKENIZER", &meta.tokenizer_hash),
        ] {
            let hash = hash.as_ref().expect("files have hashes");
            description = description.replace(hash.as_str(), &format!("HASH-OF-{name}"));
        }
        // The path of the temporary folder differs from run to run.
        description = description.replace(&*text.to_string_lossy(), "text.txt");
        let validation = read(VALIDATION_FILE);
        let length = u8::try_from(validation.len()).expect("a short text");
        let tokens = [&[length][..], &validation, &read(TRAIN_FILE)].concat();
        parts::join(&[description.as_bytes(), &read(TOKENIZER_FILE), &tokens])
    };
    let mut seeds: Vec<Vec<u8>> = [
        TokenizerChoice::Byte,
        TokenizerChoice::Character,
        TokenizerChoice::Bpe(280),
    ]
    .into_iter()
    .map(input)
    .collect();
    seeds.push(parts::join(&[b"", b"", &[4, 1, 0, 2, 0, 7, 0, 80, 196]]));
    place::clear();
    seeds
}

const METRICS: &str =
    include_str!("../../../../docs/results/dense-to-masked/runs/masked-25/seed-1/metrics.jsonl");
const MEASUREMENTS: &[u8] =
    include_bytes!("../../../../docs/results/sparsity/runs/dense-2c/seed-1/measurements.json");

const OUTLINE: &[u8] = br#"{"title": "A study", "description": "Of <one>\n\nthing.", "file": "study.toml",
"seeds": [1, 2], "arms": [{"name": "arm", "label": "Arm", "published": {"train": 1.0, "validation": 2.0, "kept": 0.5}}],
"charts": [], "tables": [{"title": null, "arms": ["arm"], "columns": ["runs", "validation-loss", "kept", "decode-speed"]}],
"masks": {"max_tokens": 16, "seeds": 1}}"#;

/// Metrics of a run alone, and with measurements in an experiment.
pub(crate) fn metrics() -> Vec<Vec<u8>> {
    let mut lines: Vec<&str> = Vec::new();
    for kind in ["environment", "step", "evaluation", "sample"] {
        let of_kind = |line: &&str| line.contains(&format!("\"kind\":\"{kind}\""));
        lines.extend(METRICS.lines().filter(of_kind).take(3));
    }
    let metrics = lines.join("\n") + "\n";
    let half = &metrics[..metrics.floor_char_boundary(metrics.len() / 2)];
    let small = concat!(
        "{\"kind\":\"step\",\"step\":1,\"tokens\":20,\"loss\":1e308,\"tokens_per_second\":1e-300}\n",
        "{\"kind\":\"evaluation\",\"step\":1,\"train_loss\":3.5,\"validation_loss\":-0.0,\"mask\":{\"kept\":0.5,\"layers\":[{\"kept\":1}]}}\n",
        "{\"kind\":\"evaluation\",\"step\":18446744073709551615,\"train_loss\":3,\"validation_loss\":1e300}\n",
    );
    vec![
        metrics.clone().into_bytes(),
        half.as_bytes().to_vec(),
        small.into(),
        parts::join(&[small.as_bytes(), MEASUREMENTS, OUTLINE]),
        parts::join(&[metrics.as_bytes(), b"", OUTLINE]),
    ]
}
