//! The exact GELU, `x Φ(x)`, with the standard normal distribution `Φ`, and its gradient,
//! `Φ(x) + x φ(x)` with the standard normal density `φ`.

use crate::activation::Function;
use crate::math::{erf, exp};

const SQRT_HALF: f32 = std::f32::consts::FRAC_1_SQRT_2;

/// `1 / sqrt(2 π)`.
const DENSITY_AT_ZERO: f32 = 0.398_942_3;

/// The exact GELU.
pub(crate) struct Gelu;

#[inline(always)]
fn distribution<const FUSED: bool>(x: f32) -> f32 {
    0.5 * erf::<FUSED>(x * SQRT_HALF) + 0.5
}

impl Function for Gelu {
    #[inline(always)]
    fn value<const FUSED: bool>(x: f32) -> f32 {
        x * distribution::<FUSED>(x)
    }

    #[inline(always)]
    fn value_and_gradient<const FUSED: bool>(x: f32, gradient: f32) -> (f32, f32) {
        let distribution = distribution::<FUSED>(x);
        let density = DENSITY_AT_ZERO * exp::<FUSED>(-0.5 * x * x);
        (x * distribution, gradient * (distribution + x * density))
    }
}
