//! Progress of long work, for the caller to display. The library itself displays nothing.

/// Receives the progress of one stage of work at a time.
///
/// Calls may come from several threads, so an implementation has to guard its state.
pub trait Progress: Sync {
    /// A stage begins. `total` is its amount of work, if that is known.
    fn begin(&self, stage: &str, total: Option<u64>);
    /// `amount` more work is done. While sources are read, amounts are bytes of raw (compressed) input.
    fn advance(&self, amount: u64);
    /// The stage ends.
    fn end(&self);
}

/// Ignores progress.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn begin(&self, _stage: &str, _total: Option<u64>) {}
    fn advance(&self, _amount: u64) {}
    fn end(&self) {}
}
