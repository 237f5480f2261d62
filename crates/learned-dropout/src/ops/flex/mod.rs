//! The operations on the CPU backend, by the kernels.

mod feed_forward;
mod slices;

use burn::backend::ops::FloatTensorOps;
use burn::backend::tensor::IntTensor;
use burn::backend::{Flex, TensorMetadata};
use burn::tensor::Shape;
use kernels::dropout::Dropout;
use kernels::linear::Norm;
use kernels::mask::{Keep, Moment};
use kernels::product::Precision;
use kernels::update::{self, AdamW};
use kernels::{
    attention, cross_entropy, dropout, embedding, gelu, group_product, layer_norm, linear, mask,
};

use super::{MaskedSettings, NormSettings, TransformerOps, experts, reference, routing, series};

pub(in crate::ops) use slices::*;

impl TransformerOps for Flex {
    fn masked_product(x: Float, attended: Float, shift: Float, keep: Keep) -> Float {
        if !is_f32(&[&x, &attended, &shift]) {
            return reference::masked_product::<Self>(x, attended, shift, keep);
        }
        let [x, attended, shift] = [x, attended, shift].map(|tensor| tensor.to_contiguous());
        let output = mask::product(slice(&x), slice(&attended), slice(&shift), keep);
        tensor(output, x.shape())
    }

    fn masked_product_backward(
        gradient: Float,
        x: Float,
        attended: Float,
        shift: Float,
        keep: Keep,
    ) -> (Float, Float, Float) {
        if !is_f32(&[&gradient, &x, &attended, &shift]) {
            return reference::masked_product_backward::<Self>(gradient, x, attended, shift, keep);
        }
        let [gradient, x, attended, shift] =
            [gradient, x, attended, shift].map(|tensor| tensor.to_contiguous());
        let gradients = mask::product_backward(
            slice(&gradient),
            slice(&x),
            slice(&attended),
            slice(&shift),
            keep,
        );
        (
            tensor(gradients.x, x.shape()),
            tensor(gradients.attended, x.shape()),
            tensor(gradients.shift, shift.shape()),
        )
    }

    fn rounded_mask(attended: Float, shift: Float, keep: Keep) -> Float {
        if !is_f32(&[&attended, &shift]) {
            return reference::rounded_mask::<Self>(attended, shift, keep);
        }
        let [attended, shift] = [attended, shift].map(|tensor| tensor.to_contiguous());
        let output = mask::rounded(slice(&attended), slice(&shift), keep);
        tensor(output, attended.shape())
    }

    fn rounded_mask_backward(gradient: Float, attended: Float, shift: Float) -> (Float, Float) {
        if !is_f32(&[&gradient, &attended, &shift]) {
            return reference::rounded_mask_backward::<Self>(gradient, attended, shift);
        }
        let [gradient, attended, shift] =
            [gradient, attended, shift].map(|tensor| tensor.to_contiguous());
        let (dattended, dshift) =
            mask::rounded_backward(slice(&gradient), slice(&attended), slice(&shift));
        (
            tensor(dattended, attended.shape()),
            tensor(dshift, shift.shape()),
        )
    }

    fn mask_mean(attended: Float, shift: Float, moment: Moment) -> Float {
        if !is_f32(&[&attended, &shift]) {
            return reference::mask_mean::<Self>(attended, shift, moment);
        }
        let [attended, shift] = [attended, shift].map(|tensor| tensor.to_contiguous());
        let mean = mask::mean(slice(&attended), slice(&shift), moment);
        tensor(vec![mean], Shape::new([1]))
    }

    fn mask_mean_backward(
        gradient: Float,
        attended: Float,
        shift: Float,
        moment: Moment,
    ) -> (Float, Float) {
        if !is_f32(&[&gradient, &attended, &shift]) {
            return reference::mask_mean_backward::<Self>(gradient, attended, shift, moment);
        }
        let [gradient, attended, shift] =
            [gradient, attended, shift].map(|tensor| tensor.to_contiguous());
        let scale = slice(&gradient)[0];
        let (dattended, dshift) =
            mask::mean_backward(slice(&attended), slice(&shift), moment, scale);
        (
            tensor(dattended, attended.shape()),
            tensor(dshift, shift.shape()),
        )
    }

    fn cosine_series(attended: Float, angles: Float, weights: Float) -> Float {
        series::on_cpu(attended, angles, weights)
    }

    fn cosine_series_backward(
        gradient: Float,
        attended: Float,
        angles: Float,
        weights: Float,
    ) -> (Float, Float, Float) {
        series::backward_on_cpu(gradient, attended, angles, weights)
    }

    fn grouped_product(x: Float, factors: Float, group: usize, _kept_only: bool) -> Float {
        if !is_f32(&[&x, &factors]) {
            return reference::grouped_product::<Self>(x, factors, group);
        }
        let [x, factors] = [x, factors].map(|tensor| tensor.to_contiguous());
        let shape = group_shape(&x, &factors, group);
        let output = group_product::forward(slice(&x), slice(&factors), shape);
        tensor(output, x.shape())
    }

    fn grouped_product_backward(
        gradient: Float,
        x: Float,
        factors: Float,
        group: usize,
        kept_only: bool,
    ) -> (Float, Float) {
        if !is_f32(&[&gradient, &x, &factors]) {
            return reference::grouped_product_backward::<Self>(
                gradient, x, factors, group, kept_only,
            );
        }
        let [gradient, x, factors] = [gradient, x, factors].map(|tensor| tensor.to_contiguous());
        let shape = group_shape(&x, &factors, group);
        let (dx, dfactors) = group_product::backward(
            slice(&gradient),
            slice(&x),
            slice(&factors),
            shape,
            kept_only,
        );
        (tensor(dx, x.shape()), tensor(dfactors, factors.shape()))
    }

    fn causal_attention(
        packed: Float,
        heads: usize,
        dropout: Option<Dropout>,
        precision: Precision,
    ) -> Float {
        if !is_f32(&[&packed]) {
            return reference::causal_attention::<Self>(packed, heads, dropout);
        }
        let packed = packed.to_contiguous();
        let [batch, time, width] = packed.shape().dims();
        let shape = attention_shape(&packed, heads);
        let output = attention::forward(slice(&packed), shape, dropout, precision);
        tensor(output, Shape::new([batch, time, width / 3]))
    }

    fn causal_attention_backward(
        gradient: Float,
        packed: Float,
        heads: usize,
        dropout: Option<Dropout>,
        precision: Precision,
    ) -> Float {
        if !is_f32(&[&gradient, &packed]) {
            return reference::causal_attention_backward::<Self>(gradient, packed, heads, dropout);
        }
        let [gradient, packed] = [gradient, packed].map(|tensor| tensor.to_contiguous());
        let shape = attention_shape(&packed, heads);
        let (gradient, values) = (slice(&gradient), slice(&packed));
        let output = attention::backward(gradient, values, shape, dropout, precision);
        tensor(output, packed.shape())
    }

    fn linear_without_bias(x: Float, weight: Float, precision: Precision) -> Float {
        if !is_f32(&[&x, &weight]) {
            return reference::linear::<Self>(x, weight);
        }
        let [x, weight] = [x, weight].map(|tensor| tensor.to_contiguous());
        let shape = linear_shape(&x, &weight);
        let output = linear::forward(slice(&x), None, slice(&weight), shape, precision);
        tensor(output, with_channels(&x, shape.outputs))
    }

    fn linear_without_bias_backward(
        gradient: Float,
        x: Float,
        weight: Float,
        precision: Precision,
    ) -> (Float, Float) {
        if !is_f32(&[&gradient, &x, &weight]) {
            return reference::linear_backward::<Self>(gradient, x, weight);
        }
        let [gradient, x, weight] = [gradient, x, weight].map(|tensor| tensor.to_contiguous());
        let shape = linear_shape(&x, &weight);
        let gradients = linear::backward(
            slice(&gradient),
            slice(&x),
            None,
            slice(&weight),
            shape,
            precision,
        );
        (
            tensor(gradients.x, x.shape()),
            tensor(gradients.weight, weight.shape()),
        )
    }

    fn norm_linear(
        x: Float,
        norm: Float,
        weight: Float,
        NormSettings { epsilon, precision }: NormSettings,
    ) -> Float {
        if !is_f32(&[&x, &norm, &weight]) {
            return reference::norm_linear::<Self>(x, norm, weight, epsilon);
        }
        let [x, norm, weight] = [x, norm, weight].map(|tensor| tensor.to_contiguous());
        let shape = linear_shape(&x, &weight);
        let norm = Norm {
            weight: slice(&norm),
            epsilon,
        };
        let output = linear::forward(slice(&x), Some(norm), slice(&weight), shape, precision);
        tensor(output, with_channels(&x, shape.outputs))
    }

    fn norm_linear_backward(
        gradient: Float,
        x: Float,
        norm: Float,
        weight: Float,
        NormSettings { epsilon, precision }: NormSettings,
    ) -> (Float, Float, Float) {
        if !is_f32(&[&gradient, &x, &norm, &weight]) {
            return reference::norm_linear_backward::<Self>(gradient, x, norm, weight, epsilon);
        }
        let [gradient, x, norm, weight] =
            [gradient, x, norm, weight].map(|tensor| tensor.to_contiguous());
        let gradients = linear::backward(
            slice(&gradient),
            slice(&x),
            Some(Norm {
                weight: slice(&norm),
                epsilon,
            }),
            slice(&weight),
            linear_shape(&x, &weight),
            precision,
        );
        (
            tensor(gradients.x, x.shape()),
            tensor(gradients.norm, norm.shape()),
            tensor(gradients.weight, weight.shape()),
        )
    }

    fn norm_feed_forward(
        x: Float,
        norm: Float,
        up: Float,
        down: Float,
        settings: NormSettings,
    ) -> Float {
        feed_forward::of([x, norm, up, down], settings)
    }

    fn norm_feed_forward_keeping(
        x: Float,
        norm: Float,
        up: Float,
        down: Float,
        settings: NormSettings,
    ) -> (Float, Float) {
        feed_forward::keeping([x, norm, up, down], settings)
    }

    fn norm_feed_forward_backward(
        gradient: Float,
        x: Float,
        norm: Float,
        up: Float,
        down: Float,
        kept: Float,
        settings: NormSettings,
    ) -> (Float, Float, Float, Float) {
        feed_forward::backward(gradient, [x, norm, up, down], kept, settings)
    }

    fn gated_experts(
        x: Float,
        gates: Float,
        up: Float,
        down: Float,
        precision: Precision,
    ) -> Float {
        experts::on_cpu(x, gates, up, down, precision)
    }

    fn gated_experts_backward(
        gradient: Float,
        x: Float,
        gates: Float,
        up: Float,
        down: Float,
        precision: Precision,
    ) -> (Float, Float, Float, Float) {
        experts::backward_on_cpu(gradient, [x, gates, up, down], precision)
    }

    fn masked_feed_forward(
        x: Float,
        norm: Float,
        up: Float,
        down: Float,
        factors: Float,
        settings: MaskedSettings,
    ) -> Float {
        feed_forward::masked([x, norm, up, down, factors], settings)
    }

    fn masked_feed_forward_backward(
        gradient: Float,
        x: Float,
        norm: Float,
        up: Float,
        down: Float,
        factors: Float,
        settings: MaskedSettings,
    ) -> (Float, Float, Float, Float, Float) {
        feed_forward::masked_backward(gradient, [x, norm, up, down, factors], settings)
    }

    fn relu_units(x: Float) -> Float {
        routing::on_cpu::relu(x)
    }

    fn relu_units_backward(gradient: Float, relu: Float) -> Float {
        routing::on_cpu::relu_backward(gradient, relu)
    }

    fn mean(values: Float) -> Float {
        routing::on_cpu::mean(values)
    }

    fn mean_backward(gradient: Float, shape: Shape) -> Float {
        routing::on_cpu::mean_backward(gradient, shape)
    }

    fn used_share(values: Float) -> Float {
        routing::on_cpu::used_share(values)
    }

    fn best_gates(scores: Float, count: usize) -> Float {
        routing::on_cpu::best_gates(scores, count)
    }

    fn best_gates_backward(gradient: Float, gates: Float) -> Float {
        routing::on_cpu::best_gates_backward(gradient, gates)
    }

    fn mean_softmax(scores: Float) -> Float {
        routing::on_cpu::mean_softmax(scores)
    }

    fn mean_softmax_backward(gradient: Float, scores: Float) -> Float {
        routing::on_cpu::mean_softmax_backward(gradient, scores)
    }

    fn rows(table: Float, ids: IntTensor<Self>) -> Float {
        match indices(&ids).filter(|_| is_f32(&[&table])) {
            Some(indices) => {
                let table = table.to_contiguous();
                let width = table.shape()[1];
                let rows = embedding::gather(slice(&table), &indices, width);
                tensor(rows, Shape::new([indices.len(), width]))
            }
            None => Self::float_select(table, 0, ids),
        }
    }

    fn add_to_rows(table: Float, ids: IntTensor<Self>, gradient: Float) -> Float {
        match indices(&ids).filter(|_| is_f32(&[&table, &gradient])) {
            Some(indices) => {
                let gradient = gradient.to_contiguous();
                let (mut sums, shape) = owned(table);
                embedding::scatter_add(&mut sums, &indices, slice(&gradient), shape[1]);
                tensor(sums, shape)
            }
            None => reference::add_to_rows::<Self>(table, ids, gradient),
        }
    }

    fn dropped(x: Float, dropout: Dropout) -> Float {
        if !is_f32(&[&x]) {
            return reference::dropped::<Self>(x, Some(dropout));
        }
        let x = x.to_contiguous();
        tensor(dropout::forward(slice(&x), dropout), x.shape())
    }

    fn exact_gelu(x: Float) -> Float {
        if !is_f32(&[&x]) {
            return reference::gelu::<Self>(x);
        }
        let x = x.to_contiguous();
        tensor(gelu::forward(slice(&x)), x.shape())
    }

    fn exact_gelu_backward(gradient: Float, x: Float) -> Float {
        if !is_f32(&[&gradient, &x]) {
            return reference::gelu_backward::<Self>(gradient, x);
        }
        let [gradient, x] = [gradient, x].map(|tensor| tensor.to_contiguous());
        tensor(gelu::backward(slice(&gradient), slice(&x)), x.shape())
    }

    fn layer_norm_without_bias(x: Float, weight: Float, epsilon: f32) -> Float {
        if !is_f32(&[&x, &weight]) {
            return reference::layer_norm::<Self>(x, weight, epsilon);
        }
        let [x, weight] = [x, weight].map(|tensor| tensor.to_contiguous());
        let output = layer_norm::forward(slice(&x), slice(&weight), epsilon);
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
        let (dx, dweight) =
            layer_norm::backward(slice(&gradient), slice(&x), slice(&weight), epsilon);
        (tensor(dx, x.shape()), tensor(dweight, weight.shape()))
    }

    fn sum_of_two(left: Float, right: Float) -> Float {
        if !is_f32(&[&left, &right]) || left.shape() != right.shape() {
            return Self::float_add(left, right);
        }
        let [left, right] = [left, right].map(|tensor| tensor.to_contiguous());
        tensor(update::add(slice(&left), slice(&right)), left.shape())
    }

    fn sum_with_shared(x: Float, shared: Float) -> Float {
        if !is_f32(&[&x, &shared]) {
            return reference::sum_with_shared::<Self>(x, shared);
        }
        let [x, shared] = [x, shared].map(|tensor| tensor.to_contiguous());
        tensor(update::add_repeated(slice(&x), slice(&shared)), x.shape())
    }

    fn sum_over_batch(gradient: Float) -> Float {
        if !is_f32(&[&gradient]) {
            return reference::sum_over_batch::<Self>(gradient);
        }
        let [_, time, channels] = gradient.shape().dims();
        let gradient = gradient.to_contiguous();
        let sums = update::sum_repeated(slice(&gradient), time * channels);
        tensor(sums, Shape::new([time, channels]))
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

    fn linear_cross_entropy(
        hidden: Float,
        weight: Float,
        target_ids: IntTensor<Self>,
        precision: Precision,
    ) -> Float {
        match indices(&target_ids).filter(|_| is_f32(&[&hidden, &weight])) {
            Some(targets) => {
                let [hidden, weight] = [hidden, weight].map(|tensor| tensor.to_contiguous());
                let shape = cross_entropy_shape(&hidden, &weight);
                let (hidden, weight) = (slice(&hidden), slice(&weight));
                let (loss, _) = cross_entropy::linear_cross_entropy(
                    hidden, weight, &targets, shape, false, precision,
                );
                tensor(vec![loss], Shape::new([1]))
            }
            None => reference::linear_cross_entropy::<Self>(hidden, weight, target_ids),
        }
    }

    fn linear_cross_entropy_with_gradients(
        hidden: Float,
        weight: Float,
        target_ids: IntTensor<Self>,
        precision: Precision,
    ) -> (Float, Float, Float) {
        let known = indices(&target_ids).filter(|_| is_f32(&[&hidden, &weight]));
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
            precision,
        );
        let gradients = gradients.expect("gradients were asked for");
        (
            tensor(vec![loss], Shape::new([1])),
            tensor(gradients.hidden, hidden.shape()),
            tensor(gradients.weight, weight.shape()),
        )
    }
}
