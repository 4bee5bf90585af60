//! The answers to the commands.

use serde::{Deserialize, Serialize};

/// `reload`: it has begun, or will.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begun {
    /// Its number among the reloads of [`Health`].
    pub reload: u64,
    /// Another one is in progress; it follows.
    pub remembered: bool,
}

/// Nothing more is to be said: an empty object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {}

/// `scale`: the number of workers wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scaled {
    /// Before.
    pub from: u16,
    /// Now.
    pub to: u16,
}

/// `stop` and `start`: where something changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slots {
    /// Number of slots. 0: all were so already.
    pub slots: usize,
}

/// `flush`: what is empty now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Emptied {
    /// How many log files.
    pub files: usize,
    /// Log files that were left as they are, and why.
    pub left: Vec<String>,
    /// The lines in memory too (RPM_LOG_RING).
    pub memory: bool,
}

/// `signal`: who got it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signalled {
    /// Number of workers.
    pub workers: usize,
}

/// The end of a stream: what became of its items.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Streamed {
    /// How many were sent.
    pub items: u64,
    /// How many were lost, because the client did not take them in time.
    pub lost: u64,
}

/// An item of any stream that stands for those that were lost at its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    /// How many.
    pub lost: u64,
}

/// `version`: which runtime this is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// The version of the runtime.
    pub version: String,
    /// The commit it was built from.
    pub revision: Option<String>,
    /// Its process, as it sees itself.
    pub pid: u32,
    /// The name of the application (RPM_APP_NAME).
    pub app: String,
}

/// `env`: the resolved configuration, as `rpm-runtime --check` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Env {
    /// Every variable, in the order of the documentation.
    pub variables: Vec<Variable>,
}

/// One variable of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// What holds; `-` for nothing.
    pub value: String,
    /// Where it comes from: `default`, `environment`, `command line` or `file PATH`.
    pub source: String,
    /// How the value was calculated, if that is not obvious.
    pub note: Option<String>,
}

/// `health`: the state in short.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Health {
    /// `starting`, `running`, `reloading`, `draining` or `stopping`.
    pub state: String,
    /// What /readyz says: a worker is ready, and no stop was asked for.
    pub ready: bool,
    /// What /startupz says: all workers have been ready once.
    pub started: bool,
    /// Number of workers wanted.
    pub desired: u16,
    /// The number of the present version: how many reloads there were.
    pub generation: u32,
    /// How many workers are in which state.
    pub workers: Counts,
    /// The last reloads, the latest at the end.
    pub reloads: Vec<Reload>,
    /// How many new workers did not come up, in reloads or as replacements, since the start.
    pub failures: u64,
    /// Why the last of them did not.
    pub last_failure: Option<String>,
    /// The last of them, the latest at the end.
    #[serde(default)]
    pub failed: Vec<Failed>,
}

/// A new worker that did not come up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// They are counted from 1, over all slots: the `failures` of [`Health`] then.
    pub number: u64,
    /// Its slot.
    pub slot: u16,
    /// Why it did not come up.
    pub why: String,
}

/// How many workers are in which state. A slot without a worker counts as `backoff`, `stopped` or
/// `halted`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// They serve.
    pub ready: usize,
    /// They serve, and are of the present generation.
    pub current: usize,
    /// They were started and do not serve yet.
    pub starting: usize,
    /// Slots whose next worker is due later.
    pub backoff: usize,
    /// Slots that stay empty.
    pub stopped: usize,
    /// Slots that an operator stopped.
    #[serde(default)]
    pub halted: usize,
    /// They finish their requests.
    pub draining: usize,
    /// They were told to stop.
    pub retiring: usize,
}

/// A reload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reload {
    /// Its number: reloads are counted from 1.
    pub number: u64,
    /// The generation of its workers.
    pub generation: u32,
    /// Workers to replace.
    pub workers: usize,
    /// Workers that are replaced already.
    pub replaced: usize,
    /// `success`, `failure`, `superseded`; null while it runs.
    pub result: Option<String>,
    /// Why it failed.
    pub why: Option<String>,
    /// How long it took, or has taken so far.
    pub seconds: f64,
}

/// `list`: the runtime and its workers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct List {
    /// Which runtime this is.
    pub runtime: Version,
    /// How long it runs.
    pub uptime_seconds: f64,
    /// The state in short.
    pub health: Health,
    /// Every slot; then new workers that do not serve yet; then workers that leave.
    pub workers: Vec<Worker>,
}

/// Where a worker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// It has the slot, or the slot is empty.
    Slot,
    /// It will take over the slot.
    Rising,
    /// It has left the slot.
    Leaving,
}

/// One worker, or an empty slot. What is not known is null.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Worker {
    /// The slot.
    pub slot: u16,
    /// Where it stands.
    pub place: Place,
    /// The process.
    pub pid: Option<i32>,
    /// Its generation.
    pub generation: u32,
    /// `starting`, `ready`, `backoff`, `stopped`, `halted`, `draining` or `retiring`.
    pub state: String,
    /// Whether it serves.
    pub ready: bool,
    /// Since its start.
    pub uptime_seconds: Option<f64>,
    /// How often the slot got another worker.
    pub restarts: u64,
    /// How the last worker of the slot ended: `exit code 1`, `SIGKILL`.
    pub last_exit: Option<String>,
    /// Why it ended: a value of the label `cause` of `rpm_worker_exits_total`.
    pub last_cause: Option<String>,
    /// CPU time of the process since its start.
    pub cpu_seconds: Option<f64>,
    /// The same in percent of one CPU, over its life (as ps shows it).
    pub cpu_percent: Option<f64>,
    /// Resident memory of the process.
    pub memory_bytes: Option<u64>,
    /// Open connections of the slot's workers on shared ports.
    pub connections: Option<u64>,
    /// Connections that wait to be accepted, on all shared ports.
    pub queue: Option<u64>,
    /// Whether new connections go to it.
    pub in_rotation: Option<bool>,
    /// Seconds until the next start (backoff), the end of the drain, or SIGKILL.
    pub due_seconds: Option<f64>,
    /// Its own status text (sd_notify, STATUS=).
    pub status: Option<String>,
}
