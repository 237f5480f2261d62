//! Setting small inputs of a linear layer to 0.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use burn::tensor::Tensor;

/// Magnitudes are counted by the upper 16 bits of their f32 form, which sort like the magnitudes. A
/// threshold is therefore exact to 0.8%.
const COUNTED_BITS: u32 = 16;

/// Statistics of a layer's inputs, and the threshold below which they are set to 0.
#[derive(Debug, Default)]
pub(crate) struct InputStatistics {
    /// How often each magnitude was seen, while there is no threshold.
    magnitudes: Vec<u64>,
    pub(crate) threshold: Option<f32>,
    pub(crate) zeros: u64,
    pub(crate) elements: u64,
}

/// Records a layer's inputs, then sets small ones to 0. Does nothing by default.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cut(Option<Arc<Mutex<InputStatistics>>>);

impl Cut {
    pub(crate) fn recording() -> Self {
        let inputs = InputStatistics {
            magnitudes: vec![0; 1 << (32 - COUNTED_BITS)],
            ..InputStatistics::default()
        };
        Self(Some(Arc::new(Mutex::new(inputs))))
    }

    pub(crate) fn statistics(&self) -> Option<MutexGuard<'_, InputStatistics>> {
        let inputs = self.0.as_ref()?;
        Some(inputs.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether inputs are recorded or set to 0.
    pub(crate) fn is_active(&self) -> bool {
        self.0.is_some()
    }

    /// Records the input, or sets its small values to 0: `[batch, time, channels]`.
    pub(crate) fn apply(&self, input: Tensor<3>) -> Tensor<3> {
        let Some(mut inputs) = self.statistics() else {
            return input;
        };
        let Some(threshold) = inputs.threshold else {
            let values = input.to_data();
            for value in values.iter::<f32>() {
                inputs.magnitudes[(value.abs().to_bits() >> COUNTED_BITS) as usize] += 1;
            }
            return input;
        };
        let small = input.clone().abs().lower_elem(threshold);
        let cut = input.mask_fill(small, 0.0);
        let values = cut.to_data();
        inputs.elements += values.num_elements() as u64;
        inputs.zeros += values.iter::<f32>().filter(|&value| value == 0.0).count() as u64;
        cut
    }
}

impl InputStatistics {
    /// Sets the threshold so that this share of the recorded magnitudes lies below it, to the resolution
    /// of the counters.
    pub(crate) fn set_threshold(&mut self, share: f64) {
        let all: u64 = self.magnitudes.iter().sum();
        let wanted = (share * all as f64).round() as u64;
        let mut below = 0;
        let mut number = 0;
        for (index, count) in self.magnitudes.iter().enumerate() {
            // Choose the nearer of this counter's two ends.
            if below + count / 2 >= wanted {
                break;
            }
            below += count;
            number = index as u32 + 1;
        }
        self.threshold = Some(f32::from_bits(number << COUNTED_BITS));
        self.magnitudes = Vec::new();
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;

    fn tensor(values: &[f32]) -> Tensor<3> {
        let data = TensorData::new(values.to_vec(), [1, 1, values.len()]);
        Tensor::from_data(data, &Device::flex())
    }

    #[test]
    fn magnitudes_worked_by_hand() {
        let cut = Cut::recording();
        let x = tensor(&[0.0, -1.0, 2.0, -4.0, 8.0]);
        let same = cut.apply(x.clone()).into_data();
        assert_eq!(same, x.clone().into_data());
        cut.statistics().unwrap().set_threshold(0.6);
        let found = cut.apply(x.clone()).into_data();
        assert_eq!(found, tensor(&[0.0, 0.0, 0.0, -4.0, 8.0]).into_data());
        let inputs = cut.statistics().unwrap();
        // The next counter after that of 2.
        assert_eq!(inputs.threshold, Some(2.015_625));
        assert_eq!((inputs.zeros, inputs.elements), (3, 5));
        drop(inputs);
        let nothing = Cut::default();
        assert!(!nothing.is_active());
        assert_eq!(nothing.apply(x.clone()).into_data(), x.into_data());
    }

    #[test]
    fn no_sparsity_cuts_nothing_and_all_of_it_everything() {
        let x = tensor(&[0.5, -1.0, 2.0]);
        for (share, expected) in [(0.0, [0.5, -1.0, 2.0]), (1.0, [0.0; 3])] {
            let cut = Cut::recording();
            cut.apply(x.clone());
            cut.statistics().unwrap().set_threshold(share);
            assert_eq!(
                cut.apply(x.clone()).into_data(),
                tensor(&expected).into_data()
            );
        }
    }
}
