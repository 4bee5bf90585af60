//! The runtime's own lines in a file of their own (RPM_LOG_OWN_FILE). The queue and its thread are those of
//! tracing-appender; the file is a [`LogFile`], as those of the workers' lines.
//!
//! - A full queue drops lines and counts them (the package calls this lossy): a disk that hangs must not stop the
//!   runtime.
//! - Problems of this file are told in the stream, never in the file itself.
//! - An empty message in the queue means: open the file anew, or empty it if that was asked for.

use std::fmt;
use std::io::{self, Write};
use std::mem;
use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::time::Duration;

use nix::errno::Errno;
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};

use super::emptying::Emptying;
use super::file::{Counters, FileError, LogFile, Rotation, Sweeper};
use super::files::report;
use super::own::{self, OwnEvent, OwnFormat};
use super::shared::{Shared, locked};
use crate::model::FileLosses;
use crate::sys::{clock, thread};

/// Most lines and bytes that may wait for the file.
const LINES: usize = 1024;
const BYTES: usize = 256 * 1024;
/// Name of the thread.
const THREAD: &str = "log-own";

/// Settings of the file, for [`super::LogSettings`].
#[derive(Clone, Debug)]
pub struct OwnFileSettings {
    /// RPM_LOG_OWN_FILE.
    pub path: PathBuf,
    /// When to rotate it and how many files to keep.
    pub rotation: Arc<Rotation>,
    /// Whether no other output gets the lines (RPM_LOG_OWN=file).
    pub only: bool,
}

/// Why the log cannot be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartError {
    /// The kernel refused a descriptor or a thread.
    Os(Errno),
    /// RPM_LOG_OWN_FILE cannot be opened, and would not be later either.
    OwnFile(PathBuf, FileError),
}

impl From<Errno> for StartError {
    fn from(errno: Errno) -> Self {
        Self::Os(errno)
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Os(errno) => write!(f, "cannot start the log: {}", errno.desc()),
            Self::OwnFile(path, why) => {
                let path = path.display();
                write!(f, "RPM_LOG_OWN_FILE: {path} cannot be written: {why}")
            }
        }
    }
}

/// The side of those who log. No call waits for the file, except [`Self::flush`], up to its limit.
#[derive(Debug)]
pub struct OwnFile {
    format: OwnFormat,
    only: bool,
    entry: Mutex<Entry>,
    progress: Arc<Progress>,
}

/// The entry of the queue.
#[derive(Debug)]
struct Entry {
    queue: NonBlocking,
    /// How many messages the queue refused.
    refused: ErrorCounter,
    guard: Option<WorkerGuard>,
    /// Lines that the queue has taken.
    taken: u64,
    /// Lines that were dropped since the last one that found room.
    missing: u64,
    /// The stream was told that the file does not keep up.
    told: bool,
}

/// What the thread has done with the lines that the queue took.
#[derive(Debug, Default)]
struct Progress {
    /// Lines that are written or lost.
    done: Mutex<u64>,
    changed: Condvar,
    /// Bytes in the queue.
    waiting: AtomicUsize,
    /// A request to open the file anew found the queue full.
    reopen: AtomicBool,
    /// Requests to empty the file.
    empty: Mutex<Vec<Arc<Emptying>>>,
    lost: FileLosses<AtomicU64>,
}

impl OwnFile {
    /// Opens the file and starts the thread. `format` is that of the lines in the stream.
    pub fn start(
        settings: OwnFileSettings,
        format: OwnFormat,
        shared: Weak<Shared>,
    ) -> Result<Self, StartError> {
        let OwnFileSettings {
            path,
            rotation,
            only,
        } = settings;
        let file = LogFile::new(path, rotation, Sweeper::default());
        let (file, opened) = file.guarded(clock::wall());
        if let Err(why) = opened
            && why.is_lasting()
        {
            return Err(StartError::OwnFile(file.path().to_owned(), why));
        }
        let progress = Arc::new(Progress::default());
        let writer = Writer {
            file,
            counted: Counters::default(),
            progress: Arc::clone(&progress),
            shared,
        };
        let (queue, guard) = start_thread(writer)?;
        Ok(Self {
            format,
            only,
            entry: Mutex::new(Entry {
                refused: queue.error_counter(),
                queue,
                guard: Some(guard),
                taken: 0,
                missing: 0,
                told: false,
            }),
            progress,
        })
    }

    /// Whether no other output gets the lines.
    pub fn only(&self) -> bool {
        self.only
    }

    /// Queues one line. Returns what the stream must be told: that the file does not keep up, once until the queue has
    /// been empty again. After a line found no room, the next one that does comes behind a line on the gap.
    pub fn write(&self, event: &OwnEvent) -> Option<OwnEvent> {
        let line = self.format.line(event);
        let mut entry = locked(&self.entry);
        if entry.missing > 0 {
            let gap = self.format.line(&own::missing(entry.missing, "this file"));
            if entry.send(&gap, &self.progress) {
                entry.missing = 0;
            }
        }
        if entry.missing == 0 && entry.send(&line, &self.progress) {
            if self.progress.waiting.load(Relaxed) <= line.len() {
                entry.told = false;
            }
            return None;
        }
        entry.missing += 1;
        self.progress.lost.buffer_full.fetch_add(1, Relaxed);
        (!mem::replace(&mut entry.told, true)).then(own::own_file_stuck)
    }

    /// Makes the thread open the file anew after the lines before.
    pub fn reopen(&self) {
        let mut entry = locked(&self.entry);
        if !entry.put(b"") {
            self.progress.reopen.store(true, Relaxed);
        }
    }

    /// Makes the thread empty the file after the lines before, or before the next one if the queue is full.
    pub fn empty(&self, emptying: Arc<Emptying>) {
        let mut entry = locked(&self.entry);
        locked(&self.progress.empty).push(emptying);
        entry.put(b"");
    }

    /// Waits until all lines that were queued are written or lost, at most `limit`. Returns how many are not.
    pub fn flush(&self, limit: Duration) -> u64 {
        let taken = locked(&self.entry).taken;
        let done = locked(&self.progress.done);
        let waited = self
            .progress
            .changed
            .wait_timeout_while(done, limit, |done| *done < taken);
        let (done, _) = waited.unwrap_or_else(PoisonError::into_inner);
        taken.saturating_sub(*done)
    }

    /// Lines that the file did not get.
    pub fn lost(&self) -> FileLosses {
        let lost = &self.progress.lost;
        FileLosses {
            buffer_full: lost.buffer_full.load(Relaxed),
            write_error: lost.write_error.load(Relaxed),
        }
    }
}

impl Drop for OwnFile {
    fn drop(&mut self) {
        let left = self.flush(Duration::ZERO);
        let entry = self.entry.get_mut().unwrap_or_else(PoisonError::into_inner);
        if left > 0 {
            // The guard would wait for room, and print to stdout if there is none.
            mem::forget(entry.guard.take());
        }
    }
}

impl Entry {
    /// Queues a line. Returns whether there was room.
    fn send(&mut self, line: &[u8], progress: &Progress) -> bool {
        // Count first, because the thread may be done with the line before this one goes on.
        let before = progress.waiting.fetch_add(line.len(), Relaxed);
        let sent = before + line.len() <= BYTES && self.put(line);
        if sent {
            self.taken += 1;
        } else {
            progress.waiting.fetch_sub(line.len(), Relaxed);
        }
        sent
    }

    /// A lossy queue always says that it has taken a message; only its counter tells the truth.
    fn put(&mut self, message: &[u8]) -> bool {
        let before = self.refused.dropped_lines();
        self.queue.write_all(message).is_ok() && self.refused.dropped_lines() == before
    }
}

/// Starts the thread of the package from a thread of ours, so that it takes no signal, and so that the panic of the
/// package, if no thread can be started, is an error.
fn start_thread(writer: Writer) -> nix::Result<(NonBlocking, WorkerGuard)> {
    let place = Arc::new(Mutex::new(None));
    let filled = Arc::clone(&place);
    let helper = thread::start(THREAD, thread::STACK, move || {
        let started = NonBlockingBuilder::default()
            .lossy(true)
            .buffered_lines_limit(LINES)
            .thread_name(THREAD)
            .finish(writer);
        *locked(&filled) = Some(started);
    })?;
    // After a panic, nothing is there.
    let _ = helper.join();
    let started = locked(&place).take();
    started.ok_or(Errno::EAGAIN)
}

/// The side of the thread. Its calls never fail, because the package swallows errors.
#[derive(Debug)]
struct Writer {
    file: LogFile,
    /// The part of the file's counters that is already in the shared counters.
    counted: Counters,
    progress: Arc<Progress>,
    shared: Weak<Shared>,
}

impl Writer {
    fn take(&mut self, line: &[u8]) {
        let now = clock::wall();
        let empty = mem::take(&mut *locked(&self.progress.empty));
        let asked = line.is_empty() && empty.is_empty();
        if asked || self.progress.reopen.swap(false, Relaxed) {
            self.file.reopen(now);
        }
        for emptying in empty {
            let outcome = self.file.empty(now);
            emptying.done(self.file.path(), outcome);
        }
        let written = self.file.write(&[line], now);
        if let Err(failed) = written {
            let lost = &self.progress.lost.write_error;
            lost.fetch_add(failed.lost, Relaxed);
        }
        if let Some(shared) = self.shared.upgrade() {
            report(&mut self.file, &mut self.counted, &shared, |said| {
                shared.tell_stream(said);
            });
        }
        if !line.is_empty() {
            self.progress.waiting.fetch_sub(line.len(), Relaxed);
            *locked(&self.progress.done) += 1;
            self.progress.changed.notify_all();
        }
    }
}

impl Write for Writer {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.take(line);
        Ok(line.len())
    }

    /// The default does nothing with an empty message.
    fn write_all(&mut self, line: &[u8]) -> io::Result<()> {
        self.take(line);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
