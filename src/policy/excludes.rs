//! Workers with an address that cannot be shared: a successor cannot bind it while they live.
//!
//! Such a worker is replaced as with a surge of 0, whatever is configured: it leaves first, and its successor starts on the
//! same listener. That is known when the worker binds the address; or when a successor ends that had tried to bind it.

use crate::model::Pid;

use super::Note;
use super::fleet::Fleet;
use super::slot::Seat;
use super::turn::Turn;

impl Fleet {
    /// The worker has an address that no other process can bind meanwhile.
    pub(super) fn excludes(&mut self, pid: Pid) {
        if let Some(worker) = self.worker_mut(pid) {
            worker.excludes = true;
        }
    }

    /// Whether the worker of this slot must leave before its successor starts.
    pub(super) fn goes_first(&self, at: usize) -> bool {
        let worker = self.slots.get(at).and_then(|slot| slot.seat.worker());
        worker.is_some_and(|worker| worker.excludes)
    }

    /// A successor ended that had started beside such a worker. This says nothing against it: the worker goes first now.
    /// False if that is not the reason.
    pub(super) fn makes_room(&self, turn: &mut Turn<'_>, at: usize, pid: Pid) -> bool {
        let Some(slot) = self.slots.get(at).filter(|_| self.goes_first(at)) else {
            return false;
        };
        let Seat::Ready { worker, .. } = slot.seat else {
            return false;
        };
        turn.say(Note::LeavesFirst {
            slot: slot.id,
            pid,
            old: worker.pid,
        });
        true
    }
}
