//! State shared by the threads of the log and its handles: the inbox and the counters.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use super::batch::{LineOwner, Run};
use super::handle::Inbox;
use super::inserted;
use super::own::{self, OwnEvent, OwnFormat};
use super::own_file::OwnFile;
use super::ring::{About, Ring};
use super::stall::Stall;
use crate::model::{
    FileLossReason, FileLosses, LogOrigin, LogTotals, LossReason, Losses, PerOrigin, Rotations,
    SlotId,
};
use crate::sys::clock;
use crate::sys::epoll::Waker;

/// Most own lines that may wait for the thread, in lines and in bytes.
const OWN_LINES: u64 = 1024;
const OWN_BYTES: usize = 256 * 1024;

/// Why lines are dropped. The order is that of [`LogTotals::dropped`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// RPM_LOG_OVERFLOW=drop, and the output was too slow.
    Line(LossReason),
    /// For a reason that concerns a file; other outputs have the line.
    File(FileLossReason),
}

impl From<LossReason> for Reason {
    fn from(reason: LossReason) -> Self {
        Self::Line(reason)
    }
}

impl From<FileLossReason> for Reason {
    fn from(reason: FileLossReason) -> Self {
        Self::File(reason)
    }
}

/// Counters for [`LogTotals`].
#[derive(Debug, Default)]
pub struct Counters {
    lines: PerOrigin<AtomicU64>,
    bytes: PerOrigin<AtomicU64>,
    dropped: PerOrigin<Losses<AtomicU64>>,
    files: FileLosses<AtomicU64>,
    pub rotations: Rotations<AtomicU64>,
    pub split: AtomicU64,
}

impl Counters {
    /// Counts lines that were written.
    pub fn wrote(&self, run: Run) {
        let origin = run.owner.origin;
        self.lines.of(origin).fetch_add(run.lines, Relaxed);
        self.bytes.of(origin).fetch_add(run.bytes as u64, Relaxed);
    }
}

/// State shared by the threads and the handles.
#[derive(Debug)]
pub struct Shared {
    inbox: Mutex<Inbox>,
    /// Every pipe that the thread still reads.
    pub pipes: Mutex<Vec<Weak<OwnedFd>>>,
    pub counters: Counters,
    /// Dropped lines, by slot.
    workers: Mutex<BTreeMap<SlotId, Losses>>,
    /// Bytes that were read, or formatted from read bytes, and are neither written nor dropped.
    pending: AtomicU64,
    /// RPM_LOG_BUFFER.
    limit: usize,
    stalls: Mutex<Vec<Arc<Stall>>>,
    /// Format of the runtime's own lines.
    pub own_format: OwnFormat,
    /// RPM_LOG_OWN_FILE, set at the start.
    pub own_file: OnceLock<OwnFile>,
    pub waker: Waker,
    /// The last lines, if they are kept.
    pub ring: Option<Arc<Ring>>,
}

impl Shared {
    pub fn new(own_format: OwnFormat, limit: usize, ring: usize) -> nix::Result<Self> {
        Ok(Self {
            inbox: Mutex::default(),
            pipes: Mutex::default(),
            counters: Counters::default(),
            workers: Mutex::default(),
            pending: AtomicU64::new(0),
            limit,
            stalls: Mutex::default(),
            own_format,
            own_file: OnceLock::new(),
            waker: Waker::new()?,
            ring: (ring > 0).then(|| Arc::new(Ring::new(ring))),
        })
    }

    pub fn inbox(&self) -> MutexGuard<'_, Inbox> {
        locked(&self.inbox)
    }

    /// Whether another event of a worker may be inserted. If not, wakes `room` once the waiting ones are written.
    pub fn has_room(&self, room: &Waker) -> bool {
        let mut inbox = self.inbox();
        let has = inbox.inserted_bytes < inserted::WAITING.min(self.limit / 4).max(1);
        if !has && !inbox.room.iter().any(|known| known.wakes_the_same(room)) {
            inbox.room.push(room.clone());
        }
        has
    }

    /// Queues one line of the runtime for its file and for the stream.
    pub fn log_own(&self, event: &OwnEvent) {
        self.keep_own(event);
        if !self.only_in_file(event) {
            self.tell_stream(event);
        }
    }

    /// Puts one line among the last ones.
    fn keep_own(&self, event: &OwnEvent) {
        if let Some(ring) = &self.ring {
            let about = About::new(LogOrigin::Runtime, None, None, clock::since_1970());
            ring.push_line(about, own::text(event).as_bytes());
        }
    }

    /// Queues one line for the file, if there is one. Returns whether the stream does not get it.
    fn only_in_file(&self, event: &OwnEvent) -> bool {
        let Some(file) = self.own_file.get() else {
            return false;
        };
        if let Some(problem) = file.write(event) {
            self.tell_stream(&problem);
        }
        file.only()
    }

    /// Queues one line of the runtime for the stream if there is room.
    pub fn tell_stream(&self, event: &OwnEvent) {
        let line = self.own_format.line(event);
        let mut inbox = self.inbox();
        let fits = inbox.own_lines < OWN_LINES && inbox.own.len() + line.len() <= OWN_BYTES;
        if fits && inbox.missing == 0 {
            inbox.own.extend_from_slice(&line);
            inbox.own_lines += 1;
        } else {
            inbox.missing += 1;
            self.dropped(LineOwner::RUNTIME, LossReason::OwnQueueFull, 1);
        }
        drop(inbox);
        self.waker.wake();
    }

    /// One own line of the log thread itself, which it writes; empty if only the file gets it. The file has it already.
    pub fn own_line(&self, event: &OwnEvent) -> Vec<u8> {
        self.keep_own(event);
        if self.only_in_file(event) {
            Vec::new()
        } else {
            self.stream_line(event)
        }
    }

    /// One own line that is about its place in the stream.
    pub fn stream_line(&self, event: &OwnEvent) -> Vec<u8> {
        self.own_format.line(event)
    }

    /// Counts dropped lines.
    pub fn dropped(&self, owner: LineOwner, reason: impl Into<Reason>, lines: u64) {
        if lines == 0 {
            return;
        }
        let counters = &self.counters;
        let counter = match reason.into() {
            Reason::File(FileLossReason::BufferFull) => &counters.files.buffer_full,
            Reason::File(FileLossReason::WriteError) => &counters.files.write_error,
            Reason::Line(reason) => {
                if let Some(slot) = owner.slot {
                    let mut workers = locked(&self.workers);
                    *workers.entry(slot).or_default().of_mut(reason) += lines;
                }
                counters.dropped.of(owner.origin).of(reason)
            }
        };
        counter.fetch_add(lines, Relaxed);
    }

    /// Adds to the bytes in flight.
    pub fn add_pending(&self, bytes: usize) {
        self.pending.fetch_add(bytes as u64, Relaxed);
    }

    /// Subtracts bytes from those in flight: written, dropped, or replaced by formatted bytes.
    pub fn sub_pending(&self, bytes: usize) {
        self.pending.fetch_sub(bytes as u64, Relaxed);
    }

    pub fn pending(&self) -> u64 {
        self.pending.load(Relaxed)
    }

    /// Creates the stall counter of one more output.
    pub fn stall(&self) -> Arc<Stall> {
        let stall = Arc::new(Stall::new());
        locked(&self.stalls).push(Arc::clone(&stall));
        stall
    }

    pub fn totals(&self) -> LogTotals {
        let counters = &self.counters;
        let load = |counter: &AtomicU64| counter.load(Relaxed);
        let blocked: Duration = locked(&self.stalls).iter().map(|one| one.total()).sum();
        LogTotals {
            lines: counters.lines.map(load),
            bytes: counters.bytes.map(load),
            dropped: counters.dropped.map(|losses| losses.map(load)),
            workers: locked(&self.workers).clone(),
            split: load(&counters.split),
            buffer: self.pending(),
            buffer_limit: self.limit as u64,
            blocked,
            files: FileLosses {
                buffer_full: load(&counters.files.buffer_full),
                write_error: load(&counters.files.write_error),
            },
            own_file: self.own_file.get().map(OwnFile::lost).unwrap_or_default(),
            rotations: Rotations {
                success: load(&counters.rotations.success),
                failure: load(&counters.rotations.failure),
            },
        }
    }
}

/// Locks a mutex even if a thread panicked while holding it; the guarded values are valid after every statement.
pub fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
