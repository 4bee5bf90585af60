//! What the fleet is told, and what it answers.
#![forbid(unsafe_code)]

use std::time::Duration;

use crate::model::{Cause, Command, Exit, Generation, Pid, SlotId};

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Time passed; nothing else.
    Woke,
    /// A worker was forked for this slot.
    Spawned {
        /// The slot it was asked for.
        slot: SlotId,
        /// The new process.
        pid: Pid,
    },
    /// None could be: the system was short of something.
    SpawnFailed {
        /// The slot it was asked for.
        slot: SlotId,
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
    /// A process was reaped.
    Exited {
        /// The process, ours or not.
        pid: Pid,
        /// How it ended.
        exit: Exit,
        /// Whether processes are left in the group it led.
        leftovers: bool,
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
        /// Of this generation.
        generation: Generation,
    },
    /// Send the stop signal to the worker, by RPM_SIGNAL_SCOPE, and SIGCONT after it.
    Stop {
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
    /// Tell people, and count.
    Say(Note),
    /// Leave with this code.
    Finish {
        /// The runtime's exit code.
        code: u8,
    },
}

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
    /// The stop was asked for: first the delay, then the stop signals.
    StopRequested {
        /// RPM_SHUTDOWN_DELAY.
        delay: Duration,
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
    /// The runtime is stopping.
    Stopping,
    /// The runtime gives up.
    GivesUp,
}
