//! Who has a listener. Asked before a worker gets no more connections on it.

use crate::model::Pid;
use crate::sys::family::{Process, Processes};
use crate::sys::inspect::Seen;
use crate::sys::proc::Proc;

/// Who has a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Having {
    /// One of the worker's processes, if it could be found out which.
    Somebody(Option<i32>),
    /// None of them.
    Nobody,
    /// The worker has ended.
    Over,
}

/// Who of the worker has the listener of this inode. A process that could not be read may have it.
pub(super) fn having(worker: Pid, inode: u64) -> Having {
    let proc = Proc::new("/proc");
    let Ok(processes) = proc.processes() else {
        return Having::Somebody(None);
    };
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    search(&processes, (worker, own), |process| {
        proc.has_socket(process, &[inode])
    })
}

/// `own` is the runtime, which has every listener.
fn search(
    processes: &Processes,
    (worker, own): (Pid, i32),
    has_socket: impl Fn(&Process) -> (bool, Seen),
) -> Having {
    let mut alive = false;
    let family = processes.family(worker);
    for process in &family {
        let (has, seen) = has_socket(process);
        if has || seen == Seen::Hidden {
            return Having::Somebody(Some(process.pid));
        }
        alive |= seen == Seen::Whole;
    }
    if !alive {
        return Having::Over;
    }
    // A daemon has left the group and lost its parent, so it is not in the family.
    let since = family.iter().map(|process| process.started).min();
    let is_family = |process: &Process| family.iter().any(|known| known.pid == process.pid);
    let others = processes.all().iter();
    for process in others.filter(|one| one.pid != own && !is_family(one)) {
        let (has, seen) = has_socket(process);
        // Only threads of the kernel have no group.
        let may_be_ours = process.parent == own
            || process.group != 0 && since.is_some_and(|since| process.started >= since);
        if has || seen == Seen::Hidden && may_be_ours {
            return Having::Somebody(Some(process.pid));
        }
    }
    Having::Nobody
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: i32 = 1;
    const WORKER: i32 = 20;
    const DAEMON: i32 = 30;

    fn started(pid: i32, parent: i32, group: i32, started: u64) -> Process {
        Process {
            started,
            ..Process::asleep(pid, parent, group)
        }
    }

    /// The runtime, its worker and this process. The runtime and `holder` have the listener.
    fn look(other: Process, holder: Option<i32>, hidden: Option<i32>) -> Having {
        let rows = vec![
            started(OWN, 0, OWN, 1),
            started(WORKER, OWN, WORKER, 100),
            other,
        ];
        let worker = Pid::new(WORKER).unwrap();
        search(&Processes::new(rows), (worker, OWN), |process| {
            if hidden == Some(process.pid) {
                return (false, Seen::Hidden);
            }
            let has = process.pid == OWN || holder == Some(process.pid);
            (has, Seen::Whole)
        })
    }

    #[test]
    fn a_daemon_that_left_the_group_and_lost_its_parent_has_its_listener() {
        let daemon = started(DAEMON, OWN, DAEMON, 110);
        let has = Having::Somebody(Some(DAEMON));
        assert_eq!(look(daemon, Some(DAEMON), None), has);
        assert_eq!(look(daemon, None, None), Having::Nobody);
    }

    #[test]
    fn a_hidden_process_may_be_a_daemon_of_the_worker() {
        let may = Having::Somebody(Some(DAEMON));
        for (process, expected) in [
            (started(DAEMON, OWN, DAEMON, 90), may),
            (started(DAEMON, 7, DAEMON, 100), may),
            (started(DAEMON, 7, DAEMON, 99), Having::Nobody),
            // A thread of the kernel.
            (started(DAEMON, 2, 0, 110), Having::Nobody),
        ] {
            assert_eq!(look(process, None, Some(DAEMON)), expected, "{process:?}");
        }
    }

    #[test]
    fn a_worker_without_a_process_is_over_whoever_has_its_listener() {
        let rows = vec![started(OWN, 0, OWN, 1), started(DAEMON, OWN, DAEMON, 110)];
        let worker = Pid::new(WORKER).unwrap();
        let has = |_: &Process| (true, Seen::Whole);
        let over = search(&Processes::new(rows), (worker, OWN), has);
        assert_eq!(over, Having::Over);
    }
}
