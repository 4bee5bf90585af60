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
