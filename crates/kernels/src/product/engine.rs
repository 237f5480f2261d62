//! The instructions that compute products, and their operands.

use super::portable;
use super::tile::TileFunction;
#[cfg(target_arch = "x86_64")]
use super::{amx, avx2, avx512};
use crate::level::Level;

/// The precision of the operands of products. Sums are always f32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Precision {
    /// f32: nothing is rounded.
    #[default]
    F32,
    /// bf16: 8 bits of precision.
    Bf16,
}

impl Precision {
    /// bf16 if this processor multiplies it faster than f32 at the level in use, else f32.
    pub fn fastest() -> Self {
        match Engine::for_precision(Self::Bf16).0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512Pairs | Kind::Amx => Self::Bf16,
            _ => Self::F32,
        }
    }

    /// `f32` or `bf16`.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        }
    }
}

/// The instructions that compute products. A value exists only if the processor has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Engine(pub(super) Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx512Pairs,
    #[cfg(target_arch = "x86_64")]
    Amx,
}

impl Engine {
    /// The engine for a precision at the level in use.
    pub fn for_precision(precision: Precision) -> Self {
        Self::at_level(Level::current(), precision)
    }

    /// All engines of this processor, at any level.
    pub fn available() -> Vec<Self> {
        let mut engines: Vec<Self> = Vec::new();
        for level in Level::ALL
            .into_iter()
            .filter(|&level| level <= Level::highest())
        {
            for precision in [Precision::F32, Precision::Bf16] {
                let engine = Self::at_level(level, precision);
                if !engines.contains(&engine) {
                    engines.push(engine);
                }
            }
        }
        engines
    }

    #[cfg(target_arch = "x86_64")]
    fn at_level(level: Level, precision: Precision) -> Self {
        let pairs = precision == Precision::Bf16;
        Self(match level {
            Level::Portable => Kind::Portable,
            Level::Avx2 => Kind::Avx2,
            Level::Amx if pairs => Kind::Amx,
            _ if pairs && is_x86_feature_detected!("avx512bf16") => Kind::Avx512Pairs,
            _ => Kind::Avx512,
        })
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn at_level(_level: Level, _precision: Precision) -> Self {
        Self(Kind::Portable)
    }

    /// The name: `portable`, `avx2`, `avx512`, `avx512-bf16` or `amx`.
    pub fn name(self) -> &'static str {
        match self.0 {
            Kind::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => "avx512",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512Pairs => "avx512-bf16",
            #[cfg(target_arch = "x86_64")]
            Kind::Amx => "amx",
        }
    }

    /// Whether operands are pairs of bf16 values.
    pub fn takes_pairs(self) -> bool {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512Pairs | Kind::Amx => true,
            _ => false,
        }
    }

    pub(crate) fn is_amx(self) -> bool {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Amx => true,
            _ => false,
        }
    }

    /// Values in a register.
    pub(super) fn lanes(self) -> usize {
        match self.0 {
            Kind::Portable => 8,
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => 8,
            #[cfg(target_arch = "x86_64")]
            _ => 16,
        }
    }

    /// Rows of a tile. Numbers of rows are best a multiple of this.
    pub(crate) fn rows(self) -> usize {
        match self.0 {
            Kind::Portable => portable::ROWS,
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => avx2::ROWS,
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 | Kind::Avx512Pairs => avx512::ROWS,
            #[cfg(target_arch = "x86_64")]
            Kind::Amx => amx::BLOCK,
        }
    }

    pub(super) fn tile_function<const SCATTERED: bool>(
        self,
        rows: usize,
        registers: usize,
    ) -> TileFunction {
        match self.0 {
            Kind::Portable => portable::tile_function::<SCATTERED>(rows, registers),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => avx2::tile_function::<SCATTERED>(rows, registers),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => avx512::tile_function::<SCATTERED>(rows, registers),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512Pairs => avx512::pairs::tile_function::<SCATTERED>(rows, registers),
            #[cfg(target_arch = "x86_64")]
            Kind::Amx => unreachable!("blocks have their own function"),
        }
    }

    /// The units of `inner` terms: f32 values, or pairs of which the last may hold a 0.
    fn filled(self, inner: usize) -> usize {
        if self.takes_pairs() {
            inner.div_ceil(2)
        } else {
            inner
        }
    }

    /// The units of `inner` terms, filled up to whole steps of the engine.
    pub(crate) fn units(self, inner: usize) -> usize {
        if self.is_amx() {
            self.filled(inner).next_multiple_of(16)
        } else {
            self.filled(inner)
        }
    }
}
