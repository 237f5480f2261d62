//! Masks in a configuration: what is refused, how large masks are, and what stands on the disk.

use learned_dropout_model::function::Fourier;
use learned_dropout_model::initialization::{continued_weights, initial_weights};
use learned_dropout_model::layout::layout;
use learned_dropout_model::mask_shape::AttentionShape;
use learned_dropout_model::model_folder;
use learned_dropout_model::tensor_spec::TensorSpec;
use learned_dropout_model::{
    MaskConfig, MaskFunction, MaskGradient, MaskInput, Penalty, Rounding, Site, Sites,
    TransformerConfig,
};

fn plain() -> TransformerConfig {
    TransformerConfig {
        vocabulary: 11,
        context: 6,
        width: 8,
        heads: 2,
        layers: 2,
        dropout: 0.0,
        feed_forward: Default::default(),
        learned_dropout: None,
    }
}

fn masked(mask: MaskConfig) -> TransformerConfig {
    TransformerConfig {
        learned_dropout: Some(mask),
        ..plain()
    }
}

fn series(terms: usize) -> MaskFunction {
    MaskFunction::Fourier(Fourier {
        terms,
        ..Fourier::default()
    })
}

fn assert_refused(change: impl Fn(&mut MaskConfig), key: &str, reason: &str) {
    let mut mask = MaskConfig::default();
    change(&mut mask);
    let problems = masked(mask).validate().expect_err("refused");
    let found: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        problems[0].key,
        format!("learned_dropout.{key}"),
        "{found:?}"
    );
    assert!(found[0].contains(reason), "{found:?}");
}

#[test]
fn what_makes_no_sense_is_refused_with_its_key() {
    use Site::{AttentionHeads, AttentionProbabilities, Embedding, FeedForwardHidden};
    assert_refused(
        |mask| mask.site = vec![].into(),
        "site",
        "at least one site",
    );
    assert_refused(
        |mask| mask.site = vec![AttentionHeads, AttentionHeads].into(),
        "site",
        "[attention-heads, attention-heads]",
    );
    for input in [MaskInput::LayerInput, MaskInput::Residual] {
        assert_refused(
            |mask| (mask.site, mask.input) = (Embedding.into(), input),
            "input",
            "before all blocks",
        );
    }
    assert_refused(|mask| mask.group = 0, "group", "from 1");
    assert_refused(|mask| mask.group = 3, "group", "divisor of the 8 channels");
    assert_refused(
        |mask| (mask.site, mask.group) = (AttentionProbabilities.into(), 2),
        "group",
        "one value per head",
    );
    assert_refused(|mask| mask.rank = Some(0), "rank", "from 1");
    assert_refused(
        |mask| (mask.site, mask.input) = (FeedForwardHidden.into(), MaskInput::LayerInput),
        "rank",
        "8 channels and the mask 32 values",
    );
    assert_refused(
        |mask| mask.site = AttentionHeads.into(),
        "rank",
        "give the width",
    );
    assert_refused(|mask| mask.group = 4, "rank", "give the width");
    assert_refused(|mask| mask.heads = Some(3), "heads", "divisor of 8");
    assert_refused(
        |mask| (mask.rank, mask.heads) = (Some(6), Some(4)),
        "heads",
        "divisor of 6",
    );
    assert_refused(
        |mask| (mask.gradient, mask.rounding) = (MaskGradient::KeptOnly, Rounding::Sigmoid),
        "gradient",
        "drop values whole",
    );
    assert_refused(
        |mask| (mask.noise_steps, mask.rounding) = (Some(9), Rounding::Threshold),
        "noise_steps",
        "has noise",
    );
    assert_refused(
        |mask| mask.noise_steps = Some(0),
        "noise_steps",
        "at least 1",
    );
    for (change, key) in [
        (r#"{"target_kept": 1.0}"#, "target_kept"),
        (r#"{"target_kept": 0.5, "kind": "entropy"}"#, "target_kept"),
        (r#"{"target_kept": 0.5, "coefficient": 0.0}"#, "coefficient"),
        (r#"{"target_steps": 5}"#, "target_steps"),
        (r#"{"floor": 0.6}"#, "floor"),
        (r#"{"floor_coefficient": 2.0}"#, "floor_coefficient"),
        (
            r#"{"floor": 0.1, "floor_coefficient": -1.0}"#,
            "floor_coefficient",
        ),
    ] {
        let penalty: Penalty = serde_json::from_str(change).unwrap();
        assert_refused(
            |mask| mask.penalty = Some(penalty.clone()),
            &format!("penalty.{key}"),
            ": ",
        );
    }
}

#[test]
fn series_of_impossible_length_are_refused() {
    for terms in [0, 17, usize::MAX] {
        assert_refused(
            |mask| mask.function = series(terms),
            "function.terms",
            "from 1 to 16; 1 is the cosine alone",
        );
    }
    assert_refused(
        |mask| {
            mask.function = MaskFunction::Fourier(Fourier {
                shift_init: 4.0,
                ..Fourier::default()
            })
        },
        "function.shift_init",
        "from 0 to π",
    );
}

/// One term is the cosine, tensor by tensor; more have as many coefficients for each value.
#[test]
fn series_have_tensors_of_their_own() {
    let tensors = |function| -> Vec<(String, Vec<usize>)> {
        let config = masked(MaskConfig {
            site: Site::AttentionHeads.into(),
            rank: Some(4),
            function,
            ..MaskConfig::default()
        });
        let of_mask = |spec: &TensorSpec| spec.name.starts_with("blocks.1.attention.head_");
        let found = layout(&config).filter(of_mask);
        found.map(|spec| (spec.name, spec.shape)).collect()
    };
    let cosine = tensors(MaskFunction::default());
    assert_eq!(tensors(series(1)), cosine);
    let longer = tensors(series(4));
    assert_eq!(longer[..cosine.len()], cosine);
    let name = "blocks.1.attention.head_learned_dropout.series";
    assert_eq!(
        longer[cosine.len()..],
        [
            (format!("{name}.amplitude"), vec![3 * 2]),
            (format!("{name}.phase"), vec![3 * 2])
        ]
    );
    let parameters = |function| {
        masked(MaskConfig {
            function,
            ..MaskConfig::default()
        })
        .parameters()
    };
    // Amplitude and phase of 3 terms for 8 channels in 2 layers.
    assert_eq!(parameters(series(4)) - parameters(series(1)), 2 * 3 * 8 * 2);
}

#[test]
fn groups_without_a_rank_fit_where_they_are_as_many_as_channels() {
    let config = masked(MaskConfig {
        site: Site::FeedForwardHidden.into(),
        input: MaskInput::LayerInput,
        group: 4,
        ..MaskConfig::default()
    });
    config.validate().unwrap();
    let shape = config.mask_shape(Site::FeedForwardHidden, 0).unwrap();
    assert_eq!(
        (shape.values, shape.attention, shape.projected),
        (8, Some(AttentionShape { width: 8, heads: 2 }), false)
    );
}

#[test]
fn heads_of_a_narrow_generator_are_those_that_divide_both() {
    let heads = |rank| {
        let config = masked(MaskConfig {
            rank: Some(rank),
            ..MaskConfig::default()
        });
        let shape = config.mask_shape(Site::FeedForwardOutput, 0).unwrap();
        shape.attention.unwrap().heads
    };
    assert_eq!([1, 2, 3, 6, 16].map(heads), [1, 2, 1, 2, 2]);
}

#[test]
fn one_site_is_written_as_before_and_several_as_a_list() {
    let place = tempfile::tempdir().unwrap();
    let written = |mask: MaskConfig| {
        model_folder::write_config(place.path(), &masked(mask.clone())).unwrap();
        assert_eq!(
            model_folder::read_config(place.path())
                .unwrap()
                .learned_dropout,
            Some(mask)
        );
        let text = std::fs::read_to_string(place.path().join("config.json")).unwrap();
        serde_json::from_str::<serde_json::Value>(&text).unwrap()["learned_dropout"].clone()
    };
    let default = written(MaskConfig::default());
    let expected = serde_json::json!({
        "site": "feed-forward-output", "input": "hidden", "detach_input": false,
        "function": {"kind": "cosine", "shift_init": 0.0}, "rounding": "stochastic",
        "sigmoid_scale": 60.0,
    });
    assert_eq!(default, expected);
    let several = written(MaskConfig {
        site: vec![Site::FeedForwardHidden, Site::AttentionHeads].into(),
        input: MaskInput::LayerInput,
        rank: Some(2),
        ..MaskConfig::default()
    });
    assert_eq!(
        several["site"],
        serde_json::json!(["feed-forward-hidden", "attention-heads"])
    );
    let error = serde_json::from_str::<Sites>(r#"["attention-head"]"#).unwrap_err();
    assert!(error.to_string().contains("attention-heads"), "{error}");
}

#[test]
fn the_published_form_has_the_tensors_that_it_always_had() {
    let names: Vec<String> = layout(&masked(MaskConfig::default()))
        .map(|spec| spec.name)
        .filter(|name| name.contains("learned_dropout"))
        .collect();
    assert_eq!(
        names,
        [
            "blocks.0.feed_forward.learned_dropout.query_key_value.weight",
            "blocks.0.feed_forward.learned_dropout.shift",
            "blocks.1.feed_forward.learned_dropout.query_key_value.weight",
            "blocks.1.feed_forward.learned_dropout.shift",
        ]
    );
}

#[test]
fn continued_weights_lack_nothing_but_masks() {
    let config = masked(MaskConfig::default());
    let mut given = initial_weights(&plain(), 7);
    given.remove("final_norm.weight");
    let error = continued_weights(&config, 3, given).unwrap_err();
    assert_eq!(error, "no tensor `final_norm.weight`");
    let error = continued_weights(&plain(), 3, initial_weights(&config, 7)).unwrap_err();
    assert!(error.contains("has no place"), "{error}");
    let mut given = initial_weights(&plain(), 7);
    given.get_mut("final_norm.weight").unwrap().shape = vec![4, 2];
    let error = continued_weights(&config, 3, given).unwrap_err();
    assert!(
        error.contains("has shape [4, 2], the configuration expects [8]"),
        "{error}"
    );
    // Open, but not so far that nothing can be learned.
    let weights = continued_weights(&config, 3, initial_weights(&plain(), 7)).unwrap();
    let generator = &weights["blocks.0.feed_forward.learned_dropout.query_key_value.weight"];
    assert!(generator.values.iter().all(|&value| value != 0.0));
}
