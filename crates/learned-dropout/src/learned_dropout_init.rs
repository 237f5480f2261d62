//! Creates learned dropout modules from their configuration.

use burn::module::Param;
use burn::tensor::{Device, Distribution, Int, Tensor, TensorData};
use model::initialization::{DEVIATION, NormalValues, scale_preserving_deviation};
use model::{Generator, MaskInput, Site};

use crate::function::{Learned, Series, learned};
use crate::learned_dropout::LearnedDropout;
use crate::learned_dropout_config::LearnedDropoutConfig;
use crate::linear::Linear;
use crate::noise_state::NoiseState;
use crate::statistics::MaskHistory;
use crate::supported_device;

/// The tensors of a mask.
pub(crate) struct MaskWeights {
    /// `[3 · attention, input]`; none with a linear generator.
    pub(crate) query_key_value: Option<Tensor<2>>,
    /// `[values, rank]`, or `[values, input]` with a linear generator; none without a projection.
    pub(crate) output: Option<Tensor<2>>,
    /// The parameters of the mask function.
    pub(crate) learned: Learned,
    /// `[1]`; none without a control.
    pub(crate) threshold: Option<Tensor<1>>,
}

impl LearnedDropoutConfig {
    /// Creates a module with random weights and the mask function's initial parameters.
    ///
    /// A linear generator, and an attention without a rank, have weights from `N(0, 0.02²)`. With a rank, the
    /// weights of the attention and of the linear layer are from `N(0, 1 / inputs)`, so that the attention's output is
    /// as large as its input and the cosine starts where its slope is not 0.
    ///
    /// # Panics
    /// If the configuration is not [valid](Self::validate), or this crate does not support the backend of
    /// the device.
    pub fn init(&self, device: &Device) -> LearnedDropout {
        if let Err(problems) = self.validate() {
            let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
            panic!("LearnedDropoutConfig: {}", problems.join("; "));
        }
        if let Some(refusal) = supported_device::refusal(device) {
            panic!("{refusal}");
        }
        let seed = self.seed.unwrap_or_else(|| drawn_seed(device));
        let mut normal = NormalValues::new(seed);
        let mut matrix = |outputs: usize, inputs: usize, deviation: f64| -> Tensor<2> {
            let values = normal.next(outputs * inputs, deviation);
            Tensor::from_data(TensorData::new(values, [outputs, inputs]), device)
        };
        let (inputs, values) = (self.inputs(), self.values());
        let (weight, output) = match (self.generator, self.rank) {
            (Generator::Linear, _) => (None, Some(matrix(values, inputs, DEVIATION))),
            (Generator::Attention, None) => (Some(matrix(3 * inputs, inputs, DEVIATION)), None),
            (Generator::Attention, Some(rank)) => {
                let mut layer =
                    |outputs, inputs| matrix(outputs, inputs, scale_preserving_deviation(inputs));
                (Some(layer(3 * rank, inputs)), Some(layer(values, rank)))
            }
        };
        let threshold = self.control.as_ref().map(|_| Tensor::zeros([1], device));
        let parameters = self.function.parameters(values);
        let learned = learned(&self.function, |name| {
            let mut named = parameters.iter().filter(|parameter| parameter.name == name);
            let parameter = named
                .next()
                .expect("the function names only its own parameters");
            Tensor::full([parameter.count], parameter.initial, device)
        });
        let generator = MaskWeights {
            query_key_value: weight,
            output,
            learned,
            threshold,
        };
        self.with_weights(generator, seed)
    }

    /// A module with given weights.
    pub(crate) fn with_weights(&self, weights: MaskWeights, seed: u64) -> LearnedDropout {
        let MaskWeights {
            query_key_value,
            output,
            learned,
            threshold,
        } = weights;
        LearnedDropout {
            query_key_value: query_key_value.map(Linear::new),
            output: output.map(Linear::new),
            shift: Param::from_tensor(learned.shift),
            series: learned.series.map(Series::new),
            threshold: threshold
                .map(|threshold| Param::from_tensor(threshold).set_require_grad(false)),
            training: Param::from_bool(true),
            noise: NoiseState::new(seed),
            config: self.clone(),
            site: Site::FeedForwardOutput,
            mask_input: MaskInput::Hidden,
            layer: 0,
            history: MaskHistory::default(),
        }
    }
}

/// A seed from the random numbers of a device. It is put together from 16-bit numbers, since not every
/// device has 64-bit integers.
fn drawn_seed(device: &Device) -> u64 {
    let range = Distribution::Uniform(0.0, 65_536.0);
    let words = Tensor::<1, Int>::random([4], range, device).into_data();
    let append = |seed: u64, bits: i64| seed << 16 | (bits as u64 & 0xFFFF);
    words.iter::<i64>().fold(0, append)
}
