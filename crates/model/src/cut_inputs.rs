//! Which inputs of linear layers are taken as 0 where they are small.

/// Which inputs are cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CutInputs {
    /// The hidden units of the feed-forwards: the inputs of their down projections.
    #[default]
    Hidden,
    /// The inputs of all linear layers of the blocks.
    All,
}
