//! Descriptions of decisions. A note only informs: the receiver must not act on it.

use std::time::Duration;

use crate::model::{
    Cause, DrainEnd, Exit, Generation, Pid, PortId, PortSet, ReadyBy, ReloadResult, SlotId, Trigger,
};

/// A decision, for the log and the counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// A worker is ready.
    Ready {
        /// Its slot.
        slot: SlotId,
        /// The worker.
        pid: Pid,
        /// Time since its start.
        after: Duration,
        /// What made it ready.
        by: ReadyBy,
    },
    /// A worker is not ready after a while. It may take longer.
    StillStarting {
        /// Its slot.
        slot: SlotId,
        /// The worker.
        pid: Pid,
        /// Time since its start.
        after: Duration,
        /// What it has not done yet.
        missing: Missing,
    },
    /// A worker has not listened for so long that it counts as one that serves no port.
    ServesNoPort {
        /// Its slot.
        slot: SlotId,
        /// The worker.
        pid: Pid,
    },
    /// A worker does not listen on the port that its environment names, so that port is not expected any more.
    PortUnused {
        /// Its slot.
        slot: SlotId,
        /// The worker.
        pid: Pid,
        /// The port of the environment.
        port: PortId,
        /// Where it listens.
        listens: PortSet,
    },
    /// A worker that was ready already listens on one more port.
    ListensLate {
        /// Its slot.
        slot: SlotId,
        /// The worker.
        pid: Pid,
        /// The port.
        port: PortId,
        /// All ports on which it listens.
        listens: PortSet,
        /// Time since its start.
        after: Duration,
    },
    /// A worker does not listen on all ports on which the one before it did, and counts as ready all the same: nobody
    /// else serves in its place.
    LacksPorts {
        /// Its slot.
        slot: SlotId,
        /// The worker.
        pid: Pid,
        /// The ports that it lacks.
        lacks: PortSet,
        /// Where it listens.
        listens: PortSet,
    },
    /// A new worker ended because of an address that only one process can have, and that the present worker has. That one
    /// goes first now.
    LeavesFirst {
        /// The slot.
        slot: SlotId,
        /// The new worker.
        pid: Pid,
        /// The present worker.
        old: Pid,
    },
    /// A new worker ended because it found a path of its service in use. The next one starts.
    StartsAgain {
        /// The slot.
        slot: SlotId,
        /// The new worker.
        pid: Pid,
    },
    /// A worker was not ready in time and gets the stop signal.
    NotReady {
        /// Its slot.
        slot: SlotId,
        /// The worker.
        pid: Pid,
        /// Time since its start.
        after: Duration,
        /// What it has not done.
        missing: Missing,
    },
    /// A worker ended.
    Ended {
        /// Its slot.
        slot: SlotId,
        /// The worker.
        pid: Pid,
        /// How it ended.
        exit: Exit,
        /// The cause, as far as known.
        cause: Cause,
        /// Time since its start.
        uptime: Duration,
        /// What happens next in the slot.
        next: Next,
    },
    /// A worker, or its remaining group, did not end within the grace and is killed.
    GraceOver {
        /// Its slot.
        slot: SlotId,
        /// The worker.
        pid: Pid,
        /// The worker itself has ended; other processes of its group have not.
        leftovers: bool,
    },
    /// A process got SIGKILL long ago and still exists; the runtime continues without it.
    Undead {
        /// Its slot.
        slot: SlotId,
        /// The worker.
        pid: Pid,
        /// The worker itself has ended; other processes of its group have not.
        leftovers: bool,
    },
    /// A worker left processes in its group. They get the stop signal.
    Leftovers {
        /// Its slot.
        slot: SlotId,
        /// The worker.
        pid: Pid,
    },
    /// A system resource was lacking; the slot retries.
    SpawnDelayed {
        /// The slot.
        slot: SlotId,
        /// Time until the retry.
        retry_in: Duration,
    },
    /// A reload begins.
    ReloadBegins {
        /// The trigger.
        trigger: Trigger,
        /// Generation of the new workers.
        generation: Generation,
        /// Number of workers to replace.
        workers: usize,
    },
    /// A reload was requested while another one is in progress; it follows.
    ReloadRemembered {
        /// The trigger.
        trigger: Trigger,
    },
    /// A reload ended.
    ReloadEnded {
        /// The result.
        result: ReloadResult,
        /// Workers that were replaced.
        replaced: usize,
        /// Its duration.
        took: Duration,
    },
    /// A new worker, of a reload or as a replacement, did not come up; its predecessor stays.
    NotUp {
        /// The slot.
        slot: SlotId,
        /// The new worker, if there was one.
        pid: Option<Pid>,
        /// The reason.
        why: NotUp,
    },
    /// A worker took over a slot; its predecessor drains.
    TookOver {
        /// The slot.
        slot: SlotId,
        /// The new worker.
        pid: Pid,
        /// Its predecessor.
        old: Pid,
    },
    /// A worker that had taken over a slot ended, and its predecessor still drained: it serves the slot again.
    GaveBack {
        /// The slot.
        slot: SlotId,
        /// The worker that ended.
        pid: Pid,
        /// Its predecessor.
        old: Pid,
    },
    /// A worker must be replaced.
    Renews {
        /// The slot.
        slot: SlotId,
        /// The worker.
        pid: Pid,
        /// The cause.
        cause: Cause,
    },
    /// A worker gets no new connections and finishes its requests.
    Drains {
        /// The slot.
        slot: SlotId,
        /// The worker.
        pid: Pid,
        /// RPM_DRAIN_TIMEOUT.
        limit: Duration,
    },
    /// A drain has ended. If the worker is alive, it gets its stop signal.
    DrainEnded {
        /// The slot.
        slot: SlotId,
        /// The worker.
        pid: Pid,
        /// How the drain ended.
        end: DrainEnd,
        /// Its duration.
        took: Duration,
    },
    /// The number of slots changed.
    Scaled {
        /// Before.
        from: usize,
        /// Now.
        to: usize,
    },
    /// The number of slots stays, because it is the minimum or the maximum.
    ScaleRefused {
        /// Number of slots.
        at: usize,
    },
    /// The stop was requested. The delay comes first, then the drain, then the stop signals.
    StopRequested {
        /// RPM_SHUTDOWN_DELAY.
        delay: Duration,
    },
    /// The delay is over; the workers finish their requests.
    StopDrains {
        /// RPM_DRAIN_TIMEOUT.
        limit: Duration,
    },
    /// The stop has ended as requested, with the duration of each phase.
    Stopped {
        /// Duration of the delay, in which everything was served.
        delay: Duration,
        /// Duration of the drain.
        drain: Duration,
        /// Time from the stop signals to the end of the last process.
        stop: Duration,
    },
    /// The stop signals are sent.
    StopBegins {
        /// Number of workers that get one.
        workers: usize,
        /// The grace.
        grace: Duration,
    },
    /// A second stop was requested: what was to follow in or after the grace is sent now.
    Hurried {
        /// True: SIGKILL. False: the stop signal, to those that had only a message.
        kills: bool,
    },
    /// Every worker is restarted.
    RestartRequested,
    /// The runtime gives up, because of the streak or because a program cannot be executed.
    GivesUp {
        /// The slot that caused it.
        slot: SlotId,
        /// Its streak.
        streak: u32,
        /// The runtime's exit code.
        code: u8,
    },
    /// A process that is not a worker was reaped.
    Stranger {
        /// The process.
        pid: Pid,
        /// How it ended.
        exit: Exit,
    },
}

/// Why a new worker did not take over its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotUp {
    /// It could not be started.
    NotStarted,
    /// It ended.
    Ended(Exit),
    /// It was not ready in time.
    NotReady {
        /// Time since its start.
        after: Duration,
        /// What it has not done.
        missing: Missing,
    },
    /// It failed its checks.
    Unfit,
}

/// What a worker that is not ready has not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// It did not say that it is ready, or did not pass the check of RPM_READY.
    Word,
    /// It does not listen on every expected port.
    Ports {
        /// The expected ports; none: any port.
        expected: PortSet,
        /// Where it listens.
        listens: PortSet,
        /// The one of the expected ports that its environment names.
        named: Option<PortId>,
    },
    /// It listens on other ports than its siblings.
    Elsewhere {
        /// The ports of its siblings.
        expected: PortSet,
        /// Where it listens.
        listens: PortSet,
    },
}

/// What happens after the end of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The next worker starts after this time.
    Restart {
        /// Time from now; zero means at once.
        wait: Duration,
        /// Consecutive workers that ended too early.
        streak: u32,
    },
    /// The slot stays empty.
    StaysDown,
    /// The slot stays empty, because an operator stopped it.
    Halted,
    /// Nothing: the slot already has another worker.
    Replaced,
    /// Nothing: the slot was removed.
    GivenUp,
    /// The runtime is stopping.
    Stopping,
    /// The runtime gives up.
    GivesUp,
}
