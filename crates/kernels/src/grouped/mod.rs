//! The feed-forward of [`feed_forward`](crate::feed_forward) with groups of hidden units. A group
//! is computed only for the tokens that keep it, and multiplied by their factors if they are not 1.
//!
//! The rows of the tokens of a group are gathered and multiplied by the group's up weights. The
//! hidden units are then multiplied by the down weights, and the products are added to the rows of
//! their tokens. This happens in blocks of the output, which stay in the cache while all groups are
//! added in their order.

mod backward;
mod forward;
mod gather;
mod group_weights;
mod speed;
mod sum_groups;

pub use backward::{backward, backward_with_sum};
pub(crate) use forward::forward_packed;
pub use forward::{Prepared, forward, forward_with_sum};
pub(crate) use gather::{chunks, gather};
pub use speed::is_faster_than_dense;
pub(crate) use sum_groups::sum_groups;
