//! Which slots new connections go to.
#![forbid(unsafe_code)]

use crate::model::SlotId;

/// The slots that serve, and those that will.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rotation {
    /// Ready.
    pub live: Vec<SlotId>,
    /// Not given up: they have a worker or will have one. Where nobody is live, clients wait in these queues.
    pub expected: Vec<SlotId>,
}
