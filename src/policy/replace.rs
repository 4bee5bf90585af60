//! Replaces the worker of one slot, because an operator says so.

use crate::model::{Cause, SlotId};

use super::fleet::{Fleet, Mode};
use super::slot::{Seat, Slot};
use super::turn::Turn;

impl Slot {
    /// A replacement that an operator wanted has failed. It is not tried again: the operator is told.
    pub(super) fn end_of_wish(&mut self) {
        if let Some(renewal) = &mut self.renewal
            && renewal.cause == Cause::Restart
        {
            if renewal.grown {
                renewal.cause = Cause::MemoryLimit;
            } else {
                self.renewal = None;
            }
        }
    }
}

impl Fleet {
    pub(super) fn replace(&mut self, turn: &mut Turn<'_>, id: SlotId) {
        if self.mode != Mode::Serving || self.reload.is_some() {
            return;
        }
        let Some(slot) = self.slots.get_mut(usize::from(id.0)) else {
            return;
        };
        if let Seat::Ready { worker, .. } = slot.seat {
            if let Some(renewal) = &mut slot.renewal {
                // It was to be replaced later, or when there is room for it.
                renewal.due = renewal.due.min(turn.now);
                if renewal.cause == Cause::Unhealthy && !renewal.out {
                    renewal.cause = Cause::Restart;
                }
            }
            self.unfit(turn, worker.pid, Cause::Restart);
        } else {
            self.start(turn.now, id);
        }
    }
}
