//! The input and the output of the fleet.

use std::time::Duration;

use super::Note;
use super::drain::Disposition;
use crate::model::{Cause, Command, Exit, Generation, ListenerId, Pid, PortId, ReadyBy, SlotId};

/// An event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A worker was forked for this slot.
    Spawned {
        /// The slot of the request.
        slot: SlotId,
        /// The listener of the request.
        listener: ListenerId,
        /// The new process.
        pid: Pid,
        /// The port that its environment names (`PORT`).
        port: Option<PortId>,
        /// Whether it has Node's channel, so that it can be sent [`Action::Message`].
        channel: bool,
    },
    /// No worker could be forked, because the system lacks a resource.
    SpawnFailed {
        /// The slot of the request.
        slot: SlotId,
        /// The listener of the request.
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
        /// Exit code as in a shell.
        code: u8,
    },
    /// The system lacked a resource before the worker could run its program; the process ends because of that.
    Starved {
        /// The worker.
        pid: Pid,
    },
    /// The worker said that it is ready, or passed the check of RPM_READY.
    Ready {
        /// The worker.
        pid: Pid,
        /// Which of the two.
        by: ReadyBy,
    },
    /// The worker listens on a shared port.
    Listens {
        /// The worker.
        pid: Pid,
        /// The port.
        port: PortId,
    },
    /// The worker has bound, by itself, an address that no other process can bind meanwhile.
    Excludes {
        /// The worker.
        pid: Pid,
    },
    /// The worker connects to a path of its service that it has not bound, and somebody answers. If it ends then, those
    /// after it are told that nobody answers, so no later worker finds that path in use.
    FoundInUse {
        /// The worker.
        pid: Pid,
    },
    /// A health check of the worker has ended (RPM_HEALTH).
    Checked {
        /// The worker.
        pid: Pid,
        /// Whether the check passed.
        passed: bool,
    },
    /// The worker must be replaced: its watchdog expired, or it has grown too large.
    Unfit {
        /// The worker.
        pid: Pid,
        /// `Unhealthy`, `MemoryLimit`, or `Restart` if an operator wants it.
        cause: Cause,
    },
    /// The worker announced that it will end by itself (sd_notify, STOPPING=1); it must get no new connections.
    Leaving {
        /// The worker.
        pid: Pid,
    },
    /// The worker needs more time to become ready than RPM_READY_TIMEOUT (sd_notify, EXTEND_TIMEOUT_USEC).
    Extended {
        /// The worker.
        pid: Pid,
        /// Additional time from now on.
        by: Duration,
    },
    /// A draining worker has no connections left.
    Drained {
        /// The worker.
        pid: Pid,
    },
    /// How a worker that did not drain in time handles its stop signal; see [`super::Seek::Disposition`].
    Disposition {
        /// The worker.
        pid: Pid,
        /// How it handles the signal.
        disposition: Disposition,
    },
    /// The search for a moment at which the end of an undrained worker costs no request has ended; see
    /// [`super::Seek::Moment`].
    Moment {
        /// The worker.
        pid: Pid,
        /// True: the worker was paused (SIGSTOP) and has no request in progress. False: its connections are not
        /// visible, so there is nothing to wait for.
        quiet: bool,
    },
    /// The scrape for [`Action::Scrape`] has ended, with or without success.
    Scraped {
        /// The worker.
        pid: Pid,
    },
    /// The worker has closed Node's channel, or takes nothing from it: no message reaches it any more.
    ChannelClosed {
        /// The worker.
        pid: Pid,
    },
    /// In the drain before the stop: no worker has a request in progress.
    Quiet,
    /// A process was reaped.
    Exited {
        /// The process, a worker or not.
        pid: Pid,
        /// How it ended.
        exit: Exit,
        /// Whether other processes remain in its process group.
        leftovers: bool,
        /// Whether the kernel's OOM killer has killed a process since the last check.
        oom: bool,
    },
    /// The last process of that worker's process group has ended.
    GroupEmpty {
        /// The worker that led the group.
        pid: Pid,
    },
    /// The limits of the container grant another number of workers (RPM_INSTANCES_FOLLOW).
    Granted {
        /// The number, from 1 to MAX_INSTANCES.
        workers: u16,
    },
    /// An operator sent a command.
    Operator(Command),
}

/// An action for the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Action {
    /// Start a worker; answer with `Spawned` or `SpawnFailed`.
    Spawn {
        /// The slot.
        slot: SlotId,
        /// Its listener.
        listener: ListenerId,
        /// Its generation.
        generation: Generation,
    },
    /// Read the metrics of the worker a last time before its stop signal; answer with `Scraped`.
    Scrape {
        /// Alive and unreaped.
        pid: Pid,
        /// Limit of the scrape.
        within: Duration,
    },
    /// Send the message `shutdown` to the worker on Node's channel (RPM_STOP_MESSAGE). [`Action::Stop`] follows if the worker
    /// does not end. If the message cannot be sent, report [`Event::ChannelClosed`].
    Message {
        /// Alive and unreaped.
        pid: Pid,
    },
    /// Send the stop signal to the worker, by RPM_SIGNAL_SCOPE, and SIGCONT after it.
    Stop {
        /// Alive and unreaped.
        pid: Pid,
    },
    /// Send SIGCONT to the worker and its group: the search for a quiet moment had paused it, and no stop signal
    /// follows now.
    Resume {
        /// Alive and unreaped.
        pid: Pid,
    },
    /// Send SIGKILL to the worker and to its group.
    Kill {
        /// Alive and unreaped.
        pid: Pid,
    },
    /// Send the stop signal to the remaining group of a reaped worker, and SIGCONT after it.
    StopGroup {
        /// The worker that led the group.
        pid: Pid,
        /// The worker got the stop signal itself; with RPM_SIGNAL_SCOPE=group the group got it too.
        told: bool,
    },
    /// Send SIGKILL to the remaining group of a reaped worker.
    KillGroup {
        /// The worker that led the group.
        pid: Pid,
    },
    /// Release the listener: its worker has ended or cannot be killed.
    Release {
        /// The worker that used it.
        pid: Pid,
        /// The listener.
        listener: ListenerId,
    },
    /// A worker has become ready: look at its listeners. Where the runtime does not see listen(2) calls, set their backlog
    /// again.
    CheckListeners {
        /// The worker.
        pid: Pid,
    },
    /// Close the shared ports that no worker binds any more: every worker runs the new version, or has bound all its ports
    /// since one has ended.
    CloseAbandonedPorts,
    /// Log and count the note. It has no other effect.
    Say(Note),
    /// Exit with this code.
    Finish {
        /// The runtime's exit code.
        code: u8,
    },
}
