//! From an empty slot to a worker that serves.
#![forbid(unsafe_code)]

use std::time::Duration;

use crate::model::{Cause, Pid, SlotId, Tick};

use super::fleet::Fleet;
use super::slot::{Seat, Worker};
use super::{Action, Note, ReadyRule};

/// Shortest wait after the system was short of something; a tighter loop would add to the shortage.
pub(super) const SHORTAGE_PAUSE: Duration = Duration::from_millis(100);

/// What the runtime's exit code tells: the system refused even the first worker.
const EXIT_REFUSED: u8 = 71;

impl Fleet {
    pub(super) fn spawned(&mut self, now: Tick, id: SlotId, pid: Pid, out: &mut Vec<Action>) {
        self.forked = true;
        let generation = self.generation;
        let worker = Worker {
            pid,
            generation,
            started: now,
            exec_failed: None,
            starved: false,
        };
        // The number is free again: nobody is left in the group that had it.
        self.retiring
            .retain(|gone| !(gone.sweeping && gone.worker.pid == pid));
        let (rule, limit) = (self.params.ready, now.after(self.params.ready_timeout));
        let stopping = self.stopping();
        let Some(slot) = self.slots.get_mut(usize::from(id.0)) else {
            return;
        };
        slot.restarts += u64::from(slot.used);
        slot.used = true;
        if slot.seat == Seat::Launching && !stopping {
            let (alive_at, ready_by) = match rule {
                ReadyRule::Alive(wait) => (Some(now.after(wait)), None),
                ReadyRule::Either(wait) if !slot.tells => (Some(now.after(wait)), None),
                ReadyRule::Told | ReadyRule::Either(_) => (None, Some(limit)),
            };
            slot.seat = Seat::Starting {
                worker,
                alive_at,
                ready_by,
            };
        } else {
            // The stop came between the request and its answer.
            slot.seat = Seat::Stopped;
            self.retire(now, id, worker, Cause::Stop, out);
        }
    }

    pub(super) fn spawn_failed(
        &mut self,
        now: Tick,
        jitter: u16,
        id: SlotId,
        out: &mut Vec<Action>,
    ) {
        let (forked, backoff) = (self.forked, self.params.backoff);
        let stopping = self.stopping();
        let Some(slot) = self
            .slots
            .get_mut(usize::from(id.0))
            .filter(|slot| slot.seat == Seat::Launching)
        else {
            return;
        };
        if stopping {
            slot.seat = Seat::Stopped;
        } else if forked {
            slot.shortages = slot.shortages.saturating_add(1);
            let retry_in = backoff.delay(slot.shortages, jitter).max(SHORTAGE_PAUSE);
            slot.seat = Seat::Waiting {
                until: now.after(retry_in),
            };
            out.push(Action::Say(Note::SpawnDelayed { slot: id, retry_in }));
        } else {
            slot.seat = Seat::Stopped;
            self.give_up(now, id, 0, EXIT_REFUSED, out);
        }
    }

    pub(super) fn executed(&mut self, pid: Pid) {
        self.ran = true;
        let found = self
            .slots
            .iter_mut()
            .find(|slot| slot.seat.worker().is_some_and(|worker| worker.pid == pid));
        if let Some(slot) = found {
            slot.shortages = 0;
        }
    }

    pub(super) fn told_ready(&mut self, now: Tick, pid: Pid, out: &mut Vec<Action>) {
        self.ran = true;
        let found = self
            .slots
            .iter_mut()
            .find(|slot| slot.seat.worker().is_some_and(|worker| worker.pid == pid));
        if let Some(slot) = found {
            slot.tells = true;
            if let Seat::Starting { worker, .. } = slot.seat {
                slot.seat = Seat::Ready { worker };
                out.push(Action::Say(Note::Ready {
                    slot: slot.id,
                    pid,
                    after: now.since(worker.started),
                }));
            }
        }
    }

    pub(super) fn advance_slots(&mut self, now: Tick, out: &mut Vec<Action>) {
        let generation = self.generation;
        let mut late = Vec::new();
        for slot in &mut self.slots {
            match slot.seat {
                Seat::Waiting { until } if until <= now => {
                    slot.seat = Seat::Launching;
                    out.push(Action::Spawn {
                        slot: slot.id,
                        generation,
                    });
                }
                Seat::Starting {
                    worker, alive_at, ..
                } if alive_at.is_some_and(|at| at <= now) => {
                    slot.seat = Seat::Ready { worker };
                    let after = now.since(worker.started);
                    out.push(Action::Say(Note::Ready {
                        slot: slot.id,
                        pid: worker.pid,
                        after,
                    }));
                }
                Seat::Starting {
                    worker, ready_by, ..
                } if ready_by.is_some_and(|by| by <= now) => {
                    let after = now.since(worker.started);
                    out.push(Action::Say(Note::NotReady {
                        slot: slot.id,
                        pid: worker.pid,
                        after,
                    }));
                    slot.seat = Seat::Held;
                    late.push((slot.id, worker));
                }
                Seat::Stopped
                | Seat::Held
                | Seat::Launching
                | Seat::Ready { .. }
                | Seat::Waiting { .. }
                | Seat::Starting { .. } => {}
            }
        }
        for (id, worker) in late {
            self.retire(now, id, worker, Cause::StartTimeout, out);
        }
    }
}
