//! Seeds of tokenizers, data folders and runs.

use data::folder::{META_FILE, TOKENIZER_FILE, TRAIN_FILE, VALIDATION_FILE};
use data::progress::Silent;
use data::shards::{DOCUMENTS_FILE, SHARD_FILE, TOKENS_FILE};
use data::sources::{Shard, Source};
use data::{
    DataFolder, PrepareOptions, Tokenizer, TokenizerChoice, TokenizerOrigin, prepare, prepare_shard,
};

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

/// A shard of each small tokenizer, and files of datatrove.
pub(crate) fn merge() -> Vec<Vec<u8>> {
    place::clear();
    let lines: String = TEXT
        .lines()
        .chain(["", "crab: 🦀"])
        .map(|line| format!("{}\n", serde_json::json!({ "text": line })))
        .collect();
    let text = place::file("text.jsonl", lines.as_bytes());
    let out = place::folder().join("shard");
    let pairs = Tokenizer::train(280, &[TEXT.to_owned()]).expect("a possible size");
    let pairs_file = place::file("pairs.json", pairs.to_json().as_bytes());
    let letters = Tokenizer::characters(&lines.chars().collect()).to_json();
    let letters = place::file("letters.json", letters.as_bytes());
    let shard = |tokenizer: TokenizerOrigin| {
        let options = PrepareOptions {
            tokenizer,
            threads: 1,
            ..PrepareOptions::new(vec![Source::Path(text.clone())], &out)
        };
        let whole = Shard {
            number: 1,
            count: 1,
        };
        let shard = prepare_shard(&options, whole, &Silent).expect("the text can be prepared");
        let read = |file| std::fs::read(out.join(file)).expect("it was written");
        let mut description = String::from_utf8(read(SHARD_FILE)).expect("JSON is text");
        let tokens_hash = shard.tokens.hash.as_ref().expect("files have hashes");
        for (name, hash) in [
            ("TOKENIZER", &shard.tokenizer_hash),
            ("DOCUMENTS", &shard.documents_hash),
            ("TOKENS", tokens_hash),
        ] {
            description = description.replace(hash.as_str(), &format!("HASH-OF-{name}"));
        }
        // The path of the temporary folder differs from run to run.
        description = description.replace(&*text.to_string_lossy(), "text.jsonl");
        let count = u8::try_from(shard.documents).expect("few documents");
        let rest = [&[count][..], &read(DOCUMENTS_FILE), &read(TOKENS_FILE)].concat();
        parts::join(&[description.as_bytes(), &read(TOKENIZER_FILE), &rest])
    };
    let mut seeds: Vec<Vec<u8>> = [
        TokenizerOrigin::Kind(TokenizerChoice::Byte),
        TokenizerOrigin::File(letters),
        TokenizerOrigin::File(pairs_file),
    ]
    .into_iter()
    .map(shard)
    .collect();
    // Two documents; the first one ends in end-of-text.
    let end_of_text = pairs.end_of_text().expect("pairs have it") as u16;
    let ends = [3u64, 5].map(u64::to_le_bytes).concat();
    for (tokenizer, end, metadata) in [
        (&pairs, end_of_text, "pairs.json|2\n5\n"),
        (&pairs, end_of_text, ""),
        (&Tokenizer::byte(), 10, ""),
    ] {
        let tokens = [104, 105, end, 72, 105].map(u16::to_le_bytes).concat();
        let rest = [&[2][..], &ends, &tokens].concat();
        let tokenizer = tokenizer.to_json();
        seeds.push(parts::join(&[
            metadata.as_bytes(),
            tokenizer.as_bytes(),
            &rest,
        ]));
    }
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
