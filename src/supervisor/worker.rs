//! One record per worker: all data that the loop keeps about a process until it is reaped.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::task::JoinHandle;

use crate::app_metrics::{self, merge::ProcessKey};
use crate::log::Tail;
use crate::model::{ListenerId, Pid, SlotId};
use crate::sys::family::Process;

use super::checks::HealthTask;
use super::drains::WorkerDrain;
use super::node::WorkerChannel;
use super::notify::Notify;
use super::starting::Start;

/// One process of the program. The kernel reuses PIDs; the life distinguishes the two processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WorkerId {
    pub(super) pid: Pid,
    pub(super) process: ProcessKey,
}

/// A task that ends with its owner.
#[derive(Debug)]
pub(super) struct AbortOnDrop(JoinHandle<()>);

impl AbortOnDrop {
    /// Spawns the task.
    pub(super) fn spawn(task: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(task))
    }
}

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The data of one worker. Dropping it aborts the worker's tasks and closes its descriptors.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) id: WorkerId,
    pub(super) slot: SlotId,
    /// The listener that it serves. `None` if no port is shared.
    pub(super) listener: Option<ListenerId>,
    /// The state of its start. `None` once the program runs or cannot run.
    pub(super) start: Option<Start>,
    /// Checks whether it is ready (RPM_READY).
    pub(super) readiness: Option<AbortOnDrop>,
    /// How that check failed last.
    pub(super) not_passed: Arc<Mutex<Option<String>>>,
    /// Checks whether it is healthy (RPM_HEALTH).
    pub(super) health: Option<HealthTask>,
    /// It was said that RPM_HEALTH cannot be checked.
    pub(super) told_unchecked: bool,
    /// Its sd_notify messages.
    pub(super) notify: Option<Notify>,
    /// Its Node channel.
    pub(super) channel: Option<WorkerChannel>,
    /// The last lines of its stderr, for the log line that says why it did not come up, and for `rpmctl describe`. With many
    /// workers, `None` once it has come up.
    pub(super) tail: Option<Tail>,
    /// Its processes outside of its group, when it got its stop signal.
    pub(super) outsiders: Vec<Process>,
    /// It got its stop signal.
    pub(super) told: bool,
    /// It has shut its listener down so often that it does not get it back: no client reaches it.
    pub(super) barred: bool,
    /// The looks at its connections, while it drains.
    pub(super) drain: Option<WorkerDrain>,
}

impl Worker {
    /// A new record of a process that was just forked.
    pub(super) fn new(id: WorkerId, slot: SlotId) -> Self {
        Self {
            id,
            slot,
            listener: None,
            start: None,
            readiness: None,
            not_passed: Arc::default(),
            health: None,
            told_unchecked: false,
            notify: None,
            channel: None,
            tail: None,
            outsiders: Vec::new(),
            told: false,
            barred: false,
            drain: None,
        }
    }
}

/// The records of all workers.
#[derive(Debug, Default)]
pub(super) struct Workers {
    unreaped: HashMap<Pid, Worker>,
    /// Workers that were reaped in this turn. The note about a worker's end needs its last lines.
    reaped: Vec<Worker>,
    /// Number of workers started so far.
    started: u64,
}

impl Workers {
    /// Returns the identity of a process that was just forked.
    pub(super) fn identify(&mut self, pid: Pid) -> WorkerId {
        self.started += 1;
        let process = app_metrics::process_key(self.started);
        WorkerId { pid, process }
    }

    pub(super) fn insert(&mut self, worker: Worker) {
        self.unreaped.insert(worker.id.pid, worker);
    }

    /// The unreaped worker with this PID.
    pub(super) fn get(&self, pid: Pid) -> Option<&Worker> {
        self.unreaped.get(&pid)
    }

    /// As [`Self::get`], mutable.
    pub(super) fn get_mut(&mut self, pid: Pid) -> Option<&mut Worker> {
        self.unreaped.get_mut(&pid)
    }

    /// The worker of a message. `None` if it is reaped, even if another worker has its PID now.
    pub(super) fn find(&mut self, id: WorkerId) -> Option<&mut Worker> {
        let worker = self.unreaped.get_mut(&id.pid)?;
        (worker.id == id).then_some(worker)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Worker> {
        self.unreaped.values()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Worker> {
        self.unreaped.values_mut()
    }

    /// Moves the record to the reaped workers. Messages of this worker are ignored from now on.
    pub(super) fn reap(&mut self, pid: Pid) -> Option<WorkerId> {
        let worker = self.unreaped.remove(&pid)?;
        let id = worker.id;
        self.reaped.push(worker);
        Some(id)
    }

    /// Drops the records of the workers that were reaped in this turn.
    pub(super) fn forget_reaped(&mut self) {
        self.reaped.clear();
    }

    /// The last lines of a worker. A worker that was reaped in this turn comes before a new one with the same PID,
    /// because the note is about its end.
    pub(super) fn tail(&self, pid: Pid) -> Option<&Tail> {
        let reaped = self.reaped.iter();
        let mut known = reaped.chain(self.unreaped.get(&pid));
        known.find(|worker| worker.id.pid == pid)?.tail.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started(workers: &mut Workers, pid: i32, listener: u16) -> WorkerId {
        let id = workers.identify(Pid::new(pid).unwrap());
        let mut worker = Worker::new(id, SlotId(0));
        worker.listener = Some(ListenerId(listener));
        worker.tail = Some(Tail::default());
        workers.insert(worker);
        id
    }

    #[test]
    fn a_message_of_a_reaped_worker_is_not_taken_for_one_of_the_next_with_its_pid() {
        let mut workers = Workers::default();
        let old = started(&mut workers, 7, 0);
        assert!(workers.find(old).is_some());
        assert_eq!(workers.reap(old.pid), Some(old));
        assert!(workers.find(old).is_none() && workers.get(old.pid).is_none());
        let new = started(&mut workers, 7, 1);
        assert!(workers.find(old).is_none());
        assert_eq!(workers.find(new).unwrap().id, new);
    }

    #[test]
    fn the_last_lines_of_a_worker_are_there_until_the_turn_of_its_end_is_over() {
        let mut workers = Workers::default();
        let pid = started(&mut workers, 7, 0).pid;
        workers.reap(pid);
        assert!(workers.tail(pid).is_some());
        let pid = started(&mut workers, 8, 1).pid;
        workers.reap(pid);
        workers.forget_reaped();
        assert!(workers.tail(pid).is_none());
        assert_eq!(workers.reap(pid), None);
    }

    #[test]
    fn the_tasks_of_a_worker_end_with_its_record() {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let ended = runtime.unwrap().block_on(async {
            let (held, dropped) = tokio::sync::oneshot::channel::<()>();
            let mut workers = Workers::default();
            let id = started(&mut workers, 7, 0);
            workers.find(id).unwrap().readiness = Some(AbortOnDrop::spawn(async move {
                let _held = held;
                std::future::pending::<()>().await;
            }));
            workers.reap(id.pid);
            workers.forget_reaped();
            dropped.await
        });
        assert!(ended.is_err());
    }
}
