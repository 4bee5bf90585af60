//! Programs that keep their metrics in files: every process has its own, whether it is a worker or one that a worker
//! started.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use tracing::warn;

use crate::app_metrics::merge::Life;
use crate::app_metrics::multiproc::{Reading, Store};
use crate::exposition::Parsed;
use crate::model::{Pid, SlotId};
use crate::sys::clock;
use crate::sys::family::Process;
use crate::sys::proc::{Proc, Whose};

use super::results::{FAMILY, Keeper, Worker};

/// The slot of a process that belongs to no worker: its gauges are not shown.
const NOBODY: SlotId = SlotId(u16::MAX);

/// The directory, and whose files are in it.
#[derive(Debug)]
pub struct Files {
    store: Store,
    proc: Proc,
    /// Processes that workers started.
    children: HashMap<u32, Child>,
    /// Lives that were given to them.
    given: u64,
    /// Processes of nobody, alive, that were seen by one reading only. A worker that was started a moment ago may be among
    /// them, and must not be counted as somebody else first.
    new: HashSet<u32>,
    told: bool,
}

/// A process that is no worker itself.
#[derive(Clone, Copy, Debug)]
struct Child {
    slot: SlotId,
    life: Life,
    /// The worker to whose family it belonged when it was first seen; its own life if to none.
    worker: Life,
}

impl Files {
    /// Opens the directory and removes what an earlier run left in it.
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

    /// Takes in what all processes wrote, and compacts what ended ones left.
    pub(super) fn read(&mut self, keeper: &mut Keeper) {
        let begun = clock::instant();
        let reading = self.store.read();
        let took = clock::instant().saturating_duration_since(begun);
        let workers: Vec<Worker> = keeper.workers().collect();
        match reading {
            Ok(reading) => self.take(reading, &workers, took, keeper),
            Err(error) => {
                for worker in workers {
                    let reason = format!("cannot list PROMETHEUS_MULTIPROC_DIR: {error}");
                    keeper.answered(worker, Err(reason), took);
                }
            }
        }
    }

    /// A worker ended: its last words are taken in, and its files removed.
    pub(super) fn ended(&self, keeper: &mut Keeper, worker: Worker) {
        let pid = number(worker.pid);
        if let Some(parsed) = self.store.last(pid) {
            keeper.take(worker.slot, worker.life, worker.life, parsed);
        }
        self.remove(pid);
    }

    fn take(
        &mut self,
        mut reading: Reading,
        workers: &[Worker],
        took: Duration,
        keeper: &mut Keeper,
    ) {
        keeper.merger.suggest(reading.modes);
        if reading.unreadable > 0 && !std::mem::replace(&mut self.told, true) {
            warn!(
                files = reading.unreadable,
                "metrics of workers cannot be read: files of another user, with another name, or too many (PROMETHEUS_MULTIPROC_DIR; told once)"
            );
        }
        for worker in workers {
            let own = reading.processes.remove(&number(worker.pid));
            keeper.answered(*worker, Ok(own.unwrap_or_default()), took);
        }
        let processes = reading.processes;
        // Somebody else removed their files.
        let forgotten = self
            .children
            .extract_if(|pid, _| !processes.contains_key(pid));
        for (_, child) in forgotten {
            keeper.gone(child.life);
        }
        self.new.retain(|pid| processes.contains_key(pid));
        if processes.is_empty() {
            return;
        }
        let families = self.families(workers);
        for (pid, parsed) in processes {
            self.child(pid, parsed, &families, keeper);
        }
    }

    /// All that belongs to a worker at this moment, with the worker.
    fn families(&self, workers: &[Worker]) -> HashMap<i32, (Process, Worker)> {
        // Where /proc cannot be read, they are nobody's.
        let seen = self.proc.processes().unwrap_or_default();
        let family = |worker: &Worker| {
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
        families: &HashMap<i32, (Process, Worker)>,
        keeper: &mut Keeper,
    ) {
        let process = i32::try_from(pid).ok().and_then(Pid::new);
        let seen = process.and_then(|process| families.get(&process.get()));
        let is_over = match (seen, process) {
            (Some((process, _)), _) => process.is_over(),
            (None, Some(process)) => self.is_gone(process),
            (None, None) => true,
        };
        let known = self.children.get(&pid).copied();
        if known.is_none() && seen.is_none() && !is_over && self.new.insert(pid) {
            return;
        }
        let child = known.unwrap_or_else(|| {
            let leader = seen.map(|(_, worker)| worker);
            // Younger than the worker, older than the next one.
            let life = self.new_life(leader.map_or(0, |worker| worker.life.0));
            Child {
                slot: leader.map_or(NOBODY, |worker| worker.slot),
                life,
                worker: leader.map_or(life, |worker| worker.life),
            }
        });
        let Child { slot, life, worker } = child;
        if is_over {
            // Between the reading and its end it may have written more.
            let last = self.store.last(pid).unwrap_or(parsed);
            keeper.take(slot, worker, life, last);
            keeper.gone(life);
            self.children.remove(&pid);
            self.remove(pid);
            return;
        }
        self.children.insert(pid, child);
        keeper.take(slot, worker, life, parsed);
        if slot == NOBODY {
            // No slot could be named for its gauges; what it counts is counted.
            keeper.merger.missing(slot, life);
        }
    }

    /// One that none has, of which so many are younger than `worker` only.
    fn new_life(&mut self, worker: u64) -> Life {
        loop {
            self.given = self.given % (FAMILY - 1) + 1;
            let life = Life(worker + self.given);
            // An old child may have it still.
            if self.children.values().all(|child| child.life != life) {
                return life;
            }
        }
    }

    /// Whether there is no such process. One that cannot be looked at, for want of a descriptor say, is there.
    fn is_gone(&self, process: Pid) -> bool {
        let gone = |error: io::Error| {
            error.kind() == io::ErrorKind::NotFound
                || error.raw_os_error() == Some(Errno::ESRCH as i32)
        };
        self.proc.stat(Whose::Of(process)).is_err_and(gone)
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
#[path = "files_tests.rs"]
mod tests;
