//! Matrix products with packed right operands: one driver, and a small file for each instruction
//! set.
//!
//! The right operand is [packed](Packed) once, and multiplied by many tiles of the left operand. A
//! sum adds its terms in their order, in blocks of a fixed size. It does not depend on the number
//! of threads, its tile, or the other rows. Narrow right operands, with 16 columns, need no packing
//! in f32, and their sums are not cut into blocks.

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
pub mod bfloat;
mod engine;
mod layout;
mod left_operand;
mod multiply;
mod narrow;
mod packed;
mod pairs;
mod portable;
mod scattered;
mod strips;
mod target;
mod tile;

pub use engine::{Engine, Precision};
pub(crate) use multiply::{Output, multiply_into, multiply_operand};
pub use multiply::{multiply, multiply_columns};
pub(crate) use narrow::{
    NARROW_COLUMNS, NarrowEngine, copy_short, multiply_narrow, rows_to_columns,
};
pub use packed::Packed;
pub(crate) use packed::RowPlaces;
pub(crate) use packed::copy_transposed;
pub use scattered::{OutputBlock, multiply_scattered};

pub(crate) use left_operand::LeftOperand;
