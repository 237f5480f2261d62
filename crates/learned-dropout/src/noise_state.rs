//! The seed and step of a module's noise, stored in the module's record.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use burn::module::{
    Content, Devices, Module, ModuleDisplay, ModuleDisplayDefault, ModuleMapper, ModuleVisitor,
    Param, ParamId,
};
use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use model::pass::NoiseKey;

/// The seed of a module's noise, and the number of its forward passes with noise so far.
///
/// Records hold both as a tensor of two integers. A loaded module therefore continues with the noise that
/// the saved one would have drawn next. A module and its clones share one count.
#[derive(Clone)]
pub struct NoiseState {
    id: ParamId,
    seed: u64,
    step: Arc<AtomicU64>,
}

impl NoiseState {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            id: ParamId::new(),
            seed,
            step: Arc::default(),
        }
    }

    /// The seed of the noise.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The number of the next forward pass with noise.
    pub fn step(&self) -> u64 {
        self.step.load(Ordering::Relaxed)
    }

    pub(crate) fn set_step(&self, step: u64) {
        self.step.store(step, Ordering::Relaxed);
    }

    /// The key of the next pass.
    pub(crate) fn next_key(&self) -> NoiseKey {
        NoiseKey {
            seed: self.seed,
            step: self.step.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// Both numbers as a tensor, their bits read as signed integers. It is on the host, whatever the
    /// module's device is.
    fn parameter(&self) -> Param<Tensor<1, Int>> {
        let values = [self.seed, self.step()].map(|number| number as i64);
        let data = TensorData::new(values.to_vec(), [2]);
        let tensor = Tensor::from_data(data, (&Device::flex(), DType::I64));
        Param::initialized(self.id, tensor)
    }
}

impl Module for NoiseState {
    fn visit<V: ModuleVisitor>(&self, visitor: &mut V) {
        visitor.visit_int(&self.parameter());
    }

    fn map<M: ModuleMapper>(self, mapper: &mut M) -> Self {
        let (id, tensor, _) = mapper.map_int(self.parameter()).consume();
        let data = tensor.into_data();
        let numbers: Vec<u64> = data.iter::<i64>().map(|number| number as u64).collect();
        let [seed, step] = numbers[..] else {
            unreachable!("records are loaded in the shape of the module")
        };
        if (seed, step) == (self.seed, self.step()) {
            return Self { id, ..self };
        }
        let step = Arc::new(AtomicU64::new(step));
        Self { id, seed, step }
    }

    fn collect_devices(&self, devices: Devices) -> Devices {
        devices
    }

    fn fork(self, _device: &Device) -> Self {
        self
    }

    fn to_device(self, _device: &Device) -> Self {
        self
    }

    fn train(self) -> Self {
        self
    }

    fn valid(&self) -> Self {
        self.clone()
    }

    fn materialize(self) -> Self {
        self
    }
}

impl fmt::Debug for NoiseState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "seed {}, step {}", self.seed, self.step())
    }
}

impl fmt::Display for NoiseState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, formatter)
    }
}

impl ModuleDisplayDefault for NoiseState {
    fn content(&self, content: Content) -> Option<Content> {
        content.add_formatted(self).optional()
    }
}

impl ModuleDisplay for NoiseState {}
