//! The parameters of a transformer by name.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::Tensor;

use crate::norm::LayerNorm;
use crate::transformer::{Embedding, Transformer};
use model::weights::{HostTensor, Weights};

/// Something that is done with every parameter.
pub trait ParameterVisitor {
    /// Called with each parameter and its name, in the order of the module's fields.
    fn visit<const D: usize>(&mut self, name: &str, parameter: &Tensor<D>);
}

/// Something that replaces parameters.
pub trait ParameterMapper {
    /// Gives the value that takes a parameter's place; on the autodiff device it comes without
    /// graph, and its place keeps requiring gradients.
    fn map<const D: usize>(&mut self, name: &str, parameter: Tensor<D>) -> Tensor<D>;
}

impl Transformer {
    /// Visits every parameter by its name in [`layout`](model::layout::layout).
    pub fn visit_parameters(&self, visitor: &mut impl ParameterVisitor) {
        self.visit(&mut Named {
            path: Vec::new(),
            inner: visitor,
        });
    }

    /// Replaces every parameter. The mapper gets the only handle to its values, unless a clone of
    /// the model or a graph holds another one.
    pub fn map_parameters(&mut self, mapper: &mut impl ParameterMapper) {
        let whole = self.clone();
        self.let_go();
        *self = whole.map(&mut Named {
            path: Vec::new(),
            inner: mapper,
        });
    }

    /// Leaves nothing but the shell of a model.
    fn let_go(&mut self) {
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

struct Named<'a, T> {
    path: Vec<String>,
    inner: &'a mut T,
}

impl<T> Named<'_, T> {
    /// Alternatives (a module that is an enum) stand in the place of their field: neither the field
    /// nor the alternative is part of the names.
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

impl<T: ParameterVisitor> ModuleVisitor for Named<'_, T> {
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

impl<T: ParameterMapper> ModuleMapper for Named<'_, T> {
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
