//! The side of the log that everybody else sees: what can be told to the thread without ever waiting for it.

use std::mem;
use std::os::fd::OwnedFd;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::own::Said;
use super::shared::{Shared, locked};
use super::{Stream, Tail};
use crate::model::{Generation, LogTotals, Pid, SlotId};
use crate::sys::{clock, io};

/// One worker, as its lines name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Worker {
    /// Its slot.
    pub slot: SlotId,
    /// Its generation.
    pub generation: Generation,
    /// Its process.
    pub pid: Pid,
}

/// A pipe on its way to the thread.
#[derive(Debug)]
pub struct Attached {
    pub worker: Worker,
    pub stream: Stream,
    pub pipe: Arc<OwnedFd>,
    pub tail: Option<Tail>,
    /// How much of [`Inbox::own`] was said before.
    pub after: usize,
}

/// What waits for the thread. The lock is held for moments only, never across a write.
#[derive(Debug, Default)]
pub struct Inbox {
    pub attached: Vec<Attached>,
    /// Own lines, each with its newline, in their order.
    pub own: Vec<u8>,
    pub own_lines: u64,
    /// Own lines that found no room after those in `own`.
    pub missing: u64,
    pub flush: Vec<Sender<()>>,
    pub reopen: bool,
    /// Nobody holds a [`Log`] any more.
    pub over: bool,
}

impl Inbox {
    /// Takes the own lines, and gives room for others.
    pub fn take_own(&mut self) -> Vec<u8> {
        self.own_lines = 0;
        mem::take(&mut self.own)
    }
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

    /// Reads a worker's pipe from now on until its end. `read_end` does not block ([`io::OutputPipe`]). The last lines
    /// can be asked for as long as `tail` is held.
    pub fn attach(&self, worker: Worker, stream: Stream, read_end: OwnedFd, tail: Option<Tail>) {
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
        self.shared().waker.wake();
    }

    /// Writes one line of the runtime's own, whatever RPM_LOG_LEVEL says; the level only names it. Control characters
    /// in the text are escaped.
    pub fn line(&self, level: tracing::Level, text: &str) {
        self.say(&Said::new(level, text));
    }

    /// Queues one own line. Once one found no room, nothing is taken until the thread has been here, so that the gap
    /// is in one place.
    pub(super) fn say(&self, said: &Said) {
        self.shared().say(said);
    }

    /// Has the log files opened anew, after all that was read before: somebody has renamed them.
    pub fn reopen(&self) {
        self.shared().inbox().reopen = true;
        self.shared().waker.wake();
    }

    /// What has been done so far.
    pub fn totals(&self) -> LogTotals {
        self.shared().totals()
    }

    /// Has everything written that lies in the pipes at this moment, tails included, then the own lines, and waits for
    /// it at most `limit`. Never waits for the end of a pipe: an orphan may hold it. The log goes on afterwards.
    pub fn flush(&self, limit: Duration) -> Flushed {
        let begin = clock::instant();
        match self.flush_once(limit) {
            // What was dropped meanwhile is told once it flows again.
            Flushed::Done => self.flush_once(limit.saturating_sub(begin.elapsed())),
            unfinished @ Flushed::Unfinished { .. } => unfinished,
        }
    }

    fn flush_once(&self, limit: Duration) -> Flushed {
        let (done, wait) = channel();
        self.shared().inbox().flush.push(done);
        self.shared().waker.wake();
        match wait.recv_timeout(limit) {
            // Whoever had something to write has dropped its end.
            Ok(()) | Err(RecvTimeoutError::Disconnected) => Flushed::Done,
            Err(RecvTimeoutError::Timeout) => match self.unwritten() {
                // All but the word about it.
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
        self.shared().owed().saturating_add((in_pipes + own) as u64)
    }
}
