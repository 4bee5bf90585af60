//! From an empty slot to a serving worker.

use std::time::Duration;

use crate::model::{Cause, Generation, ListenerId, Pid, SlotId, Tick};

use super::fleet::{Fleet, Which};
use super::slot::{Asked, Seat, Slot, Worker};
use super::turn::Turn;
use super::{Action, NotUp, Note, ReadyRule};

/// Shortest wait after a system resource was lacking. A shorter wait would make the shortage worse.
pub(super) const SHORTAGE_PAUSE: Duration = Duration::from_millis(100);

/// Exit code of the runtime if the system refused to start even the first worker.
const EXIT_REFUSED: u8 = 71;

impl Fleet {
    /// Requests a worker of the current generation.
    pub(super) fn ask(&mut self, turn: &mut Turn<'_>, slot: SlotId, listener: ListenerId) {
        let generation = self.generation;
        self.asked.push(Asked {
            slot,
            listener,
            generation,
        });
        turn.act(Action::Spawn {
            slot,
            listener,
            generation,
        });
    }

    /// Removes the answered request and returns its generation.
    fn answered(&mut self, slot: SlotId, listener: ListenerId) -> Generation {
        let mut all = self.asked.iter();
        let at = all.position(|asked| asked.slot == slot && asked.listener == listener);
        at.map_or(self.generation, |at| self.asked.remove(at).generation)
    }

    pub(super) fn spawned(
        &mut self,
        turn: &mut Turn<'_>,
        id: SlotId,
        listener: ListenerId,
        pid: Pid,
    ) {
        self.forked = true;
        let worker = Worker {
            pid,
            generation: self.answered(id, listener),
            started: turn.now,
            listener,
            exec_failed: None,
            starved: false,
            fit: self.params.health_failures.is_none(),
            failures: 0,
            was_ready: false,
        };
        // The PID is in use again, so the group that had this number is empty.
        self.retiring
            .retain(|gone| !(gone.sweeping && gone.worker.pid == pid));
        let (rule, limit) = (self.params.ready, turn.now.after(self.params.ready_timeout));
        let stopping = self.stopping();
        let slot = self.slots.get_mut(usize::from(id.0));
        if let Some(slot) = slot {
            let starting = {
                let (alive_at, ready_by) = match rule {
                    ReadyRule::Alive(wait) => (Some(turn.now.after(wait)), None),
                    ReadyRule::Either(wait) if !slot.tells => (Some(turn.now.after(wait)), None),
                    ReadyRule::Told | ReadyRule::Either(_) => (None, Some(limit)),
                };
                Seat::Starting {
                    worker,
                    alive_at,
                    ready_by,
                }
            };
            if let Some(seat) = slot.launching(listener) {
                *seat = if stopping { Seat::Stopped } else { starting };
                slot.restarts += u64::from(slot.used);
                slot.used = true;
                if !stopping {
                    return;
                }
            }
        }
        // The reason for the request ended before its answer.
        let cause = if stopping { Cause::Stop } else { Cause::Reload };
        self.retire(turn, id, worker, cause, false);
    }

    pub(super) fn spawn_failed(&mut self, turn: &mut Turn<'_>, id: SlotId, listener: ListenerId) {
        let (forked, backoff) = (self.forked, self.params.backoff);
        let stopping = self.stopping();
        let at = usize::from(id.0);
        let _ = self.answered(id, listener);
        let Some(slot) = self.slots.get_mut(at) else {
            return;
        };
        if slot.successor.is_some_and(|next| next.listener == listener) {
            self.not_up(turn, at, None, NotUp::NotStarted);
            return;
        }
        if slot.seat != Seat::Launching || slot.listener != listener {
            return;
        }
        if stopping {
            slot.seat = Seat::Stopped;
        } else if forked {
            slot.shortages = slot.shortages.saturating_add(1);
            let retry_in = backoff
                .delay(slot.shortages, turn.jitter)
                .max(SHORTAGE_PAUSE);
            slot.seat = Seat::Waiting {
                until: turn.now.after(retry_in),
            };
            turn.say(Note::SpawnDelayed { slot: id, retry_in });
            if self.reload.is_some() {
                self.trial_failed(turn, id, None, NotUp::NotStarted);
            }
        } else {
            slot.seat = Seat::Stopped;
            self.give_up(turn, id, 0, EXIT_REFUSED);
        }
    }

    pub(super) fn executed(&mut self, pid: Pid) {
        self.ran = true;
        let found = self
            .slots
            .iter_mut()
            .find(|slot| slot.seat.worker().is_some_and(|worker| worker.pid == pid));
        if let Some(slot) = found
            && slot.seat.worker().is_some_and(|worker| !worker.starved)
        {
            slot.shortages = 0;
        }
    }

    pub(super) fn told_ready(&mut self, turn: &mut Turn<'_>, pid: Pid) {
        self.ran = true;
        let Some((at, which)) = self.seat_of(pid) else {
            return;
        };
        let Some(slot) = self.slots.get_mut(at) else {
            return;
        };
        slot.tells = true;
        let id = slot.id;
        let seat = match which {
            Which::Present => Some(&mut slot.seat),
            Which::Next => slot.successor.as_mut().map(|next| &mut next.seat),
        };
        if let Some(seat) = seat
            && let Seat::Starting { worker, .. } = *seat
        {
            *seat = now_ready(turn, id, worker);
        }
    }

    /// Extends the time that a worker has to become ready; never shortens it.
    pub(super) fn extended(&mut self, now: Tick, pid: Pid, by: Duration) {
        let seats = self.slots.iter_mut().flat_map(Slot::seats_mut);
        for seat in seats {
            if let Seat::Starting {
                worker,
                ready_by: Some(ready_by),
                ..
            } = seat
                && worker.pid == pid
            {
                *ready_by = now.after(by).max(*ready_by);
            }
        }
    }

    pub(super) fn advance_slots(&mut self, turn: &mut Turn<'_>) {
        let mut due = Vec::new();
        let mut late = Vec::new();
        let mut late_next = Vec::new();
        for (at, slot) in self.slots.iter_mut().enumerate() {
            let id = slot.id;
            if let Seat::Waiting { until } = slot.seat
                && until <= turn.now
            {
                slot.seat = Seat::Launching;
                due.push((id, slot.listener));
            }
            for (place, seat) in slot.seats_mut().enumerate() {
                let Seat::Starting {
                    worker,
                    alive_at,
                    ready_by,
                } = *seat
                else {
                    continue;
                };
                let (pid, after) = (worker.pid, turn.now.since(worker.started));
                if alive_at.is_some_and(|due| due <= turn.now) {
                    *seat = now_ready(turn, id, worker);
                } else if ready_by.is_some_and(|due| due <= turn.now) {
                    turn.say(Note::NotReady {
                        slot: id,
                        pid,
                        after,
                    });
                    if place == 0 {
                        late.push((id, worker, *seat));
                        *seat = Seat::Held;
                    } else {
                        late_next.push((at, pid, after));
                    }
                }
            }
        }
        for (id, listener) in due {
            self.ask(turn, id, listener);
        }
        for (id, worker, seat) in late {
            self.retire(turn, id, worker, Cause::StartTimeout, false);
            if self.on_trial(turn.now, &seat) {
                let why = NotUp::NotReady(turn.now.since(worker.started));
                self.trial_failed(turn, id, Some(worker.pid), why);
            }
        }
        for (at, pid, after) in late_next {
            // The reload that ended may have been this one's.
            if self.seat_of(pid) == Some((at, Which::Next)) {
                let why = NotUp::NotReady(after);
                self.not_up(turn, at, Some(pid), why);
            }
        }
    }
}

/// The seat of a worker that has just become ready.
fn now_ready(turn: &mut Turn<'_>, slot: SlotId, mut worker: Worker) -> Seat {
    worker.was_ready = true;
    turn.act(Action::RestoreBacklog);
    turn.say(Note::Ready {
        slot,
        pid: worker.pid,
        after: turn.now.since(worker.started),
    });
    Seat::Ready {
        worker,
        since: turn.now,
    }
}
