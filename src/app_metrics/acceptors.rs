//! Finds workers in which several processes accept on the port: each of them counts for itself, and any of them answers
//! a request for metrics.

use std::collections::HashSet;

use tracing::warn;

use crate::model::Pid;
use crate::sys::family::Process;
use crate::sys::proc::Proc;

use super::results::ScrapeTarget;

/// Number of answers after which a worker is looked at. A program may fork its processes after it is ready.
const LOOKS: [u32; 2] = [1, 3];

/// Looks at each worker a few times, and tells of the first one.
#[derive(Debug, Default)]
pub(super) struct Acceptors {
    told: bool,
}

impl Acceptors {
    /// A worker has answered `answers` times over its listener with this inode.
    pub(super) fn answered(&mut self, worker: &ScrapeTarget, answers: u32, inode: Option<u64>) {
        let Some(inode) = inode.filter(|_| !self.told && LOOKS.contains(&answers)) else {
            return;
        };
        let processes = accepting(&holders(worker.pid, inode));
        if processes < 2 {
            return;
        }
        self.told = true;
        warn!(
            slot = worker.slot.0,
            pid = worker.pid.get(),
            processes,
            hint = "let each worker be one process (as uvicorn without --workers) and set RPM_INSTANCES, or set RPM_APP_METRICS=multiproc",
            "several processes of a worker accept on its port, so its metrics (RPM_APP_METRICS) are those of another process each time and counters jump (logged once)"
        );
    }
}

/// The processes of a worker that hold this socket. Processes that cannot be inspected are missing.
fn holders(leader: Pid, inode: u64) -> Vec<Process> {
    let proc = Proc::new("/proc");
    let mut family = proc
        .processes()
        .map(|all| all.family(leader))
        .unwrap_or_default();
    family.retain(|process| proc.has_socket(process, &[inode]).0);
    family
}

/// How many of the holders of a listener accept: a process whose children hold it too has opened it for them.
fn accepting(holders: &[Process]) -> usize {
    let parents: HashSet<i32> = holders.iter().map(|holder| holder.parent).collect();
    let childless = holders
        .iter()
        .filter(|holder| !parents.contains(&holder.pid));
    childless.count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: i32, parent: i32) -> Process {
        Process::asleep(pid, parent, 10)
    }

    #[test]
    fn a_master_does_not_accept_beside_its_children() {
        let one = process(10, 1);
        assert_eq!(accepting(&[]), 0);
        assert_eq!(accepting(&[one]), 1);
        let master = [one, process(11, 10)];
        assert_eq!(accepting(&master), 1);
        let two = [one, process(11, 10), process(12, 10)];
        assert_eq!(accepting(&two), 2);
        // A shell that does not hold the listener.
        assert_eq!(accepting(&[process(12, 11), process(13, 11)]), 2);
        let chain = [one, process(11, 10), process(12, 11)];
        assert_eq!(accepting(&chain), 1);
    }

    #[test]
    fn the_own_process_is_found_by_its_socket() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let inode = crate::sys::listener::inode(&listener).unwrap();
        let own = Pid::new(std::process::id().cast_signed()).unwrap();
        let found = holders(own, inode);
        assert!(found.iter().any(|holder| holder.pid == own.get()));
        drop(listener);
    }
}
