//! The decode engine against the transformer that is trained: the same logits, losses and masks.
//!
//! Neither crate knows the other, so their comparison is here.

mod feed_forwards;
mod masks;
mod thresholds;
