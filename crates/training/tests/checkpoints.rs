//! Checkpoint folders: they are written completely, damage is noticed, and none is lost.

use std::path::Path;

use burn::tensor::Device;
use learned_dropout_training::checkpoints::{
    BEST, Best, Checkpoint, CheckpointError, Checkpoints, LATEST, STATE_FILE, TrainerState,
    read_state,
};
use learned_dropout_training::config::OptimizerConfig;
use learned_dropout_training::optimizer::AdamW;
use model::TransformerConfig;
use model::initialization::initial_weights;
use proptest::prelude::*;

fn model() -> TransformerConfig {
    TransformerConfig {
        vocabulary: 5,
        context: 3,
        width: 2,
        heads: 1,
        layers: 1,
        dropout: 0.0,
        feed_forward: Default::default(),
        learned_dropout: None,
    }
}

fn optimizer() -> AdamW {
    AdamW::new(&OptimizerConfig {
        learning_rate: 1.0,
        minimum_learning_rate: Some(0.0),
        betas: [0.9, 0.95],
        weight_decay: 0.1,
        epsilon: 1e-8,
    })
}

fn state(step: u64, best: u64) -> TrainerState {
    let best = Some(Best {
        step: best,
        validation_loss: 0.1 + 0.2,
    });
    TrainerState {
        step,
        best,
        tokens: u64::MAX,
        ..TrainerState::default()
    }
}

fn write(run: &Path, state: &TrainerState, keep: usize) {
    let checkpoint = Checkpoint {
        config: &model(),
        weights: &initial_weights(&model(), state.step),
        optimizer: &optimizer(),
        state,
        tokenizer: "{}",
        end_of_text: Some(4),
    };
    Checkpoints::open(run)
        .unwrap()
        .write(&checkpoint, keep)
        .unwrap();
}

fn names(run: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(run.join("checkpoints"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn the_latest_and_the_best_stay() {
    let place = tempfile::tempdir().unwrap();
    let run = place.path();
    for step in [1, 2, 3, 4, 5] {
        write(run, &state(step, step.min(2)), 2);
    }
    assert_eq!(
        names(run),
        ["step-00000002", "step-00000004", "step-00000005"]
    );
    assert_eq!(
        std::fs::read_to_string(run.join(LATEST)).unwrap(),
        "step-00000005\n"
    );
    assert_eq!(
        std::fs::read_to_string(run.join(BEST)).unwrap(),
        "step-00000002\n"
    );
    let newest = Checkpoints::open(run).unwrap().newest().unwrap();
    assert_eq!(newest.intact.unwrap().1, state(5, 2));
    let generation = std::fs::read(run.join("checkpoints/step-00000005/generation_config.json"));
    let generation: serde_json::Value = serde_json::from_slice(&generation.unwrap()).unwrap();
    assert_eq!(generation["eos_token_id"], 4);
}

#[test]
fn leftovers_of_a_killed_process_are_removed_without_loss() {
    let place = tempfile::tempdir().unwrap();
    let run = place.path();
    write(run, &state(1, 1), 3);
    write(run, &state(2, 1), 3);
    let folder = run.join("checkpoints");
    std::fs::create_dir(folder.join(".tmp-step-00000003")).unwrap();
    // Killed between the two renames that replace the checkpoint of step 2.
    std::fs::rename(
        folder.join("step-00000002"),
        folder.join(".old-step-00000002"),
    )
    .unwrap();
    let newest = Checkpoints::open(run).unwrap().newest().unwrap();
    assert_eq!(newest.intact.unwrap().1, state(2, 1));
    assert_eq!(names(run), ["step-00000001", "step-00000002"]);
    // Killed after them, before the older one was removed.
    std::fs::create_dir(folder.join(".old-step-00000001")).unwrap();
    Checkpoints::open(run).unwrap();
    assert_eq!(names(run), ["step-00000001", "step-00000002"]);
}

#[test]
fn a_checkpoint_of_the_same_step_is_replaced() {
    let place = tempfile::tempdir().unwrap();
    write(place.path(), &state(7, 1), 1);
    write(place.path(), &state(7, 7), 1);
    assert_eq!(names(place.path()), ["step-00000007"]);
    let newest = Checkpoints::open(place.path()).unwrap().newest().unwrap();
    assert_eq!(newest.intact.unwrap().1, state(7, 7));
}

#[test]
fn every_cut_of_every_file_is_noticed() {
    let place = tempfile::tempdir().unwrap();
    write(place.path(), &state(1, 1), 1);
    let folder = place.path().join("checkpoints/step-00000001");
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        // The state is parsed; of the other files only the length matters here.
        let every = if path.ends_with(STATE_FILE) { 1 } else { 97 };
        // Without its last byte, a line break, the state is still complete.
        for end in (0..bytes.len() - 1).step_by(every) {
            std::fs::write(&path, &bytes[..end]).unwrap();
            let error = read_state(&folder).unwrap_err();
            assert!(matches!(error, CheckpointError::Damaged { .. }), "{error}");
            assert!(
                error.to_string().contains(path.to_str().unwrap()),
                "{error}"
            );
        }
        std::fs::remove_file(&path).unwrap();
        assert!(read_state(&folder).is_err());
        std::fs::write(&path, &bytes).unwrap();
    }
    assert_eq!(read_state(&folder).unwrap(), state(1, 1));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_changed_bit_is_noticed_unless_it_changes_nothing(
        file in 0..6_usize, index in any::<prop::sample::Index>(), bit in 0..8_u32
    ) {
        let place = tempfile::tempdir().unwrap();
        write(place.path(), &state(1, 1), 1);
        let folder = place.path().join("checkpoints/step-00000001");
        let mut files: Vec<_> =
            std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        let path = &files[file % files.len()];
        let mut bytes = std::fs::read(path).unwrap();
        let at = index.index(bytes.len());
        bytes[at] ^= 1 << bit;
        std::fs::write(path, &bytes).unwrap();
        // JSON has several ways to write the same state: other white space, or another last digit
        // of a number that rounds to the same bits.
        match read_state(&folder) {
            Err(CheckpointError::Damaged { .. }) => {}
            Ok(found) => prop_assert!(
                path.ends_with(STATE_FILE) && found == state(1, 1),
                "byte {} of {}", at, path.display()
            ),
            Err(other) => prop_assert!(false, "{}", other),
        }
    }
}

#[test]
fn an_unused_optimizer_is_written_and_read() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("optimizer.safetensors");
    optimizer().write(&path).unwrap();
    let config = OptimizerConfig {
        learning_rate: 1.0,
        minimum_learning_rate: Some(0.0),
        betas: [0.9, 0.95],
        weight_decay: 0.1,
        epsilon: 1e-8,
    };
    AdamW::read(&config, &path, Vec::new(), &Device::flex()).unwrap();
}
