//! What several tests share.
#![allow(dead_code)]

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{DType, Device, Tensor, TensorData};
use kernels::random::Philox;
use learned_dropout::device::DeviceName;

/// The device that `LDROP_TEST_DEVICE` names; the CPU where it is not set.
pub fn device() -> Device {
    let name = std::env::var("LDROP_TEST_DEVICE").unwrap_or_else(|_| "cpu".into());
    let name: DeviceName = name.parse().expect("LDROP_TEST_DEVICE names a device");
    name.device()
        .expect("LDROP_TEST_DEVICE names a device of this build")
}

/// Normally distributed values.
pub fn values(count: usize, seed: u64) -> Vec<f32> {
    let generator = Philox::new(seed, 0);
    let pairs = (0..count.div_ceil(2) as u64).flat_map(|i| generator.normal_pair(i));
    pairs.map(|value| value as f32).take(count).collect()
}

/// A tensor of normally distributed values.
pub fn random<const D: usize>(shape: [usize; D], seed: u64, device: &Device) -> Tensor<D> {
    Tensor::from_data(
        TensorData::new(values(shape.iter().product(), seed), shape),
        device,
    )
}

/// The elements of a tensor.
pub fn read<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

/// Asserts that two lists agree within a share of the largest value.
#[track_caller]
pub fn assert_close(found: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(found.len(), expected.len());
    let largest = expected
        .iter()
        .fold(1e-3f32, |largest, value| largest.max(value.abs()));
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        let error = (found - expected).abs();
        assert!(
            error <= tolerance * largest,
            "element {index}: {found}, expected {expected}"
        );
    }
}

/// A module whose parameters have another type.
pub fn cast<M: Module>(module: M, dtype: DType) -> M {
    struct Cast(DType);
    impl ModuleMapper for Cast {
        fn map_float<const D: usize>(&mut self, parameter: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let learns = parameter.is_require_grad();
            parameter.map(|tensor| {
                let cast = tensor.detach().cast(self.0).detach();
                if learns { cast.require_grad() } else { cast }
            })
        }
    }
    module.map(&mut Cast(dtype))
}
