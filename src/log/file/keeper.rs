//! What follows a rotation and may take long, on a thread that lives no longer than that.

use std::collections::{BTreeSet, VecDeque};
use std::mem;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::note::Note;
use super::sweep::{Swept, sweep};
use crate::sys::thread;

/// The packer builds its tables on the stack before it moves them where they belong; what is not used costs nothing.
const STACK: usize = 1024 * 1024;

/// Removes and packs rotated files. All [`super::LogFile`]s share one, so that there is one thread at a time. Its end,
/// and that of the process, waits for nothing; what was left unfinished is found at the next rotation.
#[derive(Clone, Debug, Default)]
pub struct Keeper(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// `notes` is not empty.
    told: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    /// In their order, no path twice.
    queue: VecDeque<Task>,
    /// There is a thread, or will be.
    running: bool,
    notes: Vec<Note>,
    /// Files whose rotated files cannot be removed, or not packed.
    unremoved: BTreeSet<PathBuf>,
    unpacked: BTreeSet<PathBuf>,
}

/// To sweep what lies beside `path`.
#[derive(Debug)]
struct Task {
    path: PathBuf,
    retain: Option<usize>,
    compress: bool,
}

impl Keeper {
    /// `path` was rotated.
    pub(super) fn rotated(&self, path: PathBuf, retain: Option<usize>, compress: bool) {
        let mut state = self.0.state();
        state.push(Task {
            path,
            retain,
            compress,
        });
        if mem::replace(&mut state.running, true) {
            return;
        }
        drop(state);
        let shared = Arc::clone(&self.0);
        let thread = thread::start("log-keeper", STACK, move || shared.work(true));
        if thread.is_err() {
            // No thread to be had now: what keeps the disk from filling is done here, packing can wait.
            self.0.work(false);
        }
    }

    /// What went wrong since the last call.
    pub(super) fn take_notes(&self, into: &mut Vec<Note>) {
        if self.0.told.swap(false, Relaxed) {
            into.append(&mut self.0.state().notes);
        }
    }

    /// Whether nothing is left to do.
    #[cfg(test)]
    pub(super) fn is_idle(&self) -> bool {
        !self.0.state().running
    }
}

impl Shared {
    /// The lock is held for moments, never across a call of the file system.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self, may_pack: bool) {
        while let Some(task) = self.next() {
            let swept = sweep(&task.path, task.retain, task.compress && may_pack);
            let mut state = self.state();
            if state.take(task, swept) {
                self.told.store(true, Relaxed);
            }
        }
    }

    fn next(&self) -> Option<Task> {
        let mut state = self.state();
        let task = state.queue.pop_front();
        state.running = task.is_some();
        task
    }
}

impl State {
    fn push(&mut self, task: Task) {
        if self.queue.iter().all(|queued| queued.path != task.path) {
            self.queue.push_back(task);
        }
    }

    /// Whether there is something to tell.
    fn take(&mut self, task: Task, swept: Swept) -> bool {
        let before = self.notes.len();
        match swept.removed {
            Ok(()) => drop(self.unremoved.remove(&task.path)),
            Err((path, why)) => {
                if self.unremoved.insert(task.path.clone()) {
                    self.notes.push(Note::RemoveFailed { path, why });
                }
            }
        }
        if let Some(packed) = swept.packed {
            match packed {
                Ok(()) => drop(self.unpacked.remove(&task.path)),
                Err((path, why)) => {
                    if self.unpacked.insert(task.path.clone()) {
                        self.notes.push(Note::CompressFailed { path, why });
                    }
                }
            }
        }
        if swept.again {
            self.push(task);
        }
        self.notes.len() > before
    }
}

#[cfg(test)]
#[path = "keeper_tests.rs"]
mod tests;
