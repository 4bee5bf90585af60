//! One chair and who sits in it; who is to take it over; and those who have left theirs.

use super::Action;
use super::drain::Patience;
use super::scrape::LastScrape;
use crate::model::{Cause, Exit, Generation, ListenerId, Pid, SlotId, Tick};

/// A live, unreaped process of ours. It exists only inside a slot or a [`Retiring`], and the reaper's event takes it
/// out: a signal cannot be addressed to anybody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Worker {
    pub pid: Pid,
    pub generation: Generation,
    pub started: Tick,
    /// The listener it serves, in every shared port's group.
    pub listener: ListenerId,
    /// The program could not be executed; the code it ends with.
    pub exec_failed: Option<u8>,
    /// The system was short of something before it could run its program.
    pub starved: bool,
    /// It passed a check, or none is asked for.
    pub fit: bool,
    /// Checks in a row that it failed.
    pub failures: u32,
    /// It has been ready: it may have counted something.
    pub was_ready: bool,
}

impl Worker {
    /// What is to be done with its listener once it is gone.
    pub fn release(&self) -> Action {
        Action::Release {
            pid: self.pid,
            listener: self.listener,
        }
    }
}

/// What is in a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seat {
    /// Nobody, and nobody is expected.
    Stopped,
    /// Nobody until then.
    Waiting { until: Tick },
    /// Nobody until the retiring worker that has the slot's listener is gone.
    Held,
    /// Asked for; the answer comes within the same turn.
    Launching,
    /// A worker that does not serve yet.
    Starting {
        worker: Worker,
        alive_at: Option<Tick>,
        ready_by: Option<Tick>,
    },
    /// A worker that serves, or could.
    Ready { worker: Worker, since: Tick },
}

impl Seat {
    /// The worker in it, if one is.
    pub fn worker(&self) -> Option<&Worker> {
        match self {
            Self::Starting { worker, .. } | Self::Ready { worker, .. } => Some(worker),
            Self::Stopped | Self::Waiting { .. } | Self::Held | Self::Launching => None,
        }
    }

    /// The same, to be changed.
    pub fn worker_mut(&mut self) -> Option<&mut Worker> {
        match self {
            Self::Starting { worker, .. } | Self::Ready { worker, .. } => Some(worker),
            Self::Stopped | Self::Waiting { .. } | Self::Held | Self::Launching => None,
        }
    }

    /// When time alone changes it.
    pub fn deadline(&self) -> Option<Tick> {
        match self {
            Self::Waiting { until } => Some(*until),
            Self::Starting {
                alive_at, ready_by, ..
            } => alive_at.iter().chain(ready_by).min().copied(),
            Self::Stopped | Self::Held | Self::Launching | Self::Ready { .. } => None,
        }
    }
}

/// Who is to take a slot over from the worker that serves in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Successor {
    /// The spare listener that it serves, and the slot's own once it takes over.
    pub listener: ListenerId,
    /// `Launching`, `Starting` or `Ready`.
    pub seat: Seat,
}

/// A worker that was asked for, until the answer comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    pub slot: SlotId,
    pub listener: ListenerId,
    pub generation: Generation,
}

/// Why the worker of a slot is to be replaced, apart from a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Renewal {
    pub cause: Cause,
    /// And it is too large, whether it gets well or not.
    pub grown: bool,
    /// Not before; a replacement that did not come up is tried again later.
    pub due: Tick,
    pub tries: u32,
    /// It is out of steering already.
    pub out: bool,
}

/// A slot and its memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    pub id: SlotId,
    /// What the worker in it serves, or the next one will.
    pub listener: ListenerId,
    pub seat: Seat,
    /// There only while `seat` is `Ready`.
    pub successor: Option<Successor>,
    pub renewal: Option<Renewal>,
    /// Its last worker was taken away as unhealthy.
    pub ails: bool,
    /// Lives in a row that were too short.
    pub streak: u32,
    /// Tries in a row for which the system was short of something.
    pub shortages: u32,
    /// Workers started after the first.
    pub restarts: u64,
    /// Whether there was a worker at all.
    pub used: bool,
    pub last_exit: Option<Exit>,
    /// An earlier worker of this slot was told ready.
    pub tells: bool,
}

impl Slot {
    /// An empty slot whose first worker is due now.
    pub fn new(id: SlotId, listener: ListenerId, now: Tick) -> Self {
        Self {
            id,
            listener,
            seat: Seat::Waiting { until: now },
            successor: None,
            renewal: None,
            ails: false,
            streak: 0,
            shortages: 0,
            restarts: 0,
            used: false,
            last_exit: None,
            tells: false,
        }
    }

    /// The seat of the slot and that of its successor.
    pub fn seats(&self) -> impl Iterator<Item = &Seat> {
        let next = self.successor.as_ref().map(|next| &next.seat);
        std::iter::once(&self.seat).chain(next)
    }

    /// The same, to be changed.
    pub fn seats_mut(&mut self) -> impl Iterator<Item = &mut Seat> {
        let next = self.successor.as_mut().map(|next| &mut next.seat);
        std::iter::once(&mut self.seat).chain(next)
    }

    /// The seat that a worker on `listener` was asked for.
    pub fn launching(&mut self, listener: ListenerId) -> Option<&mut Seat> {
        let next = self.successor.as_mut();
        let next = next.filter(|next| next.listener == listener);
        let next = next.map(|next| &mut next.seat);
        let present = Some(&mut self.seat).filter(|_| self.listener == listener);
        next.into_iter()
            .chain(present)
            .find(|seat| **seat == Seat::Launching)
    }

    /// Where its clients wait if nobody serves: what is out of steering is not where its successor will look.
    pub fn queue(&self) -> ListenerId {
        let next = self.successor.filter(|_| self.is_out());
        next.map_or(self.listener, |next| next.listener)
    }

    /// Whether its worker is kept from new connections.
    pub fn is_out(&self) -> bool {
        self.renewal.is_some_and(|renewal| renewal.out)
    }

    /// Whether it serves nobody because its worker was unhealthy, and will again.
    pub fn lacks_healthy(&self) -> bool {
        self.is_out() || self.ails && !self.serves() && self.seat != Seat::Stopped
    }

    /// Whether its worker gets new connections.
    pub fn serves(&self) -> bool {
        matches!(self.seat, Seat::Ready { .. }) && !self.is_out()
    }
}

/// How far a retiring worker's end is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It is told to stop once all that happened at this moment is known: it may have ended by itself.
    Leaving,
    /// It gets nothing new and finishes what it has, until then.
    Draining { since: Tick, until: Tick },
    /// It did not finish. The runtime looks for a moment at which its end costs no request, until then.
    Choosing {
        since: Tick,
        until: Tick,
        /// `None` until it is known what the worker does with its stop signal.
        patience: Option<Patience>,
        /// A worker must not be stopped for a look while it is being scraped.
        scrape: LastScrape,
    },
    /// Its metrics are read a last time; its stop signal follows the answer, or is sent then.
    Scraping { until: Tick },
    /// It has its stop signal; SIGKILL follows then.
    Grace { kill_at: Tick },
    /// It has its SIGKILL; it is given up then.
    Killed { give_up_at: Tick },
}

/// A worker that is to end, or the group that one left behind. It holds no slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retiring {
    pub slot: SlotId,
    pub worker: Worker,
    pub cause: Cause,
    pub step: Step,
    /// The worker itself is reaped; processes of its group are not.
    pub sweeping: bool,
    /// How its rest was given up on: nothing is sent any more, only its end is awaited.
    pub undead: bool,
}

impl Retiring {
    /// When time alone changes it.
    pub fn deadline(&self) -> Option<Tick> {
        match self.step {
            _ if self.undead => None,
            Step::Draining { until, .. } | Step::Scraping { until } => Some(until),
            Step::Choosing { until, scrape, .. } => {
                Some(scrape.deadline().map_or(until, |due| due.min(until)))
            }
            Step::Grace { kill_at } => Some(kill_at),
            Step::Killed { give_up_at } => Some(give_up_at),
            Step::Leaving => None,
        }
    }

    /// Whether it is this worker, and not what it left behind.
    pub fn is(&self, pid: Pid) -> bool {
        self.worker.pid == pid && !self.sweeping
    }

    /// Whether it finishes what it has.
    pub fn drains(&self) -> bool {
        matches!(self.step, Step::Draining { .. } | Step::Choosing { .. })
    }
}
