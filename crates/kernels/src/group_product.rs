//! Products of groups of neighbouring channels and one factor each, and their gradients.
//!
//! ```text
//! output[row, lead + v · group + i] = x[…] · factors[row, v]
//! output[row, c] = x[row, c]                                   for c < lead
//! ```

use rayon::prelude::*;

use crate::level::levelled;
use crate::uninitialized::{Uninit, from_chunks, initialized, uninitialized};

/// The shape of a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Rows of all tensors.
    pub rows: usize,
    /// Channels. The last `values · group` of them are multiplied.
    pub width: usize,
    /// Factors of each row.
    pub values: usize,
    /// Neighbouring channels that share a factor.
    pub group: usize,
}

/// Rows of one task.
const ROWS: usize = 64;

/// Independent sums, which compilers vectorize.
const LANES: usize = 8;

impl Shape {
    /// Channels in front, which stay as they are.
    fn lead(&self) -> usize {
        self.width - self.values * self.group
    }

    fn check(&self, x: &[f32], factors: &[f32]) {
        let Self {
            rows,
            width,
            values,
            group,
        } = *self;
        assert!(values > 0 && group > 0, "no factors");
        assert!(values * group <= width, "more factors than channels");
        assert_eq!(x.len(), rows * width, "input");
        assert_eq!(factors.len(), rows * values, "factors");
    }
}

levelled! {
    /// Multiplies groups of values by their factors.
    pub(crate) fn scale_groups(values: &mut [f32], factors: &[f32], group: usize) {
        if group == 1 {
            for (value, factor) in values.iter_mut().zip(factors) {
                *value *= factor;
            }
        } else {
            for (values, &factor) in values.chunks_exact_mut(group).zip(factors) {
                for value in values {
                    *value *= factor;
                }
            }
        }
    }
}

/// Writes the sum of `left · right` over group `v` to `sums[v]`.
pub(crate) fn dot_groups<'a>(
    sums: &'a mut [Uninit],
    left: &[f32],
    right: &[f32],
    group: usize,
) -> &'a mut [f32] {
    assert!(left.len() == sums.len() * group && right.len() == left.len());
    write_dots(sums, left, right, group);
    // SAFETY: there is a group for each sum.
    unsafe { sums.assume_init_mut() }
}

levelled! {
    fn write_dots(sums: &mut [Uninit], left: &[f32], right: &[f32], group: usize) {
        if group == 1 {
            for (sum, (left, right)) in sums.iter_mut().zip(left.iter().zip(right)) {
                sum.write(left * right);
            }
            return;
        }
        let groups = left.chunks_exact(group).zip(right.chunks_exact(group));
        for (sum, (left, right)) in sums.iter_mut().zip(groups) {
            let (left, left_rest) = left.as_chunks::<LANES>();
            let (right, right_rest) = right.as_chunks::<LANES>();
            let mut lanes = [0.0f32; LANES];
            for (left, right) in left.iter().zip(right) {
                for (lane, (left, right)) in lanes.iter_mut().zip(left.iter().zip(right)) {
                    *lane += left * right;
                }
            }
            for (lane, (left, right)) in lanes.iter_mut().zip(left_rest.iter().zip(right_rest)) {
                *lane += left * right;
            }
            let [a, b, c, d, e, f, g, h] = lanes;
            sum.write(((a + e) + (c + g)) + ((b + f) + (d + h)));
        }
    }
}

/// Sets the gradients of factors of 0 to 0.
pub(crate) fn zero_dropped(gradients: &mut [f32], factors: &[f32]) {
    for (gradient, &factor) in gradients.iter_mut().zip(factors) {
        *gradient = if factor == 0.0 { 0.0 } else { *gradient };
    }
}

/// The product, in the shape of `x`.
///
/// # Panics
/// If the lengths do not fit the shape.
pub fn forward(x: &[f32], factors: &[f32], shape: Shape) -> Vec<f32> {
    shape.check(x, factors);
    let Shape {
        width,
        values,
        group,
        ..
    } = shape;
    from_chunks(x.len(), ROWS * width, |index, output| {
        let (first, rows) = (index * ROWS, output.len() / width);
        let output = output.write_copy_of_slice(&x[first * width..][..rows * width]);
        let factors = &factors[first * values..][..rows * values];
        scale_rows(output, factors, shape.lead(), (width, values, group));
        output
    })
}

/// Scales the groups at the end of each row.
fn scale_rows(
    rows: &mut [f32],
    factors: &[f32],
    lead: usize,
    (width, values, group): (usize, usize, usize),
) {
    if lead == 0 {
        return scale_groups(rows, factors, group);
    }
    let rows = rows.chunks_exact_mut(width);
    for (row, factors) in rows.zip(factors.chunks_exact(values)) {
        scale_groups(&mut row[lead..], factors, group);
    }
}

/// The gradients of [`forward`] with respect to `x` and to the factors.
///
/// The gradient of a factor is the sum of `x · gradient` over its group; with `kept_only` it is 0
/// for factors of 0.
///
/// # Panics
/// If the lengths do not fit the shape.
pub fn backward(
    gradient: &[f32],
    x: &[f32],
    factors: &[f32],
    shape: Shape,
    kept_only: bool,
) -> (Vec<f32>, Vec<f32>) {
    shape.check(x, factors);
    assert_eq!(gradient.len(), x.len(), "gradient");
    let Shape {
        width,
        values,
        group,
        ..
    } = shape;
    let lead = shape.lead();
    let [mut dx, mut dfactors] = [x.len(), factors.len()].map(uninitialized);
    dx.par_chunks_mut(ROWS * width)
        .zip(dfactors.par_chunks_mut(ROWS * values))
        .zip(gradient.par_chunks(ROWS * width))
        .zip(x.par_chunks(ROWS * width))
        .zip(factors.par_chunks(ROWS * values))
        .for_each(|((((dx, dfactors), gradient), x), factors)| {
            let dx = dx.write_copy_of_slice(gradient);
            scale_rows(dx, factors, lead, (width, values, group));
            if lead == 0 {
                dot_groups(dfactors, x, gradient, group);
            } else {
                let rows = x.chunks_exact(width).zip(gradient.chunks_exact(width));
                for (sums, (x, gradient)) in dfactors.chunks_exact_mut(values).zip(rows) {
                    dot_groups(sums, &x[lead..], &gradient[lead..], group);
                }
            }
            if kept_only {
                // SAFETY: each row of the chunk was written.
                zero_dropped(unsafe { dfactors.assume_init_mut() }, factors);
            }
        });
    // SAFETY: the chunks are all rows, and each was written.
    unsafe { (initialized(dx), initialized(dfactors)) }
}
