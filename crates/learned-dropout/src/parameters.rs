//! The parameters of a transformer by name.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::Tensor;

use crate::norm::LayerNorm;
use crate::transformer::{Embedding, Transformer};
use model::weights::{HostTensor, Weights};

/// A function that is called for every parameter.
pub trait ParameterVisitor {
    /// Is called with each parameter and its name, in the order of the module's fields.
    fn visit<const D: usize>(&mut self, name: &str, parameter: &Tensor<D>);
}

/// A function that replaces every parameter.
pub trait ParameterMapper {
    /// Returns the new value of a parameter. On an autodiff device the values have no graph, and the
    /// parameter still requires gradients afterwards.
    fn map<const D: usize>(&mut self, name: &str, parameter: Tensor<D>) -> Tensor<D>;
}

impl Transformer {
    /// Visits every parameter by its name in [`layout`](model::layout::layout).
    pub fn visit_parameters(&self, visitor: &mut impl ParameterVisitor) {
        self.visit(&mut ParameterPath {
            path: Vec::new(),
            inner: visitor,
        });
    }

    /// Replaces every parameter. The mapper gets the only handle to a parameter's values, unless a clone
    /// of the model or an autodiff graph holds another one, so burn can reuse their memory.
    pub fn map_parameters(&mut self, mapper: &mut impl ParameterMapper) {
        let model = self.clone();
        self.drop_parameters();
        *self = model.map(&mut ParameterPath {
            path: Vec::new(),
            inner: mapper,
        });
    }

    /// Replaces all parameters by empty tensors, so that this model holds no handle to them.
    fn drop_parameters(&mut self) {
        let device = self.final_norm.weight.val().device();
        let embedding = || Embedding {
            weight: Param::from_tensor(Tensor::empty([0, 0], &device)),
        };
        self.token_embedding = embedding();
        self.positional_embedding = embedding();
        self.mask_embedding = None;
        self.embedding_learned_dropout = None;
        self.blocks.clear();
        self.final_norm = LayerNorm::new(Tensor::empty([0], &device));
    }

    /// Copies the parameters to host memory.
    pub fn to_weights(&self) -> Weights {
        let mut reader = WeightReader(Weights::new());
        self.visit_parameters(&mut reader);
        reader.0
    }
}

struct WeightReader(Weights);

impl ParameterVisitor for WeightReader {
    fn visit<const D: usize>(&mut self, name: &str, parameter: &Tensor<D>) {
        let data = parameter.to_data();
        let shape = parameter.dims().to_vec();
        let values = data.iter::<f32>().collect();
        self.0
            .insert(name.to_string(), HostTensor { shape, values });
    }
}

/// Tracks the path of the current parameter and calls the visitor or mapper with it.
struct ParameterPath<'a, T> {
    path: Vec<String>,
    inner: &'a mut T,
}

impl<T> ParameterPath<'_, T> {
    /// For a module that is an enum, neither the name of the field nor the name of the variant is part of
    /// a parameter's path.
    fn enter(&mut self, name: &str, container: &str) {
        if container.starts_with("Enum:") {
            if let Some(field) = self.path.last_mut() {
                field.clear();
            }
            self.path.push(String::new());
        } else {
            self.path.push(name.to_string());
        }
    }

    fn name(&self) -> String {
        let named = self.path.iter().filter(|part| !part.is_empty());
        named.map(String::as_str).collect::<Vec<_>>().join(".")
    }
}

impl<T: ParameterVisitor> ModuleVisitor for ParameterPath<'_, T> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.enter(name, container);
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.inner.visit(&self.name(), &param.val());
    }
}

impl<T: ParameterMapper> ModuleMapper for ParameterPath<'_, T> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.enter(name, container);
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, value, mapper) = param.consume();
        let mapped = self.inner.map(&self.name(), value);
        Param::from_mapped_value(id, mapped, mapper)
    }
}
