//! The answer to `describe`.

use serde::{Deserialize, Serialize};

use super::Worker;

/// `describe`: everything of one slot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Described {
    /// The worker that has the slot, or the empty slot; then a new one that will take over, and those that leave.
    pub workers: Vec<Worker>,
    /// Workers of the slot in a row that did not live long enough.
    pub streak: u32,
    /// The command line of the worker.
    pub command: Vec<String>,
    /// The names of the variables that it got, in their order. Empty without a process.
    pub environment: Vec<String>,
    /// How it gets the shared ports.
    pub handover: Handed,
    /// Its listeners and UDP sockets on shared ports.
    pub listeners: Vec<Listener>,
    /// How the last workers of the slot ended, the latest at the end.
    pub exits: Vec<Ended>,
}

/// How workers get the shared ports, and why so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handed {
    /// `intercept`, `activation` or `none`.
    pub handover: String,
    /// Which worker gets a new connection: `adaptive`, `random`, `hash`, `cpu`, or `none`.
    pub steering: String,
    /// Why.
    pub reason: String,
}

/// One listener or UDP socket of a slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    /// The address: `[::]:3000`, `unix:/run/app.sock`.
    pub address: String,
    /// What `queue` and `limit` count: `connections`, or `bytes` of datagrams.
    pub unit: String,
    /// What waits.
    pub queue: u32,
    /// Most that may wait.
    pub limit: u32,
    /// Whether what is new goes to it.
    pub in_rotation: bool,
    /// Whether the present worker has taken it.
    pub taken: bool,
}

/// How a worker ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ended {
    /// When, in seconds since 1970.
    pub time: u64,
    /// The process.
    pub pid: i32,
    /// How: `exit code 1`, `SIGKILL`.
    pub exit: String,
    /// Why: a value of the label `cause` of `rpm_worker_exits_total`.
    pub cause: String,
    /// How long it lived.
    pub uptime_seconds: f64,
    /// The last lines that it wrote to stderr.
    pub lines: Vec<String>,
}
