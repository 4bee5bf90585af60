//! What is counted of the channels of Node workers.

/// Totals since the start, and what is held now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeTotals {
    /// Deliveries of messages to other workers.
    pub relayed: u64,
    /// Messages of programs to their primary. Nobody receives them.
    pub unaddressed: u64,
    /// Channels that could not be served any more.
    pub faults: u64,
    /// Messages that were lost because too much was held for a slot without a ready worker.
    pub lost_full: u64,
    /// Messages that were lost with their slot.
    pub lost_slot: u64,
    /// Messages that were lost because the worker has closed its channel.
    pub lost_closed: u64,
    /// Messages that are held now for slots without a ready worker.
    pub held: u64,
}
