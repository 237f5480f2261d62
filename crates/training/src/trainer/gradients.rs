//! Gradients by the names of their parameters: their sums, their norm, and the update with them.

use std::collections::BTreeMap;

use burn::tensor::Tensor;
use learned_dropout::ops::{sum_of_squares, sum_of_two};
use learned_dropout::parameters::{ParameterMapper, ParameterVisitor};
use learned_dropout::transformer::Transformer;

use crate::optimizer::{AdamW, Rates};

/// Sums of gradients, as flat tensors on the device without autodiff. Parameters without a gradient
/// are absent.
#[derive(Default)]
pub(super) struct Gradients(BTreeMap<String, Tensor<1>>);

impl Gradients {
    /// Runs the backward pass of a loss and adds its gradients.
    pub(super) fn add(&mut self, model: &Transformer, loss: &Tensor<1>) {
        model.visit_parameters(&mut Collect {
            from: loss.backward(),
            into: self,
        });
    }

    /// The Euclidean norm of all gradients together.
    pub(super) fn norm(&self) -> f64 {
        let squares: Vec<Tensor<1>> = self
            .0
            .values()
            .map(|gradient| sum_of_squares(gradient.clone()))
            .collect();
        if squares.is_empty() {
            return 0.0;
        }
        let squares = Tensor::cat(squares, 0).into_data();
        squares.iter::<f32>().map(f64::from).sum::<f64>().sqrt()
    }

    /// Updates the parameters of a model, in place where no clone shares their memory.
    pub(super) fn apply(self, model: &mut Transformer, optimizer: &mut AdamW, rates: Rates) {
        model.map_parameters(&mut Apply {
            gradients: self.0,
            optimizer,
            rates,
        });
    }
}

struct Collect<'a> {
    from: burn::tensor::Gradients,
    into: &'a mut Gradients,
}

impl ParameterVisitor for Collect<'_> {
    fn visit<const D: usize>(&mut self, name: &str, parameter: &Tensor<D>) {
        let Some(gradient) = parameter.grad_remove(&mut self.from) else {
            return;
        };
        let gradient = gradient.flatten::<1>(0, D - 1);
        let sum = match self.into.0.remove(name) {
            Some(sum) => sum_of_two(sum, gradient),
            None => gradient,
        };
        self.into.0.insert(name.into(), sum);
    }
}

struct Apply<'a> {
    gradients: BTreeMap<String, Tensor<1>>,
    optimizer: &'a mut AdamW,
    rates: Rates,
}

impl ParameterMapper for Apply<'_> {
    fn map<const D: usize>(&mut self, name: &str, parameter: Tensor<D>) -> Tensor<D> {
        let Some(gradient) = self.gradients.remove(name) else {
            return parameter;
        };
        let gradient = gradient.reshape(parameter.dims());
        let updated = self
            .optimizer
            .update(name, parameter.inner(), gradient, self.rates);
        Tensor::from_inner(updated).require_grad()
    }
}
