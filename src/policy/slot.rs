//! One chair and who sits in it; and those who have left theirs.
#![forbid(unsafe_code)]

use crate::model::{Cause, Exit, Generation, Pid, SlotId, Tick};

/// A live, unreaped process of ours. It exists only inside a slot or a [`Retiring`], and the reaper's event takes it
/// out: a signal cannot be addressed to anybody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Worker {
    pub pid: Pid,
    pub generation: Generation,
    pub started: Tick,
    /// The program could not be executed; the code it ends with.
    pub exec_failed: Option<u8>,
    /// The system was short of something before it could run its program.
    pub starved: bool,
}

/// What is in a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seat {
    /// Nobody, and nobody is expected.
    Stopped,
    /// Nobody until then.
    Waiting { until: Tick },
    /// Nobody until the slot's retiring worker is gone: the two would share a listener.
    Held,
    /// Asked for; the answer comes within the same turn.
    Launching,
    /// A worker that does not serve yet.
    Starting {
        worker: Worker,
        alive_at: Option<Tick>,
        ready_by: Option<Tick>,
    },
    /// A worker that serves.
    Ready { worker: Worker },
}

impl Seat {
    /// The worker in it, if one is.
    pub fn worker(&self) -> Option<&Worker> {
        match self {
            Self::Starting { worker, .. } | Self::Ready { worker } => Some(worker),
            Self::Stopped | Self::Waiting { .. } | Self::Held | Self::Launching => None,
        }
    }

    /// The same, to be changed.
    pub fn worker_mut(&mut self) -> Option<&mut Worker> {
        match self {
            Self::Starting { worker, .. } | Self::Ready { worker } => Some(worker),
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

/// A slot and its memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    pub id: SlotId,
    pub seat: Seat,
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
    pub fn new(id: SlotId, now: Tick) -> Self {
        Self {
            id,
            seat: Seat::Waiting { until: now },
            streak: 0,
            shortages: 0,
            restarts: 0,
            used: false,
            last_exit: None,
            tells: false,
        }
    }
}

/// How far a retiring worker's end is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It has its stop signal; SIGKILL follows then.
    Grace { kill_at: Tick },
    /// It has its SIGKILL; it is given up then.
    Killed { give_up_at: Tick },
}

/// A worker that was told to stop, or the group that one left behind. It holds no slot.
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
            Step::Grace { kill_at } => Some(kill_at),
            Step::Killed { give_up_at } => Some(give_up_at),
        }
    }
}
