//! Processes that outlive their worker, have left its process group, and still hold its listener: the program went to
//! the background (daemonised), or it runs in a session of its own (`su -c`, setsid). They would go on answering the
//! clients of the next worker of that listener, so they are stopped as the rest of the worker's group is.

use std::collections::{BTreeSet, HashMap};
use std::ops::ControlFlow;

use tracing::warn;

use crate::model::{Exit, Pid, Sig};
use crate::sys::family::{Process, Processes};
use crate::sys::inspect::Seen;
use crate::sys::proc::Proc;
use crate::sys::signals;

use super::Supervisor;
use super::drains::UNSEEN_HINT;

/// How to keep a program in the foreground.
const FOREGROUND_HINT: &str =
    "run the program in the foreground, for example nginx -g 'daemon off;'";

/// What ended workers left outside of their groups, by worker.
#[derive(Debug, Default)]
pub(super) struct Leftovers {
    by_worker: HashMap<Pid, Left>,
    /// All processes, when a worker of this turn was told to stop.
    seen: Option<Processes>,
}

impl Leftovers {
    /// Forgets the processes of this turn.
    pub(super) fn forget_seen(&mut self) {
        self.seen = None;
    }
}

/// The processes that one worker left.
#[derive(Debug)]
struct Left {
    processes: Vec<Process>,
    /// The listener that they may hold.
    inodes: Vec<u64>,
    /// The last signal that was sent to them.
    sent: Option<Sig>,
    /// Those that have got it.
    told: BTreeSet<i32>,
}

impl Left {
    /// Sends `sig` to those of our children that have not got it. The others are children of these; they become ours
    /// when their parent ends.
    fn tell(&mut self, proc: &Proc, sig: Sig) {
        if self.sent != Some(sig) {
            self.sent = Some(sig);
            self.told.clear();
        }
        let waiting = self
            .processes
            .iter()
            .filter(|one| !self.told.contains(&one.pid));
        let children: Vec<Process> = waiting.filter(|one| is_child(proc, one)).copied().collect();
        for process in children {
            self.told.insert(process.pid);
            let Some(pid) = Pid::new(process.pid) else {
                continue;
            };
            // A child that is not reaped keeps its PID, so the signal reaches no other process.
            let sent = signals::send(pid, sig).and_then(|()| match sig {
                Sig::KILL => Ok(()),
                // A stopped process handles its signal only when it continues.
                _ => signals::send(pid, Sig::CONT),
            });
            if let Err(errno) = sent {
                warn!(pid = pid.get(), signal = %sig, error = errno.desc(), "cannot signal a process that a worker left");
            }
        }
    }
}

/// Whether this is still the process that was found, and our child.
fn is_child(proc: &Proc, found: &Process) -> bool {
    now(proc, found).is_some_and(|now| now.parent == own_pid())
}

/// The process as it is now; `None` if it has ended.
fn now(proc: &Proc, found: &Process) -> Option<Process> {
    let now = proc.process(Pid::new(found.pid)?)?;
    (now.group == found.group && !now.is_over()).then_some(now)
}

fn own_pid() -> i32 {
    i32::try_from(std::process::id()).unwrap_or(0)
}

fn proc() -> Proc {
    Proc::new("/proc")
}

/// What is known of a worker that has ended.
struct Ended {
    pid: Pid,
    exit: Exit,
    /// It got its stop signal.
    told: bool,
    inodes: Vec<u64>,
    outsiders: Vec<Process>,
}

impl Supervisor {
    /// Remembers the processes of a worker that are not in its group. If they cannot be inspected, nothing else tells
    /// after the worker's end whose they were.
    pub(super) fn note_outsiders(&mut self, pid: Pid) {
        // In the stop, no listener is used again.
        if self.sharing.is_none() || self.fleet.stopping() {
            return;
        }
        // A restart tells all workers in one turn, and reading all processes may take milliseconds.
        let seen = self.leftovers.seen.take();
        let processes = seen.unwrap_or_else(|| proc().processes().unwrap_or_default());
        if let Some(worker) = self.workers.get_mut(pid) {
            worker.outsiders = processes.family(pid);
            worker.outsiders.retain(|one| one.group != pid.get());
        }
        self.leftovers.seen = Some(processes);
    }

    /// Finds what the worker `pid` left outside of its group. Call it when the worker was reaped and its record is
    /// still there. `processes` is read at the first call of a turn. `group_left`: its group has processes too, of which one
    /// may just be on its way out of it. Returns whether there is any, in the group or outside.
    pub(super) fn find_leftovers(
        &mut self,
        pid: Pid,
        exit: Exit,
        processes: &mut Option<Processes>,
        group_left: bool,
    ) -> bool {
        let (Some(sharing), Some(worker)) = (&self.sharing, self.workers.get_mut(pid)) else {
            return group_left;
        };
        let ended = Ended {
            pid,
            exit,
            told: worker.told,
            inodes: worker
                .listener
                .map(|listener| sharing.ports.inodes(listener))
                .unwrap_or_default(),
            outsiders: std::mem::take(&mut worker.outsiders),
        };
        let slot = worker.slot;
        let proc = proc();
        let all = processes.get_or_insert_with(|| proc.processes().unwrap_or_default());
        let (left, hidden) = self.left_by(&ended, all, &proc);
        let mut group = all.group(pid).into_iter();
        let group_left = group_left || group.any(|one| one.pid != pid.get() && !one.is_over());
        if let Some(process) = hidden.first() {
            let hint = UNSEEN_HINT;
            warn!(
                slot = slot.0,
                pid = pid.get(),
                process = process.pid,
                processes = hidden.len(),
                hint,
                "cannot inspect processes that an ended worker may have left (another uid, or not dumpable); if they hold its listener, they go on answering"
            );
        }
        let first = left.first().map(|process| process.pid);
        let count = left.len();
        if first.is_some() || group_left {
            let left = Left {
                processes: left,
                inodes: ended.inodes,
                sent: None,
                told: BTreeSet::new(),
            };
            self.leftovers.by_worker.insert(pid, left);
        }
        let Some(process) = first else {
            return group_left;
        };
        if !ended.told && ended.exit == Exit::Code(0) {
            let hint = FOREGROUND_HINT;
            warn!(
                slot = slot.0,
                pid = pid.get(),
                process,
                processes = count,
                hint,
                "the program went to the background: its worker has ended and other processes hold its listener, stopping them"
            );
        } else {
            warn!(
                slot = slot.0,
                pid = pid.get(),
                process,
                processes = count,
                "a worker left processes in another session that hold its listener, stopping them"
            );
        }
        true
    }

    /// The processes that belong to the ended worker, and those of which this cannot be known.
    fn left_by(&self, ended: &Ended, all: &Processes, proc: &Proc) -> (Vec<Process>, Vec<Process>) {
        let adopted = self.adopted(all, ended.pid);
        let (mut left, mut hidden) = (BTreeSet::new(), Vec::new());
        for (place, (process, _)) in adopted.iter().enumerate() {
            let mut holds = false;
            let seen = proc.sockets(process, &mut |inode| {
                holds = ended.inodes.contains(&inode);
                if holds {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            });
            let known = |one: &Process| (one.pid, one.group) == (process.pid, process.group);
            if holds || (seen == Seen::Hidden && ended.outsiders.iter().any(known)) {
                // With its ancestors, up to our child: they would start it again.
                let mut next = Some(place);
                while let Some(place) = next.filter(|place| left.insert(*place)) {
                    next = adopted.get(place).and_then(|(_, parent)| *parent);
                }
            } else if seen == Seen::Hidden {
                hidden.push(place);
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
        let hidden = hidden.into_iter().filter_map(process).collect();
        (left.into_iter().filter_map(process).collect(), hidden)
    }

    /// Our descendants that belong to no worker, each with the place of its parent in this list, if that is not we: what
    /// ended workers have left. Without those that are in the group of a worker or of `ended`, and those that are
    /// stopped already.
    fn adopted(&self, all: &Processes, ended: Pid) -> Vec<(Process, Option<usize>)> {
        let of_a_worker = |number: i32| {
            number == ended.get()
                || Pid::new(number).is_some_and(|pid| self.workers.get(pid).is_some())
        };
        let is_left = |process: &Process| {
            let lefts = self.leftovers.by_worker.values();
            lefts
                .flat_map(|left| &left.processes)
                .any(|one| one.pid == process.pid)
        };
        let ours = |process: &Process| {
            !of_a_worker(process.pid) && !of_a_worker(process.group) && !is_left(process)
        };
        let own = all.children(own_pid()).filter(&ours);
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

    /// Sends the stop signal or SIGKILL to what this worker left outside of its group.
    pub(super) fn tell_leftovers(&mut self, pid: Pid, sig: Sig) {
        if let Some(left) = self.leftovers.by_worker.get_mut(&pid) {
            left.tell(&proc(), sig);
        }
    }

    /// Forgets the processes that have ended, after `reaped` were. Children of theirs are ours now and get their signal.
    pub(super) fn sweep_leftovers(&mut self, reaped: &[(Pid, Exit)]) {
        if self.leftovers.by_worker.is_empty() {
            return;
        }
        let proc = proc();
        let sweeping: BTreeSet<i32> = self.fleet.sweeping().map(Pid::get).collect();
        self.leftovers.by_worker.retain(|leader, left| {
            let reaped = |one: &Process| reaped.iter().any(|(pid, _)| pid.get() == one.pid);
            left.processes
                .retain(|one| !reaped(one) && now(&proc, one).is_some());
            if let Some(sig) = left.sent {
                left.tell(&proc, sig);
            }
            sweeping.contains(&leader.get())
        });
    }

    /// Looks again who holds the listener of this worker, when all that was known of it has ended: a program forks and
    /// changes its session on its way to the background. Returns whether there is any.
    pub(super) fn find_more_leftovers(&mut self, pid: Pid) -> bool {
        let Some(left) = self.leftovers.by_worker.get(&pid) else {
            return false;
        };
        let ended = Ended {
            pid,
            exit: Exit::Code(0),
            told: true,
            inodes: left.inodes.clone(),
            outsiders: Vec::new(),
        };
        let proc = proc();
        let all = proc.processes().unwrap_or_default();
        let (more, _) = self.left_by(&ended, &all, &proc);
        let Some(left) = self.leftovers.by_worker.get_mut(&pid) else {
            return false;
        };
        left.processes = more;
        if let Some(sig) = left.sent {
            left.tell(&proc, sig);
        }
        !left.processes.is_empty()
    }

    /// Whether something is left of this worker outside of its group.
    pub(super) fn has_leftovers(&self, pid: Pid) -> bool {
        let left = self.leftovers.by_worker.get(&pid);
        left.is_some_and(|left| !left.processes.is_empty())
    }
}
