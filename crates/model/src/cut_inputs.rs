//! Which linear layers set small inputs to 0.

/// The linear layers that set small inputs to 0, by their inputs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CutInputs {
    /// The hidden units of the feed-forwards: the inputs of their down projections.
    #[default]
    Hidden,
    /// The inputs of all linear layers of the blocks.
    All,
}
