//! Arbitrary and damaged configurations.

use std::path::Path;

use learned_dropout_training::config::{ConfigError, RunConfig};
use proptest::prelude::*;

use crate::{SMALL, parse, seed_configs};

/// A valid configuration of arbitrary values, as text of the one way to write each.
fn any_config() -> impl Strategy<Value = Vec<String>> {
    let keys = (
        0..i64::MAX as u64,
        1..100_usize,
        0.0..1.0_f64,
        0.0..3.0_f64,
        1e-9..1e3_f64,
        any::<Option<u16>>(),
        "\\PC{0,12}",
    );
    let words = (
        prop::sample::select(vec![
            "stochastic",
            "threshold",
            "sigmoid",
            "sigmoid-detached",
            "none",
        ]),
        prop::sample::select(vec!["hidden", "embedding"]),
        any::<bool>(),
        any::<bool>(),
    );
    (keys, words).prop_map(
        |((seed, heads, rate, shift, number, option, prompt), words)| {
            let (rounding, input, detach, penalty) = words;
            let mut set = vec![
                format!("seed={seed}"),
                format!("model.heads={heads}"),
                format!("model.width={}", heads * 3),
                format!("model.dropout={rate:?}"),
                format!("model.learned_dropout.function={{kind=\"cosine\",shift_init={shift:?}}}"),
                format!("model.learned_dropout.rounding={rounding}"),
                format!("model.learned_dropout.input={input}"),
                format!("model.learned_dropout.detach_input={detach}"),
                format!("train.optimizer.learning_rate={number:?}"),
                format!("train.optimizer.weight_decay={number:?}"),
                format!("train.evaluate.sample.prompt={}", toml_string(&prompt)),
            ];
            if let Some(number) = option {
                set.push(format!("train.clip={}.5", number));
                set.push(format!("model.vocabulary={}", u32::from(number) + 1));
            }
            if penalty {
                set.push(format!(
                    "model.learned_dropout.penalty.coefficient={number:?}"
                ));
                set.push("model.learned_dropout.penalty.kind=entropy".into());
            }
            set
        },
    )
}

fn toml_string(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_resolved_configuration_reads_back_as_itself(overrides in any_config()) {
        let config = RunConfig::parse(SMALL, Path::new("x"), &overrides).unwrap();
        let text = config.to_toml().unwrap();
        let again = RunConfig::parse(&text, Path::new("x"), &[]).unwrap();
        prop_assert_eq!(&again, &config);
        prop_assert_eq!(again.to_toml().unwrap(), text);
    }

    #[test]
    fn flipped_bytes_are_an_error_or_a_configuration(
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)
    ) {
        let place = tempfile::NamedTempFile::new().unwrap();
        let mut bytes = std::fs::read(seed_configs().join("shift-0.toml")).unwrap();
        for (index, byte) in flips {
            let index = index.index(bytes.len());
            bytes[index] = byte;
        }
        std::fs::write(place.path(), &bytes).unwrap();
        if let Err(error) = RunConfig::read(place.path(), &[]) {
            prop_assert!(error.to_string().starts_with(place.path().to_str().unwrap()));
        }
    }

    #[test]
    fn any_override_is_an_error_or_a_configuration(key in "[a-z._]{0,12}", value in "\\PC{0,12}") {
        let typed = format!("{key}={value}");
        if let Err(error) = RunConfig::parse(SMALL, Path::new("x"), std::slice::from_ref(&typed)) {
            prop_assert!(error.to_string().contains("--set") || value.trim().is_empty());
        }
    }
}

#[test]
fn a_file_cut_off_anywhere_is_an_error_or_a_configuration() {
    let text = std::fs::read_to_string(seed_configs().join("precomputed.toml")).unwrap();
    let complete = parse(&text, &[]).unwrap();
    let mut errors = 0;
    for end in (0..text.len()).filter(|&end| text.is_char_boundary(end)) {
        match parse(&text[..end], &[]) {
            Err(ConfigError::Invalid { problems, .. }) => {
                assert!(!problems.is_empty());
                errors += 1;
            }
            Err(other) => panic!("{other}"),
            Ok(config) => assert_eq!(config.model, complete.model),
        }
    }
    assert!(errors > text.len() / 2);
}
