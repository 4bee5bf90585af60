//! Metrics of programs that keep them in files. Every process has files of its own, whether it is a worker or a child
//! of a worker.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use tracing::warn;

use crate::app_metrics::multiproc::{Listing, Reading, Store};
use crate::model::Pid;
use crate::sys::clock;
use crate::sys::proc::{Proc, ProcDir};

use super::children::{Children, NOBODY};
use super::results::{ScrapeResults, ScrapeTarget};

/// The directory of the files and the processes that write them.
#[derive(Debug)]
pub struct Files {
    store: Store,
    proc: Proc,
    /// Processes that are not workers.
    children: Children,
    /// Living processes without a worker, seen by only one reading. A worker that was started a moment ago may be among
    /// them, and must not first be counted as a child.
    new: HashSet<u32>,
    told: bool,
}

/// What /proc tells of the processes that have files.
#[derive(Debug, Default)]
struct Lives {
    /// Those that belong to a worker.
    families: HashMap<u32, ScrapeTarget>,
    /// Those that have ended.
    over: HashSet<u32>,
}

impl Files {
    /// Opens the directory and removes files of an earlier run.
    pub fn open(directory: &Path) -> io::Result<Self> {
        Ok(Self {
            store: Store::open(directory)?,
            proc: Proc::new("/proc"),
            children: Children::default(),
            new: HashSet::new(),
            told: false,
        })
    }

    /// Reads the files of all processes. Removes the files of ended processes after taking their values.
    pub(super) fn read(&mut self, results: &mut ScrapeResults) {
        let begun = clock::instant();
        let workers: Vec<ScrapeTarget> = results.workers().collect();
        // What is read of a process that has ended before is final.
        let listed = self.store.list().map(|listing| {
            let lives = self.lives(&listing, &workers);
            let reading = self.store.read_listed(&listing);
            (listing, lives, reading)
        });
        let took = clock::instant().saturating_duration_since(begun);
        match listed {
            Ok((listing, lives, reading)) => {
                self.take(reading, (&listing, &lives), &workers, took, results);
            }
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
        removed(pid, self.store.remove(pid));
    }

    fn take(
        &mut self,
        mut reading: Reading,
        (listing, lives): (&Listing, &Lives),
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
        let Reading {
            processes, short, ..
        } = reading;
        // Another process removed their files.
        for child in self.children.retain(|pid| processes.contains_key(pid)) {
            results.process_ended(child.process);
        }
        self.new.retain(|pid| processes.contains_key(pid));
        for (pid, parsed) in processes {
            let is_over = lives.over.contains(&pid);
            let seen = lives.families.get(&pid);
            let known = self.children.get(pid);
            if known.is_none() && seen.is_none() && !is_over && self.new.insert(pid) {
                continue;
            }
            let child = known.unwrap_or_else(|| self.children.make(seen));
            if is_over {
                // For want of room some of it was left out. Nobody else is read now.
                let whole = short.contains(&pid).then(|| self.store.last(pid));
                let last = whole.flatten().unwrap_or(parsed);
                results.take(child.slot, child.worker, child.process, last);
                results.process_ended(child.process);
                self.children.remove(pid);
                removed(pid, self.store.remove_listed(listing, pid));
                continue;
            }
            self.children.insert(pid, child);
            results.take(child.slot, child.worker, child.process, parsed);
            if child.slot == NOBODY {
                // There is no slot to show its gauges under; its counters count.
                results.merger.missing(child.slot, child.process);
            }
        }
    }

    /// Which of the listed processes live, and to which worker they belong. Workers are left out.
    fn lives(&self, listing: &Listing, workers: &[ScrapeTarget]) -> Lives {
        let own: HashSet<u32> = workers.iter().map(|worker| number(worker.pid)).collect();
        let others: Vec<u32> = listing.pids().filter(|pid| !own.contains(pid)).collect();
        let mut lives = Lives::default();
        if others.is_empty() {
            return lives;
        }
        // If /proc cannot be read, no process is assigned to a worker.
        let seen = self.proc.processes().unwrap_or_default();
        for worker in workers {
            for process in seen.family(worker.pid) {
                if let Ok(pid) = u32::try_from(process.pid) {
                    lives.families.insert(pid, *worker);
                    if process.is_over() {
                        lives.over.insert(pid);
                    }
                }
            }
        }
        for pid in others {
            let is_gone = || {
                let process = i32::try_from(pid).ok().and_then(Pid::new);
                process.is_none_or(|process| self.is_gone(process))
            };
            if !lives.families.contains_key(&pid) && is_gone() {
                lives.over.insert(pid);
            }
        }
        lives
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
}

fn removed(pid: u32, outcome: io::Result<usize>) {
    if let Err(error) = outcome {
        warn!(pid, %error, "cannot remove the metrics of an ended process (PROMETHEUS_MULTIPROC_DIR)");
    }
}

fn number(pid: Pid) -> u32 {
    pid.get().unsigned_abs()
}

#[cfg(test)]
mod tests;
