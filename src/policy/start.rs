//! From an empty slot to a serving worker.

use std::time::Duration;

use crate::model::{Cause, Generation, ListenerId, Pid, PortId, PortSet, SlotId, Tick};

use super::fleet::{Fleet, Which};
use super::ready::STILL_STARTING;
use super::slot::{Asked, Seat, Slot, Worker};
use super::turn::Turn;
use super::{Action, NotUp, Note};

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
        (pid, port, channel): (Pid, Option<PortId>, bool),
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
            listens: PortSet::EMPTY,
            opened: PortSet::EMPTY,
            port,
            told: None,
            excludes: false,
            found_in_use: false,
            channel,
        };
        // The PID is in use again, so the group that had this number is empty.
        self.retiring
            .retain(|gone| !(gone.sweeping && gone.worker.pid == pid));
        let stopping = self.stopping();
        let slot = self.slots.get(usize::from(id.0));
        let halted = slot.is_some_and(|slot| slot.halted);
        let starting = slot.map(|slot| self.starting(turn.now, slot, worker));
        let slot = self.slots.get_mut(usize::from(id.0));
        if let (Some(slot), Some(starting)) = (slot, starting)
            && let Some(seat) = slot.launching(listener)
        {
            let empty = stopping || halted;
            *seat = if empty { Seat::Stopped } else { starting };
            slot.restarts += u64::from(slot.used);
            slot.used = true;
            if !empty {
                return;
            }
        }
        // The reason for the request ended before its answer.
        let cause = match (stopping, halted) {
            (true, _) => Cause::Stop,
            (false, true) => Cause::Halt,
            (false, false) => Cause::Reload,
        };
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
        if stopping || slot.halted {
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

    pub(super) fn advance_slots(&mut self, turn: &mut Turn<'_>) {
        let mut due = Vec::new();
        for slot in &mut self.slots {
            if let Seat::Waiting { until } = slot.seat
                && until <= turn.now
            {
                slot.seat = Seat::Launching;
                due.push((slot.id, slot.listener));
            }
        }
        for (id, listener) in due {
            self.ask(turn, id, listener);
        }
        self.judge_starting(turn);
        self.tell_of_starting(turn);
        for pid in self.late(turn.now) {
            self.too_late(turn, pid);
        }
    }

    /// The starting workers whose time to become ready is over.
    fn late(&self, now: Tick) -> Vec<Pid> {
        let seats = self.slots.iter().flat_map(Slot::seats);
        let late = seats.filter_map(|seat| is_late(seat, now));
        late.map(|worker| worker.pid).collect()
    }

    fn too_late(&mut self, turn: &mut Turn<'_>, pid: Pid) {
        let Some((at, which)) = self.seat_of(pid) else {
            return;
        };
        let Some(slot) = self.slots.get(at) else {
            return;
        };
        let (id, seat) = (slot.id, slot.seat);
        let place = match which {
            Which::Present => Some(seat),
            Which::Next => slot.successor.map(|next| next.seat),
        };
        // The end of a reload, or what one before it has shown, may have changed its seat.
        let Some(worker) = place.and_then(|seat| is_late(&seat, turn.now)) else {
            return;
        };
        let after = turn.now.since(worker.started);
        let Some(missing) = self.missing(turn.now, slot, &worker) else {
            return;
        };
        if self.ready_after_all(turn, (id, which), &worker) {
            return;
        }
        turn.say(Note::NotReady {
            slot: id,
            pid,
            after,
            missing,
        });
        let why = NotUp::NotReady { after, missing };
        if which == Which::Next {
            self.not_up(turn, at, Some(pid), why);
            return;
        }
        if let Some(slot) = self.slots.get_mut(at) {
            slot.seat = Seat::Held;
        }
        self.retire(turn, id, worker, Cause::StartTimeout, false);
        if self.on_trial(turn.now, &seat) {
            self.trial_failed(turn, id, Some(pid), why);
        }
    }

    /// Says what a worker has not done yet: once for each, and once for all that start at the same time.
    fn tell_of_starting(&mut self, turn: &mut Turn<'_>) {
        let mut due = Vec::new();
        for (at, slot) in self.slots.iter_mut().enumerate() {
            for seat in slot.seats_mut() {
                if let Seat::Starting {
                    worker, tell_at, ..
                } = seat
                    && tell_at.is_some_and(|due| due <= turn.now)
                {
                    *tell_at = None;
                    due.push((at, *worker));
                }
            }
        }
        for (at, worker) in due {
            let lately = |told: Tick| turn.now.since(told) < STILL_STARTING;
            if self.told_slow.is_some_and(lately) {
                continue;
            }
            if let Some(slot) = self.slots.get(at)
                && let Some(missing) = self.missing(turn.now, slot, &worker)
            {
                let id = slot.id;
                self.told_slow = Some(turn.now);
                turn.say(Note::StillStarting {
                    slot: id,
                    pid: worker.pid,
                    after: turn.now.since(worker.started),
                    missing,
                });
            }
        }
    }
}

/// The worker of a seat whose time to become ready is over.
fn is_late(seat: &Seat, now: Tick) -> Option<Worker> {
    match seat {
        Seat::Starting {
            worker,
            ready_by: Some(due),
            ..
        } => (*due <= now).then_some(*worker),
        _ => None,
    }
}
