//! A worker took over a slot and ended while its predecessor still drained: the predecessor gets the slot back.

use crate::model::Cause;

use super::end::own_cause;
use super::fleet::{Fall, Fleet};
use super::slot::{Renewal, Retiring, Seat, Worker};
use super::turn::Turn;
use super::{NotUp, Note};

impl Fleet {
    /// If the predecessor of this worker has no stop signal yet and was well, it serves the slot again, and a reload
    /// has failed. False if there is none; the caller then handles the end of the worker.
    pub(super) fn gives_back(
        &mut self,
        turn: &mut Turn<'_>,
        at: usize,
        worker: Worker,
        fall: Fall,
    ) -> bool {
        if self.stop_has_come(turn.now) {
            return false;
        }
        let Some(slot) = self.slots.get(at) else {
            return false;
        };
        let (id, listener) = (slot.id, slot.listener);
        let before = |gone: &Retiring| gone.slot == id && gone.may_return();
        let Some(place) = self.retiring.iter().rposition(before) else {
            return false;
        };
        // A successor of the worker that ended has nobody to replace.
        self.cull(turn, at, Cause::Reload);
        let old = self.retiring.remove(place);
        self.spares.retain(|spare| *spare != old.worker.listener);
        self.spares.push(listener);
        let backoff = self.params.backoff;
        if let Some(slot) = self.slots.get_mut(at) {
            slot.listener = old.worker.listener;
            slot.seat = Seat::Ready {
                worker: old.worker,
                since: turn.now,
            };
            slot.last_exit = Some(fall.exit);
            slot.last_cause = Some(own_cause(worker, fall));
            // The reason why it was replaced is still there.
            slot.renewal = (old.cause != Cause::Reload).then(|| Renewal {
                cause: old.cause,
                grown: old.cause == Cause::MemoryLimit,
                due: turn.now.after(backoff.delay(1, turn.jitter)),
                tries: 1,
                out: false,
            });
        }
        self.ended_beside(turn, id, worker, fall);
        turn.say(Note::GaveBack {
            slot: id,
            pid: worker.pid,
            old: old.worker.pid,
        });
        self.trial_failed(turn, id, Some(worker.pid), NotUp::Ended(fall.exit));
        true
    }
}
