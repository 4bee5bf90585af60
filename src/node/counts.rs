//! Counters of the channels, read by the metrics.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::model::NodeTotals;
use crate::policy::node::Losses;

/// Counters that the thread raises.
#[derive(Debug, Default)]
pub struct Counts {
    pub(super) relayed: AtomicU64,
    pub(super) unaddressed: AtomicU64,
    pub(super) faults: AtomicU64,
    lost_full: AtomicU64,
    lost_slot: AtomicU64,
    pub(super) lost_closed: AtomicU64,
    pub(super) held: AtomicU64,
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

    pub(super) fn read(&self) -> NodeTotals {
        NodeTotals {
            relayed: self.relayed.load(Relaxed),
            unaddressed: self.unaddressed.load(Relaxed),
            faults: self.faults.load(Relaxed),
            lost_full: self.lost_full.load(Relaxed),
            lost_slot: self.lost_slot.load(Relaxed),
            lost_closed: self.lost_closed.load(Relaxed),
            held: self.held.load(Relaxed),
        }
    }
}
