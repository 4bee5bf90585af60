//! Decisions in words. A note only tells: whoever hears it must not act on it.

use std::time::Duration;

use crate::model::{Cause, DrainEnd, Exit, Generation, Pid, ReloadResult, SlotId, Trigger};

/// A decision in words, for the log and the counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// A worker is ready.
    Ready {
        /// Its slot.
        slot: SlotId,
        /// The worker.
        pid: Pid,
        /// Since its start.
        after: Duration,
    },
    /// A worker was not ready in time and is told to stop.
    NotReady {
        /// Its slot.
        slot: SlotId,
        /// The worker.
        pid: Pid,
        /// Since its start.
        after: Duration,
    },
    /// A worker ended.
    Ended {
        /// Its slot.
        slot: SlotId,
        /// The worker.
        pid: Pid,
        /// How.
        exit: Exit,
        /// Why, as far as we know.
        cause: Cause,
        /// How long it lived.
        uptime: Duration,
        /// What follows.
        next: Next,
    },
    /// A worker, or what it left, did not end within the grace and is killed.
    GraceOver {
        /// Its slot.
        slot: SlotId,
        /// The worker.
        pid: Pid,
        /// The worker itself is gone; others of its group are not.
        leftovers: bool,
    },
    /// Something has its SIGKILL for long and is still there; the runtime goes on without it.
    Undead {
        /// Its slot.
        slot: SlotId,
        /// The worker.
        pid: Pid,
        /// The worker itself is gone; others of its group are not.
        leftovers: bool,
    },
    /// A worker left processes in its group; they get the stop signal.
    Leftovers {
        /// Its slot.
        slot: SlotId,
        /// The worker.
        pid: Pid,
    },
    /// The system was short of something; the slot tries again.
    SpawnDelayed {
        /// The slot.
        slot: SlotId,
        /// From now.
        retry_in: Duration,
    },
    /// A reload begins.
    ReloadBegins {
        /// What asked for it.
        trigger: Trigger,
        /// Of the new workers.
        generation: Generation,
        /// To be replaced.
        workers: usize,
    },
    /// A reload was asked for while one goes on; it follows.
    ReloadRemembered {
        /// What asked for it.
        trigger: Trigger,
    },
    /// A reload ended.
    ReloadEnded {
        /// How.
        result: ReloadResult,
        /// Workers that were replaced.
        replaced: usize,
        /// Since it began.
        took: Duration,
    },
    /// A new worker, of a reload or for one that must be replaced, did not come up; the one before it stays.
    NotUp {
        /// The slot.
        slot: SlotId,
        /// The new worker, if there was one.
        pid: Option<Pid>,
        /// What it did.
        why: NotUp,
    },
    /// A worker took a slot over; the one before it drains.
    TookOver {
        /// The slot.
        slot: SlotId,
        /// The new worker.
        pid: Pid,
        /// The one before it.
        old: Pid,
    },
    /// A worker is to be replaced.
    Renews {
        /// The slot.
        slot: SlotId,
        /// The worker.
        pid: Pid,
        /// Why.
        cause: Cause,
    },
    /// A worker gets no new connections and finishes what it has.
    Drains {
        /// The slot.
        slot: SlotId,
        /// The worker.
        pid: Pid,
        /// RPM_DRAIN_TIMEOUT.
        limit: Duration,
    },
    /// A drain is over; if the worker is alive it gets its stop signal.
    DrainEnded {
        /// The slot.
        slot: SlotId,
        /// The worker.
        pid: Pid,
        /// How.
        end: DrainEnd,
        /// Since it began.
        took: Duration,
    },
    /// The number of slots changed.
    Scaled {
        /// Before.
        from: usize,
        /// Now.
        to: usize,
    },
    /// The number of slots stays: there is one, or the most there may be.
    ScaleRefused {
        /// Slots.
        at: usize,
    },
    /// The stop was asked for: first the delay, then the drain, then the stop signals.
    StopRequested {
        /// RPM_SHUTDOWN_DELAY.
        delay: Duration,
    },
    /// The delay is over; the workers finish what they have.
    StopDrains {
        /// RPM_DRAIN_TIMEOUT.
        limit: Duration,
    },
    /// All has ended as asked: how long each part took.
    Stopped {
        /// Serving as before.
        delay: Duration,
        /// Finishing what was there.
        drain: Duration,
        /// From the stop signals to the end of the last.
        stop: Duration,
    },
    /// The stop signals go out.
    StopBegins {
        /// How many workers get one.
        workers: usize,
        /// The grace.
        grace: Duration,
    },
    /// The stop was asked for again: SIGKILL instead of the rest of the grace.
    Hurried,
    /// Every worker is started again.
    RestartRequested,
    /// The streak, or a program that cannot be executed, ends the runtime.
    GivesUp {
        /// The slot that did it.
        slot: SlotId,
        /// Its streak.
        streak: u32,
        /// The runtime's exit code.
        code: u8,
    },
    /// A process that was no worker was reaped.
    Stranger {
        /// The process.
        pid: Pid,
        /// How it ended.
        exit: Exit,
    },
}

/// Why a new worker did not take its slot over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotUp {
    /// It could not be started.
    NotStarted,
    /// It ended.
    Ended(Exit),
    /// It was not ready in time.
    NotReady(Duration),
    /// It failed its checks.
    Unfit,
}

/// What follows the end of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Its successor starts after this time.
    Restart {
        /// From now; zero is at once.
        wait: Duration,
        /// Lives in a row that were too short.
        streak: u32,
    },
    /// The slot stays empty.
    StaysDown,
    /// Nothing: its slot went on without it.
    Replaced,
    /// Nothing: its slot was given up.
    GivenUp,
    /// The runtime is stopping.
    Stopping,
    /// The runtime gives up.
    GivesUp,
}
