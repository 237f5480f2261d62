//! When a module uses noise, and with which seed and step: training, freezing, validation, saving and
//! loading.

mod support;

use burn::module::{Module, ParamGroup};
use burn::store::ModuleRecord;
use burn::tensor::{Device, Tensor};
use learned_dropout::{LearnedDropout, LearnedDropoutConfig, MaskFunction};
use model::function::Cosine;
use support::{device, random, read};

fn module(device: &Device) -> LearnedDropout {
    let shift_init = std::f64::consts::FRAC_PI_2;
    LearnedDropoutConfig::new(8, 2)
        .with_function(MaskFunction::Cosine(Cosine {
            shift_init,
            ..Cosine::default()
        }))
        .with_seed(Some(7))
        .init(device)
}

fn x(device: &Device) -> Tensor<3> {
    random([2, 16, 8], 1, device)
}

/// Whether a module uses noise: two passes with the same input then differ. Without noise, asserts that masks
/// are rounded at 0.5.
fn uses_noise(dropout: &LearnedDropout, device: &Device) -> bool {
    let step = dropout.step();
    let [first, second] = [(); 2].map(|()| dropout.forward_with_mask(x(device)));
    let (kept, values) = (read(first.mask.kept()), read(first.mask.values()));
    let noise = read(first.output) != read(second.output);
    if noise {
        assert_eq!(dropout.step(), step + 2);
    } else {
        for (kept, value) in kept.iter().zip(values) {
            assert_eq!(*kept == 1.0, value >= 0.5);
        }
        assert_eq!(dropout.step(), step, "a pass without noise does not count");
    }
    noise
}

/// A model with two modules.
#[derive(Module, Debug)]
struct Two {
    first: LearnedDropout,
    second: Vec<LearnedDropout>,
}

#[test]
fn noise_is_for_training_alone() {
    let plain = device();
    let training = device().autodiff();
    let dropout = module(&training);
    assert!(uses_noise(&dropout, &training));
    assert!(!uses_noise(&module(&plain), &plain), "no training device");
    assert!(!uses_noise(&dropout.valid(), &plain), "valid()");
    assert!(uses_noise(&dropout.valid().train(), &training), "train()");
    let frozen = dropout.clone().freeze();
    assert!(!uses_noise(&frozen, &training), "freeze()");
    assert!(
        !uses_noise(&frozen.valid().train(), &training),
        "stays frozen"
    );
    assert!(uses_noise(&frozen.unfreeze(), &training), "unfreeze()");
    let unlearning = dropout.clone().no_grad();
    assert!(!uses_noise(&unlearning, &training), "no_grad()");
    assert!(uses_noise(&unlearning.set_require_grad(true), &training));
    assert!(uses_noise(&dropout, &training), "it is as it was");
}

#[test]
fn a_part_of_a_model_can_be_frozen() {
    let device = device().autodiff();
    let two = Two {
        first: module(&device),
        second: vec![module(&device)],
    };
    let group = ParamGroup::ids_from_module(two.first.clone());
    let two = two.freeze_group(group);
    assert!(!uses_noise(&two.first, &device));
    assert!(uses_noise(&two.second[0], &device));
    let two = two.freeze();
    assert!(!uses_noise(&two.second[0], &device));
}

#[test]
fn gradients_reach_x_through_a_frozen_module() {
    let device = device().autodiff();
    let dropout = module(&device).freeze();
    let x = x(&device).require_grad();
    let gradients = dropout.forward(x.clone()).sum().backward();
    assert!(x.grad(&gradients).is_some());
    assert!(dropout.shift.grad(&gradients).is_none());
}

#[test]
fn a_loaded_module_goes_on_with_the_noise_of_the_saved_one() {
    let device = device().autodiff();
    let dropout = module(&device);
    for _ in 0..3 {
        dropout.forward(x(&device));
    }
    let bytes = dropout.clone().into_record().into_bytes().expect("bytes");
    let record = ModuleRecord::from_bytes(bytes).expect("a record");
    // Other weights, another seed and another number of passes.
    let fresh = LearnedDropoutConfig::new(8, 2)
        .with_seed(Some(u64::MAX))
        .init(&device);
    fresh.forward(x(&device));
    let untouched = fresh.clone();
    let loaded = fresh.load_record(record);
    assert_eq!((loaded.step(), loaded.noise.seed()), (3, 7));
    assert_eq!((untouched.step(), untouched.noise.seed()), (1, u64::MAX));
    let outputs = [&loaded, &dropout].map(|dropout| read(dropout.forward(x(&device))));
    assert_eq!(outputs[0], outputs[1]);
    assert!(uses_noise(&loaded, &device));
}

#[test]
fn files_hold_seeds_of_all_64_bits() {
    let folder = std::env::temp_dir().join(format!("learned-dropout-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let path = folder.join("module");
    let config = LearnedDropoutConfig::new(8, 2);
    let dropout = config.clone().with_seed(Some(u64::MAX - 1)).init(&device());
    dropout.set_step(1 << 39);
    dropout.save_file(&path).expect("a file");
    let loaded = config.init(&device()).load_file(&path);
    assert_eq!(
        (loaded.noise.seed(), loaded.step()),
        (u64::MAX - 1, 1 << 39)
    );
    std::fs::remove_dir_all(&folder).expect("the folder is ours");
}

#[test]
fn steps_can_be_set() {
    let device = device().autodiff();
    let dropout = module(&device);
    let outputs: Vec<_> = (0..3).map(|_| read(dropout.forward(x(&device)))).collect();
    let clone = dropout.clone();
    dropout.set_step(1);
    assert_eq!(
        read(clone.forward(x(&device))),
        outputs[1],
        "clones count together"
    );
    assert_eq!(read(dropout.forward(x(&device))), outputs[2]);
    let on_the_cpu = dropout.to_device(&device).fork(&device);
    assert_eq!(on_the_cpu.step(), 3);
}

#[test]
fn modules_of_one_configuration_differ() {
    let device = device().autodiff();
    let config = LearnedDropoutConfig::new(8, 2);
    let [first, second] = [(); 2].map(|()| config.init(&device));
    assert_ne!(first.noise.seed(), second.noise.seed());
    let weights = [&first, &second]
        .map(|dropout| read(dropout.query_key_value.as_ref().unwrap().weight.val()));
    assert_ne!(weights[0], weights[1]);
}

#[test]
fn noise_can_fade_to_the_threshold() {
    let device = device().autodiff();
    // Masks near 0.68: noise with a spread of 0.25 around 0.5 stays below them.
    let function = MaskFunction::Cosine(Cosine {
        shift_init: 1.2,
        ..Cosine::default()
    });
    let config = module(&device).config().clone().with_function(function);
    let dropout = config.with_noise_steps(Some(4)).init(&device);
    // For each pass, whether the rounding is that of the threshold.
    let mut sides = Vec::new();
    for _ in 0..6 {
        let mask = dropout.forward_with_mask(x(&device)).mask;
        let expected = mask.values().greater_equal_elem(0.5).float();
        let differ: f32 = mask.kept().not_equal(expected).float().sum().into_scalar();
        sides.push(differ);
    }
    assert!(sides[0] > sides[2] && sides[2] > 0.0, "{sides:?}");
    assert_eq!(sides[3..], [0.0; 3]);
    assert_eq!(dropout.step(), 6);
}
