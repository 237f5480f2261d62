//! Settings of a device that modules use: the type of floats and the seed of random numbers.
//!
//! Both apply to the whole process, so this test is a separate program.

use burn::tensor::{DType, Device, Distribution, FloatDType, Tensor};
use learned_dropout::{LearnedDropoutConfig, MaskFunction};
use model::function::Fourier;

fn read<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

#[test]
fn modules_follow_the_settings_of_their_device() {
    let mut device = Device::flex();
    device
        .configure(FloatDType::BF16)
        .expect("settings come first");
    let device = device.autodiff();
    let functions = [
        MaskFunction::default(),
        MaskFunction::Fourier(Fourier::default()),
    ];
    for function in functions {
        for causal in [true, false] {
            let config = LearnedDropoutConfig::new(8, 2)
                .with_function(function.clone())
                .with_causal(causal)
                .with_floor(Some(0.4));
            let masks = || {
                device.seed(5);
                let dropout = config.init(&device);
                let x = Tensor::<3>::random([2, 5, 8], Distribution::Default, &device);
                assert_eq!(x.dtype(), DType::BF16);
                let masked = dropout.forward_with_mask(x);
                masked.mask.statistics().read();
                let weight = dropout.query_key_value.as_ref().unwrap().weight.val();
                assert_eq!(weight.dtype(), DType::BF16);
                let loss = masked.output.clone().sum() + masked.penalty;
                let gradients = loss.backward();
                assert!(dropout.shift.grad(&gradients).is_some());
                (dropout.noise.seed(), read(weight), read(masked.output))
            };
            let first = masks();
            assert_eq!(first, masks(), "the seed of the device decides everything");
            let other = config.init(&device);
            assert_ne!(first.0, other.noise.seed());
        }
    }
}
