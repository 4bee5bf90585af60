//! Slow work after a rotation, on a thread that ends when the work is done.

use std::collections::{BTreeSet, VecDeque};
use std::mem;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::event::FileEvent;
use super::sweep::{Swept, sweep};
use crate::sys::thread;

/// Stack size, bytes. The compressor builds its tables on the stack before it moves them. Unused stack costs nothing.
const STACK: usize = 1024 * 1024;

/// Removes and compresses rotated files. All [`super::LogFile`]s share one sweeper, so only one thread runs at a time.
/// Neither the drop of this handle nor the end of the process waits for the thread; the next rotation finds unfinished
/// work.
#[derive(Clone, Debug, Default)]
pub struct Sweeper(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// Whether `notes` is not empty.
    told: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    /// In order; each path at most once.
    queue: VecDeque<Task>,
    /// A thread runs or is about to start.
    running: bool,
    events: Vec<FileEvent>,
    /// Files whose rotated files could not be removed, and (below) compressed.
    unremoved: BTreeSet<PathBuf>,
    unpacked: BTreeSet<PathBuf>,
}

/// A sweep of the rotated files of `path`.
#[derive(Debug)]
struct Task {
    path: PathBuf,
    retain: Option<usize>,
    compress: bool,
}

impl Sweeper {
    /// Called after a rotation of `path`.
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
            // No thread can be started now. Remove old files here, so that the disk does not fill; compression can
            // wait.
            self.0.work(false);
        }
    }

    /// Moves the problems since the last call into `into`.
    pub(super) fn take_events(&self, into: &mut Vec<FileEvent>) {
        if self.0.told.swap(false, Relaxed) {
            into.append(&mut self.0.state().events);
        }
    }

    /// Whether no work is left.
    #[cfg(test)]
    pub(super) fn is_idle(&self) -> bool {
        !self.0.state().running
    }
}

impl Shared {
    /// The lock is held only briefly, never during a file system call.
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

    /// Records the result of a sweep. Returns whether there is something to report.
    fn take(&mut self, task: Task, swept: Swept) -> bool {
        let before = self.events.len();
        match swept.removed {
            Ok(()) => drop(self.unremoved.remove(&task.path)),
            Err((path, why)) => {
                if self.unremoved.insert(task.path.clone()) {
                    self.events.push(FileEvent::RemoveFailed { path, why });
                }
            }
        }
        if let Some(packed) = swept.packed {
            match packed {
                Ok(()) => drop(self.unpacked.remove(&task.path)),
                Err((path, why)) => {
                    if self.unpacked.insert(task.path.clone()) {
                        self.events.push(FileEvent::CompressFailed { path, why });
                    }
                }
            }
        }
        if swept.again {
            self.push(task);
        }
        self.events.len() > before
    }
}

#[cfg(test)]
mod tests;
