//! The handle of the log for all other code. No call waits for the log thread, except [`Log::flush`].

use std::mem;
use std::os::fd::OwnedFd;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::emptying::{Emptied, Emptying};
use super::inserted::{self, Inserted};
use super::log4js::Event;
use super::own::OwnEvent;
use super::ring::Ring;
use super::shared::{Shared, locked};
use super::{Stream, Tail};
use crate::model::{Generation, LogTotals, Pid, SlotId};
use crate::sys::epoll::Waker;
use crate::sys::thread::LateThread;
use crate::sys::{clock, io};

/// A worker, as its log lines identify it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerLabel {
    /// Its slot.
    pub slot: SlotId,
    /// Its generation.
    pub generation: Generation,
    /// Its process.
    pub pid: Pid,
}

/// A pipe to be attached by the log thread.
#[derive(Debug)]
pub struct Attached {
    pub worker: WorkerLabel,
    pub stream: Stream,
    pub pipe: Arc<OwnedFd>,
    pub tail: Option<Tail>,
    /// Length of [`Inbox::own`] when the pipe was added.
    pub after: usize,
}

/// Work for the log thread. The lock is held only briefly, never during a write.
#[derive(Debug, Default)]
pub struct Inbox {
    pub attached: Vec<Attached>,
    /// The runtime's own lines in order, each with its newline.
    pub own: Vec<u8>,
    pub own_lines: u64,
    /// Own lines that did not fit after those in `own`.
    pub missing: u64,
    /// Events of workers in order; below: their bytes.
    pub inserted: Vec<Inserted>,
    pub inserted_bytes: usize,
    /// Whom to wake once `inserted` was written.
    pub room: Vec<Waker>,
    pub flush: Vec<Sender<()>>,
    pub reopen: bool,
    pub empty: Vec<Arc<Emptying>>,
    /// The last [`Log`] was dropped.
    pub over: bool,
}

impl Inbox {
    /// Takes the own lines, which makes room for others.
    pub fn take_own(&mut self) -> Vec<u8> {
        self.own_lines = 0;
        mem::take(&mut self.own)
    }
}

/// Most time that [`Log::flush`] waits for the file of the runtime's own lines.
const OWN_FLUSH: Duration = Duration::from_secs(1);

/// Result of [`Log::flush`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flushed {
    /// Everything was written, or dropped and counted in `dropped`.
    Done,
    /// The time limit passed first.
    Unfinished {
        /// Most bytes that may be unwritten: those read and not known to be written, and those still in the pipes.
        bytes: u64,
    },
}

/// A handle of the log, cheap to clone. The thread runs until the last handle is dropped and every stream has ended.
#[derive(Clone, Debug)]
pub struct Log(Arc<Handle>);

#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
    thread: LateThread,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.inbox().over = true;
        self.shared.waker.wake();
    }
}

impl Log {
    pub(super) fn new(shared: Arc<Shared>, thread: LateThread) -> Self {
        Self(Arc::new(Handle { shared, thread }))
    }

    fn shared(&self) -> &Shared {
        &self.0.shared
    }

    /// Wakes the thread because its inbox has something. Starts it if it is not there yet; if that fails, the content of
    /// the inbox waits for the next call.
    fn wake(&self) {
        let _ = self.0.thread.ensure();
        self.shared().waker.wake();
    }

    /// Starts to read a worker's pipe, until its end. `read_end` must be non-blocking ([`io::OutputPipe`]). The last
    /// lines can be read from `tail` while the caller holds a copy of it.
    pub fn attach(
        &self,
        worker: WorkerLabel,
        stream: Stream,
        read_end: OwnedFd,
        tail: Option<Tail>,
    ) {
        let pipe = Arc::new(read_end);
        let mut pipes = locked(&self.shared().pipes);
        pipes.retain(|pipe| pipe.strong_count() > 0);
        pipes.push(Arc::downgrade(&pipe));
        drop(pipes);
        let mut inbox = self.shared().inbox();
        let after = inbox.own.len();
        inbox.attached.push(Attached {
            worker,
            stream,
            pipe,
            tail,
            after,
        });
        drop(inbox);
        self.wake();
    }

    /// Writes one line of the runtime's own, whatever RPM_LOG_LEVEL says; the level is only shown. Control characters
    /// in the text are escaped.
    pub fn line(&self, level: tracing::Level, text: &str) {
        self.log_own(&OwnEvent::new(level, text));
    }

    /// Queues one own line. After a line found no room, no further line is accepted until the thread has processed the
    /// inbox, so that there is only one gap.
    pub(super) fn log_own(&self, said: &OwnEvent) {
        self.shared().log_own(said);
        let _ = self.0.thread.ensure();
    }

    /// Puts an event that `worker` sent over its channel into the stream, once and in one piece, after the events and
    /// the runtime's own lines that came before. It counts as lines of the worker's stdout (RPM_LOG_RATE,
    /// RPM_LOG_OVERFLOW, RPM_LOG_MAX_LINE, the log files). Returns false if too many events wait already, because the
    /// output is slow: then the event was not taken, and `room` is woken as soon as another call may succeed.
    #[must_use = "an event that was not taken is lost unless it is kept"]
    pub fn insert(&self, worker: WorkerLabel, event: &Event, room: &Waker) -> bool {
        let has_room = self.shared().has_room(room);
        if has_room {
            self.insert_last(worker, event);
        }
        has_room
    }

    /// As [`Self::insert`], but takes the event in any case: for the last events of a worker that has ended, whose number
    /// is bounded by what its channel holds.
    pub fn insert_last(&self, worker: WorkerLabel, event: &Event) {
        let shared = self.shared();
        let text = inserted::text(&shared.own_format, event);
        shared.add_pending(text.len());
        let mut inbox = shared.inbox();
        let after = inbox.own.len();
        let first = inbox.inserted.is_empty();
        inbox.inserted_bytes += text.len();
        inbox.inserted.push(Inserted {
            worker,
            text,
            after,
        });
        drop(inbox);
        // Whoever inserted the first one wakes the thread.
        if first {
            self.wake();
        }
    }

    /// Makes the thread reopen the log files after everything that was read before; an external tool has renamed them.
    pub fn reopen(&self) {
        if let Some(file) = self.shared().own_file.get() {
            file.reopen();
        }
        self.shared().inbox().reopen = true;
        self.wake();
    }

    /// The last lines, if they are kept.
    pub fn ring(&self) -> Option<Arc<Ring>> {
        self.shared().ring.clone()
    }

    /// Makes the threads empty the log files and the lines in memory, after everything that was read before. `tell` is called by one
    /// of them when all is done, and must not block.
    pub fn empty(&self, tell: impl FnOnce(Emptied) + Send + 'static) {
        let emptying = Emptying::new(tell);
        if let Some(file) = self.shared().own_file.get() {
            file.empty(Arc::clone(&emptying));
        }
        self.shared().inbox().empty.push(emptying);
        self.wake();
    }

    /// The totals since the start.
    pub fn totals(&self) -> LogTotals {
        self.shared().totals()
    }

    /// Makes the thread write everything that is in the pipes now, unfinished lines included, and then the runtime's
    /// own lines. Waits at most `limit`. Does not wait for the end of a pipe, because an orphan may hold it open. The
    /// log continues afterwards.
    ///
    /// Before each flush of the outputs, waits for the file of the runtime's own lines, in all at most [`OWN_FLUSH`]
    /// more, because a problem of that file is told in the outputs.
    pub fn flush(&self, limit: Duration) -> Flushed {
        if !self.0.thread.has_started() {
            match self.unwritten() {
                0 => return Flushed::Done,
                bytes if self.0.thread.ensure().is_err() => return Flushed::Unfinished { bytes },
                _ => {}
            }
        }
        let begin = clock::instant();
        let waited = self.flush_own(OWN_FLUSH);
        let limit = limit + waited;
        let flushed = match self.flush_once(limit.saturating_sub(begin.elapsed())) {
            // The first flush may cause a report about dropped lines, so flush once more.
            Flushed::Done => self.flush_once(limit.saturating_sub(begin.elapsed())),
            unfinished @ Flushed::Unfinished { .. } => unfinished,
        };
        self.flush_own(OWN_FLUSH.saturating_sub(waited));
        flushed
    }

    /// Waits for the file of the runtime's own lines. Returns for how long.
    fn flush_own(&self, limit: Duration) -> Duration {
        let begin = clock::instant();
        self.left_for_file(limit);
        begin.elapsed()
    }

    /// Lines that the file of the runtime's own lines does not have after this time.
    pub fn left_for_file(&self, limit: Duration) -> u64 {
        let file = self.shared().own_file.get();
        file.map_or(0, |file| file.flush(limit))
    }

    fn flush_once(&self, limit: Duration) -> Flushed {
        let (done, wait) = channel();
        self.shared().inbox().flush.push(done);
        self.wake();
        match wait.recv_timeout(limit) {
            // Every output has dropped its sender.
            Ok(()) | Err(RecvTimeoutError::Disconnected) => Flushed::Done,
            Err(RecvTimeoutError::Timeout) => match self.unwritten() {
                // Only the confirmation is missing.
                0 => Flushed::Done,
                bytes => Flushed::Unfinished { bytes },
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
        self.shared()
            .pending()
            .saturating_add((in_pipes + own) as u64)
    }
}
