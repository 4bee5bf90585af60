//! When a worker is ready: its age, its own word, a check, or the ports on which it listens.
//!
//! A worker that is ready gets clients, and in a reload it replaces one that serves. So with [`ReadyRule::Listens`] and
//! [`ReadyRule::Asked`] it must listen on every port that is *expected* of it:
//!
//! - the ports of RPM_PORTS, if they are listed there;
//! - otherwise the ports that workers of this service are known to serve: where those listen that have been up for
//!   RPM_MIN_UPTIME, and where earlier ones listened;
//! - and the port that its environment names (`PORT`). If an earlier worker had another number there, the new number
//!   counts instead.
//!
//! If nothing is known, as at the first start, any port will do, but not one that none of its siblings has: a program
//! that looks for a free port did not get the shared one.

use std::time::Duration;

use crate::model::{Pid, PortId, PortSet, ReadyBy, SlotId, Tick};

use super::fleet::{Fleet, Which};
use super::slot::{Seat, Slot, Worker};
use super::turn::Turn;
use super::{Action, Apart, Missing, Note, ReadyRule};

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
        let known = self.served(turn.now).contains(port);
        let listed = self.params.ports.contains(port);
        let Some(slot) = self.slot_of(pid) else {
            return;
        };
        let id = slot.id;
        let mut late = None;
        for seat in slot.seats_mut() {
            let ready = matches!(seat, Seat::Ready { .. });
            if let Some(worker) = seat.worker_mut().filter(|worker| worker.pid == pid) {
                let new = !worker.listens.contains(port);
                worker.listens = worker.listens.with(port);
                late = (ready && new).then_some(*worker);
            }
        }
        self.silent = false;
        if let Some(worker) = late {
            if let Some(slot) = self.slot_of(pid) {
                slot.tells = true;
            }
            // An expected port can be late only if the worker is ready by its own word.
            let unexpected = !known && !listed || self.params.ready == ReadyRule::Told;
            if unexpected && !self.told_late.contains(port) {
                self.told_late = self.told_late.with(port);
                turn.say(Note::ListensLate {
                    slot: id,
                    pid,
                    port,
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

    /// The ports that workers of this service are known to serve, without those that only their environment names.
    pub(super) fn served(&self, now: Tick) -> PortSet {
        let ready = self.slots.iter().filter_map(|slot| match slot.seat {
            Seat::Ready { worker, .. } => Some(worker),
            _ => None,
        });
        let up = ready.filter(|worker| self.is_up(now, worker));
        up.fold(self.served, |all, worker| all.and(worker.serves()))
    }

    fn is_up(&self, now: Tick, worker: &Worker) -> bool {
        worker.was_ready && now.since(worker.started) >= self.params.min_uptime
    }

    /// A worker leaves its slot: what it served stays known.
    pub(super) fn remember_ports(&mut self, now: Tick, worker: &Worker) {
        if self.is_up(now, worker) {
            self.served = self.served.and(worker.serves());
        }
    }

    /// The ports on which this worker must listen.
    pub(super) fn expected(&self, now: Tick, worker: &Worker) -> PortSet {
        if !self.params.ports.is_empty() {
            return self.params.ports;
        }
        let named = worker.port.filter(|_| !self.port_unused);
        named.map_or_else(|| self.served(now), |port| self.served(now).with(port))
    }

    /// Where clients wait while no worker is ready, so that none accepts before it is.
    pub(super) fn apart(&self) -> Option<Apart> {
        let anteroom = self.anteroom;
        let except = match self.params.ready {
            ReadyRule::Alive(_) | ReadyRule::Told | ReadyRule::Asked => {
                return self.params.waits_apart.then_some(Apart {
                    anteroom,
                    except: None,
                });
            }
            ReadyRule::Listens { .. } => {
                let mut all = self.awaited().iter();
                // If nothing is known, any port will do.
                let first = all.next()?;
                Some(first).filter(|_| all.next().is_none())
            }
        };
        Some(Apart { anteroom, except })
    }

    /// The ports that are expected of some worker that is starting, or of every one.
    fn awaited(&self) -> PortSet {
        if !self.params.ports.is_empty() {
            return self.params.ports;
        }
        let seats = self.slots.iter().flat_map(Slot::seats);
        let starting = seats.filter_map(|seat| match seat {
            Seat::Starting { worker, .. } => worker.port.filter(|_| !self.port_unused),
            _ => None,
        });
        starting.fold(self.served, PortSet::with)
    }

    /// The ports that its siblings serve or served, if this one listens on none of them, and on none that its
    /// environment names.
    fn elsewhere(&self, now: Tick, worker: &Worker) -> Option<PortSet> {
        let named = worker
            .port
            .is_some_and(|port| worker.listens.contains(port));
        if named || !self.params.ports.is_empty() || worker.listens.is_empty() {
            return None;
        }
        let siblings = self.slots.iter().filter_map(|slot| match slot.seat {
            Seat::Ready { worker, .. } => Some(worker.listens),
            _ => None,
        });
        let all = siblings.fold(self.served(now), PortSet::and);
        (!all.is_empty() && !all.meets(worker.listens)).then_some(all)
    }

    /// What this worker has not done yet; `None` if it is ready. Its age is not considered.
    pub(super) fn missing(&self, now: Tick, worker: &Worker) -> Option<Missing> {
        let told = worker.told.is_some();
        match self.params.ready {
            ReadyRule::Alive(_) | ReadyRule::Told => (!told).then_some(Missing::Word),
            ReadyRule::Asked => self
                .missing_ports(now, worker)
                .or((!told).then_some(Missing::Word)),
            ReadyRule::Listens { .. } => self.missing_ports(now, worker),
        }
    }

    pub(super) fn missing_ports(&self, now: Tick, worker: &Worker) -> Option<Missing> {
        let (expected, listens) = (self.expected(now, worker), worker.listens);
        if let Some(expected) = self.elsewhere(now, worker) {
            return Some(Missing::Elsewhere { expected, listens });
        }
        let lacks = listens.is_empty() || !expected.is_subset(listens);
        lacks.then_some(Missing::Ports { expected, listens })
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
                let ready = self.missing(now, worker).is_none();
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
        let seat = match (which, &mut slot.successor) {
            (Which::Next, Some(next)) => &mut next.seat,
            _ => &mut slot.seat,
        };
        if let Seat::Starting { worker, .. } = *seat {
            *seat = now_ready(turn, id, worker, by);
            self.port_used |= worker
                .port
                .is_some_and(|port| worker.listens.contains(port));
        }
    }

    /// A worker is not ready when its time is over. It may be one that serves no port, or one that does not use the
    /// port of its environment; then it is ready, and its siblings and successors need not wait again.
    pub(super) fn ready_after_all(
        &mut self,
        turn: &mut Turn<'_>,
        id: SlotId,
        worker: &Worker,
    ) -> bool {
        let ReadyRule::Listens {
            or_alive: Some(wait),
        } = self.params.ready
        else {
            return false;
        };
        let at = usize::from(id.0);
        let Some(slot) = self.slots.get(at) else {
            return false;
        };
        let which = match slot.seat.worker() {
            Some(present) if present.pid == worker.pid => Which::Present,
            _ => Which::Next,
        };
        let (pid, listens) = (worker.pid, worker.listens);
        let by = if listens.is_empty() {
            if slot.tells {
                return false;
            }
            self.silent = true;
            ReadyBy::Age
        } else {
            let anywhere = Worker {
                port: None,
                ..*worker
            };
            let Some(port) = worker.port.filter(|_| !self.port_unused && !self.port_used) else {
                return false;
            };
            if self.missing_ports(turn.now, &anywhere).is_some() {
                return false;
            }
            self.port_unused = true;
            turn.say(Note::PortUnused {
                slot: id,
                pid,
                port,
                listens,
            });
            worker.told.unwrap_or(ReadyBy::Listen)
        };
        self.is_ready(turn, at, which, by);
        if by == ReadyBy::Age {
            turn.say(Note::ServesNoPort { slot: id, pid });
            self.expect_no_port(wait);
        }
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
    turn.act(Action::RestoreBacklog);
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
