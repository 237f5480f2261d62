//! The operations on the CPU backend, by the kernels.

use burn::backend::ops::FloatTensorOps;
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Flex, TensorMetadata};
use burn::tensor::{DType, Shape, TensorData};
use kernels::attention::Dropout;
use kernels::mask::{Keep, Moment};
use kernels::update::{self, AdamW};
use kernels::{attention, cross_entropy, gelu, layer_norm, mask};

use super::{TransformerOps, reference};

type Float = FloatTensor<Flex>;

/// Whether every tensor is of the type that the kernels work on.
fn is_f32(tensors: &[&Float]) -> bool {
    tensors.iter().all(|tensor| tensor.dtype() == DType::F32)
}

/// The elements in order; the tensor must be contiguous.
fn slice(tensor: &Float) -> &[f32] {
    tensor.as_slice().expect("a contiguous f32 tensor")
}

fn tensor(values: Vec<f32>, shape: Shape) -> Float {
    Float::from_data(TensorData::new(values, shape))
}

/// The elements, to be changed in place, and the shape; copied only where they are shared.
fn owned(values: Float) -> (Vec<f32>, Shape) {
    let shape = values.shape();
    let values = match values.into_data().try_into_vec::<f32>() {
        Ok(values) => values,
        Err(_) => unreachable!("the tensor holds f32"),
    };
    (values, shape)
}

fn attention_shape(packed: &Float, heads: usize) -> attention::Shape {
    let [batch, time, width] = packed.shape().dims();
    attention::Shape {
        batch,
        time,
        heads,
        size: width / 3 / heads,
    }
}

/// The targets, or none if one of them is negative or does not fit.
fn targets(tensor: &IntTensor<Flex>) -> Option<Vec<u32>> {
    let data = tensor.clone().into_data();
    data.iter::<i64>()
        .map(|target| u32::try_from(target).ok())
        .collect()
}

fn cross_entropy_shape(hidden: &Float, weight: &Float) -> cross_entropy::Shape {
    let [tokens, width] = hidden.shape().dims();
    let [vocabulary, _] = weight.shape().dims();
    cross_entropy::Shape {
        tokens,
        width,
        vocabulary,
    }
}

impl TransformerOps for Flex {
    fn masked_product(x: Float, attended: Float, shift: Float, keep: Keep) -> Float {
        if !is_f32(&[&x, &attended, &shift]) {
            return reference::masked_product::<Self>(x, attended, shift, keep);
        }
        let [x, attended, shift] = [x, attended, shift].map(|tensor| tensor.to_contiguous());
        let mut output = vec![0.0; x.shape().num_elements()];
        mask::product(
            &mut output,
            slice(&x),
            slice(&attended),
            slice(&shift),
            keep,
        );
        tensor(output, x.shape())
    }

    fn masked_product_backward(
        gradient: Float,
        x: Float,
        attended: Float,
        shift: Float,
        keep: Keep,
    ) -> (Float, Float) {
        if !is_f32(&[&gradient, &x, &attended, &shift]) {
            return reference::masked_product_backward::<Self>(gradient, x, attended, shift, keep);
        }
        let [gradient, x, attended, shift] =
            [gradient, x, attended, shift].map(|tensor| tensor.to_contiguous());
        let count = x.shape().num_elements();
        let (mut dx, mut dattended) = (vec![0.0; count], vec![0.0; count]);
        mask::product_backward(
            &mut dx,
            &mut dattended,
            slice(&gradient),
            slice(&x),
            slice(&attended),
            slice(&shift),
            keep,
        );
        (tensor(dx, x.shape()), tensor(dattended, x.shape()))
    }

    fn mask_mean(attended: Float, shift: Float, moment: Moment) -> Float {
        if !is_f32(&[&attended, &shift]) {
            return reference::mask_mean::<Self>(attended, shift, moment);
        }
        let [attended, shift] = [attended, shift].map(|tensor| tensor.to_contiguous());
        let mean = mask::mean(slice(&attended), slice(&shift), moment);
        tensor(vec![mean], Shape::new([1]))
    }

    fn mask_mean_backward(gradient: Float, attended: Float, shift: Float, moment: Moment) -> Float {
        if !is_f32(&[&gradient, &attended, &shift]) {
            return reference::mask_mean_backward::<Self>(gradient, attended, shift, moment);
        }
        let [gradient, attended, shift] =
            [gradient, attended, shift].map(|tensor| tensor.to_contiguous());
        let mut output = vec![0.0; attended.shape().num_elements()];
        let scale = slice(&gradient)[0];
        mask::mean_backward(&mut output, slice(&attended), slice(&shift), moment, scale);
        tensor(output, attended.shape())
    }

    fn causal_attention(packed: Float, heads: usize, dropout: Option<Dropout>) -> Float {
        if !is_f32(&[&packed]) {
            return reference::causal_attention::<Self>(packed, heads, dropout);
        }
        let packed = packed.to_contiguous();
        let [batch, time, width] = packed.shape().dims();
        let mut output = vec![0.0; batch * time * (width / 3)];
        let shape = attention_shape(&packed, heads);
        attention::forward(&mut output, slice(&packed), shape, dropout);
        tensor(output, Shape::new([batch, time, width / 3]))
    }

    fn causal_attention_backward(
        gradient: Float,
        packed: Float,
        heads: usize,
        dropout: Option<Dropout>,
    ) -> Float {
        if !is_f32(&[&gradient, &packed]) {
            return reference::causal_attention_backward::<Self>(gradient, packed, heads, dropout);
        }
        let [gradient, packed] = [gradient, packed].map(|tensor| tensor.to_contiguous());
        let mut output = vec![0.0; packed.shape().num_elements()];
        let shape = attention_shape(&packed, heads);
        attention::backward(
            &mut output,
            slice(&gradient),
            slice(&packed),
            shape,
            dropout,
        );
        tensor(output, packed.shape())
    }

    fn exact_gelu(x: Float) -> Float {
        if !is_f32(&[&x]) {
            return reference::gelu::<Self>(x);
        }
        let x = x.to_contiguous();
        let mut output = vec![0.0; x.shape().num_elements()];
        gelu::forward(&mut output, slice(&x));
        tensor(output, x.shape())
    }

    fn exact_gelu_backward(gradient: Float, x: Float) -> Float {
        if !is_f32(&[&gradient, &x]) {
            return reference::gelu_backward::<Self>(gradient, x);
        }
        let [gradient, x] = [gradient, x].map(|tensor| tensor.to_contiguous());
        let mut output = vec![0.0; x.shape().num_elements()];
        gelu::backward(&mut output, slice(&gradient), slice(&x));
        tensor(output, x.shape())
    }

    fn layer_norm_without_bias(x: Float, weight: Float, epsilon: f32) -> Float {
        if !is_f32(&[&x, &weight]) {
            return reference::layer_norm::<Self>(x, weight, epsilon);
        }
        let [x, weight] = [x, weight].map(|tensor| tensor.to_contiguous());
        let mut output = vec![0.0; x.shape().num_elements()];
        layer_norm::forward(&mut output, slice(&x), slice(&weight), epsilon);
        tensor(output, x.shape())
    }

    fn layer_norm_without_bias_backward(
        gradient: Float,
        x: Float,
        weight: Float,
        epsilon: f32,
    ) -> (Float, Float) {
        if !is_f32(&[&gradient, &x, &weight]) {
            return reference::layer_norm_backward::<Self>(gradient, x, weight, epsilon);
        }
        let [gradient, x, weight] = [gradient, x, weight].map(|tensor| tensor.to_contiguous());
        let mut dx = vec![0.0; x.shape().num_elements()];
        let mut dweight = vec![0.0; weight.shape().num_elements()];
        layer_norm::backward(
            &mut dx,
            &mut dweight,
            slice(&gradient),
            slice(&x),
            slice(&weight),
            epsilon,
        );
        (tensor(dx, x.shape()), tensor(dweight, weight.shape()))
    }

    fn sum_of_two(left: Float, right: Float) -> Float {
        if !is_f32(&[&left, &right]) || left.shape() != right.shape() {
            return Self::float_add(left, right);
        }
        let [left, right] = [left, right].map(|tensor| tensor.to_contiguous());
        let mut output = vec![0.0; left.shape().num_elements()];
        update::add(&mut output, slice(&left), slice(&right));
        tensor(output, left.shape())
    }

    fn scaled(values: Float, factor: Float) -> Float {
        if !is_f32(&[&values, &factor]) {
            return reference::scaled::<Self>(values, factor);
        }
        let factor = slice(&factor.to_contiguous())[0];
        if factor == 1.0 {
            return values;
        }
        let (mut output, shape) = owned(values);
        update::scale(&mut output, factor);
        tensor(output, shape)
    }

    fn sum_of_squares(values: Float) -> Float {
        if !is_f32(&[&values]) {
            return Self::float_sum(Self::float_mul(values.clone(), values));
        }
        let sum = update::sum_of_squares(slice(&values.to_contiguous())) as f32;
        tensor(vec![sum], Shape::new([1]))
    }

    fn adamw(
        parameter: Float,
        gradient: Float,
        first: Float,
        second: Float,
        step: AdamW,
    ) -> (Float, Float, Float) {
        if !is_f32(&[&parameter, &gradient, &first, &second]) {
            return reference::adamw::<Self>(parameter, gradient, first, second, step);
        }
        let gradient = gradient.to_contiguous();
        let [mut p, mut m, mut v] = [parameter, first, second].map(owned);
        update::adamw(&mut p.0, &mut m.0, &mut v.0, slice(&gradient), step);
        (tensor(p.0, p.1), tensor(m.0, m.1), tensor(v.0, v.1))
    }

    fn linear_cross_entropy(hidden: Float, weight: Float, target_ids: IntTensor<Self>) -> Float {
        match targets(&target_ids).filter(|_| is_f32(&[&hidden, &weight])) {
            Some(targets) => {
                let [hidden, weight] = [hidden, weight].map(|tensor| tensor.to_contiguous());
                let shape = cross_entropy_shape(&hidden, &weight);
                let (hidden, weight) = (slice(&hidden), slice(&weight));
                let (loss, _) =
                    cross_entropy::linear_cross_entropy(hidden, weight, &targets, shape, false);
                tensor(vec![loss], Shape::new([1]))
            }
            None => reference::linear_cross_entropy::<Self>(hidden, weight, target_ids),
        }
    }

    fn linear_cross_entropy_with_gradients(
        hidden: Float,
        weight: Float,
        target_ids: IntTensor<Self>,
    ) -> (Float, Float, Float) {
        let known = targets(&target_ids).filter(|_| is_f32(&[&hidden, &weight]));
        let Some(targets) = known else {
            return reference::linear_cross_entropy_with_gradients::<Self>(
                hidden, weight, target_ids,
            );
        };
        let [hidden, weight] = [hidden, weight].map(|tensor| tensor.to_contiguous());
        let shape = cross_entropy_shape(&hidden, &weight);
        let (loss, gradients) = cross_entropy::linear_cross_entropy(
            slice(&hidden),
            slice(&weight),
            &targets,
            shape,
            true,
        );
        let gradients = gradients.expect("gradients were asked for");
        (
            tensor(vec![loss], Shape::new([1])),
            tensor(gradients.hidden, hidden.shape()),
            tensor(gradients.weight, weight.shape()),
        )
    }
}
