//! Which listeners new connections go to.

use crate::model::{ListenerId, SlotId};

/// The listeners that are served, and those that will be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rotation {
    /// Of ready workers.
    pub live: Vec<ListenerId>,
    /// Of slots that are not given up: they have a worker or will have one. Where nobody is live, clients wait in
    /// these queues.
    pub expected: Vec<ListenerId>,
    /// Of every slot, served or not.
    pub seats: Vec<(ListenerId, SlotId)>,
}
