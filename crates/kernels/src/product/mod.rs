//! Matrix products with packed right operands: one driver, one small file per instruction set.
//!
//! The right operand is [packed](Packed) once and used for many tiles of the left one. A sum is
//! made in the order of its terms, in blocks whose size is fixed, whatever the number of threads,
//! the tile it falls into, and the rows beside it. In f32, a right operand of one narrow panel needs no
//! packing. Sums by a panel are made in one go.

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
