//! All slots and the retiring: what is, compared with what should be.

use crate::model::{Command, Exit, Generation, ListenerId, Pid, SlotId, Tick};

use super::drain::Aim;
use super::reload::Reload;
use super::slot::{Asked, Retiring, Seat, Slot, Worker};
use super::turn::Turn;
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
    /// The delay is over, and the workers finish what they have; until then everything goes on.
    Draining {
        until: Tick,
        ending: Ending,
    },
    /// Every worker has its stop signal.
    Stopping {
        ending: Ending,
    },
    Finished,
}

/// Which of a slot's two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    Present,
    /// Its successor.
    Next,
}

/// How a process ended, and what the end left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fall {
    pub exit: Exit,
    pub leftovers: bool,
    pub oom: bool,
}

/// Why it ends, which decides the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Asked,
    GaveUp { code: u8 },
}

/// When the parts of the stop began.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct StopTimes {
    pub asked: Tick,
    pub drain: Tick,
    pub signals: Tick,
}

/// What to look for at a worker that drains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seek {
    /// That nothing is left; then tell [`Event::Drained`].
    End,
    /// What it does with its stop signal; tell [`Event::Disposition`].
    Disposition,
    /// A moment at which its end costs no request; then tell [`Event::Moment`].
    Moment(Aim),
    /// Nothing now: its metrics are being read, and it must run for that.
    Nothing,
}

/// A worker that gets no new connections and finishes its requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drains {
    /// The slot it had.
    pub slot: SlotId,
    /// The worker.
    pub pid: Pid,
    /// The listener it serves.
    pub listener: ListenerId,
    /// What to look for.
    pub seek: Seek,
}

impl Drains {
    /// Whether its drain timeout is over, and the runtime looks for a moment at which its end costs no request.
    pub fn is_choosing(&self) -> bool {
        self.seek != Seek::End
    }
}

/// A worker that is asked whether it is healthy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checked {
    /// Its slot.
    pub slot: SlotId,
    /// The worker.
    pub pid: Pid,
    /// The listener it serves.
    pub listener: ListenerId,
    /// Somebody waits for the answer: it is to take its slot over, or the reload goes on with it.
    pub eager: bool,
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
    /// Workers that were asked for; a slot may have gone on without its own.
    pub(super) asked: Vec<Asked>,
    /// Of the workers that are started now.
    pub(super) generation: Generation,
    /// The highest there was.
    pub(super) issued: Generation,
    pub(super) reload: Option<Reload>,
    /// Listeners of no slot, the one that was given up last at the end: what waits in its queue is served soonest.
    pub(super) spares: Vec<ListenerId>,
    pub(super) stop_times: StopTimes,
    /// Whatever was due by then has been done, or waits for something else than time.
    pub(super) looked: Tick,
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
            .map(|nr| Slot::new(SlotId(nr), ListenerId(nr), now))
            .collect();
        let most = params
            .instances
            .saturating_add(params.surge.of(params.instances, true));
        let spares = (params.instances..most).rev().map(ListenerId).collect();
        Self {
            params,
            mode: Mode::Serving,
            slots,
            retiring: Vec::new(),
            asked: Vec::new(),
            generation: Generation::default(),
            issued: Generation::default(),
            reload: None,
            spares,
            stop_times: StopTimes::default(),
            looked: Tick::default(),
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
        self.tick(now, jitter, out);
    }

    /// Time has passed; nothing else.
    pub fn tick(&mut self, now: Tick, jitter: u16, out: &mut Vec<Action>) {
        if self.mode != Mode::Finished {
            self.advance(&mut Turn::new(now, jitter, out));
        }
    }

    /// Takes one event of several that happened together, before [`Fleet::decide`] takes the last: no order is given
    /// to a worker whose end is the next event, and no successor is started that a request behind it makes idle.
    pub fn take(&mut self, now: Tick, jitter: u16, event: Event, out: &mut Vec<Action>) {
        if self.mode == Mode::Finished {
            return;
        }
        let turn = &mut Turn::new(now, jitter, out);
        match event {
            Event::Woke => {}
            Event::Spawned {
                slot,
                listener,
                pid,
            } => self.spawned(turn, slot, listener, pid),
            Event::SpawnFailed { slot, listener } => {
                self.spawn_failed(turn, slot, listener);
            }
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
            Event::Ready { pid } => self.told_ready(turn, pid),
            Event::Checked { pid, passed } => self.checked(turn, pid, passed),
            Event::Unfit { pid, cause } => self.unfit(turn, pid, cause),
            Event::Leaving { pid } => self.leaving(turn.now, pid),
            Event::Extended { pid, by } => self.extended(turn.now, pid, by),
            Event::Drained { pid } => self.drained(turn, pid),
            Event::Disposition { pid, disposition } => self.disposition(turn, pid, disposition),
            Event::Moment { pid, quiet } => self.moment(turn, pid, quiet),
            Event::Scraped { pid } => self.scraped(turn, pid),
            Event::Quiet => self.quiet(turn.now),
            Event::Exited {
                pid,
                exit,
                leftovers,
                oom,
            } => self.exited(
                turn,
                pid,
                Fall {
                    exit,
                    leftovers,
                    oom,
                },
            ),
            Event::GroupEmpty { pid } => self
                .retiring
                .retain(|gone| !(gone.sweeping && gone.worker.pid == pid)),
            Event::Operator(Command::Stop) => self.stop(turn),
            Event::Operator(Command::Restart) => self.restart(turn),
            Event::Operator(Command::Reload(trigger)) => self.asked_to_reload(turn, trigger),
            Event::Operator(Command::ScaleUp) => self.scale_up(turn),
            Event::Operator(Command::ScaleDown) => self.scale_down(turn),
        }
    }

    /// When [`Fleet::tick`] is due if nothing else happens before.
    pub fn next_deadline(&self) -> Option<Tick> {
        let mode = match self.mode {
            Mode::Delaying { until, .. } | Mode::Draining { until, .. } => Some(until),
            Mode::Serving => self.roll_deadline(),
            Mode::Stopping { .. } | Mode::Finished => None,
        };
        let seats = self.slots.iter().flat_map(Slot::seats);
        mode.into_iter()
            .chain(seats.filter_map(Seat::deadline))
            .chain(self.retiring.iter().filter_map(Retiring::deadline))
            .min()
    }

    /// Whether the workers were told to stop for good.
    pub fn stopping(&self) -> bool {
        matches!(self.mode, Mode::Stopping { .. } | Mode::Finished)
    }

    /// Whether whoever ends at `now` has no successor for that reason.
    pub(super) fn stop_has_come(&self, now: Tick) -> bool {
        match self.mode {
            Mode::Serving => false,
            // What drains goes on until the drain is over.
            Mode::Delaying { until, .. } => until <= now && !self.has_to_drain(),
            Mode::Draining { until, .. } => until <= now,
            Mode::Stopping { .. } | Mode::Finished => true,
        }
    }

    /// The present worker of a slot or the one that is to take it over.
    pub(super) fn seat_of(&mut self, pid: Pid) -> Option<(usize, Which)> {
        let has = |seat: &Seat| seat.worker().is_some_and(|worker| worker.pid == pid);
        self.slots.iter().enumerate().find_map(|(at, slot)| {
            if has(&slot.seat) {
                Some((at, Which::Present))
            } else {
                let next = slot.successor.filter(|next| has(&next.seat));
                next.map(|_| (at, Which::Next))
            }
        })
    }

    fn worker_mut(&mut self, pid: Pid) -> Option<&mut Worker> {
        let seated = self
            .slots
            .iter_mut()
            .flat_map(Slot::seats_mut)
            .filter_map(Seat::worker_mut);
        let retiring = self
            .retiring
            .iter_mut()
            .filter(|gone| !gone.sweeping)
            .map(|gone| &mut gone.worker);
        seated.chain(retiring).find(|worker| worker.pid == pid)
    }

    /// Closes the gap between what is and what should be at `now`; assumes nothing about the step before.
    fn advance(&mut self, turn: &mut Turn<'_>) {
        // First, because what cannot be killed may make the runtime give up.
        self.advance_retiring(turn);
        self.advance_stop(turn);
        let now = turn.now;
        let due = |slot: &Slot| matches!(slot.seat, Seat::Waiting { until } if until <= now);
        loop {
            self.advance_slots(turn);
            self.advance_roll(turn);
            // Where a reload ended and another began, empty slots are due.
            if !self.slots.iter().any(due) {
                break;
            }
        }
        // Again, because a grace may be zero.
        self.advance_retiring(turn);
        let staffed = |slot: &Slot| matches!(slot.seat, Seat::Ready { .. } | Seat::Stopped);
        let serving = self
            .slots
            .iter()
            .any(|slot| matches!(slot.seat, Seat::Ready { .. }));
        self.started |= serving && self.slots.iter().all(staffed);
        self.looked = turn.now;
        self.finish(turn);
    }
}
