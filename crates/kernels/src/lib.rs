//! CPU kernels on plain slices.
//!
//! This crate knows no tensor library. Every function checks the lengths of the slices that it
//! takes, and gives the same bits for any number of threads.

pub mod activation;
pub mod attention;
pub mod cached_attention;
pub mod channels;
pub mod cross_entropy;
pub mod decode;
pub mod dropout;
pub mod embedding;
pub mod experts;
pub mod feed_forward;
pub mod gate;
mod gelu;
pub mod group_product;
pub mod grouped;
pub mod kept_groups;
pub mod kept_linear;
mod lane_sums;
pub mod layer_norm;
pub mod level;
pub mod linear;
pub mod mask;
pub mod mask_statistics;
pub mod math;
pub mod matrix;
pub mod memory;
mod partial_sums;
pub mod peak;
mod prefetch;
pub mod product;
pub mod random;
pub mod routing;
mod scratch;
pub mod series;
mod shared;
mod softmax_row;
mod square;
pub mod swiglu;
pub mod team;
mod tiling;
mod uninitialized;
pub mod unit_sum;
pub mod update;
