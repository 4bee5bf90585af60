//! What the fleet is told, and what it decides.

use std::time::Duration;

use super::Note;
use super::drain::Disposition;
use crate::model::{Cause, Command, Exit, Generation, ListenerId, Pid, SlotId};

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Time passed; nothing else.
    Woke,
    /// A worker was forked for this slot.
    Spawned {
        /// The slot it was asked for.
        slot: SlotId,
        /// The listener it was asked for.
        listener: ListenerId,
        /// The new process.
        pid: Pid,
    },
    /// None could be: the system was short of something.
    SpawnFailed {
        /// The slot it was asked for.
        slot: SlotId,
        /// The listener it was asked for.
        listener: ListenerId,
    },
    /// The worker runs its program.
    Executed {
        /// The worker.
        pid: Pid,
    },
    /// The program could not be executed; the process ends with this code (126, 127).
    ExecFailed {
        /// The worker.
        pid: Pid,
        /// As a shell has it.
        code: u8,
    },
    /// The system was short of something before the worker could run its program; the process ends of it.
    Starved {
        /// The worker.
        pid: Pid,
    },
    /// The worker does what RPM_READY asks for.
    Ready {
        /// The worker.
        pid: Pid,
    },
    /// The worker was asked whether it is healthy (RPM_HEALTH).
    Checked {
        /// The worker.
        pid: Pid,
        /// It is.
        passed: bool,
    },
    /// The worker must be replaced: its watchdog expired, or it has grown too large.
    Unfit {
        /// The worker.
        pid: Pid,
        /// `Unhealthy` or `MemoryLimit`.
        cause: Cause,
    },
    /// The worker is about to end by itself: nothing more for it (sd_notify, STOPPING=1).
    Leaving {
        /// The worker.
        pid: Pid,
    },
    /// The worker needs more time to become ready than RPM_READY_TIMEOUT (sd_notify, EXTEND_TIMEOUT_USEC).
    Extended {
        /// The worker.
        pid: Pid,
        /// From now.
        by: Duration,
    },
    /// A worker that drains has nothing left.
    Drained {
        /// The worker.
        pid: Pid,
    },
    /// What a worker that did not drain in time does with the stop signal; see [`super::Seek::Disposition`].
    Disposition {
        /// The worker.
        pid: Pid,
        /// What it does.
        disposition: Disposition,
    },
    /// A worker that did not drain in time was looked at for a moment at which its end costs no request; see
    /// [`super::Seek::Moment`].
    Moment {
        /// The worker.
        pid: Pid,
        /// This is such a moment: the worker was stopped (SIGSTOP) and has no request in work. If not, its connections
        /// cannot be seen, and there is nothing to wait for.
        quiet: bool,
    },
    /// The metrics of a worker were read as [`Action::Scrape`] asked for, or cannot be read.
    Scraped {
        /// The worker.
        pid: Pid,
    },
    /// In the drain before the stop: no worker has a request in work.
    Quiet,
    /// A process was reaped.
    Exited {
        /// The process, ours or not.
        pid: Pid,
        /// How it ended.
        exit: Exit,
        /// Whether processes are left in the group it led.
        leftovers: bool,
        /// The kernel's OOM killer has ended somebody since the last look.
        oom: bool,
    },
    /// The last process of that worker's group is gone.
    GroupEmpty {
        /// The worker that led it.
        pid: Pid,
    },
    /// Somebody asked for it.
    Operator(Command),
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Action {
    /// Start a worker; answer with `Spawned` or `SpawnFailed`.
    Spawn {
        /// For this slot.
        slot: SlotId,
        /// On this listener.
        listener: ListenerId,
        /// Of this generation.
        generation: Generation,
    },
    /// Read the metrics of the worker a last time before its stop signal; answer with `Scraped`.
    Scrape {
        /// Alive and unreaped.
        pid: Pid,
        /// Limit of the scrape.
        within: Duration,
    },
    /// Send the stop signal to the worker, by RPM_SIGNAL_SCOPE, and SIGCONT after it.
    Stop {
        /// Alive and unreaped.
        pid: Pid,
    },
    /// Send SIGCONT to the worker and its group: a look for a quiet moment stopped it, and no stop signal follows.
    Resume {
        /// Alive and unreaped.
        pid: Pid,
    },
    /// Send SIGKILL to the worker and to its group.
    Kill {
        /// Alive and unreaped.
        pid: Pid,
    },
    /// Send the stop signal to what is left of a reaped worker's group, and SIGCONT after it.
    StopGroup {
        /// The worker that led it.
        pid: Pid,
        /// The worker had its own stop signal; by RPM_SIGNAL_SCOPE=group these had it too.
        told: bool,
    },
    /// Send SIGKILL to what is left of a reaped worker's group.
    KillGroup {
        /// The worker that led it.
        pid: Pid,
    },
    /// Give the listener free: its worker is gone, or cannot be killed.
    Release {
        /// The worker that had it.
        pid: Pid,
        /// The listener.
        listener: ListenerId,
    },
    /// Set the backlog of the listeners again, where programs call listen(2) on them unseen: a worker has become ready.
    RestoreBacklog,
    /// Close the shared ports that no worker binds any more: every worker is of the new version.
    CloseAbandonedPorts,
    /// Tell people, and count. Has no other effect.
    Say(Note),
    /// Leave with this code.
    Finish {
        /// The runtime's exit code.
        code: u8,
    },
}
