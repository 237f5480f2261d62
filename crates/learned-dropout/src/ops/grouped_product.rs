//! Products with one factor for each group of neighbouring channels.

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Flex, backend_extension};
use burn::tensor::Tensor;
use kernels::group_product;

use super::cpu::{Float, KernelInput, kernel_inputs, tensor};
use super::tape::Tape;

/// The last `values · group` channels of `x` times one factor for each group of neighbours; the
/// channels before them as they are. With `kept_only`, the gradient of a factor of 0 is 0.
///
/// # Shapes
/// - `x`, result: `[batch, time, channels]`
/// - `factors`: `[batch, time, values]`
pub fn grouped_product(
    x: Tensor<3>,
    factors: Tensor<3>,
    group: usize,
    kept_only: bool,
) -> Tensor<3> {
    let ([_, _, channels], [_, _, values]) = (x.dims(), factors.dims());
    assert!(
        group > 0 && values * group <= channels,
        "{values} groups of {group} do not fit {channels} channels"
    );
    on_backend!(grouped_product(x, factors; group, kept_only))
}

/// Products with groups on a backend.
#[backend_extension(Flex, Cube: cfg(feature = "gpu"), Autodiff)]
pub trait GroupedProductOps: Backend {
    /// The last `values · group` channels of `x`, `[batch, time, channels]`, times one factor for each
    /// group of neighbours, `[batch, time, values]`.
    fn grouped_product(
        x: FloatTensor<Self>,
        factors: FloatTensor<Self>,
        group: usize,
        _kept_only: bool,
    ) -> FloatTensor<Self> {
        plain::grouped_product::<Self>(x, factors, group)
    }

    /// The gradients of [`grouped_product`](Self::grouped_product) with respect to `x` and `factors`;
    /// with `kept_only`, 0 for a factor of 0.
    fn grouped_product_backward(
        gradient: FloatTensor<Self>,
        x: FloatTensor<Self>,
        factors: FloatTensor<Self>,
        group: usize,
        kept_only: bool,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        plain::grouped_product_backward::<Self>(gradient, x, factors, group, kept_only)
    }
}

pub mod plain {
    use burn::backend::tensor::FloatTensor;
    use burn::backend::{Backend, TensorMetadata, get_or_init_device_settings};
    use burn::tensor::{Shape, Slice};

    /// The last `values · group` channels as `[batch, time, values, group]`, and the channels before.
    fn grouped<B: Backend>(
        x: FloatTensor<B>,
        values: usize,
        group: usize,
    ) -> (Option<FloatTensor<B>>, FloatTensor<B>) {
        let [batch, time, width] = x.shape().dims();
        let lead = width - values * group;
        let channels = |from: usize, to: usize| {
            let channels = Slice::from(from..to);
            B::float_slice(x.clone(), &[Slice::full(), Slice::full(), channels])
        };
        let shape = Shape::new([batch, time, values, group]);
        (
            (lead > 0).then(|| channels(0, lead)),
            B::float_reshape(channels(lead, width), shape),
        )
    }

    /// Plain body of the method of this name.
    pub fn grouped_product<B: Backend>(
        x: FloatTensor<B>,
        factors: FloatTensor<B>,
        group: usize,
    ) -> FloatTensor<B> {
        let [batch, time, values] = factors.shape().dims();
        let (lead, groups) = grouped::<B>(x, values, group);
        let factors = B::float_reshape(factors, Shape::new([batch, time, values, 1]));
        let product = B::float_mul(groups, factors);
        let product = B::float_reshape(product, Shape::new([batch, time, values * group]));
        match lead {
            Some(lead) => B::float_cat(vec![lead, product], 2),
            None => product,
        }
    }

    /// Plain body of the method of this name.
    pub fn grouped_product_backward<B: Backend>(
        gradient: FloatTensor<B>,
        x: FloatTensor<B>,
        factors: FloatTensor<B>,
        group: usize,
        kept_only: bool,
    ) -> (FloatTensor<B>, FloatTensor<B>) {
        let [batch, time, values] = factors.shape().dims();
        let dx = grouped_product::<B>(gradient.clone(), factors.clone(), group);
        let [x, gradient] = [x, gradient].map(|tensor| grouped::<B>(tensor, values, group).1);
        let sums = B::float_sum_dim(B::float_mul(x, gradient), 3);
        let dfactors = B::float_reshape(sums, Shape::new([batch, time, values]));
        (dx, where_kept::<B>(dfactors, factors, kept_only))
    }

    /// With `kept_only`, sets the gradients of factors that are 0 to 0.
    fn where_kept<B: Backend>(
        dfactors: FloatTensor<B>,
        factors: FloatTensor<B>,
        kept_only: bool,
    ) -> FloatTensor<B> {
        if !kept_only {
            return dfactors;
        }
        let settings = get_or_init_device_settings::<B>(&factors.device());
        let dropped = B::float_equal_elem(factors, 0.0.into(), settings.bool_dtype);
        B::float_mask_fill(dfactors, dropped, 0.0.into())
    }
}

/// The shape for a kernel.
fn kernel_shape(x: &KernelInput, factors: &KernelInput, group: usize) -> group_product::Shape {
    let width = x.channels();
    group_product::Shape {
        rows: x.len() / width,
        width,
        values: factors.channels(),
        group,
    }
}

impl GroupedProductOps for Flex {
    fn grouped_product(x: Float, factors: Float, group: usize, _kept_only: bool) -> Float {
        match kernel_inputs([x, factors]) {
            Ok([x, factors]) => {
                let shape = kernel_shape(&x, &factors, group);
                tensor(group_product::forward(&x, &factors, shape), x.shape())
            }
            Err([x, factors]) => plain::grouped_product::<Self>(x, factors, group),
        }
    }

    fn grouped_product_backward(
        gradient: Float,
        x: Float,
        factors: Float,
        group: usize,
        kept_only: bool,
    ) -> (Float, Float) {
        match kernel_inputs([gradient, x, factors]) {
            Ok([gradient, x, factors]) => {
                let shape = kernel_shape(&x, &factors, group);
                let (dx, dfactors) =
                    group_product::backward(&gradient, &x, &factors, shape, kept_only);
                (tensor(dx, x.shape()), tensor(dfactors, factors.shape()))
            }
            Err([gradient, x, factors]) => {
                plain::grouped_product_backward::<Self>(gradient, x, factors, group, kept_only)
            }
        }
    }
}

#[cfg(feature = "gpu")]
impl GroupedProductOps for burn::backend::Cube {}

impl<B: GroupedProductOps, C: CheckpointStrategy> GroupedProductOps for Autodiff<B, C> {
    fn grouped_product(
        x: FloatTensor<Self>,
        factors: FloatTensor<Self>,
        group: usize,
        kept_only: bool,
    ) -> FloatTensor<Self> {
        Tape::<B, C>::saving_inputs(
            [x, factors],
            |[x, factors]| B::grouped_product(x, factors, group, kept_only),
            move |gradient, [x, factors]| {
                B::grouped_product_backward(gradient, x, factors, group, kept_only)
            },
        )
    }
}
