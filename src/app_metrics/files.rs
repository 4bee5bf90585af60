//! Metrics of programs that keep them in files. Every process has files of its own, whether it is a worker or a child
//! of a worker.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use tracing::warn;

use crate::app_metrics::merge::ProcessKey;
use crate::app_metrics::multiproc::{Reading, Store};
use crate::exposition::Parsed;
use crate::model::{Pid, SlotId};
use crate::sys::clock;
use crate::sys::family::Process;
use crate::sys::proc::{Proc, ProcDir};

use super::results::{FAMILY, ScrapeResults, ScrapeTarget};

/// The slot of a process that belongs to no worker. Its gauges are not shown.
const NOBODY: SlotId = SlotId(u16::MAX);

/// The directory of the files and the processes that write them.
#[derive(Debug)]
pub struct Files {
    store: Store,
    proc: Proc,
    /// Processes that are not workers.
    children: HashMap<u32, Child>,
    /// Number of keys assigned to children so far.
    given: u64,
    /// Living processes without a worker, seen by only one reading. A worker that was started a moment ago may be among
    /// them, and must not first be counted as a child.
    new: HashSet<u32>,
    told: bool,
}

/// A process that is not a worker itself.
#[derive(Clone, Copy, Debug)]
struct Child {
    slot: SlotId,
    process: ProcessKey,
    /// The worker to which it belonged when it was first seen; its own key if it belonged to none.
    worker: ProcessKey,
}

impl Files {
    /// Opens the directory and removes files of an earlier run.
    pub fn open(directory: &Path) -> io::Result<Self> {
        Ok(Self {
            store: Store::open(directory)?,
            proc: Proc::new("/proc"),
            children: HashMap::new(),
            given: 0,
            new: HashSet::new(),
            told: false,
        })
    }

    /// Reads the files of all processes. Removes the files of ended processes after taking their values.
    pub(super) fn read(&mut self, results: &mut ScrapeResults) {
        let begun = clock::instant();
        let reading = self.store.read();
        let took = clock::instant().saturating_duration_since(begun);
        let workers: Vec<ScrapeTarget> = results.workers().collect();
        match reading {
            Ok(reading) => self.take(reading, &workers, took, results),
            Err(error) => {
                for worker in workers {
                    let reason = format!("cannot list PROMETHEUS_MULTIPROC_DIR: {error}");
                    results.answered(worker, Err(reason), took);
                }
            }
        }
    }

    /// Handles the end of a worker: takes its last values and removes its files.
    pub(super) fn ended(&self, results: &mut ScrapeResults, worker: ScrapeTarget) {
        let pid = number(worker.pid);
        if let Some(parsed) = self.store.last(pid) {
            results.take(worker.slot, worker.process, worker.process, parsed);
        }
        self.remove(pid);
    }

    fn take(
        &mut self,
        mut reading: Reading,
        workers: &[ScrapeTarget],
        took: Duration,
        results: &mut ScrapeResults,
    ) {
        results.merger.suggest(reading.modes);
        if reading.unreadable > 0 && !std::mem::replace(&mut self.told, true) {
            warn!(
                files = reading.unreadable,
                "some metrics files of workers cannot be read: they belong to another user, have an unknown name, or are too many (PROMETHEUS_MULTIPROC_DIR; logged once)"
            );
        }
        for worker in workers {
            let own = reading.processes.remove(&number(worker.pid));
            results.answered(*worker, Ok(own.unwrap_or_default()), took);
        }
        let processes = reading.processes;
        // Another process removed their files.
        let forgotten = self
            .children
            .extract_if(|pid, _| !processes.contains_key(pid));
        for (_, child) in forgotten {
            results.process_ended(child.process);
        }
        self.new.retain(|pid| processes.contains_key(pid));
        if processes.is_empty() {
            return;
        }
        let families = self.families(workers);
        for (pid, parsed) in processes {
            self.child(pid, parsed, &families, results);
        }
    }

    /// All present processes of all workers, each with its worker.
    fn families(&self, workers: &[ScrapeTarget]) -> HashMap<i32, (Process, ScrapeTarget)> {
        // If /proc cannot be read, no process is assigned to a worker.
        let seen = self.proc.processes().unwrap_or_default();
        let family = |worker: &ScrapeTarget| {
            let (family, worker) = (seen.family(worker.pid), *worker);
            let member = move |process: Process| (process.pid, (process, worker));
            family.into_iter().map(member)
        };
        workers.iter().flat_map(family).collect()
    }

    fn child(
        &mut self,
        pid: u32,
        parsed: Parsed,
        families: &HashMap<i32, (Process, ScrapeTarget)>,
        results: &mut ScrapeResults,
    ) {
        let child_pid = i32::try_from(pid).ok().and_then(Pid::new);
        let seen = child_pid.and_then(|pid| families.get(&pid.get()));
        let is_over = match (seen, child_pid) {
            (Some((process, _)), _) => process.is_over(),
            (None, Some(pid)) => self.is_gone(pid),
            (None, None) => true,
        };
        let known = self.children.get(&pid).copied();
        if known.is_none() && seen.is_none() && !is_over && self.new.insert(pid) {
            return;
        }
        let child = known.unwrap_or_else(|| {
            let leader = seen.map(|(_, worker)| worker);
            // Above the key of its worker, below that of the next worker.
            let process = self.new_key(leader.map_or(0, |worker| worker.process.0));
            Child {
                slot: leader.map_or(NOBODY, |worker| worker.slot),
                process,
                worker: leader.map_or(process, |worker| worker.process),
            }
        });
        let Child {
            slot,
            process,
            worker,
        } = child;
        if is_over {
            // It may have written more between the reading and its end.
            let last = self.store.last(pid).unwrap_or(parsed);
            results.take(slot, worker, process, last);
            results.process_ended(process);
            self.children.remove(&pid);
            self.remove(pid);
            return;
        }
        self.children.insert(pid, child);
        results.take(slot, worker, process, parsed);
        if slot == NOBODY {
            // There is no slot to show its gauges under; its counters count.
            results.merger.missing(slot, process);
        }
    }

    /// An unused key for a child. There is only a limited number of them between `worker` and the next worker.
    fn new_key(&mut self, worker: u64) -> ProcessKey {
        loop {
            self.given = self.given % (FAMILY - 1) + 1;
            let process = ProcessKey(worker + self.given);
            // A long-lived child may still use it.
            if self.children.values().all(|child| child.process != process) {
                return process;
            }
        }
    }

    /// Whether the process does not exist. If this cannot be read, for example for lack of descriptors, the process
    /// counts as existing.
    fn is_gone(&self, process: Pid) -> bool {
        let gone = |error: io::Error| {
            error.kind() == io::ErrorKind::NotFound
                || error.raw_os_error() == Some(Errno::ESRCH as i32)
        };
        self.proc.stat(ProcDir::Of(process)).is_err_and(gone)
    }

    fn remove(&self, pid: u32) {
        if let Err(error) = self.store.remove(pid) {
            warn!(pid, %error, "cannot remove the metrics of an ended process (PROMETHEUS_MULTIPROC_DIR)");
        }
    }
}

fn number(pid: Pid) -> u32 {
    pid.get().unsigned_abs()
}

#[cfg(test)]
mod tests;
