//! Replaces serving workers slot by slot: decides which worker is replaced, by which, and when the new one takes over.
//!
//! No worker is removed before another one is there. A successor starts on a spare listener. It must be ready, healthy,
//! and both for RPM_MIN_READY; then it takes over the slot and its predecessor drains. If no surge is allowed or left,
//! and RPM_RELOAD_UNAVAILABLE has room, the worker leaves first and its successor starts on the same listener. So does a
//! worker beside which no other one can start ([`super::excludes`]).

use crate::model::{Cause, ListenerId, Pid, SlotId, Tick};

use super::fleet::{Fleet, Mode, Which};
use super::slot::{Renewal, Seat, Slot, Successor, Worker};
use super::start::SHORTAGE_PAUSE;
use super::turn::Turn;
use super::{NotUp, Note};

impl Fleet {
    /// Records the result of a worker's health check.
    pub(super) fn checked(&mut self, turn: &mut Turn<'_>, pid: Pid, passed: bool) {
        let (Some(most), Some((at, which))) = (self.params.health_failures, self.seat_of(pid))
        else {
            return;
        };
        let Some(slot) = self.slots.get_mut(at) else {
            return;
        };
        let Some(worker) = slot.seat_mut(which).and_then(Seat::worker_mut) else {
            return;
        };
        if !passed {
            worker.failures = worker.failures.saturating_add(1);
            if worker.failures >= most {
                self.unfit(turn, pid, Cause::Unhealthy);
            }
            return;
        }
        worker.fit = true;
        worker.failures = 0;
        // The worker recovered before its replacement began. A successor that is already starting has another reason.
        if which == Which::Present
            && let Some(renewal) = &mut slot.renewal
            && renewal.cause == Cause::Unhealthy
            && !renewal.out
        {
            if renewal.grown {
                renewal.cause = Cause::MemoryLimit;
            } else {
                slot.renewal = None;
            }
        }
    }

    /// Records that a worker must be replaced.
    pub(super) fn unfit(&mut self, turn: &mut Turn<'_>, pid: Pid, cause: Cause) {
        let Some((at, which)) = self.seat_of(pid) else {
            return;
        };
        if which == Which::Next {
            self.not_up(turn, at, Some(pid), NotUp::Unfit);
            return;
        }
        let Some(slot) = self.slots.get_mut(at) else {
            return;
        };
        let (id, seat) = (slot.id, slot.seat);
        if !matches!(seat, Seat::Ready { .. }) {
            return;
        }
        match &mut slot.renewal {
            Some(renewal) => {
                let known = renewal.cause == cause || cause != Cause::Unhealthy;
                renewal.grown |= cause == Cause::MemoryLimit;
                if known {
                    return;
                }
                renewal.cause = cause;
            }
            None => {
                slot.renewal = Some(Renewal {
                    cause,
                    grown: cause == Cause::MemoryLimit,
                    due: turn.now,
                    tries: 0,
                    out: false,
                });
            }
        }
        turn.say(Note::Renews {
            slot: id,
            pid,
            cause,
        });
        if self.on_trial(turn.now, &seat) {
            self.trial_failed(turn, id, Some(pid), NotUp::Unfit);
        }
    }

    /// A worker will end by itself. It is replaced if it does not.
    pub(super) fn leaving(&mut self, now: Tick, pid: Pid) {
        let due = now.after(self.params.ready_timeout);
        if let Some((at, Which::Present)) = self.seat_of(pid)
            && let Some(slot) = self.slots.get_mut(at)
            && slot.renewal.is_none()
        {
            slot.renewal = Some(Renewal {
                cause: Cause::Exit,
                due,
                tries: 0,
                out: true,
                grown: false,
            });
        }
    }

    /// A successor did not come up. Its predecessor stays, and its remaining processes get the stop signal.
    pub(super) fn not_up(&mut self, turn: &mut Turn<'_>, at: usize, pid: Option<Pid>, why: NotUp) {
        let cause = match why {
            NotUp::NotReady { .. } => Cause::StartTimeout,
            NotUp::Unfit => Cause::Unhealthy,
            NotUp::NotStarted | NotUp::Ended(_) => Cause::Reload,
        };
        self.cull(turn, at, cause);
        let backoff = self.params.backoff;
        let Some(slot) = self.slots.get_mut(at) else {
            return;
        };
        slot.end_of_wish();
        if let Some(renewal) = &mut slot.renewal {
            renewal.tries = renewal.tries.saturating_add(1);
            let wait = backoff.delay(renewal.tries, turn.jitter);
            renewal.due = turn.now.after(match why {
                NotUp::NotStarted => wait.max(SHORTAGE_PAUSE),
                _ => wait,
            });
        }
        let slot = slot.id;
        turn.say(Note::NotUp { slot, pid, why });
        self.fail_reload(turn);
    }

    /// Cancels the takeover of this slot: its successor gets the stop signal.
    pub(super) fn cull(&mut self, turn: &mut Turn<'_>, at: usize, cause: Cause) {
        let Some((slot, next)) = self.give_back(at) else {
            return;
        };
        if let Some(worker) = next.seat.worker() {
            self.retire(turn, slot, *worker, cause, false);
        }
    }

    /// Makes the successor's listener a spare again.
    pub(super) fn give_back(&mut self, at: usize) -> Option<(SlotId, Successor)> {
        let slot = self.slots.get_mut(at)?;
        let next = slot.successor.take()?;
        self.spares.push(next.listener);
        Some((slot.id, next))
    }

    /// Performs all steps that are possible now.
    pub(super) fn advance_roll(&mut self, turn: &mut Turn<'_>) {
        if self.mode != Mode::Serving {
            return;
        }
        for at in 0..self.slots.len() {
            self.advance_successor(turn, at);
        }
        self.judge_unchecked(turn);
        self.take_out_unhealthy();
        loop {
            for at in 0..self.slots.len() {
                self.replace_starting(turn, at);
            }
            // Each step changes what the next one may do.
            while let Some((at, cause)) = self.next_step(turn.now) {
                if let Some(spare) = self.spare_for(at) {
                    self.ask_for_successor(turn, at, spare);
                } else {
                    self.take_away(turn, at, cause);
                }
            }
            // A reload that was requested in the meantime begins at once.
            if !(self.finish_reload(turn) && self.reload.is_some()) {
                return;
            }
        }
    }

    /// In a reload, a worker of the old version that is not ready serves nobody: the new version is tried in its place at
    /// once. Otherwise the reload would wait for it as long as RPM_READY_TIMEOUT.
    fn replace_starting(&mut self, turn: &mut Turn<'_>, at: usize) {
        let Some(slot) = self.slots.get_mut(at).filter(|_| self.reload.is_some()) else {
            return;
        };
        if let Seat::Starting { worker, .. } = slot.seat
            && worker.generation < self.generation
        {
            slot.seat = Seat::Held;
            slot.calm();
            let id = slot.id;
            self.retire(turn, id, worker, Cause::Reload, false);
        }
    }

    fn advance_successor(&mut self, turn: &mut Turn<'_>, at: usize) {
        let Some(next) = self.slots.get(at).and_then(|slot| slot.successor) else {
            return;
        };
        let Seat::Ready { worker, since } = next.seat else {
            return;
        };
        if self.settled(turn.now, &worker, since) {
            self.take_over(turn, at, next);
        } else if !worker.fit && self.fit_by(since) <= turn.now {
            self.not_up(turn, at, Some(worker.pid), NotUp::Unfit);
        }
    }

    /// If a new worker already serves but did not pass a check in time, the reload ends as failed.
    fn judge_unchecked(&mut self, turn: &mut Turn<'_>) {
        let unchecked = |slot: &Slot| match slot.seat {
            Seat::Ready { worker, since } if !worker.fit && self.fit_by(since) <= turn.now => {
                let tried = self.on_trial(turn.now, &slot.seat);
                tried.then_some((slot.id, worker.pid))
            }
            _ => None,
        };
        if let Some((id, pid)) = self.slots.iter().find_map(unchecked) {
            self.trial_failed(turn, id, Some(pid), NotUp::Unfit);
        }
    }

    /// The time by which a worker must have passed its first check, if no takeover waits for it.
    fn fit_by(&self, ready: Tick) -> Tick {
        ready.after(self.params.ready_timeout)
    }

    fn take_over(&mut self, turn: &mut Turn<'_>, at: usize, next: Successor) {
        let Some(slot) = self.slots.get_mut(at) else {
            return;
        };
        let (Some(old), Some(new)) = (slot.seat.worker().copied(), next.seat.worker()) else {
            return;
        };
        let cause = slot.renewal.map_or(Cause::Reload, |renewal| renewal.cause);
        let id = slot.id;
        slot.successor = None;
        slot.renewal = None;
        slot.seat = next.seat;
        slot.listener = next.listener;
        slot.calm();
        self.spares.push(old.listener);
        turn.say(Note::TookOver {
            slot: id,
            pid: new.pid,
            old: old.pid,
        });
        self.retire(turn, id, old, cause, true);
        if let Some(gone) = self.retiring.last_mut() {
            gone.returns = matches!(cause, Cause::Reload | Cause::MemoryLimit);
        }
    }

    /// Unhealthy workers get no new connections. At most the allowed number of unavailable workers is affected: a
    /// program that is slow everywhere would have no worker left.
    fn take_out_unhealthy(&mut self) {
        let most = usize::from(self.allowance().1.max(1));
        let mut out = self
            .slots
            .iter()
            .filter(|slot| slot.lacks_healthy())
            .count();
        for slot in &mut self.slots {
            if let Some(renewal) = &mut slot.renewal
                && renewal.cause == Cause::Unhealthy
                && !renewal.out
                && out < most
            {
                renewal.out = true;
                out += 1;
            }
        }
    }

    /// The worker to replace next, and the cause; `None` if there is none, or none now.
    fn next_step(&self, now: Tick) -> Option<(usize, Cause)> {
        let (at, cause) = self.due(now)?;
        let room = self.spare_for(at).is_some() || self.may_take_away(at);
        room.then_some((at, cause))
    }

    /// Broken workers come first, then those of the reload from the lowest slot on.
    fn due(&self, now: Tick) -> Option<(usize, Cause)> {
        let rolls = self.may_roll_on(now);
        let rank = |slot: &Slot| -> Option<(u8, Cause)> {
            let Seat::Ready { worker, .. } = slot.seat else {
                return None;
            };
            if slot.successor.is_some() {
                return None;
            }
            let old = rolls && self.reload.is_some() && worker.generation < self.generation;
            match slot.renewal.filter(|renewal| renewal.due <= now) {
                Some(renewal) if renewal.out => Some((0, renewal.cause)),
                Some(renewal) if renewal.cause != Cause::Unhealthy => Some((1, renewal.cause)),
                _ if old => Some((2, Cause::Reload)),
                // Its turn has not come.
                Some(_) | None => None,
            }
        };
        let ranked = self.slots.iter().enumerate();
        let ranked =
            ranked.filter_map(|(at, slot)| rank(slot).map(|(rank, cause)| (rank, at, cause)));
        // Several new workers at a time are confirmed one after the other.
        let first = ranked.min_by_key(|(rank, at, _)| (*rank, *at))?;
        Some((first.1, first.2))
    }

    /// Whether the reload may continue with one more slot. The new version is on trial in at most as many slots as the
    /// reload may add and remove, and first in slots without a serving worker.
    fn may_roll_on(&self, now: Tick) -> bool {
        let (surge, unavailable) = self.allowance();
        let tried = |slot: &&Slot| {
            let empty = matches!(
                slot.seat,
                Seat::Waiting { .. } | Seat::Held | Seat::Launching | Seat::Starting { .. }
            );
            empty || slot.successor.is_some() || self.on_trial(now, &slot.seat)
        };
        let most = usize::from(surge) + usize::from(unavailable);
        self.slots.iter().filter(tried).count() < most
    }

    fn ask_for_successor(&mut self, turn: &mut Turn<'_>, at: usize, spare: ListenerId) {
        let Some(slot) = self.slots.get_mut(at) else {
            return;
        };
        slot.successor = Some(Successor {
            listener: spare,
            seat: Seat::Launching,
        });
        let slot = slot.id;
        self.spares.retain(|listener| *listener != spare);
        self.ask(turn, slot, spare);
    }

    fn take_away(&mut self, turn: &mut Turn<'_>, at: usize, cause: Cause) {
        let seat = self.slots.get(at).map(|slot| slot.seat);
        let Some(worker) = seat.and_then(|seat| seat.worker().copied()) else {
            return;
        };
        self.remember_ports(turn.now, at);
        let Some(slot) = self.slots.get_mut(at) else {
            return;
        };
        let id = slot.id;
        slot.seat = Seat::Held;
        let renewal = slot.renewal.take();
        // It may leave for a reload while its own replacement is not due yet.
        let was_sick = renewal.is_some_and(|it| it.out && it.cause == Cause::Unhealthy);
        slot.ails = was_sick || cause == Cause::Unhealthy;
        slot.calm();
        self.retire(turn, id, worker, cause, true);
    }

    /// The time at which a step becomes possible without an event.
    pub(super) fn roll_deadline(&self) -> Option<Tick> {
        let min_ready = self.params.min_ready;
        let rolls = |slot: &Slot| -> Option<Tick> {
            let next = slot.successor.map(|next| next.seat);
            let new = |worker: &Worker| worker.generation == self.generation;
            let trial = next.or(self.reload.map(|_| slot.seat));
            let settles = match trial {
                Some(Seat::Ready { worker, since }) if new(&worker) => Some(if worker.fit {
                    since.after(min_ready)
                } else {
                    self.fit_by(since)
                }),
                _ => None,
            };
            let again = slot
                .renewal
                .filter(|_| next.is_none())
                .map(|renewal| renewal.due);
            let due = settles.into_iter().chain(again);
            // A slot that waits for room or for its turn waits for an event.
            due.filter(|at| *at > self.looked).min()
        };
        self.slots.iter().filter_map(rolls).min()
    }
}
