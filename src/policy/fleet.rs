//! All slots and the retiring: what is, compared with what should be.
#![forbid(unsafe_code)]

use crate::model::{Command, Generation, Pid, SlotId, Tick};

use super::rotation::Rotation;
use super::slot::{Retiring, Seat, Slot, Worker};
use super::{Action, Event, Params};

/// What the runtime as a whole is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Serving,
    /// The stop is decided on; until then everything goes on.
    Delaying {
        until: Tick,
        ending: Ending,
    },
    /// Every worker has its stop signal.
    Stopping {
        ending: Ending,
    },
    Finished,
}

/// Why it ends, which decides the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Asked,
    GaveUp { code: u8 },
}

/// The state machine of the runtime. Feed it events, perform its actions, feed their outcomes back.
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "four independent facts, each latched once"
)]
pub struct Fleet {
    pub(super) params: Params,
    pub(super) mode: Mode,
    pub(super) slots: Vec<Slot>,
    pub(super) retiring: Vec<Retiring>,
    pub(super) generation: Generation,
    /// All slots were ready at once.
    pub(super) started: bool,
    /// A worker ran its program: from then on no failure to start one is fatal.
    pub(super) ran: bool,
    /// A worker was forked.
    pub(super) forked: bool,
    /// Something had to be killed in the stop.
    pub(super) killed: bool,
    /// First failure among the workers that stay down; in tini's role, what the one worker ended with.
    pub(super) code: u8,
}

impl Fleet {
    /// Every slot empty and due; nothing happens before the first event.
    pub fn new(params: Params, now: Tick) -> Self {
        let slots = (0..params.instances)
            .map(|nr| Slot::new(SlotId(nr), now))
            .collect();
        Self {
            params,
            mode: Mode::Serving,
            slots,
            retiring: Vec::new(),
            generation: Generation::default(),
            started: false,
            ran: false,
            forked: false,
            killed: false,
            code: 0,
        }
    }

    /// Takes one event at `now` and appends what is to be done. `jitter` is uniform in 0..=65535. Nothing is done any
    /// more after `Finish`.
    pub fn decide(&mut self, now: Tick, jitter: u16, event: Event, out: &mut Vec<Action>) {
        self.take(now, jitter, event, out);
        if self.mode != Mode::Finished {
            self.advance(now, jitter, out);
        }
    }

    /// Takes one event of several that happened together, before [`Fleet::decide`] takes the last: no order is given
    /// to a worker whose end is the next event, and no successor is started that a request behind it makes idle.
    pub fn take(&mut self, now: Tick, jitter: u16, event: Event, out: &mut Vec<Action>) {
        if self.mode == Mode::Finished {
            return;
        }
        match event {
            Event::Woke => {}
            Event::Spawned { slot, pid } => self.spawned(now, slot, pid, out),
            Event::SpawnFailed { slot } => self.spawn_failed(now, jitter, slot, out),
            Event::Executed { pid } => self.executed(pid),
            Event::Starved { pid } => {
                if let Some(worker) = self.worker_mut(pid) {
                    worker.starved = true;
                }
            }
            Event::ExecFailed { pid, code } => {
                if let Some(worker) = self.worker_mut(pid) {
                    worker.exec_failed = Some(code);
                }
            }
            Event::Ready { pid } => self.told_ready(now, pid, out),
            Event::Exited {
                pid,
                exit,
                leftovers,
            } => self.exited(now, jitter, pid, exit, leftovers, out),
            Event::GroupEmpty { pid } => self
                .retiring
                .retain(|gone| !(gone.sweeping && gone.worker.pid == pid)),
            Event::Operator(Command::Stop) => self.stop(now, out),
            Event::Operator(Command::Restart) => self.restart(now, out),
        }
    }

    /// When [`Event::Woke`] is due if nothing else happens before.
    pub fn next_deadline(&self) -> Option<Tick> {
        let mode = match self.mode {
            Mode::Delaying { until, .. } => Some(until),
            Mode::Serving | Mode::Stopping { .. } | Mode::Finished => None,
        };
        let slots = self.slots.iter().filter_map(|slot| slot.seat.deadline());
        mode.into_iter()
            .chain(slots)
            .chain(self.retiring.iter().filter_map(Retiring::deadline))
            .min()
    }

    /// Where new connections go.
    pub fn rotation(&self) -> Rotation {
        let pick = |keep: fn(&Seat) -> bool| -> Vec<SlotId> {
            self.slots
                .iter()
                .filter(|slot| keep(&slot.seat))
                .map(|slot| slot.id)
                .collect()
        };
        Rotation {
            live: pick(|seat| matches!(seat, Seat::Ready { .. })),
            expected: pick(|seat| !matches!(seat, Seat::Stopped)),
        }
    }

    /// Every process that may be signalled.
    pub fn workers(&self) -> impl Iterator<Item = (SlotId, Pid)> + '_ {
        let seated = self
            .slots
            .iter()
            .filter_map(|slot| slot.seat.worker().map(|worker| (slot.id, worker.pid)));
        let retiring = self
            .retiring
            .iter()
            .filter(|gone| !gone.sweeping)
            .map(|gone| (gone.slot, gone.worker.pid));
        seated.chain(retiring)
    }

    /// Groups whose leader is reaped and whose end is awaited.
    pub fn sweeping(&self) -> impl Iterator<Item = Pid> + '_ {
        self.retiring
            .iter()
            .filter(|gone| gone.sweeping)
            .map(|gone| gone.worker.pid)
    }

    /// Whether the workers were told to stop for good.
    pub fn stopping(&self) -> bool {
        matches!(self.mode, Mode::Stopping { .. } | Mode::Finished)
    }

    /// Whether whoever ends at `now` has no successor for that reason.
    pub(super) fn stop_has_come(&self, now: Tick) -> bool {
        match self.mode {
            Mode::Serving => false,
            Mode::Delaying { until, .. } => until <= now,
            Mode::Stopping { .. } | Mode::Finished => true,
        }
    }

    fn worker_mut(&mut self, pid: Pid) -> Option<&mut Worker> {
        let seated = self
            .slots
            .iter_mut()
            .filter_map(|slot| slot.seat.worker_mut());
        let retiring = self
            .retiring
            .iter_mut()
            .filter(|gone| !gone.sweeping)
            .map(|gone| &mut gone.worker);
        seated.chain(retiring).find(|worker| worker.pid == pid)
    }

    /// Closes the gap between what is and what should be at `now`; assumes nothing about the step before.
    fn advance(&mut self, now: Tick, jitter: u16, out: &mut Vec<Action>) {
        // First, because what cannot be killed may make the runtime give up.
        self.advance_retiring(now, jitter, out);
        if let Mode::Delaying { until, ending } = self.mode
            && until <= now
        {
            self.begin_stop(now, ending, out);
        }
        self.advance_slots(now, out);
        // Again, because a grace may be zero.
        self.advance_retiring(now, jitter, out);
        let staffed = |slot: &Slot| matches!(slot.seat, Seat::Ready { .. } | Seat::Stopped);
        let serving = self
            .slots
            .iter()
            .any(|slot| matches!(slot.seat, Seat::Ready { .. }));
        self.started |= serving && self.slots.iter().all(staffed);
        self.finish(out);
    }
}
