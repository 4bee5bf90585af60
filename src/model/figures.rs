//! What is read of workers only when somebody looks.

use std::time::Duration;

use super::{
    BalanceSample, Generation, QueueSample, ReloadResult, Snapshot, Tick, WorkerState, WorkerView,
};

/// The state of the service at one moment, with what was read of the workers' processes and connections for it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Look {
    /// The fleet.
    pub snapshot: Snapshot,
    /// The time of the snapshot.
    pub now: Tick,
    /// The queue of every listener.
    pub queues: Vec<QueueSample>,
    /// State of the balancing thread, if it runs.
    pub balance: Option<BalanceSample>,
    /// One entry for each worker of the snapshot: those of the slots, then the rising ones, then the retiring ones.
    pub figures: Vec<WorkerFigures>,
    /// The last reloads, the latest at the end.
    pub reloads: Vec<ReloadView>,
}

/// What was read of one worker. `None`: not known.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct WorkerFigures {
    /// CPU time of its main process since the start of that process.
    pub cpu: Option<Duration>,
    /// The same in percent of one CPU, over the life of the process.
    pub cpu_percent: Option<f64>,
    /// Resident memory of its main process, bytes.
    pub memory: Option<u64>,
    /// Open connections of the slot's workers on shared ports.
    pub connections: Option<u64>,
    /// Connections that wait to be accepted, on all shared ports.
    pub queue: Option<u64>,
    /// Whether new connections go to it.
    pub in_rotation: Option<bool>,
}

/// One reload, as shown to users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReloadView {
    /// Counted from 1.
    pub number: u64,
    /// The generation of its workers.
    pub generation: Generation,
    /// Workers to replace.
    pub workers: usize,
    /// Workers that are replaced already.
    pub replaced: usize,
    /// How it ended; `None` while it runs.
    pub result: Option<ReloadResult>,
    /// Why it failed, for everybody to read.
    pub why: Option<String>,
    /// The same with the last lines of the program and how its check failed, which may tell more than everybody should read.
    pub why_and_lines: Option<String>,
    /// How long it took, or has taken so far.
    pub took: Duration,
}

/// Connections of the ready worker that has the most, over their mean: 1 is even, also without connections. `None` if none
/// is known. Takes the worker of each slot with its connections.
#[expect(clippy::cast_precision_loss, reason = "a process has far less")]
pub fn spread<'a>(slots: impl Iterator<Item = (&'a WorkerView, Option<u64>)>) -> Option<f64> {
    let ready = slots.filter(|(slot, _)| slot.state == WorkerState::Ready);
    let counts: Vec<u64> = ready.filter_map(|(_, count)| count).collect();
    let most = counts.iter().max().copied()? as f64;
    let mean = counts.iter().sum::<u64>() as f64 / counts.len() as f64;
    Some(if mean > 0.0 { most / mean } else { 1.0 })
}
