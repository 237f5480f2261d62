//! Eight blocks of random numbers at a time with AVX2.
//!
//! A register holds one word of each of four blocks, in a lane of 64 bits: the layout of the instruction
//! that multiplies 32-bit numbers. The high half of a lane has no effect. Compilers do not vectorize the
//! plain function in this way.

use std::arch::x86_64::*;

use super::philox::{KEY_STEPS, MULTIPLIERS, ROUNDS, UNIT};

/// Numbers of eight blocks.
pub(super) const NUMBERS: usize = 32;

/// One word of each of four blocks.
type Word = __m256i;

/// The keys of a round.
type Keys = [Word; 2];

#[inline]
#[target_feature(enable = "avx2")]
fn round([a, b, c, d]: [Word; 4], [first, second]: Keys) -> [Word; 4] {
    let p = _mm256_mul_epu32(a, _mm256_set1_epi64x(i64::from(MULTIPLIERS[0])));
    let q = _mm256_mul_epu32(c, _mm256_set1_epi64x(i64::from(MULTIPLIERS[1])));
    [
        _mm256_xor_si256(_mm256_xor_si256(_mm256_srli_epi64::<32>(q), b), first),
        q,
        _mm256_xor_si256(_mm256_xor_si256(_mm256_srli_epi64::<32>(p), d), second),
        p,
    ]
}

/// The keys of all rounds.
#[target_feature(enable = "avx2")]
fn keys(mut key: [u32; 2]) -> [Keys; ROUNDS] {
    let mut keys = [[_mm256_setzero_si256(); 2]; ROUNDS];
    for keys in &mut keys {
        *keys = [
            _mm256_set1_epi64x(i64::from(key[0])),
            _mm256_set1_epi64x(i64::from(key[1])),
        ];
        key = [
            key[0].wrapping_add(KEY_STEPS[0]),
            key[1].wrapping_add(KEY_STEPS[1]),
        ];
    }
    keys
}

/// Writes the units of four blocks.
#[inline]
#[target_feature(enable = "avx2")]
fn write_units(values: &mut [f32; NUMBERS / 2], [a, b, c, d]: [Word; 4]) {
    let left = _mm256_blend_epi32::<0b1010_1010>(a, _mm256_slli_epi64::<32>(b));
    let right = _mm256_blend_epi32::<0b1010_1010>(c, _mm256_slli_epi64::<32>(d));
    let even = _mm256_unpacklo_epi64(left, right);
    let odd = _mm256_unpackhi_epi64(left, right);
    let numbers = [
        _mm256_permute2x128_si256::<0x20>(even, odd),
        _mm256_permute2x128_si256::<0x31>(even, odd),
    ];
    let (halves, _) = values.as_chunks_mut::<8>();
    for (half, numbers) in halves.iter_mut().zip(numbers) {
        let units = _mm256_cvtepi32_ps(_mm256_srli_epi32::<8>(numbers));
        let units = _mm256_mul_ps(units, _mm256_set1_ps(UNIT));
        // SAFETY: the half has room for eight values; a store needs no alignment.
        unsafe { _mm256_storeu_ps(half.as_mut_ptr(), units) };
    }
}

/// Writes the units of the blocks from `first` on, eight to a chunk.
#[target_feature(enable = "avx2")]
pub(super) fn units(
    chunks: &mut [[f32; NUMBERS]],
    key: [u32; 2],
    stream: [u32; 2],
    mut first: u64,
) {
    let keys = keys(key);
    let [third, fourth] = stream;
    let (third, fourth) = (
        _mm256_set1_epi64x(i64::from(third)),
        _mm256_set1_epi64x(i64::from(fourth)),
    );
    for chunk in chunks {
        let start = _mm256_set1_epi64x(first as i64);
        let mut blocks = [[start, start, third, fourth]; 2];
        for (blocks, offsets) in blocks.iter_mut().zip([
            _mm256_setr_epi64x(0, 1, 2, 3),
            _mm256_setr_epi64x(4, 5, 6, 7),
        ]) {
            blocks[0] = _mm256_add_epi64(start, offsets);
            blocks[1] = _mm256_srli_epi64::<32>(blocks[0]);
        }
        for keys in keys {
            blocks = [round(blocks[0], keys), round(blocks[1], keys)];
        }
        let (halves, _) = chunk.as_chunks_mut::<{ NUMBERS / 2 }>();
        for (half, blocks) in halves.iter_mut().zip(blocks) {
            write_units(half, blocks);
        }
        first = first.wrapping_add(NUMBERS as u64 / 4);
    }
}
