//! Ordinary dropout whose noise depends on a position in a stream of random numbers alone.

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Flex, backend_extension};
use burn::tensor::Tensor;
use kernels::dropout::Dropout;

use super::cpu::{Float, kernel_inputs, tensor};
use super::tape::Tape;

/// Ordinary dropout: element `i` is decided by position `i` of the generator.
pub fn dropped<const D: usize>(x: Tensor<D>, dropout: Dropout) -> Tensor<D> {
    on_backend!(dropped(x; dropout))
}

/// Ordinary dropout on a backend.
#[backend_extension(Flex, Cube: cfg(feature = "gpu"), Autodiff)]
pub trait DropoutOps: Backend {
    /// Ordinary dropout: element `i` is decided by position `i` of the generator. The gradient is the
    /// dropout of the gradient.
    fn dropped(x: FloatTensor<Self>, dropout: Dropout) -> FloatTensor<Self> {
        plain::dropped::<Self>(x, dropout)
    }
}

pub mod plain {
    use burn::backend::tensor::FloatTensor;
    use burn::backend::{Backend, TensorMetadata};
    use kernels::dropout::Dropout;
    use kernels::random::unit;

    use crate::ops::host_values::host_values;

    /// Plain body of the method of this name.
    pub fn dropped<B: Backend>(x: FloatTensor<B>, dropout: Dropout) -> FloatTensor<B> {
        let shape = x.shape();
        let factors = factors(shape.num_elements(), dropout);
        let factors = host_values::<B>(factors, shape, &x);
        B::float_mul(x, factors)
    }

    /// What elements are multiplied by: 0, or `1 / (1 - rate)`.
    fn factors(count: usize, Dropout { rate, generator }: Dropout) -> Vec<f32> {
        let scale = (1.0 / (1.0 - rate)) as f32;
        let factor = |number| {
            if f64::from(unit(number)) >= rate {
                scale
            } else {
                0.0
            }
        };
        let mut factors = Vec::with_capacity(count.next_multiple_of(4));
        for block in 0..count.div_ceil(4) as u64 {
            factors.extend(generator.block(block).map(factor));
        }
        factors.truncate(count);
        factors
    }
}

impl DropoutOps for Flex {
    fn dropped(x: Float, dropout: Dropout) -> Float {
        match kernel_inputs([x]) {
            Ok([x]) => tensor(kernels::dropout::forward(&x, dropout), x.shape()),
            Err([x]) => plain::dropped::<Self>(x, dropout),
        }
    }
}

#[cfg(feature = "gpu")]
impl DropoutOps for burn::backend::Cube {}

impl<B: DropoutOps, C: CheckpointStrategy> DropoutOps for Autodiff<B, C> {
    fn dropped(x: FloatTensor<Self>, dropout: Dropout) -> FloatTensor<Self> {
        Tape::<B, C>::saving_nothing(
            [x],
            |[x]| B::dropped(x, dropout),
            move |gradient| [B::dropped(gradient, dropout)],
        )
    }
}
