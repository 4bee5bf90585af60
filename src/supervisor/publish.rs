//! The state that other tasks and threads see after each turn, and the consequences of changes.

use std::sync::PoisonError;

use crate::control::protocol::What;
use crate::model::{Pid, RunState, Snapshot, WorkerState, WorkerView};

use super::Supervisor;
/// Up to so many slots, the last lines of each worker are kept until its end: 2 KiB each, where it writes any.
const ALL_TAILS: usize = 64;

impl Supervisor {
    /// Publishes the snapshot and updates the steering.
    pub(super) fn publish(&mut self) {
        let mut seen = self.fleet.snapshot();
        self.workers.add_status(&mut seen);
        self.drop_tails(&seen);
        self.tell_step(&seen);
        self.gather(&seen);
        self.mind_channels(&seen);
        *self.snapshot.lock().unwrap_or_else(PoisonError::into_inner) = seen;
        if self.sharing.is_some() {
            self.follow_ports();
        }
    }

    /// Not inlined: it has 64 KiB of locals, and each page of them costs a page fault where no port is shared.
    #[inline(never)]
    fn follow_ports(&mut self) {
        let Some(sharing) = &mut self.sharing else {
            return;
        };
        if self.fleet.stopping() {
            sharing.let_go();
            return;
        }
        self.steer();
        self.mind_listeners();
        self.follow_drains();
        self.check_health();
    }

    /// Tells how far the reload is that runs.
    fn tell_step(&self, seen: &Snapshot) {
        if seen.state != RunState::Reloading {
            return;
        }
        if let Some((replaced, workers)) = self.reloads.step(seen) {
            self.events.push(What::ReloadStep { replaced, workers });
        }
    }

    /// With many workers, the last lines of stderr are kept only for those that may still fail to come up.
    fn drop_tails(&mut self, seen: &Snapshot) {
        if seen.slots.len() <= ALL_TAILS || self.workers.iter().all(|worker| worker.tail.is_none())
        {
            return;
        }
        let reloads = seen.state == RunState::Reloading;
        let on_trial = |view: &&WorkerView| view.state == WorkerState::Starting || reloads;
        let slots = seen.slots.iter().filter(on_trial);
        let kept: Vec<Pid> = slots
            .chain(&seen.rising)
            .filter_map(|view| view.pid)
            .collect();
        for worker in self.workers.iter_mut() {
            if !kept.contains(&worker.id.pid) {
                worker.tail = None;
            }
        }
    }
}
