//! The words of the runtime: plain values that every layer shares. No behaviour beyond display and conversion.

mod aggregation;
mod label;
mod signal;

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroI32;
use std::time::Duration;

pub use aggregation::Aggregation;
pub use label::{Cause, DrainEnd, ReloadResult, RunState, Trigger, WorkerState};
pub use signal::Sig;

/// A moment, counted from the start of the runtime by a clock that stands still while the runtime itself was frozen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tick(pub Duration);

impl Tick {
    /// The moment `by` after this one; saturates.
    #[must_use]
    pub fn after(self, by: Duration) -> Self {
        Self(self.0.saturating_add(by))
    }

    /// Time from `earlier` to this moment; zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// A chair, 0..N-1, stable across restarts of the worker that sits in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlotId(pub u16);

impl fmt::Display for SlotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One listener of every shared port: the same number in each of their groups. A worker has one; which, the policy says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListenerId(pub u16);

impl fmt::Display for ListenerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which reload a worker belongs to; the first workers are generation 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub u32);

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number of one process that is not us and not init: always above 1, so that `kill(0)`, `kill(-1)` and
/// `kill(1)` cannot be written.
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

    /// The number as the kernel writes it.
    pub fn get(self) -> i32 {
        self.0.get()
    }
}

impl fmt::Display for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How a process ended: a code or a signal, never both in one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It called exit with this code.
    Code(u8),
    /// This signal ended it.
    Signal(Sig),
}

impl Exit {
    /// As a shell reports it: the code, or 128 + the signal.
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

/// What an operator can ask of the fleet; signals and, later, the control socket are translated to it at the edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// End the service: delay, stop signal, grace, SIGKILL. A second one hurries.
    Stop,
    /// Stop every worker and start it again on its slot, all at once.
    Restart,
    /// Replace every worker by a new one, slot by slot, while the others serve. One at a time: a second request is
    /// remembered once.
    Reload(Trigger),
    /// One slot more.
    ScaleUp,
    /// One slot less: the highest.
    ScaleDown,
}

/// One slot, or one retiring worker, as seen from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerView {
    /// The slot it sits, or sat, in.
    pub slot: SlotId,
    /// What it is doing.
    pub state: WorkerState,
    /// The process, if one is alive.
    pub pid: Option<Pid>,
    /// Generation of that process, or of the next one.
    pub generation: Generation,
    /// When that process was started.
    pub started: Option<Tick>,
    /// How often this slot's worker was replaced because it ended.
    pub restarts: u64,
    /// Consecutive lives that were too short.
    pub streak: u32,
    /// How the slot's last worker ended.
    pub last_exit: Option<Exit>,
    /// What it says of itself (sd_notify, STATUS=).
    pub status: Option<String>,
    /// When the next try is due (`Backoff`), or SIGKILL follows (`Retiring`).
    pub due: Option<Tick>,
}

/// What the fleet looks like after a turn of the loop; the only thing that metrics and control know of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The runtime's state.
    pub state: RunState,
    /// What /readyz answers: a worker is ready, and no stop was asked for.
    pub ready: bool,
    /// What /startupz answers: all workers were ready once.
    pub started: bool,
    /// Workers wanted.
    pub desired: u16,
    /// Current generation.
    pub generation: Generation,
    /// The slots in order, one each.
    pub slots: Vec<WorkerView>,
    /// New workers that are to take a slot over and do not serve yet.
    pub rising: Vec<WorkerView>,
    /// Workers that hold no slot any more, drain or were told to stop, and are still alive.
    pub retiring: Vec<WorkerView>,
}

/// One listener's accept queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueSample {
    /// The shared port's address, e.g. `[::]:3000`.
    pub listener: String,
    /// The slot that serves the listener; `None` for a spare.
    pub worker: Option<SlotId>,
    /// Connections that wait to be accepted (`tcpi_unacked` of a listener, tcp(7)).
    pub length: u32,
    /// The most that may wait (`tcpi_sacked` of a listener).
    pub limit: u32,
    /// Whether new connections are steered to it.
    pub in_rotation: bool,
    /// Whether the slot's present worker has it.
    pub held: bool,
}

/// What the balance does at this moment (RPM_BALANCE=adaptive).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BalanceSample {
    /// How often it has changed who gets new connections.
    pub changes: u64,
    /// By slot, whether its worker gets none for the moment, on any port.
    pub passed_over: BTreeMap<SlotId, bool>,
}

/// One instruction of classic BPF, as `struct sock_filter` (linux/filter.h).
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

/// How the workers get the shared port.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct HandoverInfo {
    /// `intercept`, `activation` or `none`.
    pub handover: &'static str,
    /// `adaptive`, `random`, `hash`, `cpu`, or `none` (one common socket, or nothing shared).
    pub steering: &'static str,
    /// Why this and not the choice before it.
    pub reason: String,
}

/// What the log has done so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogTotals {
    /// Lines written, by `stdout`, `stderr`, `runtime`.
    pub lines: [u64; 3],
    /// Bytes written, by the same.
    pub bytes: [u64; 3],
    /// Lines given up, by the same and by `buffer_full` (RPM_LOG_OVERFLOW=drop), `rate_limit` (RPM_LOG_RATE), `closed`
    /// (the output refused them) and `own_queue_full` (the runtime's own lines, while the output was stuck).
    pub dropped: [[u64; 4]; 3],
    /// Lines given up, by worker and the first three of these reasons; those without any are left out.
    pub workers: BTreeMap<SlotId, [u64; 3]>,
    /// Lines longer than the limit, passed in pieces.
    pub split: u64,
    /// Bytes read and not yet written.
    pub buffer: u64,
    /// RPM_LOG_BUFFER.
    pub buffer_limit: u64,
    /// How long writes waited for a reader.
    pub blocked: Duration,
    /// Lines that files did not get, by `buffer_full` and `write_error`.
    pub files: [u64; 2],
    /// Rotations of files, by `success` and `failure`.
    pub rotations: [u64; 2],
}

impl LogTotals {
    /// Lines that an output did not get though they were meant for it: all but those of RPM_LOG_RATE.
    pub fn unwritten(&self) -> u64 {
        let reasons = self.dropped.iter().flat_map(|of| of.iter().enumerate());
        let meant = reasons.filter(|(reason, _)| *reason != 1);
        meant.map(|(_, lines)| *lines).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_rate_held_back_was_not_meant_for_the_output() {
        let totals = LogTotals {
            dropped: [[1, 20, 300, 0], [0, 4000, 0, 0], [0, 0, 0, 50000]],
            ..LogTotals::default()
        };
        assert_eq!(totals.unwritten(), 50301);
    }

    #[test]
    fn pids_of_everybody_cannot_be_written() {
        for raw in [i32::MIN, -1, 0, 1] {
            assert_eq!(Pid::new(raw), None);
        }
        assert_eq!(Pid::new(2).map(Pid::get), Some(2));
    }
}
