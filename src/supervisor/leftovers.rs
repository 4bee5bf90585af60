//! Processes that outlive their worker, have left its process group, and still hold its listener: the program went to
//! the background (daemonised), or it runs in a session of its own (`su -c`, setsid). They would go on answering the
//! clients of the next worker of that listener, so they are stopped as the rest of the worker's group is.

use std::collections::{BTreeSet, HashMap};

use tracing::warn;

use crate::drain::{Ended, Found, Search};
use crate::model::{Exit, Pid, Sig, SlotId};
use crate::sys::family::{Process, Processes};
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
    slot: SlotId,
    /// Those outside of its group.
    processes: Vec<Process>,
    /// The listener that they may hold.
    inodes: Vec<u64>,
    /// The last signal that was sent to them.
    sent: Option<Sig>,
    /// Those that have got it.
    told: BTreeSet<i32>,
    /// Its worker ended by itself with exit code 0, and nothing that holds its listener was found yet.
    by_itself: bool,
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
    (now.is(found) && !now.is_over()).then_some(now)
}

fn own_pid() -> i32 {
    i32::try_from(std::process::id()).unwrap_or(0)
}

fn proc() -> Proc {
    Proc::new("/proc")
}

/// Says that processes which hold the listener of an ended worker are stopped. `by_itself`: it ended with exit code 0, and
/// nobody had told it to.
fn tell_left((slot, pid): (SlotId, Pid), by_itself: bool, holders: &[Process]) {
    let Some(process) = holders.first() else {
        return;
    };
    let (slot, pid, process, processes) = (slot.0, pid.get(), process.pid, holders.len());
    if by_itself {
        let hint = FOREGROUND_HINT;
        warn!(
            slot,
            pid,
            process,
            processes,
            hint,
            "the program went to the background: its worker has ended and other processes hold its listener, stopping them"
        );
    } else {
        warn!(
            slot,
            pid,
            process,
            processes,
            "a worker left processes in another session that hold its listener, stopping them"
        );
    }
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
        let Some(worker) = self.workers.get_mut(pid) else {
            return group_left;
        };
        let listener = self.sharing.as_ref().zip(worker.listener);
        let ended = Ended {
            pid,
            inodes: listener
                .map(|(sharing, listener)| sharing.ports.inodes(listener))
                .unwrap_or_default(),
            outsiders: std::mem::take(&mut worker.outsiders),
        };
        let by_itself = !worker.told && exit == Exit::Code(0);
        let slot = worker.slot;
        let shares = listener.is_some();
        let unproved = by_itself && ended.inodes.is_empty();
        // In the role of tini nobody is told, so nothing is read at the end either.
        let tells = unproved && !self.config.one_shot() && !self.fleet.stopping();
        if !shares && !tells {
            return group_left;
        }
        let all = processes.get_or_insert_with(|| proc().processes().unwrap_or_default());
        if tells {
            self.tell_strangers(slot, &ended, all);
        }
        if !shares {
            return group_left;
        }
        let Found {
            outside,
            in_group,
            hidden,
        } = self.find_left(&ended, all);
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
        let holders = if by_itself {
            // A program on its way to the background may still be in the group: it has forked, and calls setsid next.
            [outside.as_slice(), &in_group].concat()
        } else {
            outside.clone()
        };
        tell_left((slot, pid), by_itself, &holders);
        let any = !outside.is_empty() || group_left;
        if any {
            let left = Left {
                slot,
                processes: outside,
                inodes: ended.inodes,
                sent: None,
                told: BTreeSet::new(),
                by_itself: by_itself && holders.is_empty(),
            };
            self.leftovers.by_worker.insert(pid, left);
        }
        any
    }

    /// Without a listener of its own nothing proves whose a process is, so those outside of the group are left alone.
    fn tell_strangers(&self, slot: SlotId, ended: &Ended, all: &Processes) {
        let left = self.search(ended, |search| search.strangers(all));
        if let Some(process) = left.first() {
            let hint = FOREGROUND_HINT;
            warn!(
                slot = slot.0,
                pid = ended.pid.get(),
                process = process.pid,
                processes = left.len(),
                hint,
                "a worker ended with exit code 0, and processes that it may have left go on: if the program went to the background, it is not stopped and keeps what it listens on, because the runtime shares no port with it"
            );
        }
    }

    /// Looks for what a worker left, in a few reads of /proc at most.
    fn find_left(&self, ended: &Ended, all: &mut Processes) -> Found {
        let proc = proc();
        self.search(ended, |search| {
            search.find(
                all,
                |process| proc.holds(process, &ended.inodes),
                || proc.processes().unwrap_or_default(),
            )
        })
    }

    fn search<T>(&self, ended: &Ended, with: impl FnOnce(&Search<'_>) -> T) -> T {
        let of_a_worker =
            |number: i32| Pid::new(number).is_some_and(|pid| self.workers.get(pid).is_some());
        let lefts = self.leftovers.by_worker.values();
        let known: BTreeSet<i32> = lefts
            .flat_map(|left| &left.processes)
            .map(|one| one.pid)
            .collect();
        // What is left in the group of an earlier worker is being stopped already.
        let swept = |group: i32| {
            let earlier = Pid::new(group).filter(|group| *group != ended.pid);
            earlier.is_some_and(|group| self.leftovers.by_worker.contains_key(&group))
        };
        with(&Search {
            own: own_pid(),
            ended,
            other: &|process| {
                of_a_worker(process.pid)
                    || of_a_worker(process.group)
                    || known.contains(&process.pid)
                    || swept(process.group)
            },
        })
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

    /// Whether anything is left of this ended worker. A process may have left the group since the last look, of which
    /// nobody is told.
    pub(super) fn anything_left(&mut self, pid: Pid) -> bool {
        let left = self.leftovers.by_worker.get(&pid);
        let known = left.is_some_and(|left| !left.processes.is_empty());
        known || self.group_left(pid) || self.find_more_leftovers(pid)
    }

    /// Looks again who holds the listener of this worker, when all that was known of it has ended: a program forks and
    /// changes its session on its way to the background. Returns whether there is any.
    fn find_more_leftovers(&mut self, pid: Pid) -> bool {
        let Some(left) = self.leftovers.by_worker.get(&pid) else {
            return false;
        };
        let ended = Ended {
            pid,
            inodes: left.inodes.clone(),
            outsiders: Vec::new(),
        };
        let mut all = proc().processes().unwrap_or_default();
        let more = self.find_left(&ended, &mut all).outside;
        let Some(left) = self.leftovers.by_worker.get_mut(&pid) else {
            return false;
        };
        if left.by_itself && !more.is_empty() {
            left.by_itself = false;
            tell_left((left.slot, pid), true, &more);
        }
        left.processes = more;
        if let Some(sig) = left.sent {
            left.tell(&proc(), sig);
        }
        !left.processes.is_empty()
    }
}
