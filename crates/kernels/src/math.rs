//! Elementary functions without branches and calls, which compilers vectorize.

use std::f32::consts::{FRAC_1_PI, LOG2_E};

/// `a · b + c`, rounded once where `FUSED`.
#[inline(always)]
pub fn multiply_add<const FUSED: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FUSED { a.mul_add(b, c) } else { a * b + c }
}

/// `exp(x)`; relative error below 3e-7 for x in [-87, 88].
///
/// 0 below −87.3, never a denormal. Arguments above 88 count as 88.
#[inline(always)]
pub fn exp<const FUSED: bool>(x: f32) -> f32 {
    let fma = multiply_add::<FUSED>;
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    // Each comparison is one instruction, and NaN passes through.
    let bounded = if x > 88.0 { 88.0 } else { x };
    let bounded = if bounded < -87.3 { -87.3 } else { bounded };
    let shifted = fma(bounded, LOG2_E, SHIFT);
    let count = shifted - SHIFT;
    // |r| ≤ ln(2)/2: the Taylor terms to the sixth power leave a relative error below 2e-7.
    let r = fma(-count, LN2_LOW, fma(-count, LN2_HIGH, bounded));
    let tail = fma(1.388_888_9e-3, r, 8.333_333e-3);
    let tail = fma(fma(tail, r, 4.166_666_7e-2), r, 1.666_666_7e-1);
    let polynomial = fma(fma(fma(tail, r, 0.5), r, 1.0), r, 1.0);
    // The last bits of `shifted` are the count.
    let power = f32::from_bits(shifted.to_bits().wrapping_add(127) << 23);
    if x < -87.3 { 0.0 } else { polynomial * power }
}

/// `log₂(x)` for normal positive `x`; absolute error below 2e-7 · max(1, |log₂(x)|).
///
/// The result is wrong for other arguments; it is a finite number for NaN.
#[inline(always)]
pub fn log2<const FUSED: bool>(x: f32) -> f32 {
    let fma = multiply_add::<FUSED>;
    // The bits of 2/3: x = 2ⁿ · m with m from 2/3 to 4/3, so that the logarithm of an x near 1 does not
    // cancel.
    const FIRST: u32 = 0x3F2A_AAAB;
    let bits = x.to_bits().wrapping_sub(FIRST);
    let exponent = (bits as i32 >> 23) as f32;
    let m = f32::from_bits((bits & 0x007F_FFFF).wrapping_add(FIRST));
    // ln(m) = 2 artanh(s). |s| ≤ 0.2: the first omitted term is below 2e-8 of the sum.
    let s = (m - 1.0) / (m + 1.0);
    let s2 = s * s;
    let tail = fma(fma(1.0 / 9.0, s2, 1.0 / 7.0), s2, 0.2);
    let artanh = fma(fma(tail, s2, 1.0 / 3.0) * s2, s, s);
    fma(2.0 * LOG2_E, artanh, exponent)
}

/// The largest argument that [`cos_sin`] reduces to the range of its series.
const LARGEST_REDUCED: f32 = 8192.0;

/// `(cos(x), sin(x))`; absolute error below 1e-6 for |x| ≤ 8192.
///
/// For larger finite arguments the error grows with the spacing of f32 values, up to about 1e-7 ·
/// |x|. NaN for NaN and infinities.
#[inline(always)]
pub fn cos_sin<const FUSED: bool>(x: f32) -> (f32, f32) {
    let fma = multiply_add::<FUSED>;
    // π in three parts. Products of the first two with counts below 2¹² are exact.
    const PI_HIGH: f32 = 3.140_625;
    const PI_MIDDLE: f32 = 9.670_257_6e-4;
    const PI_LOW: f32 = 6.277_114e-7;
    let shifted = fma(x, FRAC_1_PI, SHIFT);
    let count = shifted - SHIFT;
    let r = fma(
        -count,
        PI_LOW,
        fma(-count, PI_MIDDLE, fma(-count, PI_HIGH, x)),
    );
    let r2 = r * r;
    // Taylor series on |r| ≤ π/2: the first omitted terms are below 6e-8 and 5e-7.
    let tail = fma(fma(-2.505_210_8e-8, r2, 2.755_731_9e-6), r2, -1.984_127e-4);
    let tail = fma(fma(tail, r2, 8.333_333e-3), r2, -1.666_666_7e-1);
    let sine = fma(r * r2, tail, r);
    let tail = fma(fma(2.087_675_7e-9, r2, -2.755_732e-7), r2, 2.480_158_7e-5);
    let tail = fma(fma(tail, r2, -1.388_888_9e-3), r2, 4.166_666_7e-2);
    let cosine = fma(fma(tail, r2, -0.5), r2, 1.0);
    // The last bit of `shifted` says whether the count is odd.
    let sign = f32::from_bits(0x3F80_0000 | shifted.to_bits() << 31);
    (cosine * sign, sine * sign)
}

/// Whether [`cos_sin`]'s stated error holds for `x`.
#[inline]
pub fn is_reduced(x: f32) -> bool {
    x.abs() <= LARGEST_REDUCED
}

/// `erf(x)`; absolute error below 5e-7.
///
/// Abramowitz and Stegun, "Handbook of mathematical functions", 7.1.26 (error 1.5e-7 before
/// rounding to f32).
#[inline(always)]
pub fn erf<const FUSED: bool>(x: f32) -> f32 {
    let fma = multiply_add::<FUSED>;
    let magnitude = x.abs();
    let t = 1.0 / fma(0.327_591_1, magnitude, 1.0);
    let polynomial = fma(fma(1.061_405_4, t, -1.453_152), t, 1.421_413_7);
    let polynomial = fma(fma(polynomial, t, -0.284_496_74), t, 0.254_829_6) * t;
    let value = fma(-polynomial, exp::<FUSED>(-magnitude * magnitude), 1.0);
    value.copysign(x)
}

/// 1.5 · 2²³. Adding it to |x| < 2²² rounds to the nearest integer, ties to even, and leaves that
/// integer in the last bits of the sum.
const SHIFT: f32 = 12_582_912.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_stays_within_its_error() {
        exp_stays_within_its_error_with::<false>();
        exp_stays_within_its_error_with::<true>();
    }

    fn exp_stays_within_its_error_with<const FUSED: bool>() {
        for step in -87_000..88_000 {
            let x = step as f32 * 1e-3;
            let expected = f64::from(x).exp();
            let error = (f64::from(exp::<FUSED>(x)) - expected).abs() / expected;
            assert!(error < 3e-7, "exp({x}): relative error {error}");
        }
        assert_eq!(exp::<FUSED>(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp::<FUSED>(-1000.0), 0.0);
        assert_eq!(exp::<FUSED>(0.0), 1.0);
    }

    #[test]
    fn log2_stays_within_its_error() {
        log2_stays_within_its_error_with::<false>();
        log2_stays_within_its_error_with::<true>();
    }

    fn log2_stays_within_its_error_with<const FUSED: bool>() {
        let near_one = (500..2000).map(|step| step as f32 * 1e-3);
        let all = (-1260..1280).map(|step| (step as f32 * 0.1).exp2());
        let masks = (0..=10_000).map(|step| step as f32 * 1e-4 + 1e-9);
        for x in near_one.chain(all).chain(masks) {
            let expected = f64::from(x).log2();
            let error = (f64::from(log2::<FUSED>(x)) - expected).abs();
            let bound = 2e-7 * expected.abs().max(1.0);
            assert!(error < bound, "log2({x}): error {error}");
        }
        assert_eq!(log2::<FUSED>(1.0), 0.0);
        assert_eq!(log2::<FUSED>(0.125), -3.0);
        assert!(log2::<FUSED>(f32::NAN).is_finite());
    }

    #[test]
    fn cos_and_sin_stay_within_their_error() {
        cos_and_sin_stay_within_their_error_with::<false>();
        cos_and_sin_stay_within_their_error_with::<true>();
    }

    fn cos_and_sin_stay_within_their_error_with<const FUSED: bool>() {
        let arguments = (-40_000..40_000).map(|step| step as f32 * 1e-3);
        let far = (-8192..=8192).map(|step| step as f32);
        for x in arguments.chain(far) {
            let (cosine, sine) = cos_sin::<FUSED>(x);
            let (expected_cosine, expected_sine) = (f64::from(x).cos(), f64::from(x).sin());
            assert!(
                (f64::from(cosine) - expected_cosine).abs() < 1e-6,
                "cos({x}) = {cosine}"
            );
            assert!(
                (f64::from(sine) - expected_sine).abs() < 1e-6,
                "sin({x}) = {sine}"
            );
        }
    }

    #[test]
    fn erf_stays_within_its_error() {
        erf_stays_within_its_error_with::<false>();
        erf_stays_within_its_error_with::<true>();
    }

    fn erf_stays_within_its_error_with<const FUSED: bool>() {
        // erf(x) = 2/sqrt(π) Σ (−1)ⁿ x^(2n+1) / (n! (2n+1)), exact enough in f64 for |x| ≤ 4.
        let series = |x: f64| {
            let (mut term, mut sum) = (x, x);
            for n in 1..200 {
                term *= -x * x / f64::from(n);
                sum += term / f64::from(2 * n + 1);
            }
            sum * 2.0 / std::f64::consts::PI.sqrt()
        };
        for step in -4000..=4000 {
            let x = step as f32 * 1e-3;
            let error = (f64::from(erf::<FUSED>(x)) - series(f64::from(x))).abs();
            assert!(error < 5e-7, "erf({x}): error {error}");
        }
        assert_eq!(erf::<FUSED>(20.0), 1.0);
        assert_eq!(erf::<FUSED>(-20.0), -1.0);
        assert!(erf::<FUSED>(f32::NAN).is_nan());
    }

    #[test]
    fn cos_of_no_number_is_no_number() {
        cos_of_no_number_is_no_number_with::<false>();
        cos_of_no_number_is_no_number_with::<true>();
    }

    fn cos_of_no_number_is_no_number_with<const FUSED: bool>() {
        assert!(cos_sin::<FUSED>(f32::NAN).0.is_nan());
        assert!(cos_sin::<FUSED>(f32::INFINITY).0.is_nan());
        assert!(is_reduced(8192.0) && !is_reduced(8193.0));
    }
}
