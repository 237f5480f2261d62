//! The hidden units of SwiGLU, `silu(gate) · up` with `silu(z) = z · sigmoid(z)`, and their gradient.

use crate::level::levelled;
use crate::math::exp;
use crate::uninitialized::{Uninit, from_chunks};

/// Elements of one task, about.
const CHUNK: usize = 1 << 14;

levelled! {
    fn write_units(output: &mut [Uninit], gate: &[f32], up: &[f32]) {
        for ((output, &gate), &up) in output.iter_mut().zip(gate).zip(up) {
            output.write(gate / (1.0 + exp::<FUSED>(-gate)) * up);
        }
    }
}

levelled! {
    fn write_gradients(
        dgate: &mut [Uninit],
        dup: &mut [Uninit],
        gradient: &[f32],
        gate: &[f32],
        up: &[f32],
    ) {
        let outputs = dgate.iter_mut().zip(dup).zip(gradient);
        for (((dgate, dup), &gradient), (&gate, &up)) in outputs.zip(gate.iter().zip(up)) {
            let sigmoid = 1.0 / (1.0 + exp::<FUSED>(-gate));
            let silu = gate * sigmoid;
            dup.write(gradient * silu);
            // silu' = sigmoid + z sigmoid (1 − sigmoid).
            dgate.write(gradient * up * (sigmoid + silu * (1.0 - sigmoid)));
        }
    }
}

/// The number of rows of one task.
fn rows_of_task(hidden: usize) -> usize {
    (CHUNK / hidden).max(1)
}

/// `silu(gate) · up`, `[tokens, hidden]`. A row of `packed`, `[tokens, 2 · hidden]`, holds the gate and then
/// the up projection of a token.
///
/// # Panics
/// If `packed` is not whole rows.
pub fn forward(packed: &[f32], hidden: usize) -> Vec<f32> {
    check(packed.len(), hidden);
    let rows = rows_of_task(hidden);
    from_chunks(packed.len() / 2, rows * hidden, |index, output| {
        let packed = packed[2 * index * rows * hidden..].chunks_exact(2 * hidden);
        for (output, packed) in output.chunks_exact_mut(hidden).zip(packed) {
            let (gate, up) = packed.split_at(hidden);
            write_units(output, gate, up);
        }
        // SAFETY: the chunk is whole rows, and there is a row of `packed` for each.
        unsafe { output.assume_init_mut() }
    })
}

/// The gradient of `packed` in [`forward`] for the gradient of its output, `[tokens, hidden]`.
///
/// # Panics
/// If the lengths do not fit each other.
pub fn backward(gradient: &[f32], packed: &[f32], hidden: usize) -> Vec<f32> {
    check(packed.len(), hidden);
    assert_eq!(2 * gradient.len(), packed.len(), "gradient");
    let rows = rows_of_task(hidden);
    from_chunks(packed.len(), 2 * rows * hidden, |index, output| {
        let first = index * rows * hidden;
        let gradient = gradient[first..].chunks_exact(hidden);
        let packed = packed[2 * first..].chunks_exact(2 * hidden);
        let outputs = output.chunks_exact_mut(2 * hidden);
        for ((output, packed), gradient) in outputs.zip(packed).zip(gradient) {
            let (gate, up) = packed.split_at(hidden);
            let (dgate, dup) = output.split_at_mut(hidden);
            write_gradients(dgate, dup, gradient, gate, up);
        }
        // SAFETY: the chunk is whole rows, and there are rows of `packed` and `gradient` for each.
        unsafe { output.assume_init_mut() }
    })
}

fn check(packed: usize, hidden: usize) {
    assert!(hidden > 0, "no hidden units");
    assert!(packed.is_multiple_of(2 * hidden), "whole rows");
}
