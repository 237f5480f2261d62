//! How long work reports that it advances. The library never draws; whoever calls it may.

/// Receives the advance of one stage of work at a time.
///
/// Calls come from one thread or several, so an implementation guards its own state.
pub trait Progress: Sync {
    /// A stage begins. `total` is the amount at which it will be done, where that is known.
    fn begin(&self, stage: &str, total: Option<u64>);
    /// `amount` more is done. While sources are read, amounts are bytes of raw (compressed) input.
    fn advance(&self, amount: u64);
    /// The stage is over.
    fn end(&self);
}

/// Reports to nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn begin(&self, _stage: &str, _total: Option<u64>) {}
    fn advance(&self, _amount: u64) {}
    fn end(&self) {}
}
