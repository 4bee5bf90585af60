//! Counters of the channels, read by the metrics.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::policy::node::Losses;

/// Counters that the thread raises.
#[derive(Debug, Default)]
pub struct Counts {
    pub(super) relayed: AtomicU64,
    pub(super) events: AtomicU64,
    pub(super) faults: AtomicU64,
    lost_full: AtomicU64,
    lost_slot: AtomicU64,
    pub(super) lost_closed: AtomicU64,
    pub(super) held: AtomicU64,
}

/// What was counted so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeCounts {
    /// Deliveries of messages to other workers.
    pub relayed: u64,
    /// Messages of programs to their primary: nobody receives them.
    pub events: u64,
    /// Channels that could not be served any more.
    pub faults: u64,
    /// Messages that were lost because too much was held for a slot without a ready worker.
    pub lost_full: u64,
    /// Messages that were lost with their slot.
    pub lost_slot: u64,
    /// Messages that were lost because the worker has closed its channel.
    pub lost_closed: u64,
    /// Messages that are held now.
    pub held: u64,
}

impl Counts {
    pub(super) fn lose(&self, losses: &Losses) {
        self.lost_full.fetch_add(losses.bound.messages, Relaxed);
        let without = [
            losses.slot_gone,
            losses.unknown_sender,
            losses.unknown_receiver,
        ];
        let without = without.iter().map(|lost| lost.messages).sum();
        self.lost_slot.fetch_add(without, Relaxed);
    }

    pub(super) fn read(&self) -> NodeCounts {
        NodeCounts {
            relayed: self.relayed.load(Relaxed),
            events: self.events.load(Relaxed),
            faults: self.faults.load(Relaxed),
            lost_full: self.lost_full.load(Relaxed),
            lost_slot: self.lost_slot.load(Relaxed),
            lost_closed: self.lost_closed.load(Relaxed),
            held: self.held.load(Relaxed),
        }
    }
}
