//! All slots and the retiring workers: compares the actual state with the desired state.

use std::time::Duration;

use crate::model::{Command, Exit, Generation, ListenerId, Pid, PortId, PortSet, SlotId, Tick};

use super::drain::Aim;
use super::reload::Reload;
use super::slot::{Asked, Retiring, Seat, Slot, Worker};
use super::turn::Turn;
use super::{Action, Event, Params};

/// Phase of the whole runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Serving,
    /// The stop is decided; until this time nothing changes.
    Delaying {
        until: Tick,
        ending: Ending,
    },
    /// The delay is over, and the workers finish their requests until this time.
    Draining {
        until: Tick,
        ending: Ending,
    },
    /// Every worker has got its stop signal.
    Stopping {
        ending: Ending,
    },
    Finished,
}

/// One of the two workers of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    Present,
    /// Its successor.
    Next,
}

/// How a process ended, and whether its group still has processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fall {
    pub exit: Exit,
    pub leftovers: bool,
    pub oom: bool,
}

/// The reason for the stop, which decides the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Asked,
    GaveUp { code: u8 },
}

/// Start times of the phases of the stop.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct StopTimes {
    pub asked: Tick,
    pub drain: Tick,
    pub signals: Tick,
}

/// What the caller must watch for at a draining worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seek {
    /// That no connection is left; then report [`Event::Drained`].
    End,
    /// How it handles its stop signal; report [`Event::Disposition`].
    Disposition,
    /// A moment at which its end costs no request; then report [`Event::Moment`].
    Moment(Aim),
    /// Nothing now: its metrics are being read, so it must run.
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
    /// What to watch for.
    pub seek: Seek,
}

impl Drains {
    /// Whether its drain timeout is over, so that the runtime looks for a moment at which its end costs no request.
    pub fn is_choosing(&self) -> bool {
        self.seek != Seek::End
    }
}

/// A worker with health checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checked {
    /// Its slot.
    pub slot: SlotId,
    /// The worker.
    pub pid: Pid,
    /// The listener it serves.
    pub listener: ListenerId,
    /// Another step waits for the result: the worker takes over a slot or a reload continues with it.
    pub eager: bool,
}

/// The state machine of the runtime. The caller passes events in, performs the actions, and reports their outcomes as
/// events.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
pub struct Fleet {
    pub(super) params: Params,
    pub(super) mode: Mode,
    pub(super) slots: Vec<Slot>,
    pub(super) retiring: Vec<Retiring>,
    /// Requested workers. A slot may no longer wait for its request.
    pub(super) asked: Vec<Asked>,
    /// Generation of the workers that are started now.
    pub(super) generation: Generation,
    /// The highest generation so far.
    pub(super) issued: Generation,
    pub(super) reload: Option<Reload>,
    /// Listeners without a slot. The one that was released last is at the end and is used first, because its queue may
    /// contain connections.
    pub(super) spares: Vec<ListenerId>,
    /// A listener that no worker gets; see [`super::Apart`].
    pub(super) anteroom: ListenerId,
    pub(super) stop_times: StopTimes,
    /// All work that was due by this time is done, or waits for something other than time.
    pub(super) looked: Tick,
    /// All slots have been ready at the same time once.
    pub(super) started: bool,
    /// A worker has run its program: from then on a failed start is not fatal.
    pub(super) ran: bool,
    /// A worker has been forked.
    pub(super) forked: bool,
    /// A worker has not listened for so long that the program counts as one that serves no port.
    pub(super) silent: bool,
    /// A port that an environment names, and on which a worker listened.
    pub(super) port_used: Option<PortId>,
    /// A port that an environment names, and that is not waited for any more.
    pub(super) port_unused: Option<PortId>,
    /// When people were last told what starting workers have not done yet.
    pub(super) told_slow: Option<Tick>,
    /// Ports that opened only after their workers were ready, and people were told.
    pub(super) told_late: PortSet,
    /// A worker has ended since ports without a worker were last closed.
    pub(super) released: bool,
    /// The longest time after its start in which a worker has opened a port.
    pub(super) slowest: Duration,
    /// A process had to be killed in the stop.
    pub(super) killed: bool,
    /// The first failure among the workers that stay down; in the role of tini, the exit code of the only worker.
    pub(super) code: u8,
}

impl Fleet {
    /// Creates a fleet whose slots are empty and due. It acts at the first event.
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
            anteroom: ListenerId(most),
            stop_times: StopTimes::default(),
            looked: Tick::default(),
            started: false,
            ran: false,
            forked: false,
            silent: false,
            port_used: None,
            port_unused: None,
            told_slow: None,
            told_late: PortSet::EMPTY,
            released: false,
            slowest: Duration::ZERO,
            killed: false,
            code: 0,
        }
    }

    /// Processes one event at `now` and appends the resulting actions. `jitter` is uniform in 0..=65535. There are no
    /// actions after `Finish`.
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

    /// Processes one of several simultaneous events; the last is passed to [`Fleet::decide`]. So no order is sent to a
    /// worker whose end is the next event, and no successor is started that a later request makes useless.
    pub fn take(&mut self, now: Tick, jitter: u16, event: Event, out: &mut Vec<Action>) {
        if self.mode == Mode::Finished {
            return;
        }
        let turn = &mut Turn::new(now, jitter, out);
        match event {
            Event::Spawned {
                slot,
                listener,
                pid,
                port,
                channel,
            } => self.spawned(turn, slot, listener, (pid, port, channel)),
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
            Event::Ready { pid, by } => self.told_ready(turn, pid, by),
            Event::Listens { pid, port } => self.listens(turn, pid, port),
            Event::Excludes { pid } => self.excludes(pid),
            Event::FoundInUse { pid } => self.found_in_use(pid),
            Event::Checked { pid, passed } => self.checked(turn, pid, passed),
            Event::Unfit { pid, cause } => self.unfit(turn, pid, cause),
            Event::Leaving { pid } => self.leaving(turn.now, pid),
            Event::Extended { pid, by } => self.extended(turn.now, pid, by),
            Event::Drained { pid } => self.drained(turn, pid),
            Event::Disposition { pid, disposition } => self.disposition(turn, pid, disposition),
            Event::Moment { pid, quiet } => self.moment(turn, pid, quiet),
            Event::Scraped { pid } => self.scraped(turn, pid),
            Event::ChannelClosed { pid } => self.channel_closed(turn.now, pid),
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
            Event::Granted { workers } => self.granted(turn, workers),
            Event::Operator(Command::Stop) => self.stop(turn),
            Event::Operator(Command::Restart) => self.restart(turn),
            Event::Operator(Command::Reload(trigger)) => self.asked_to_reload(turn, trigger),
            Event::Operator(Command::ScaleUp) => self.scale_up(turn),
            Event::Operator(Command::ScaleDown) => self.scale_down(turn),
            Event::Operator(Command::Replace(slot)) => self.replace(turn, slot),
            Event::Operator(Command::Halt(slot)) => self.halt(turn, slot),
            Event::Operator(Command::Start(slot)) => self.start(turn.now, slot),
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
            .chain(self.conclusion_deadline())
            .chain(self.unclaimed_at().filter(|at| *at > self.looked))
            .min()
    }

    /// Whether the workers have got the final stop signal.
    pub fn stopping(&self) -> bool {
        matches!(self.mode, Mode::Stopping { .. } | Mode::Finished)
    }

    /// Whether a worker that ends at `now` gets no successor because of the stop.
    pub(super) fn stop_has_come(&self, now: Tick) -> bool {
        match self.mode {
            Mode::Serving => false,
            // Drains continue until the drain phase is over.
            Mode::Delaying { until, .. } => until <= now && !self.has_to_drain(),
            Mode::Draining { until, .. } => until <= now,
            Mode::Stopping { .. } | Mode::Finished => true,
        }
    }

    /// Finds the slot that has this process as its worker or as its next worker.
    pub(super) fn seat_of(&self, pid: Pid) -> Option<(usize, Which)> {
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

    pub(super) fn worker_mut(&mut self, pid: Pid) -> Option<&mut Worker> {
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

    /// Brings the actual state closer to the desired state at `now`. It assumes nothing about the previous step.
    fn advance(&mut self, turn: &mut Turn<'_>) {
        // First, because a process that cannot be killed may make the runtime give up.
        self.advance_retiring(turn);
        self.advance_stop(turn);
        let now = turn.now;
        let due = |slot: &Slot| matches!(slot.seat, Seat::Waiting { until } if until <= now);
        loop {
            self.advance_slots(turn);
            self.advance_roll(turn);
            // If one reload ended and another began, empty slots are due. If a worker left, less may be expected of a
            // starting one.
            let more = self.judge_starting(turn);
            if !more && !self.slots.iter().any(due) {
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
        self.close_unclaimed(turn);
        self.looked = turn.now;
        self.finish(turn);
    }
}
