//! Arithmetic on plain slices.

pub mod attention;
pub mod elementwise;
pub mod exponential;
pub mod product;
