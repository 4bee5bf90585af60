//! One slot with its worker and its successor, and the retiring workers that have left their slots.

use std::time::Duration;

use super::drain::Patience;
use super::fleet::Which;
use super::scrape::LastScrape;
use crate::model::{
    Cause, Exit, Generation, ListenerId, Pid, PortId, PortSet, ReadyBy, SlotId, Tick,
};

/// A live process of the runtime that is not reaped. It exists only inside a slot or a [`Retiring`], and the reaper's
/// event removes it, so a signal cannot be sent to another process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
pub struct Worker {
    pub pid: Pid,
    pub generation: Generation,
    pub started: Tick,
    /// The listener that it serves, in the group of every shared port.
    pub listener: ListenerId,
    /// The exit code if the program could not be executed.
    pub exec_failed: Option<u8>,
    /// A system resource was lacking before the worker could run its program.
    pub starved: bool,
    /// The worker passed a check, or there are no checks.
    pub fit: bool,
    /// Number of consecutive failed checks.
    pub failures: u32,
    /// The worker has been ready, so it may have counted something.
    pub was_ready: bool,
    /// The shared ports on which it has listened.
    pub listens: PortSet,
    /// Those of them that it opened in its start phase: within the ready timeout. A later one may be a debugger's.
    pub opened: PortSet,
    /// The port that its environment names.
    pub port: Option<PortId>,
    /// Its own word, or the check that it passed (RPM_READY).
    pub told: Option<ReadyBy>,
    /// It has an address that no other process can bind meanwhile: see [`super::excludes`].
    pub excludes: bool,
    /// It found a path of its service in use: see [`super::in_use`].
    pub found_in_use: bool,
    /// It can be sent a message on Node's channel.
    pub channel: bool,
}

impl Worker {
    /// What is expected of its successor.
    pub fn service(&self) -> Service {
        Service {
            ports: self.opened,
            named: self.port,
        }
    }
}

/// State of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seat {
    /// No worker, and none will come.
    Stopped,
    /// No worker until this time.
    Waiting { until: Tick },
    /// No worker until the retiring worker with the slot's listener has ended.
    Held,
    /// A worker was requested; the answer comes within the same turn.
    Launching,
    /// A worker that does not serve yet.
    Starting {
        worker: Worker,
        /// When its age alone makes it ready.
        alive_at: Option<Tick>,
        ready_by: Option<Tick>,
        /// When people are told what it has not done yet.
        tell_at: Option<Tick>,
    },
    /// A worker that serves or could serve.
    Ready { worker: Worker, since: Tick },
}

impl Seat {
    /// The worker, if there is one.
    pub fn worker(&self) -> Option<&Worker> {
        match self {
            Self::Starting { worker, .. } | Self::Ready { worker, .. } => Some(worker),
            Self::Stopped | Self::Waiting { .. } | Self::Held | Self::Launching => None,
        }
    }

    /// As [`Self::worker`], mutable.
    pub fn worker_mut(&mut self) -> Option<&mut Worker> {
        match self {
            Self::Starting { worker, .. } | Self::Ready { worker, .. } => Some(worker),
            Self::Stopped | Self::Waiting { .. } | Self::Held | Self::Launching => None,
        }
    }

    /// The time of the next change without an event.
    pub fn deadline(&self) -> Option<Tick> {
        match self {
            Self::Waiting { until } => Some(*until),
            Self::Starting {
                alive_at,
                ready_by,
                tell_at,
                ..
            } => alive_at
                .iter()
                .chain(ready_by)
                .chain(tell_at)
                .min()
                .copied(),
            Self::Stopped | Self::Held | Self::Launching | Self::Ready { .. } => None,
        }
    }
}

/// The worker that will take over a slot from its serving worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Successor {
    /// The spare listener that it serves. It becomes the slot's listener when it takes over.
    pub listener: ListenerId,
    /// `Launching`, `Starting` or `Ready`.
    pub seat: Seat,
}

/// A requested worker, until the answer comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    pub slot: SlotId,
    pub listener: ListenerId,
    pub generation: Generation,
}

/// How good a life a worker had that ended by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// It did not come up, or ended before RPM_MIN_UPTIME.
    Short,
    /// It served, but the wait before the next start would be long beside it.
    Middling,
    /// So long that it says nothing against the program.
    Long,
}

/// Why the worker of a slot must be replaced, apart from a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Renewal {
    pub cause: Cause,
    /// The worker is also too large, whether it recovers or not.
    pub grown: bool,
    /// Earliest time. A replacement that did not come up is tried again later.
    pub due: Tick,
    pub tries: u32,
    /// The worker gets no new connections any more.
    pub out: bool,
}

/// A slot with its history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
pub struct Slot {
    pub id: SlotId,
    /// The listener of its worker or of its next worker.
    pub listener: ListenerId,
    pub seat: Seat,
    /// An operator stopped it: it is `Stopped`, or will be when its requested worker is there.
    pub halted: bool,
    /// Only present while `seat` is `Ready`.
    pub successor: Option<Successor>,
    pub renewal: Option<Renewal>,
    /// Its last worker was removed because it was unhealthy.
    pub ails: bool,
    /// Consecutive workers that ended too early. A life that is neither short nor long changes nothing.
    pub streak: u32,
    /// Consecutive workers without a long life; it decides the wait before the next start.
    pub unrest: u32,
    /// Consecutive start attempts for which a system resource was lacking.
    pub shortages: u32,
    /// Workers started after the first.
    pub restarts: u64,
    /// Whether there was any worker.
    pub used: bool,
    pub last_exit: Option<Exit>,
    pub last_cause: Option<Cause>,
    /// A worker of this slot was ready by more than its age.
    pub tells: bool,
    /// What its last worker served, if that was up for RPM_MIN_UPTIME.
    pub served: Option<Service>,
}

impl Slot {
    /// An empty slot whose first worker is due now.
    pub fn new(id: SlotId, listener: ListenerId, now: Tick) -> Self {
        Self {
            id,
            listener,
            seat: Seat::Waiting { until: now },
            halted: false,
            successor: None,
            renewal: None,
            ails: false,
            streak: 0,
            unrest: 0,
            shortages: 0,
            restarts: 0,
            used: false,
            last_exit: None,
            last_cause: None,
            tells: false,
            served: None,
        }
    }

    /// Forgets how the earlier workers of the slot ended.
    pub fn calm(&mut self) {
        (self.streak, self.unrest) = (0, 0);
    }

    /// Counts the end of a worker; `life`: how good it was.
    pub fn count(&mut self, life: Life) {
        match life {
            Life::Long => self.calm(),
            Life::Middling => self.unrest = self.unrest.saturating_add(1),
            Life::Short => {
                self.streak = self.streak.saturating_add(1);
                self.unrest = self.unrest.saturating_add(1);
            }
        }
    }

    /// The seat of the slot and the seat of its successor.
    pub fn seats(&self) -> impl Iterator<Item = &Seat> {
        let next = self.successor.as_ref().map(|next| &next.seat);
        std::iter::once(&self.seat).chain(next)
    }

    /// As [`Self::seats`], mutable.
    pub fn seats_mut(&mut self) -> impl Iterator<Item = &mut Seat> {
        let next = self.successor.as_mut().map(|next| &mut next.seat);
        std::iter::once(&mut self.seat).chain(next)
    }

    /// The seat of its worker, or that of its successor.
    pub fn seat_mut(&mut self, which: Which) -> Option<&mut Seat> {
        match which {
            Which::Present => Some(&mut self.seat),
            Which::Next => self.successor.as_mut().map(|next| &mut next.seat),
        }
    }

    /// The seat for which a worker on `listener` was requested.
    pub fn launching(&mut self, listener: ListenerId) -> Option<&mut Seat> {
        let next = self.successor.as_mut();
        let next = next.filter(|next| next.listener == listener);
        let next = next.map(|next| &mut next.seat);
        let present = Some(&mut self.seat).filter(|_| self.listener == listener);
        next.into_iter()
            .chain(present)
            .find(|seat| **seat == Seat::Launching)
    }

    /// The listener whose queue collects this slot's clients if no worker serves. A successor does not serve the
    /// listener that is out of steering.
    pub fn queue(&self) -> ListenerId {
        let next = self.successor.filter(|_| self.is_out());
        next.map_or(self.listener, |next| next.listener)
    }

    /// Whether its worker gets no new connections because it must be replaced.
    pub fn is_out(&self) -> bool {
        self.renewal.is_some_and(|renewal| renewal.out)
    }

    /// Whether the slot does not serve because its worker was unhealthy, and will serve again.
    pub fn lacks_healthy(&self) -> bool {
        self.is_out() || self.ails && !self.serves() && self.seat != Seat::Stopped
    }

    /// Whether it is halted, and this listener is its own: its last worker had it.
    pub fn is_empty_of(&self, listener: ListenerId) -> bool {
        self.halted && self.listener == listener
    }

    /// Whether its worker gets new connections.
    pub fn serves(&self) -> bool {
        matches!(self.seat, Seat::Ready { .. }) && !self.is_out()
    }
}

/// Which ports a worker served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Service {
    /// The ports that it opened in its start phase.
    pub ports: PortSet,
    /// The port that its environment named.
    pub named: Option<PortId>,
}

/// Progress of a retiring worker's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The worker gets the stop signal when all events of this moment are known: it may have ended by itself.
    Leaving,
    /// The worker gets no new connections and finishes its requests, until the given time.
    Draining { since: Tick, until: Tick },
    /// The worker did not finish in time. The runtime looks for a moment at which its end costs no request, until the
    /// given time.
    Choosing {
        since: Tick,
        until: Tick,
        /// `None` until the runtime knows how the worker handles its stop signal.
        patience: Option<Patience>,
        /// While the worker is scraped, it must not be paused for a look.
        scrape: LastScrape,
    },
    /// The worker's metrics are read a last time. The stop signal follows the answer, at the latest at this time.
    Scraping { until: Tick },
    /// The worker was told to stop.
    Grace {
        /// It was told by a message so far; the stop signal follows at this time.
        signal_at: Option<Tick>,
        /// SIGKILL follows at this time.
        kill_at: Tick,
    },
    /// The worker has got SIGKILL; the runtime gives up on it at this time.
    Killed { give_up_at: Tick },
}

impl Step {
    /// The stop signal is sent at `now`, and SIGKILL after `length`.
    pub fn grace(now: Tick, length: Duration) -> Self {
        Self::Grace {
            signal_at: None,
            kill_at: now.after(length),
        }
    }

    /// When the stop signal follows that a message has announced.
    pub fn signal_at(&self) -> Option<Tick> {
        match self {
            Self::Grace { signal_at, .. } => *signal_at,
            _ => None,
        }
    }
}

/// A worker that must end, or the group that one left behind. It has no slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retiring {
    pub slot: SlotId,
    pub worker: Worker,
    pub cause: Cause,
    pub step: Step,
    /// The worker itself is reaped, but other processes of its group are not.
    pub sweeping: bool,
    /// The runtime gave up on it: it sends nothing more and only waits for its end.
    pub undead: bool,
    /// It was well, and gets its slot back if its successor ends before it has its stop signal.
    pub returns: bool,
}

impl Retiring {
    /// The time of the next change without an event.
    pub fn deadline(&self) -> Option<Tick> {
        match self.step {
            _ if self.undead => None,
            Step::Draining { until, .. } | Step::Scraping { until } => Some(until),
            Step::Choosing { until, scrape, .. } => {
                Some(scrape.deadline().map_or(until, |due| due.min(until)))
            }
            Step::Grace { signal_at, kill_at } => signal_at.or(Some(kill_at)),
            Step::Killed { give_up_at } => Some(give_up_at),
            Step::Leaving => None,
        }
    }

    /// Whether this is the worker itself, and not only its remaining group.
    pub fn is(&self, pid: Pid) -> bool {
        self.worker.pid == pid && !self.sweeping
    }

    /// Whether it can still serve its slot again.
    pub fn may_return(&self) -> bool {
        let told = matches!(
            self.step,
            Step::Leaving | Step::Grace { .. } | Step::Killed { .. }
        );
        self.returns && !told && !self.sweeping && !self.undead
    }

    /// Whether it still finishes its requests.
    pub fn drains(&self) -> bool {
        matches!(self.step, Step::Draining { .. } | Step::Choosing { .. })
    }
}
