//! The listeners that get new connections.

use crate::model::{ListenerId, PortId, SlotId};

/// The listeners that have workers, and those that will.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rotation {
    /// Listeners of ready workers.
    pub live: Vec<ListenerId>,
    /// Listeners of slots that have a worker or will have one; if there are none, of all slots. If no listener is live,
    /// clients wait in these queues, unless they wait apart.
    pub expected: Vec<ListenerId>,
    /// Where clients wait if no listener is live, and a worker accepts before it is ready.
    pub apart: Option<Apart>,
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

/// A queue that no worker has. Clients wait there until a worker is ready, and are then passed on to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Apart {
    /// The listener.
    pub anteroom: ListenerId,
    /// A worker is ready as soon as it listens on this port, so clients of this port wait in the workers' own queues.
    pub except: Option<PortId>,
}
