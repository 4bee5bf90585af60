//! What others see of the fleet after each turn, and what follows from it.

use std::sync::PoisonError;

use crate::model::{Pid, RunState, WorkerState, WorkerView};

use super::Supervisor;

impl Supervisor {
    /// What others see, and where connections go.
    pub(super) fn publish(&mut self) {
        let mut seen = self.fleet.snapshot();
        self.workers.add_status(&mut seen);
        *self.snapshot.lock().unwrap_or_else(PoisonError::into_inner) = seen;
        self.keep_last_words();
        self.gather();
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

    /// Only those that are on trial are asked for their last words.
    fn keep_last_words(&mut self) {
        if self.workers.iter().all(|worker| worker.tail.is_none()) {
            return;
        }
        let seen = self.fleet.snapshot();
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
