//! The listeners that get new connections.

use crate::model::{ListenerId, SlotId};

/// The listeners that have workers, and those that will.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rotation {
    /// Listeners of ready workers.
    pub live: Vec<ListenerId>,
    /// Listeners of slots that have a worker or will have one. If no listener is live, clients wait in these queues.
    pub expected: Vec<ListenerId>,
    /// Listeners of all slots, with or without a worker.
    pub seats: Vec<(ListenerId, SlotId)>,
}

impl Rotation {
    /// For each slot, in their order, what `place` says of the number of its listener.
    pub fn homes(&self, place: impl Fn(usize) -> Option<u32>) -> Vec<Option<u32>> {
        let mut seats = self.seats.clone();
        seats.sort_unstable_by_key(|(_, slot)| *slot);
        let numbers = seats.iter().map(|(listener, _)| usize::from(listener.0));
        numbers.map(place).collect()
    }
}
