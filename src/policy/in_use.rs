//! Workers that connect to a path of their service before they bind it, and end if somebody answers (php-fpm).
//!
//! Such an end says nothing against a new version: the next worker is told that nobody answers, and binds the path beside
//! the present one. That happens once for each path, so a version that ends again fails as any other does.

use crate::model::Pid;

use super::Note;
use super::fleet::Fleet;
use super::slot::Worker;
use super::turn::Turn;

impl Worker {
    /// Whether it found a path in use, and has served nobody yet.
    pub(super) fn gave_way(&self) -> bool {
        self.found_in_use && !self.was_ready && self.listens.is_empty()
    }
}

impl Fleet {
    pub(super) fn found_in_use(&mut self, pid: Pid) {
        if let Some(worker) = self.worker_mut(pid) {
            worker.found_in_use = true;
        }
    }

    /// A successor ended. Whether that is because it found a path in use; then the next one starts in its place.
    pub(super) fn starts_again(&self, turn: &mut Turn<'_>, at: usize, worker: Worker) -> bool {
        let Some(slot) = self.slots.get(at).filter(|_| worker.gave_way()) else {
            return false;
        };
        turn.say(Note::StartsAgain {
            slot: slot.id,
            pid: worker.pid,
        });
        true
    }
}
