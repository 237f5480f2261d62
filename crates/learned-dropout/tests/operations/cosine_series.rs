//! Masks with a series of cosines.

use burn::backend::Dispatch;
use burn::tensor::{DType, Int, Tensor};
use learned_dropout::function;
use learned_dropout::function::Coefficients;
use learned_dropout::function::Learned;
use learned_dropout::ops;
use learned_dropout::ops::plain;
use model::MaskFunction;
use model::function::Fourier;

use crate::differentiate::{Input, Primitive, assert_close, differentiate, tensor};
use crate::draw::Draw;
use crate::operation::{Operation, TOLERANCE};
use crate::support::device;

/// The series by burn's operations.
fn series_formula([attended, angles, weights]: [Primitive; 3]) -> [Primitive; 1] {
    let (attended, angles) = (tensor::<3>(attended), tensor::<2>(angles));
    let weights = tensor::<2>(weights);
    let [terms, _] = angles.dims();
    let harmonics = Tensor::<1, Int>::arange(1..terms as i64 + 1, &angles.device()).float();
    let harmonics = harmonics.cast(attended.dtype()).reshape([1, 1, terms, 1]);
    let turned = attended.unsqueeze_dim::<4>(2) * harmonics;
    let cosines = (turned + angles.unsqueeze()).cos() * weights.unsqueeze();
    [(cosines.sum_dim(2).squeeze_dim::<3>(2) * 0.5 + 0.5).into_dispatch()]
}

fn series([attended, angles, weights]: [Primitive; 3]) -> [Primitive; 1] {
    [ops::cosine_series(tensor(attended), tensor(angles), tensor(weights)).into_dispatch()]
}

/// Amplitudes of `terms` terms for each value. They add up to less than 1, so that nothing is clamped.
fn shares(draw: &mut Draw, terms: usize, values: usize) -> Input {
    let mut shares = draw.normal([terms, values]).map(|value| value.abs() + 0.1);
    for value in 0..values {
        let sum: f32 = shares.values.iter().skip(value).step_by(values).sum();
        for share in shares.values.iter_mut().skip(value).step_by(values) {
            *share /= sum * 1.01;
        }
    }
    shares
}

/// The absolute error of the fast cosine is below 1e-6, that of its argument 6e-8 times the argument's
/// size, which is up to 100 here; sums over tokens add as many of both.
pub fn cosine_series(draw: &mut Draw) {
    let (time, values) = (draw.size(1..50), draw.size(1..40));
    let (terms, scale) = (draw.size(1..6), draw.number(0.1..4.0));
    Operation {
        inputs: [
            draw.normal([2, time, values]).map(|value| value * scale),
            draw.normal([terms, values]),
            shares(draw, terms, values),
        ],
        operation: &series,
        plain: &|[attended, angles, weights]| {
            [plain::cosine_series::<Dispatch>(attended, angles, weights)]
        },
        plain_backward: Some(&|[gradient], [attended, angles, weights]| {
            plain::cosine_series_backward::<Dispatch>(gradient, attended, angles, weights).into()
        }),
        formula: &series_formula,
    }
    .check();
}

#[test]
fn arguments_beyond_the_fast_cosine_are_taken_too() {
    // Multiples of the spacing of f32 at this size, so that both sides have the same arguments.
    let attended = Input::new(vec![10_000.0, -20_000.0, 3.0, 0.5], [1, 2, 2]);
    let angles = Input::new(vec![0.0; 4], [2, 2]);
    let inputs = [attended, angles, shares(&mut Draw::new(1), 2, 2)];
    let found = differentiate(&inputs, DType::F32, &device(), &series);
    let expected = differentiate(&inputs, DType::F32, &device(), &series_formula);
    assert_close("output", &found.outputs, &expected.outputs, TOLERANCE);
    assert_close("gradient", &found.gradients, &expected.gradients, TOLERANCE);
}

#[test]
fn rounding_never_leaves_the_range() {
    let device = device();
    // Three thirds of f32 add up to a little more than 1.
    let weights = Tensor::full([3, 1], 0.333_333_4, &device);
    let masks = ops::cosine_series(
        Tensor::zeros([1, 1, 1], &device),
        Tensor::zeros([3, 1], &device),
        weights,
    );
    assert_eq!(crate::support::read(masks), [1.0]);
}

/// Masks are in [0, 1] for any parameters. With all amplitude in the first term, they are the cosine.
#[test]
fn a_mask_function_of_several_terms() {
    let device = device();
    let mut draw = Draw::new(6);
    for _ in 0..24 {
        let (time, width, terms) = (draw.size(1..9), draw.size(1..9), draw.size(2..17));
        let (scale, first) = (draw.number(0.1..100.0), draw.yes());
        let count = (terms - 1) * width;
        let mut normal = |count, scale: f32| -> Tensor<1> {
            tensor(draw.normal([count]).primitive(DType::F32, &device)) * scale
        };
        let attended = normal(time * width, scale).reshape([1, time, width]);
        let shift = normal(width, 4.0);
        let amplitude = normal(count, 5.0);
        let learned = Learned {
            shift: shift.clone(),
            series: Some(Coefficients {
                amplitude: if first { amplitude - 1e3 } else { amplitude },
                phase: normal(count, 7.0),
            }),
        };
        let function = MaskFunction::Fourier(Fourier {
            terms,
            ..Fourier::default()
        });
        let found = crate::support::read(function::mask(&function, attended.clone(), learned));
        assert!(
            found.iter().all(|mask| (0.0..=1.0).contains(mask)),
            "{found:?}"
        );
        if first {
            let cosine = function::mask(&MaskFunction::default(), attended, shift);
            let cosine = crate::support::read(cosine);
            crate::support::assert_close(&found, &cosine, TOLERANCE as f32);
        }
    }
}
