//! Plain bodies of attention and of the dropout in it.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, TensorMetadata};
use burn::tensor::{Shape, Slice, TensorData};
use kernels::dropout::Dropout;

/// Queries, keys and values as `[batch, heads, time, size]`.
fn unpack<B: Backend>(packed: FloatTensor<B>, heads: usize) -> [FloatTensor<B>; 3] {
    let [batch, time, width] = packed.shape().dims();
    let size = width / 3 / heads;
    let split = B::float_reshape(packed, Shape::new([batch, time, 3 * heads, size]));
    let split = B::float_swap_dims(split, 1, 2);
    [0, 1, 2].map(|part| {
        let rows = Slice::from(part * heads..(part + 1) * heads);
        B::float_slice(split.clone(), &[Slice::full(), rows])
    })
}

/// `softmax(queries · keysᵀ / sqrt(size))` over the past, `[batch, heads, time, time]`.
fn probabilities<B: Backend>(queries: FloatTensor<B>, keys: FloatTensor<B>) -> FloatTensor<B> {
    let [_, _, time, size] = queries.shape().dims();
    let device = queries.device();
    let scale = 1.0 / (size as f64).sqrt();
    let scores = B::float_matmul(queries, B::float_transpose(keys));
    let scores = B::float_mul_scalar(scores, scale.into());
    let future: Vec<f32> = (0..time * time)
        .map(|index| {
            if index % time > index / time {
                f32::NEG_INFINITY
            } else {
                0.0
            }
        })
        .collect();
    let shape = Shape::new([1, 1, time, time]);
    let future = B::float_from_data(TensorData::new(future, shape), &device);
    B::softmax(B::float_add(scores, future), 3)
}

/// Plain body of [`TransformerOps::dropped`](crate::ops::TransformerOps::dropped); the identity without
/// dropout.
pub fn dropped<B: Backend>(values: FloatTensor<B>, dropout: Option<Dropout>) -> FloatTensor<B> {
    let Some(dropout) = dropout else {
        return values;
    };
    let shape = values.shape();
    let count = shape.num_elements();
    let factors = crate::dropout::factors(count, dropout.rate, &dropout.generator);
    let factors = B::float_from_data(TensorData::new(factors, shape), &values.device());
    B::float_mul(values, factors)
}

/// Plain body of [`TransformerOps::causal_attention`](crate::ops::TransformerOps::causal_attention).
pub fn causal_attention<B: Backend>(
    packed: FloatTensor<B>,
    heads: usize,
    dropout: Option<Dropout>,
) -> FloatTensor<B> {
    let [batch, time, width] = packed.shape().dims();
    let [queries, keys, values] = unpack::<B>(packed, heads);
    let weights = dropped::<B>(probabilities::<B>(queries, keys), dropout);
    let output = B::float_matmul(weights, values);
    let output = B::float_swap_dims(output, 1, 2);
    B::float_reshape(output, Shape::new([batch, time, width / 3]))
}

/// Plain body of
/// [`TransformerOps::causal_attention_backward`](crate::ops::TransformerOps::causal_attention_backward).
pub fn causal_attention_backward<B: Backend>(
    gradient: FloatTensor<B>,
    packed: FloatTensor<B>,
    heads: usize,
    dropout: Option<Dropout>,
) -> FloatTensor<B> {
    let [batch, time, width] = packed.shape().dims();
    let size = width / 3 / heads;
    let [queries, keys, values] = unpack::<B>(packed, heads);
    let weights = probabilities::<B>(queries.clone(), keys.clone());
    let gradient = B::float_reshape(gradient, Shape::new([batch, time, heads, size]));
    let gradient = B::float_swap_dims(gradient, 1, 2);
    let used = dropped::<B>(weights.clone(), dropout);
    let dvalues = B::float_matmul(B::float_transpose(used), gradient.clone());
    let dweights = B::float_matmul(gradient, B::float_transpose(values));
    let dweights = dropped::<B>(dweights, dropout);
    let sums = B::float_sum_dim(B::float_mul(dweights.clone(), weights.clone()), 3);
    let dscores = B::float_mul(weights, B::float_sub(dweights, sums));
    let dscores = B::float_mul_scalar(dscores, (1.0 / (size as f64).sqrt()).into());
    let dqueries = B::float_matmul(dscores.clone(), keys);
    let dkeys = B::float_matmul(B::float_transpose(dscores), queries);
    let packed = B::float_cat(vec![dqueries, dkeys, dvalues], 1);
    B::float_reshape(
        B::float_swap_dims(packed, 1, 2),
        Shape::new([batch, time, width]),
    )
}
