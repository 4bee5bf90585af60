//! The processes that have metrics files and are not workers.

use std::collections::{HashMap, HashSet};

use crate::app_metrics::merge::ProcessKey;
use crate::model::SlotId;

use super::results::{FAMILY, ScrapeTarget};

/// The slot of a process that belongs to no worker. Its gauges are not shown.
pub(super) const NOBODY: SlotId = SlotId(u16::MAX);

/// A process that is not a worker itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Child {
    pub(super) slot: SlotId,
    pub(super) process: ProcessKey,
    /// The worker to which it belonged when it was first seen; its own key if it belonged to none.
    pub(super) worker: ProcessKey,
}

/// All of them, by PID.
#[derive(Debug, Default)]
pub(super) struct Children {
    pub(super) by_pid: HashMap<u32, Child>,
    /// Their keys.
    used: HashSet<ProcessKey>,
    /// Number of keys assigned so far.
    pub(super) given: u64,
}

impl Children {
    pub(super) fn get(&self, pid: u32) -> Option<Child> {
        self.by_pid.get(&pid).copied()
    }

    pub(super) fn insert(&mut self, pid: u32, child: Child) {
        self.by_pid.insert(pid, child);
        self.used.insert(child.process);
    }

    pub(super) fn remove(&mut self, pid: u32) {
        if let Some(child) = self.by_pid.remove(&pid) {
            self.used.remove(&child.process);
        }
    }

    /// Keeps those that `keep` names, and returns the others.
    pub(super) fn retain(&mut self, keep: impl Fn(&u32) -> bool) -> Vec<Child> {
        let gone = self.by_pid.extract_if(|pid, _| !keep(pid));
        let gone: Vec<Child> = gone.map(|(_, child)| child).collect();
        for child in &gone {
            self.used.remove(&child.process);
        }
        gone
    }

    /// A new one, of this worker.
    pub(super) fn make(&mut self, worker: Option<&ScrapeTarget>) -> Child {
        // Above the key of its worker, below that of the next worker.
        let process = self.new_key(worker.map_or(0, |worker| worker.process.0));
        Child {
            slot: worker.map_or(NOBODY, |worker| worker.slot),
            process,
            worker: worker.map_or(process, |worker| worker.process),
        }
    }

    /// An unused key. There is only a limited number of them between `worker` and the next worker.
    fn new_key(&mut self, worker: u64) -> ProcessKey {
        loop {
            self.given = self.given % (FAMILY - 1) + 1;
            let process = ProcessKey(worker + self.given);
            // A long-lived child may still use it.
            if !self.used.contains(&process) {
                return process;
            }
        }
    }
}
