//! The feed-forward of [`feed_forward`](crate::feed_forward) whose hidden units come in groups, each
//! computed only for the tokens that keep it.
//!
//! The rows of the tokens of a group are gathered and multiplied by the group's weights. Its hidden
//! units then go through the weights that lead back to the channels, and what comes out is added to
//! the rows of its tokens: a block of channels after the other, which stays in the cache while all
//! groups are added to it in their order.

mod backward;
mod forward;
mod gather;
mod group_weights;
mod speed;
mod sum_groups;

pub use backward::{Gradients, backward};
pub(crate) use forward::forward_packed;
pub use forward::{Prepared, forward};
pub use speed::is_faster_than_dense;
pub(crate) use sum_groups::sum_groups;
