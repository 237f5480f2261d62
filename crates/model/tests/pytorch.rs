//! Checkpoints of PyTorch, read and written; `fixtures/README.md` says how the files were made.
#![cfg(feature = "pytorch")]

use std::io::{Cursor, Read, Write};
use std::path::{Path, PathBuf};

use learned_dropout_model::function::{Cosine, Fourier};
use learned_dropout_model::initialization::initial_weights;
use learned_dropout_model::pytorch::{Imported, PytorchError, author_names, export, import};
use learned_dropout_model::{
    MaskConfig, MaskFunction, MaskInput, Penalty, PenaltyKind, Rounding, TransformerConfig,
};
use proptest::prelude::*;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

thread_local! {
    /// One folder for all files of a test.
    static FOLDER: tempfile::TempDir = tempfile::tempdir().unwrap();
}

/// Imports bytes as a file.
fn import_bytes(bytes: &[u8]) -> Result<Imported, PytorchError> {
    let path = FOLDER.with(|folder| folder.path().join("broken.pt"));
    // Overwriting a file waits for the disk on some file systems; a new one does not.
    let _ = std::fs::remove_file(&path);
    std::fs::write(&path, bytes).unwrap();
    let imported = import(&path);
    if let Err(error) = &imported {
        assert!(
            error.to_string().contains("broken.pt"),
            "no file name in: {error}"
        );
    }
    imported
}

/// The archive with another pickle, and with correct checksums.
fn with_pickle(file: &[u8], change: impl FnOnce(Vec<u8>) -> Vec<u8>) -> Vec<u8> {
    let mut change = Some(change);
    let mut archive = zip::ZipArchive::new(Cursor::new(file)).unwrap();
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options =
        zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).unwrap();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        let name = entry.name().unwrap().to_string();
        if name.ends_with("data.pkl") {
            bytes = (change.take().unwrap())(bytes);
        }
        writer.start_file(name, options).unwrap();
        writer.write_all(&bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn replaced(bytes: Vec<u8>, from: &[u8], to: &[u8]) -> Vec<u8> {
    let at = bytes
        .windows(from.len())
        .position(|window| window == from)
        .unwrap();
    [&bytes[..at], to, &bytes[at + from.len()..]].concat()
}

/// The error of a fixture whose pickle has some bytes replaced.
fn error_with(name: &str, from: &[u8], to: &[u8]) -> String {
    let file = std::fs::read(fixture(name)).unwrap();
    let changed = with_pickle(&file, |pickle| replaced(pickle, from, to));
    import_bytes(&changed).unwrap_err().to_string()
}

#[test]
fn plain_strings_in_dictionaries() {
    let hidden = import(&fixture("tiny-hidden.pt")).unwrap();
    let mut expected = TransformerConfig {
        vocabulary: 97,
        context: 24,
        width: 32,
        heads: 4,
        layers: 2,
        dropout: 0.0,
        feed_forward: Default::default(),
        learned_dropout: Some(MaskConfig {
            heads: Some(4),
            penalty: Some(Penalty::default()),
            ..MaskConfig::default()
        }),
    };
    assert_eq!(hidden.config, expected);
    assert_eq!(hidden.notes, ["not read: iter_num, best_val_loss"]);
    let masks = expected.learned_dropout.as_mut().unwrap();
    (masks.input, masks.detach_input) = (MaskInput::Embedding, true);
    assert_eq!(import(&fixture("tiny-embed.pt")).unwrap().config, expected);
    expected.learned_dropout = None;
    assert_eq!(import(&fixture("tiny-base.pt")).unwrap().config, expected);
}

#[test]
fn enum_members_of_unknown_classes_and_an_optimizer() {
    let found = import(&fixture("tiny-enums.pt")).unwrap();
    let penalty = Penalty {
        kind: PenaltyKind::Linear,
        coefficient: 0.2,
        exponential_rate: Some(7e-4),
        minimum: Some(0.001),
        ..Penalty::default()
    };
    let masks = MaskConfig {
        heads: Some(2),
        penalty: Some(penalty),
        ..MaskConfig::default()
    };
    let expected = TransformerConfig {
        vocabulary: 11,
        context: 6,
        width: 8,
        heads: 2,
        layers: 1,
        dropout: 0.0,
        feed_forward: Default::default(),
        learned_dropout: Some(masks),
    };
    assert_eq!(found.config, expected);
    assert_eq!(
        found.notes,
        ["not read: optimizer, iter_num, best_val_loss, config"]
    );
}

#[test]
fn objects_of_unknown_classes_and_views_of_several_types() {
    let found = import(&fixture("tiny-objects.pt")).unwrap();
    let masks = found.config.learned_dropout.clone().unwrap();
    assert_eq!(
        (masks.input, masks.detach_input),
        (MaskInput::Embedding, true)
    );
    assert_eq!(
        masks.function,
        MaskFunction::Cosine(Cosine {
            shift_init: 1.5,
            ..Cosine::default()
        })
    );
    assert_eq!(masks.rounding, Rounding::Stochastic);
    assert_eq!(masks.sigmoid_scale, 60.0);
    assert_eq!(
        masks.penalty,
        Some(Penalty {
            coefficient: 0.3,
            ..Penalty::default()
        })
    );
    assert_eq!(found.config.vocabulary, 11);
    assert!(
        found
            .notes
            .iter()
            .any(|note| note.contains("alphabet_size: 11")),
        "{:?}",
        found.notes
    );
}

#[test]
fn what_cannot_be_represented_is_refused_by_name() {
    let from = b"X\x0c\x00\x00\x00HIDDEN_STATE";
    let error = error_with("tiny-hidden.pt", from, b"X\x0c\x00\x00\x00EMBED_WITH_X");
    assert!(
        error.contains("dropout_input_type` is \"EMBED_WITH_X\""),
        "{error}"
    );
    assert!(error.contains("HIDDEN_STATE or EMBED"), "{error}");
    let error = error_with("tiny-enums.pt", b"NOISE_AND_LINEAR", b"NOISE_AND_SQUARE");
    assert!(
        error.contains("training_code.model.MaskRounding(\"NOISE_AND_SQUARE\")"),
        "{error}"
    );
    let file = std::fs::read(fixture("tiny-base.pt")).unwrap();
    let biased = with_pickle(&file, |mut pickle| {
        let key = pickle
            .windows(8)
            .position(|window| window == b"use_bias")
            .unwrap();
        let value = key + pickle[key..].iter().position(|&byte| byte == 0x89).unwrap();
        pickle[value] = 0x88;
        pickle
    });
    let error = import_bytes(&biased).unwrap_err().to_string();
    assert!(error.contains("`model_config.use_bias` is True"), "{error}");
}

#[test]
fn missing_and_wrong_keys_are_named() {
    let cases: [(&[u8], &[u8], &str); 4] = [
        (b"model_config", b"model_konfig", "no `model_config`"),
        (b"\x00n_embed", b"\x00n_fmbed", "no `model_config.n_embed`"),
        (
            b".ln1.weight",
            b".lm1.weight",
            "no tensor `transformer_blocks.0.ln1.weight`",
        ),
        (
            b"X\x05\x00\x00\x00model",
            b"X\x05\x00\x00\x00medel",
            "no `model`",
        ),
    ];
    for (from, to, message) in cases {
        let error = error_with("tiny-hidden.pt", from, to);
        assert!(error.contains(message), "expected {message}, found {error}");
    }
    let file = std::fs::read(fixture("tiny-hidden.pt")).unwrap();
    let longer = with_pickle(&file, |mut pickle| {
        let key = pickle
            .windows(12)
            .position(|window| window == b"context_size")
            .unwrap();
        let value = key + pickle[key..].iter().position(|&byte| byte == 24).unwrap();
        pickle[value] = 25;
        pickle
    });
    let error = import_bytes(&longer).unwrap_err().to_string();
    assert!(
        error.contains("`positional_embedding.weight` has shape [24, 32]"),
        "{error}"
    );
}

#[test]
fn other_files_are_refused() {
    for bytes in [
        &b""[..],
        b"PK",
        b"PK\x03\x04",
        b"\x80\x02}q\x00.",
        b"not a checkpoint at all",
    ] {
        let error = import_bytes(bytes).unwrap_err().to_string();
        assert!(error.contains("PyTorch checkpoint"), "{error}");
    }
    let error = import(Path::new("/no/such/file.pt"))
        .unwrap_err()
        .to_string();
    assert!(error.contains("/no/such/file.pt"), "{error}");
}

#[test]
fn a_view_that_repeats_its_storage_cannot_claim_memory() {
    // A model of width 2^20 whose every tensor repeats one element: far more than the file has.
    let file = std::fs::read(fixture("tiny-hidden.pt")).unwrap();
    let wide = with_pickle(&file, |pickle| {
        // [97, 32] with strides [32, 1] becomes [2^30, 32] with strides [0, 1].
        let shape = replaced(pickle, b"K\x61K\x20\x86", b"J\x00\x00\x00\x40K\x20\x86");
        replaced(shape, b"K\x20K\x01\x86", b"K\x00K\x01\x86")
    });
    assert!(import_bytes(&wide).is_err());
}

#[test]
fn a_truncated_file_is_an_error_at_every_length() {
    let file = std::fs::read(fixture("tiny-objects.pt")).unwrap();
    for length in 0..file.len() {
        assert!(
            import_bytes(&file[..length]).is_err(),
            "{length} of {} bytes",
            file.len()
        );
    }
}

#[test]
fn a_flipped_byte_is_an_error_or_changes_nothing() {
    let file = std::fs::read(fixture("tiny-objects.pt")).unwrap();
    let whole = import(&fixture("tiny-objects.pt")).unwrap();
    let mut harmless = 0;
    for at in 0..file.len() {
        let mut file = file.clone();
        file[at] ^= if at % 2 == 0 { 0xff } else { 0x04 };
        if let Ok(found) = import_bytes(&file) {
            harmless += 1;
            assert_eq!(found.config, whole.config, "byte {at}");
            assert_eq!(found.weights, whole.weights, "byte {at}");
        }
    }
    // Dates, attributes and padding.
    assert!(harmless < file.len() / 2, "{harmless} of {}", file.len());
}

#[test]
fn a_changed_pickle_never_panics() {
    let file = std::fs::read(fixture("tiny-enums.pt")).unwrap();
    let mut length = 0;
    with_pickle(&file, |pickle| {
        length = pickle.len();
        pickle
    });
    for at in (0..length).step_by(2) {
        let changed = with_pickle(&file, |mut pickle| {
            pickle[at] = pickle[at].wrapping_mul(31).wrapping_add(at as u8 | 1);
            pickle
        });
        let _ = import_bytes(&changed);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn several_changes_at_once_never_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<Option<prop::sample::Index>>(),
    ) {
        let file = std::fs::read(fixture("tiny-objects.pt")).unwrap();
        let changed = with_pickle(&file, |mut pickle| {
            for (at, byte) in &changes {
                let at = at.index(pickle.len());
                pickle[at] = *byte;
            }
            if let Some(cut) = cut {
                pickle.truncate(cut.index(pickle.len()));
            }
            pickle
        });
        let _ = import_bytes(&changed);
    }
}

#[test]
fn what_is_exported_is_imported_again_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    for name in [
        "tiny-hidden.pt",
        "tiny-embed.pt",
        "tiny-base.pt",
        "tiny-enums.pt",
        "tiny-objects.pt",
    ] {
        let first = import(&fixture(name)).unwrap();
        let path = folder.path().join(name);
        assert_eq!(
            export(&path, &first.config, &first.weights).unwrap(),
            [""; 0]
        );
        let second = import(&path).unwrap();
        assert_eq!(second.config, first.config, "{name}");
        for (name, tensor) in &first.weights {
            let bits = |values: &[f32]| {
                values
                    .iter()
                    .map(|value| value.to_bits())
                    .collect::<Vec<_>>()
            };
            assert_eq!(
                bits(&second.weights[name].values),
                bits(&tensor.values),
                "{name}"
            );
            assert_eq!(second.weights[name].shape, tensor.shape);
        }
        assert_eq!(second.weights.len(), first.weights.len());
        // The same model gives the same file.
        let bytes = std::fs::read(&path).unwrap();
        export(&path, &second.config, &second.weights).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
    }
}

#[test]
fn every_choice_survives_export_and_import() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.pt");
    let start = import(&fixture("tiny-enums.pt")).unwrap();
    let mut config = start.config;
    let entropy = Penalty {
        kind: PenaltyKind::Entropy,
        ..Penalty::default()
    };
    for rounding in [
        Rounding::Stochastic,
        Rounding::Sigmoid,
        Rounding::SigmoidDetached,
        Rounding::None,
    ] {
        for penalty in [None, Some(Penalty::default()), Some(entropy.clone())] {
            let masks = config.learned_dropout.as_mut().unwrap();
            (masks.rounding, masks.penalty, masks.sigmoid_scale) = (rounding, penalty, 12.5);
            assert_eq!(export(&path, &config, &start.weights).unwrap(), [""; 0]);
            assert_eq!(import(&path).unwrap().config, config);
        }
    }
    config.learned_dropout.as_mut().unwrap().rounding = Rounding::Threshold;
    let notes = export(&path, &config, &start.weights).unwrap();
    assert!(notes[0].contains("threshold"), "{notes:?}");
}

#[test]
fn safetensors_carries_the_authors_names() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let model = import(&fixture("tiny-embed.pt")).unwrap();
    export(&path, &model.config, &model.weights).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    for (name, author) in author_names(&model.config) {
        assert_eq!(
            file.tensor(&author).unwrap().shape(),
            model.weights[&name].shape
        );
    }
    let tied = file.tensor("output_layer.weight").unwrap();
    assert_eq!(
        tied.data(),
        file.tensor("token_embedding.weight").unwrap().data()
    );
    assert_eq!(file.len(), model.weights.len() + 1);
}

#[test]
fn export_refuses_weights_of_another_model() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.pt");
    let model = import(&fixture("tiny-base.pt")).unwrap();
    let config = TransformerConfig {
        width: 64,
        ..model.config
    };
    assert!(export(&path, &config, &model.weights).is_err());
    assert!(!path.exists());
}

#[test]
fn export_refuses_series_with_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.pt");
    let model = import(&fixture("tiny-hidden.pt")).unwrap();
    let with_terms = |terms| {
        let mut config = model.config.clone();
        let mask = config.learned_dropout.as_mut().unwrap();
        mask.function = MaskFunction::Fourier(Fourier {
            terms,
            ..Fourier::default()
        });
        export(&path, &config, &initial_weights(&config, 1))
    };
    let error = with_terms(3).unwrap_err().to_string();
    for part in [
        "model.pt",
        "learned_dropout.function.kind",
        "fourier",
        "\"cosine\"",
    ] {
        assert!(error.contains(part), "{part}: {error}");
    }
    assert!(!path.exists());
    with_terms(1).unwrap();
}
