//! Finds what an ended worker has left: descendants of the runtime that belong to no other worker and hold its listener.

use std::collections::BTreeSet;

use crate::model::Pid;
use crate::sys::family::{Process, Processes};
use crate::sys::inspect::Seen;
use crate::sys::proc::Proc;

/// Most reads of all processes in one search.
const READS: u32 = 6;

/// What is known of a worker that has ended.
#[derive(Debug)]
pub struct Ended {
    /// Its PID, which is the number of its group.
    pub pid: Pid,
    /// The sockets of its listener.
    pub inodes: Vec<u64>,
    /// Its processes outside of its group when it got its stop signal.
    pub outsiders: Vec<Process>,
}

/// What a worker has left.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// What holds the listener outside of the worker's group, with its parents (they would start it again) and all that
    /// descends from these.
    pub outside: Vec<Process>,
    /// What holds the listener in the worker's group.
    pub in_group: Vec<Process>,
    /// Processes that belong to no worker and cannot be inspected.
    pub hidden: Vec<Process>,
}

/// Whether a process holds the listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// It does.
    Yes,
    /// It does not.
    No,
    /// The process has ended.
    Over,
    /// It cannot be inspected.
    Unknown,
}

impl Proc {
    /// Whether the process has one of these sockets open.
    pub fn holds(&self, process: &Process, inodes: &[u64]) -> Holds {
        match self.has_socket(process, inodes) {
            (true, _) => Holds::Yes,
            (false, Seen::Whole) if self.has_closed_all(process) => Holds::Over,
            (false, Seen::Whole) => Holds::No,
            (false, Seen::Over) => Holds::Over,
            (false, Seen::Hidden) => Holds::Unknown,
        }
    }
}

/// A search for what a worker has left.
pub struct Search<'a> {
    /// The PID of the runtime.
    pub own: i32,
    /// Whose processes are searched for.
    pub ended: &'a Ended,
    /// Whether a process is another worker, is in the group of one, or was found before.
    pub other: &'a dyn Fn(&Process) -> bool,
}

impl std::fmt::Debug for Search<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Search")
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

impl Search<'_> {
    /// Searches in `all`. `holds` inspects one process.
    ///
    /// A process may fork and end while `all` is read; then it was seen and its child was not. So if nothing is found
    /// and something has just ended, it reads again (`read`), for a bounded number of times, into `all`.
    pub fn find(
        &self,
        all: &mut Processes,
        holds: impl Fn(&Process) -> Holds,
        read: impl Fn() -> Processes,
    ) -> Found {
        let mut ended = BTreeSet::new();
        for _ in 1..READS {
            let (found, over) = self.find_in(all, &holds);
            let none = found.outside.is_empty() && found.in_group.is_empty();
            // A process that its parent does not reap stays, and tells nothing new.
            if !none || over.is_subset(&ended) {
                return found;
            }
            ended = over;
            *all = read();
        }
        self.find_in(all, &holds).0
    }

    /// The children of the runtime that belong to no other worker, and what is in the group of the ended one: if no
    /// listener tells, these may be what it left.
    pub fn strangers(&self, all: &Processes) -> Vec<Process> {
        let adopted = self.adopted(all).into_iter();
        let own = adopted.filter(|(_, parent)| parent.is_none());
        let group = all.group(self.ended.pid).into_iter();
        let found = own.map(|(process, _)| process).chain(group);
        let ended = self.ended.pid.get();
        found
            .filter(|one| one.pid != ended && !one.is_over())
            .collect()
    }

    /// Returns with it the processes that have ended meanwhile.
    fn find_in(
        &self,
        all: &Processes,
        holds: &impl Fn(&Process) -> Holds,
    ) -> (Found, BTreeSet<i32>) {
        let adopted = self.adopted(all);
        let mut over = all.gone_parents().clone();
        let (mut left, mut hidden) = (BTreeSet::new(), Vec::new());
        for (place, (process, _)) in adopted.iter().enumerate() {
            let holds = holds(process);
            let outsiders = &self.ended.outsiders;
            let was_its = || outsiders.iter().any(|one| one.is(process));
            let is_left = holds == Holds::Yes || (holds == Holds::Unknown && was_its());
            if is_left {
                // With its ancestors, up to our child: they would start it again.
                let mut next = Some(place);
                while let Some(place) = next.filter(|place| left.insert(*place)) {
                    next = adopted.get(place).and_then(|(_, parent)| *parent);
                }
            } else if holds == Holds::Unknown {
                hidden.push(place);
            } else if holds == Holds::Over {
                over.insert(process.pid);
            }
        }
        // Parents come before their children in the list.
        for (place, (_, parent)) in adopted.iter().enumerate() {
            if parent.is_some_and(|parent| left.contains(&parent)) {
                left.insert(place);
            }
        }
        hidden.retain(|place| !left.contains(place));
        let process = |place: usize| adopted.get(place).map(|(process, _)| *process);
        let mut found = Found {
            outside: left.into_iter().filter_map(process).collect(),
            in_group: Vec::new(),
            hidden: hidden.into_iter().filter_map(process).collect(),
        };
        for process in all.group(self.ended.pid) {
            if process.pid == self.ended.pid.get() {
                continue;
            }
            match holds(&process) {
                Holds::Yes => found.in_group.push(process),
                Holds::Over => {
                    over.insert(process.pid);
                }
                Holds::No | Holds::Unknown => {}
            }
        }
        (found, over)
    }

    /// Our descendants that belong to no worker, each with the place of its parent in this list, if that is not we: what
    /// ended workers have left. Without those that are in the group of the ended worker.
    fn adopted(&self, all: &Processes) -> Vec<(Process, Option<usize>)> {
        let ended = self.ended.pid.get();
        let ours = |process: &Process| {
            process.pid != ended && process.group != ended && !(self.other)(process)
        };
        let own = all.children(self.own).filter(&ours);
        let mut found: Vec<(Process, Option<usize>)> = own.map(|process| (process, None)).collect();
        let mut next = 0;
        while let Some((parent, _)) = found.get(next).copied() {
            for child in all.children(parent.pid).filter(&ours) {
                // The rows were not read at the same moment, so a reused PID may even close a cycle.
                if !found.iter().any(|(known, _)| known.pid == child.pid) {
                    found.push((child, Some(next)));
                }
            }
            next += 1;
        }
        found
    }
}

#[cfg(test)]
mod tests;
