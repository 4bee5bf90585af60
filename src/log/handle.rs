//! The side of the log that everybody else sees: a bounded inbox, counters, and a way to wait for the end.
#![forbid(unsafe_code)]

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use super::{Stream, Tail, own};
use crate::model::{LogTotals, SlotId};
use crate::sys::epoll::Waker;
use crate::sys::io;

/// Own lines that may wait for the thread, in lines and in bytes.
const OWN_LINES: u64 = 1024;
const OWN_BYTES: usize = 256 * 1024;

/// A pipe on its way to the thread.
#[derive(Debug)]
pub struct Attached {
    pub slot: SlotId,
    pub stream: Stream,
    pub pipe: Arc<OwnedFd>,
    pub tail: Option<Tail>,
}

/// What waits for the thread. The lock is held for moments only, never across a write.
#[derive(Debug, Default)]
pub struct Inbox {
    pub attached: Vec<Attached>,
    /// Own lines, each with its newline, in their order.
    pub own: String,
    pub own_lines: u64,
    /// Own lines that found no room after those in `own`.
    pub missing: u64,
    pub flush: Vec<Sender<()>>,
    /// Nobody holds a [`Log`] any more.
    pub over: bool,
}

/// Counters as [`LogTotals`] has them.
#[derive(Debug, Default)]
pub struct Counters {
    pub lines: [AtomicU64; 3],
    pub bytes: [AtomicU64; 3],
    pub closed: AtomicU64,
    pub own_queue_full: AtomicU64,
    pub split: AtomicU64,
    /// Bytes that were read and are not written: held tails, the batch, what is being written.
    pub unwritten: AtomicU64,
}

/// What the thread and its handles share.
#[derive(Debug)]
pub struct Shared {
    inbox: Mutex<Inbox>,
    /// Every pipe that the thread still reads.
    pipes: Mutex<Vec<Weak<OwnedFd>>>,
    pub counters: Counters,
    pub waker: Waker,
}

impl Shared {
    pub fn new() -> nix::Result<Self> {
        Ok(Self {
            inbox: Mutex::default(),
            pipes: Mutex::default(),
            counters: Counters::default(),
            waker: Waker::new()?,
        })
    }

    pub fn inbox(&self) -> MutexGuard<'_, Inbox> {
        locked(&self.inbox)
    }
}

/// A lock that outlives a panic of its holder: what it guards is whole after every statement.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How a [`Log::flush`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flushed {
    /// Everything was written, or given up and counted in `dropped`.
    Done,
    /// The time was over first; at most so many bytes were not written.
    Unfinished {
        /// Bytes read and not known to be written, and those that still lie in the pipes.
        bytes: u64,
    },
}

/// A handle on the log, cheap to clone. The thread lives until the last one is gone and every stream is at its end.
#[derive(Clone, Debug)]
pub struct Log(Arc<Handle>);

#[derive(Debug)]
struct Handle(Arc<Shared>);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.inbox().over = true;
        self.0.waker.wake();
    }
}

impl Log {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self(Arc::new(Handle(shared)))
    }

    fn shared(&self) -> &Shared {
        &self.0.0
    }

    /// Reads a worker's pipe from now on until its end. `read_end` does not block ([`io::OutputPipe`]).
    pub fn attach(&self, slot: SlotId, stream: Stream, read_end: OwnedFd) {
        self.attach_with(slot, stream, read_end, None);
    }

    /// The same; the last lines can be asked for as long as `tail` is held.
    pub fn attach_with(&self, slot: SlotId, stream: Stream, read_end: OwnedFd, tail: Option<Tail>) {
        let pipe = Arc::new(read_end);
        let mut pipes = locked(&self.shared().pipes);
        pipes.retain(|pipe| pipe.strong_count() > 0);
        pipes.push(Arc::downgrade(&pipe));
        drop(pipes);
        self.shared().inbox().attached.push(Attached {
            slot,
            stream,
            pipe,
            tail,
        });
        self.shared().waker.wake();
    }

    /// Writes one line of the runtime's own: `[rpm-runtime] level: text`. Control characters in it are escaped;
    /// the level only names it.
    pub fn line(&self, level: tracing::Level, text: &str) {
        self.queue(&own::line(level, text));
    }

    /// Takes one whole own line, with its newline, if there is room. Once one had none, nothing is taken until the
    /// thread has been here, so that the gap is in one place.
    pub(super) fn queue(&self, line: &str) {
        let mut inbox = self.shared().inbox();
        let fits = inbox.own_lines < OWN_LINES && inbox.own.len() + line.len() <= OWN_BYTES;
        if fits && inbox.missing == 0 {
            inbox.own.push_str(line);
            inbox.own_lines += 1;
        } else {
            inbox.missing += 1;
            self.shared().counters.own_queue_full.fetch_add(1, Relaxed);
        }
        drop(inbox);
        self.shared().waker.wake();
    }

    /// What has been done so far.
    pub fn totals(&self) -> LogTotals {
        let counters = &self.shared().counters;
        let read = |all: &[AtomicU64; 3]| all.each_ref().map(|one| one.load(Relaxed));
        LogTotals {
            lines: read(&counters.lines),
            bytes: read(&counters.bytes),
            dropped: [&counters.closed, &counters.own_queue_full].map(|one| one.load(Relaxed)),
            split: counters.split.load(Relaxed),
        }
    }

    /// Has everything written that lies in the pipes at this moment, tails included, then the own lines, and waits for
    /// it at most `limit`. Never waits for the end of a pipe: an orphan may hold it. The log goes on afterwards.
    pub fn flush(&self, limit: Duration) -> Flushed {
        let (done, wait) = channel();
        self.shared().inbox().flush.push(done);
        self.shared().waker.wake();
        match wait.recv_timeout(limit) {
            Ok(()) => Flushed::Done,
            Err(_) => Flushed::Unfinished {
                bytes: self.unwritten(),
            },
        }
    }

    fn unwritten(&self) -> u64 {
        let in_pipes: usize = locked(&self.shared().pipes)
            .iter()
            .filter_map(Weak::upgrade)
            .filter_map(|pipe| io::unread(&*pipe).ok())
            .sum();
        let own = self.shared().inbox().own.len();
        let read = self.shared().counters.unwritten.load(Relaxed);
        read.saturating_add((in_pipes + own) as u64)
    }
}
