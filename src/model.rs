//! Plain values that all layers share. No behaviour except display and conversion.

mod aggregation;
mod application;
mod figures;
mod kinship;
mod label;
mod log;
mod node;
mod port_set;
mod question;
mod rights;
pub mod shown;
mod signal;
mod word;
pub mod worker_vars;

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroI32;
use std::time::Duration;

pub use aggregation::Aggregation;
pub use application::{AppInfo, Checkout, Found, Package};
pub use figures::{Look, ReloadView, WorkerFigures, spread};
pub use kinship::Kinship;
pub use label::{Cause, DrainEnd, Followed, ReadyBy, ReloadResult, RunState, Trigger, WorkerState};
pub use log::{
    FileLossReason, FileLosses, Language, LogOrigin, LogTotals, LossReason, Losses, Overflow,
    PerOrigin, Rotations, Timestamp,
};
pub use node::NodeTotals;
pub use port_set::{PortId, PortSet};
pub use question::{Page, Scheme};
pub use rights::{Guard, Rights};
pub use signal::{Received, Sig};
pub use word::Word;

/// A point in time, counted from the start of the runtime. The clock excludes time during which the runtime was frozen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tick(pub Duration);

impl Tick {
    /// The time `by` later; saturates.
    #[must_use]
    pub fn after(self, by: Duration) -> Self {
        Self(self.0.saturating_add(by))
    }

    /// The duration from `earlier` to this time; zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// A slot, numbered 0..N-1. Its number stays the same when its worker is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlotId(pub u16);

impl fmt::Display for SlotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A listener number: it names one listener in the group of every shared port. Each worker has one number, which the
/// policy assigns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListenerId(pub u16);

impl fmt::Display for ListenerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Number of the reload that started a worker; the first workers are generation 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub u32);

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The PID of a process other than init. It is always above 1, so that `kill(0)`, `kill(-1)` and `kill(1)` are
/// impossible.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pid(NonZeroI32);

impl Pid {
    /// `None` unless `raw` is above 1.
    pub fn new(raw: i32) -> Option<Self> {
        if raw > 1 {
            NonZeroI32::new(raw).map(Self)
        } else {
            None
        }
    }

    /// The PID as a kernel integer.
    pub fn get(self) -> i32 {
        self.0.get()
    }
}

impl fmt::Display for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How a process ended: by an exit code or by a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It exited with this code.
    Code(u8),
    /// This signal killed it.
    Signal(Sig),
}

impl Exit {
    /// The exit code as a shell reports it: the code itself, or 128 + the signal number.
    pub fn shell_code(self) -> u8 {
        match self {
            Self::Code(code) => code,
            Self::Signal(sig) => 128 + sig.number(),
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(sig) => write!(f, "{sig}"),
        }
    }
}

/// A command of the operator. Signals (and later the control socket) are translated to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Stops the service: shutdown delay, stop signal, grace, SIGKILL. A second stop shortens this.
    Stop,
    /// Stops all workers at once and starts each again on its slot.
    Restart,
    /// Replaces every worker by a new one, slot by slot, while the others serve. Only one reload runs at a time; one
    /// further request is remembered.
    Reload(Trigger),
    /// Adds one slot.
    ScaleUp,
    /// Removes the highest slot.
    ScaleDown,
    /// Replaces the worker of this slot as a reload would, or starts one in an empty slot now. Ignored during a reload, which
    /// replaces every worker.
    Replace(SlotId),
    /// Empties this slot: its worker drains and ends, and the slot stays empty until a start, also through reloads and restarts
    /// of all workers.
    Halt(SlotId),
    /// Starts a worker in this slot now if it is empty.
    Start(SlotId),
}

/// One slot, or one retiring worker, as shown to users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerView {
    /// The slot of the worker; for a retiring worker its former slot.
    pub slot: SlotId,
    /// State of the worker or of the empty slot.
    pub state: WorkerState,
    /// The PID, if a process lives.
    pub pid: Option<Pid>,
    /// Generation of that process, or of the next one.
    pub generation: Generation,
    /// When that process was started.
    pub started: Option<Tick>,
    /// How often the worker of this slot ended and was replaced.
    pub restarts: u64,
    /// Consecutive workers of this slot that did not live long enough.
    pub streak: u32,
    /// How the last worker of this slot ended.
    pub last_exit: Option<Exit>,
    /// Why it ended.
    pub last_cause: Option<Cause>,
    /// The worker's own status text (sd_notify, STATUS=).
    pub status: Option<String>,
    /// When the next start is due (`Backoff`), or when SIGKILL follows (`Retiring`).
    pub due: Option<Tick>,
}

#[cfg(test)]
impl WorkerView {
    /// A slot in this state, of which nothing else is known.
    pub fn blank(slot: u16, state: WorkerState) -> Self {
        Self {
            slot: SlotId(slot),
            state,
            pid: None,
            generation: Generation(0),
            started: None,
            restarts: 0,
            streak: 0,
            last_exit: None,
            last_cause: None,
            status: None,
            due: None,
        }
    }
}

/// State of the fleet after one turn of the event loop. Metrics and the admin server get their data only from here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The runtime's state.
    pub state: RunState,
    /// The answer of /readyz: a worker is ready, and no stop was requested.
    pub ready: bool,
    /// The answer of /startupz: all workers have been ready once.
    pub started: bool,
    /// Number of workers wanted.
    pub desired: u16,
    /// Current generation.
    pub generation: Generation,
    /// One entry for each slot, in order.
    pub slots: Vec<WorkerView>,
    /// New workers that will take over a slot and do not serve yet.
    pub rising: Vec<WorkerView>,
    /// Workers without a slot that drain or were told to stop, and still live.
    pub retiring: Vec<WorkerView>,
}

impl Snapshot {
    /// Every slot; then new workers that do not serve yet; then workers that leave.
    pub fn workers(&self) -> impl Iterator<Item = &WorkerView> {
        let all = self.slots.iter().chain(&self.rising);
        all.chain(&self.retiring)
    }
}

/// What a queue holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueKind {
    /// Connections in the accept queue of a listener: `tcpi_unacked` and `tcpi_sacked` (tcp(7)).
    Connections,
    /// Memory of the datagrams in the receive queue of a UDP socket, bytes: SO_MEMINFO.
    Datagrams {
        /// Datagrams that the kernel dropped at this socket, mostly because its queue was full; wraps at 2^32.
        dropped: u32,
    },
}

/// One listener's accept queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueSample {
    /// The shared port's address, e.g. `[::]:3000`.
    pub listener: String,
    /// The slot that uses the listener; `None` for a spare.
    pub worker: Option<SlotId>,
    /// What `length` and `limit` count.
    pub kind: QueueKind,
    /// What waits in the queue.
    pub length: u32,
    /// Limit of that.
    pub limit: u32,
    /// Whether new connections are steered to this listener.
    pub in_rotation: bool,
    /// Whether the present worker of the slot has taken the listener.
    pub held: bool,
}

/// State of the balancing thread (RPM_BALANCE=adaptive and least).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BalanceSample {
    /// How often it changed which listeners get new connections, and with what chance.
    pub changes: u64,
    /// Whether arriving connections are followed and the open ones counted.
    pub follows: bool,
    /// Connections that it has seen arriving, if it follows them. The steering programs in force know of all of them.
    pub arrivals: u64,
    /// Counts of the open connections that were used, likewise.
    pub counts: u64,
    /// By slot: whether its worker gets no new connections for now, on any port.
    pub passed_over: BTreeMap<SlotId, bool>,
}

/// One instruction of classic BPF, like `struct sock_filter` (linux/filter.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bpf {
    /// Operation.
    pub code: u16,
    /// Jump if true.
    pub jt: u8,
    /// Jump if false.
    pub jf: u8,
    /// Operand.
    pub k: u32,
}

/// Which metrics a client asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MetricsScope {
    /// The metrics of the workers and of the runtime: `/metrics`.
    #[default]
    All,
    /// Only the metrics of the runtime: `/metrics/runtime`.
    Runtime,
}

/// How workers get their listener of the shared port.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct HandoverInfo {
    /// `intercept`, `activation` or `none`.
    pub handover: &'static str,
    /// A word of RPM_BALANCE, or `none` (one common socket, or no shared port).
    pub steering: &'static str,
    /// Connections are counted, and new ones go to the workers with the fewest.
    pub counts_connections: bool,
    /// Why this and not the preferred choice.
    pub reason: String,
}

/// The running kernel, as it names itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kernel {
    /// `uname -r`, such as `6.1.0-37-amd64`.
    pub release: String,
    /// `uname -v`, such as `#1 SMP PREEMPT_DYNAMIC Debian 6.1.176-1 (2026-07-12)`.
    pub version: String,
}

/// What can be observed of single workers here.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ObservationInfo {
    /// What makes a worker ready: `listen`, `http`, `tcp`, `notify` or `age`.
    pub ready: &'static str,
    /// RPM_HEALTH: `on`, `off` or `unavailable`.
    pub health: &'static str,
    /// RPM_APP_METRICS: `on`, `files`, `off` or `unavailable`.
    pub app_metrics: &'static str,
    /// Why one of them is less than configured.
    pub reason: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pids_of_everybody_cannot_be_written() {
        for raw in [i32::MIN, -1, 0, 1] {
            assert_eq!(Pid::new(raw), None);
        }
        assert_eq!(Pid::new(2).map(Pid::get), Some(2));
    }
}
