//! What the threads of the log and its handles share: the inbox and what was counted.

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

/// Own lines that may wait for the thread, in lines and in bytes.
const OWN_LINES: u64 = 1024;
const OWN_BYTES: usize = 256 * 1024;

/// Why lines are given up; the order is that of [`LogTotals::dropped`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// RPM_LOG_OVERFLOW=drop, and the output did not keep up.
    BufferFull = 0,
    /// RPM_LOG_RATE.
    RateLimit = 1,
    /// The output refused them: nobody reads, or there is no room.
    Closed = 2,
    /// Own lines, while the thread stood in a write.
    OwnQueueFull = 3,
    /// A file's queue was full; its lines are counted apart, since others have them.
    FileBufferFull,
    /// A file refused them.
    FileRefused,
}

/// Counters as [`LogTotals`] has them.
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
    /// Lines that went out.
    pub fn wrote(&self, run: Run) {
        let at = run.whose.origin as usize;
        if let (Some(lines), Some(bytes)) = (self.lines.get(at), self.bytes.get(at)) {
            lines.fetch_add(run.lines, Relaxed);
            bytes.fetch_add(run.bytes as u64, Relaxed);
        }
    }
}

/// What the threads and the handles share.
#[derive(Debug)]
pub struct Shared {
    inbox: Mutex<Inbox>,
    /// Every pipe that the thread still reads.
    pub pipes: Mutex<Vec<Weak<OwnedFd>>>,
    pub counters: Counters,
    /// Lines given up, by slot and the first three reasons.
    workers: Mutex<BTreeMap<SlotId, [u64; 3]>>,
    /// Bytes that were read, or made of what was read, and are neither written nor given up.
    owed: AtomicU64,
    /// RPM_LOG_BUFFER.
    limit: usize,
    stalls: Mutex<Vec<Arc<Stall>>>,
    /// What own lines look like.
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

    /// One own line at once, for the thread itself.
    pub fn formed(&self, said: &Said) -> Vec<u8> {
        self.form.line(said)
    }

    /// Lines were given up.
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

    /// So many bytes more are in our hands.
    pub fn owes(&self, bytes: usize) {
        self.owed.fetch_add(bytes as u64, Relaxed);
    }

    /// So many bytes are written, given up, or became others.
    pub fn settled(&self, bytes: usize) {
        self.owed.fetch_sub(bytes as u64, Relaxed);
    }

    pub fn owed(&self) -> u64 {
        self.owed.load(Relaxed)
    }

    /// The stall of one more output.
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

/// A lock that outlives a panic of its holder: what it guards is whole after every statement.
pub fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
