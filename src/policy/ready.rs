//! When a worker is ready: its age, its own word, a check, or the ports on which it listens.
//!
//! A worker that is ready gets clients, and in a reload it replaces one that serves. So with [`ReadyRule::Listens`] and
//! [`ReadyRule::Asked`] it must listen on every port that is *expected* of it:
//!
//! - the ports of RPM_PORTS, if they are listed there;
//! - otherwise those that the worker before it in its slot opened in its start phase (within the ready timeout), if that
//!   was up for RPM_MIN_UPTIME; in a slot without such a worker those that all other workers opened;
//! - with [`ReadyRule::Listens`] also the port that its environment names (`PORT`). If the environments name different
//!   ports, nothing is concluded from one worker for the other.
//!
//! If nothing is known, as at the first start, any port will do, but not one that none of its siblings has: a program
//! that looks for a free port did not get the shared one.
//!
//! What is only concluded, and not listed, keeps nobody down: a worker that is not a new one of a reload, and that
//! listens somewhere, is ready when its time is over.

use std::time::Duration;

use crate::model::{Pid, PortId, PortSet, ReadyBy, SlotId, Tick};

use super::fleet::{Fleet, Which};
use super::slot::{Seat, Slot, Worker};
use super::turn::Turn;
use super::{Action, Missing, Note, ReadyRule};

/// After this time people are told what a starting worker has not done yet.
pub const STILL_STARTING: Duration = Duration::from_secs(5);

impl Fleet {
    /// The seat of a worker that was just started.
    pub(super) fn starting(&self, now: Tick, slot: &Slot, worker: Worker) -> Seat {
        let limit = now.after(self.params.ready_timeout);
        let (alive_at, ready_by) = match self.params.ready {
            ReadyRule::Alive(wait) => (Some(now.after(wait)), None),
            ReadyRule::Listens {
                or_alive: Some(wait),
            } if self.silent && !slot.tells => (Some(now.after(wait)), None),
            ReadyRule::Told | ReadyRule::Asked | ReadyRule::Listens { .. } => (None, Some(limit)),
        };
        let tell_at = Some(now.after(STILL_STARTING));
        Seat::Starting {
            worker,
            alive_at,
            ready_by,
            tell_at: tell_at.filter(|at| ready_by.is_some_and(|due| *at < due)),
        }
    }

    /// A worker said that it is ready, or passed its check.
    pub(super) fn told_ready(&mut self, turn: &mut Turn<'_>, pid: Pid, by: ReadyBy) {
        self.ran = true;
        let Some(slot) = self.slot_of(pid) else {
            return;
        };
        slot.tells = true;
        for worker in slot.seats_mut().filter_map(Seat::worker_mut) {
            if worker.pid == pid {
                worker.told = Some(by);
            }
        }
        self.judge_starting(turn);
    }

    /// A worker listens on a shared port.
    pub(super) fn listens(&mut self, turn: &mut Turn<'_>, pid: Pid, port: PortId) {
        self.ran = true;
        let listed = self.params.ports.contains(port);
        let start_phase = self.params.ready_timeout;
        let all_have = self.served_by_all(turn.now, None, None).contains(port);
        let Some(slot) = self.slot_of(pid) else {
            return;
        };
        let id = slot.id;
        let known = all_have
            || slot
                .served
                .is_some_and(|before| before.ports.contains(port));
        let mut late = None;
        let mut after = Duration::ZERO;
        for seat in slot.seats_mut() {
            let ready = matches!(seat, Seat::Ready { .. });
            if let Some(worker) = seat.worker_mut().filter(|worker| worker.pid == pid) {
                let new = !worker.listens.contains(port);
                worker.listens = worker.listens.with(port);
                if new {
                    after = turn.now.since(worker.started);
                }
                if turn.now.since(worker.started) <= start_phase {
                    worker.opened = worker.opened.with(port);
                }
                late = (ready && new).then_some(*worker);
            }
        }
        slot.tells |= late.is_some();
        self.slowest = self.slowest.max(after);
        self.silent = false;
        if let Some(worker) = late {
            // An expected port can be late only if the worker is ready by its own word.
            let unexpected = !known && !listed || self.params.ready == ReadyRule::Told;
            if unexpected && !self.told_late.contains(port) {
                self.told_late = self.told_late.with(port);
                turn.say(Note::ListensLate {
                    slot: id,
                    pid,
                    port,
                    listens: worker.listens,
                    after: turn.now.since(worker.started),
                });
            }
        }
        self.judge_starting(turn);
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

    /// Makes those starting workers ready that have done all that is expected of them. One that becomes ready may
    /// change what is expected of the next. True if there was any.
    pub(super) fn judge_starting(&mut self, turn: &mut Turn<'_>) -> bool {
        let mut any = false;
        while let Some((at, which, by)) = self.next_ready(turn.now) {
            self.is_ready(turn, at, which, by);
            any = true;
        }
        any
    }

    fn next_ready(&self, now: Tick) -> Option<(usize, Which, ReadyBy)> {
        self.slots.iter().enumerate().find_map(|(at, slot)| {
            let mut seats = slot.seats().zip([Which::Present, Which::Next]);
            seats.find_map(|(seat, which)| {
                let Seat::Starting {
                    worker, alive_at, ..
                } = seat
                else {
                    return None;
                };
                if alive_at.is_some_and(|due| due <= now) {
                    return Some((at, which, ReadyBy::Age));
                }
                let ready = self.missing(now, slot, worker).is_none();
                ready.then(|| (at, which, worker.told.unwrap_or(ReadyBy::Listen)))
            })
        })
    }

    fn is_ready(&mut self, turn: &mut Turn<'_>, at: usize, which: Which, by: ReadyBy) {
        let Some(slot) = self.slots.get_mut(at) else {
            return;
        };
        slot.tells |= by != ReadyBy::Age;
        let id = slot.id;
        if let Some(seat) = slot.seat_mut(which)
            && let Seat::Starting { worker, .. } = *seat
        {
            *seat = now_ready(turn, id, worker, by);
            if worker
                .port
                .is_some_and(|port| worker.listens.contains(port))
            {
                self.port_used = worker.port;
            }
        }
    }

    /// A worker is not ready when its time is over. It may be one that serves no port, or one that does not use the
    /// port of its environment; then it is ready, and its siblings and successors need not wait again. Or it does not
    /// serve all that was concluded from others, and nobody else serves in its place; then it is ready too.
    pub(super) fn ready_after_all(
        &mut self,
        turn: &mut Turn<'_>,
        (id, which): (SlotId, Which),
        worker: &Worker,
    ) -> bool {
        let or_alive = match self.params.ready {
            ReadyRule::Listens { or_alive } => or_alive,
            ReadyRule::Asked if worker.told.is_some() => None,
            ReadyRule::Asked | ReadyRule::Told | ReadyRule::Alive(_) => return false,
        };
        let at = usize::from(id.0);
        let Some(slot) = self.slots.get(at) else {
            return false;
        };
        let (pid, listens) = (worker.pid, worker.listens);
        if listens.is_empty() {
            let Some(wait) = or_alive.filter(|_| !slot.tells) else {
                return false;
            };
            self.silent = true;
            self.is_ready(turn, at, which, ReadyBy::Age);
            turn.say(Note::ServesNoPort { slot: id, pid });
            self.expect_no_port(wait);
            self.judge_starting(turn);
            return true;
        }
        // The port of its environment is not given up once a worker has used it.
        let named = self.named(worker);
        let used = named.filter(|port| self.port_used == Some(*port));
        let unused = named.filter(|_| used.is_none());
        let lacks = match self.missing_ports(turn.now, slot, worker, used) {
            None => PortSet::EMPTY,
            Some(Missing::Ports { expected, .. })
                if which == Which::Present
                    && self.params.ports.is_empty()
                    && !self.on_trial(turn.now, &slot.seat) =>
            {
                expected.minus(listens)
            }
            Some(_) => return false,
        };
        if let Some(port) = unused {
            self.port_unused = Some(port);
            turn.say(Note::PortUnused {
                slot: id,
                pid,
                port,
                listens,
            });
        }
        if !lacks.is_empty() {
            turn.say(Note::LacksPorts {
                slot: id,
                pid,
                lacks,
                listens,
            });
        }
        self.is_ready(turn, at, which, worker.told.unwrap_or(ReadyBy::Listen));
        self.judge_starting(turn);
        true
    }

    /// Starting workers that have not listened are ready by their age.
    fn expect_no_port(&mut self, wait: Duration) {
        for slot in &mut self.slots {
            if slot.tells {
                continue;
            }
            for seat in slot.seats_mut() {
                if let Seat::Starting {
                    worker,
                    alive_at,
                    ready_by,
                    tell_at,
                } = seat
                    && worker.listens.is_empty()
                {
                    *alive_at = Some(worker.started.after(wait));
                    (*ready_by, *tell_at) = (None, None);
                }
            }
        }
    }

    /// The slot that has this process as its worker or as its next worker.
    fn slot_of(&mut self, pid: Pid) -> Option<&mut Slot> {
        let (at, _) = self.seat_of(pid)?;
        self.slots.get_mut(at)
    }
}

/// The seat of a worker that has just become ready.
fn now_ready(turn: &mut Turn<'_>, slot: SlotId, mut worker: Worker, by: ReadyBy) -> Seat {
    worker.was_ready = true;
    turn.act(Action::CheckListeners { pid: worker.pid });
    turn.say(Note::Ready {
        slot,
        pid: worker.pid,
        after: turn.now.since(worker.started),
        by,
    });
    Seat::Ready {
        worker,
        since: turn.now,
    }
}
