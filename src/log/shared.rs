//! State shared by the threads of the log and its handles: the inbox and the counters.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use super::batch::{Run, Whose};
use super::handle::Inbox;
use super::own::{Form, Said};
use super::stall::Stall;
use crate::model::{LogTotals, SlotId};
use crate::sys::epoll::Waker;

/// Most own lines that may wait for the thread, in lines and in bytes.
const OWN_LINES: u64 = 1024;
const OWN_BYTES: usize = 256 * 1024;

/// Why lines are dropped. The order is that of [`LogTotals::dropped`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// RPM_LOG_OVERFLOW=drop, and the output was too slow.
    BufferFull = 0,
    /// RPM_LOG_RATE.
    RateLimit = 1,
    /// The output refused the lines: no reader, or no space.
    Closed = 2,
    /// Own lines of the runtime, while the thread was blocked in a write.
    OwnQueueFull = 3,
    /// The queue of the files was full. Counted separately, because other outputs may have the lines.
    FileBufferFull,
    /// A file refused the lines.
    FileRefused,
}

/// Counters for [`LogTotals`].
#[derive(Debug, Default)]
pub struct Counters {
    lines: [AtomicU64; 3],
    bytes: [AtomicU64; 3],
    dropped: [[AtomicU64; 4]; 3],
    files: [AtomicU64; 2],
    pub rotations: [AtomicU64; 2],
    pub split: AtomicU64,
}

impl Counters {
    /// Counts lines that were written.
    pub fn wrote(&self, run: Run) {
        let at = run.whose.origin as usize;
        if let (Some(lines), Some(bytes)) = (self.lines.get(at), self.bytes.get(at)) {
            lines.fetch_add(run.lines, Relaxed);
            bytes.fetch_add(run.bytes as u64, Relaxed);
        }
    }
}

/// State shared by the threads and the handles.
#[derive(Debug)]
pub struct Shared {
    inbox: Mutex<Inbox>,
    /// Every pipe that the thread still reads.
    pub pipes: Mutex<Vec<Weak<OwnedFd>>>,
    pub counters: Counters,
    /// Dropped lines, by slot and the first three reasons.
    workers: Mutex<BTreeMap<SlotId, [u64; 3]>>,
    /// Bytes that were read, or formatted from read bytes, and are neither written nor dropped.
    owed: AtomicU64,
    /// RPM_LOG_BUFFER.
    limit: usize,
    stalls: Mutex<Vec<Arc<Stall>>>,
    /// Format of the runtime's own lines.
    form: Form,
    pub waker: Waker,
}

impl Shared {
    pub fn new(form: Form, limit: usize) -> nix::Result<Self> {
        Ok(Self {
            inbox: Mutex::default(),
            pipes: Mutex::default(),
            counters: Counters::default(),
            workers: Mutex::default(),
            owed: AtomicU64::new(0),
            limit,
            stalls: Mutex::default(),
            form,
            waker: Waker::new()?,
        })
    }

    pub fn inbox(&self) -> MutexGuard<'_, Inbox> {
        locked(&self.inbox)
    }

    /// Takes one own line if there is room.
    pub fn say(&self, said: &Said) {
        let line = self.form.line(said);
        let mut inbox = self.inbox();
        let fits = inbox.own_lines < OWN_LINES && inbox.own.len() + line.len() <= OWN_BYTES;
        if fits && inbox.missing == 0 {
            inbox.own.extend_from_slice(&line);
            inbox.own_lines += 1;
        } else {
            inbox.missing += 1;
            self.dropped(Whose::RUNTIME, Reason::OwnQueueFull, 1);
        }
        drop(inbox);
        self.waker.wake();
    }

    /// Formats one own line for the log thread itself.
    pub fn formed(&self, said: &Said) -> Vec<u8> {
        self.form.line(said)
    }

    /// Counts dropped lines.
    pub fn dropped(&self, whose: Whose, reason: Reason, lines: u64) {
        if lines == 0 {
            return;
        }
        let counters = &self.counters;
        let counter = match reason {
            Reason::FileBufferFull => counters.files.first(),
            Reason::FileRefused => counters.files.last(),
            _ => {
                let by_reason = counters.dropped.get(whose.origin as usize);
                by_reason.and_then(|all| all.get(reason as usize))
            }
        };
        if let Some(counter) = counter {
            counter.fetch_add(lines, Relaxed);
        }
        if let Some(slot) = whose.slot {
            let mut workers = locked(&self.workers);
            if let Some(count) = workers.entry(slot).or_default().get_mut(reason as usize) {
                *count += lines;
            }
        }
    }

    /// Adds to the bytes in flight.
    pub fn owes(&self, bytes: usize) {
        self.owed.fetch_add(bytes as u64, Relaxed);
    }

    /// Subtracts bytes from those in flight: written, dropped, or replaced by formatted bytes.
    pub fn settled(&self, bytes: usize) {
        self.owed.fetch_sub(bytes as u64, Relaxed);
    }

    pub fn owed(&self) -> u64 {
        self.owed.load(Relaxed)
    }

    /// Creates the stall counter of one more output.
    pub fn stall(&self) -> Arc<Stall> {
        let stall = Arc::new(Stall::new());
        locked(&self.stalls).push(Arc::clone(&stall));
        stall
    }

    pub fn totals(&self) -> LogTotals {
        let counters = &self.counters;
        let read = |all: &[AtomicU64; 3]| all.each_ref().map(|one| one.load(Relaxed));
        let by_reason = |all: &[AtomicU64; 4]| all.each_ref().map(|one| one.load(Relaxed));
        let pair = |all: &[AtomicU64; 2]| all.each_ref().map(|one| one.load(Relaxed));
        let blocked: Duration = locked(&self.stalls).iter().map(|one| one.total()).sum();
        LogTotals {
            lines: read(&counters.lines),
            bytes: read(&counters.bytes),
            dropped: counters.dropped.each_ref().map(by_reason),
            workers: locked(&self.workers).clone(),
            split: counters.split.load(Relaxed),
            buffer: self.owed(),
            buffer_limit: self.limit as u64,
            blocked,
            files: pair(&counters.files),
            rotations: pair(&counters.rotations),
        }
    }
}

/// Locks a mutex even if a thread panicked while holding it; the guarded values are valid after every statement.
pub fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
