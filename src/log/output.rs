//! One output: collects whole lines, and either writes them on the reading thread or passes them to a writing thread.

use std::mem;
use std::sync::Arc;
use std::sync::mpsc::Sender;

use memchr::{memchr_iter, memrchr};

use super::batch::{Batch, LineOwner, Run};
use super::emptying::Emptying;
use super::files::FileWriter;
use super::queue::Queue;
use super::shared::{Reason, Shared};
use super::stream::StreamWriter;
use crate::model::LossReason;

/// Lines of at least this size are written directly from the read buffer; smaller ones are copied into the batch, to
/// save a system call. Bytes.
const DIRECT: usize = 16 * 1024;
/// Size at which a batch is written, bytes. At the end of a turn it is written in any case.
pub const FULL: usize = 64 * 1024;

/// The destination of an output.
#[derive(Debug)]
pub enum Sink {
    Stream(StreamWriter),
    File(Box<FileWriter>),
}

impl Sink {
    /// Writes the batch and then `more`, which belongs to the last run of the batch.
    pub fn write(&mut self, batch: &Batch, more: [&[u8]; 2]) {
        match self {
            Self::Stream(stream) => stream.write(batch, more),
            Self::File(file) => file.write(batch, more),
        }
    }

    /// Batch capacity that is kept between two batches. Small for files, because there may be one for each of hundreds
    /// of workers.
    fn keep(&self) -> usize {
        match self {
            Self::Stream(_) => 2 * FULL,
            Self::File(_) => 4 * 1024,
        }
    }

    /// Reopens the file, if the target is one.
    pub fn reopen(&mut self) {
        if let Self::File(file) = self {
            file.reopen();
        }
    }

    /// Empties the file, if the target is one.
    pub fn empty(&mut self, emptying: &Emptying) {
        if let Self::File(file) = self {
            file.empty(emptying);
        }
    }
}

/// Which thread writes.
#[derive(Debug)]
enum Writer {
    /// The reading thread. It does not read while it blocks in a write.
    Direct(Sink),
    /// The thread of this queue, in which the target has this index.
    Queue(Arc<Queue>, usize),
}

/// Lines dropped since there was last enough room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LostLines {
    pub lines: u64,
    pub bytes: u64,
}

/// Lines on the way to one destination.
#[derive(Debug)]
pub struct Output {
    writer: Writer,
    batch: Batch,
    /// The reason under which dropped lines are counted.
    reason: Reason,
    shared: Arc<Shared>,
    loss: LostLines,
}

impl Output {
    pub fn direct(sink: Sink, shared: Arc<Shared>) -> Self {
        Self::new(Writer::Direct(sink), LossReason::BufferFull.into(), shared)
    }

    /// Writes through the queue. Lines that find no room are counted under `reason`.
    pub fn queued(
        queue: &Arc<Queue>,
        sink: Sink,
        reason: impl Into<Reason>,
        shared: Arc<Shared>,
    ) -> Self {
        let place = queue.open(sink);
        Self::new(
            Writer::Queue(Arc::clone(queue), place),
            reason.into(),
            shared,
        )
    }

    fn new(writer: Writer, reason: Reason, shared: Arc<Shared>) -> Self {
        Self {
            writer,
            batch: Batch::default(),
            reason,
            shared,
            loss: LostLines::default(),
        }
    }

    /// Takes a report about dropped lines. It always fits, because there is only one report each time that there is
    /// room again.
    pub fn tell(&mut self, owner: LineOwner, line: &[u8]) {
        let run = Run {
            owner,
            lines: 1,
            bytes: line.len(),
        };
        self.gather(run, [line, b""]);
    }

    /// Takes whole lines; `parts` are concatenated. If not all fit, takes the first ones that do. Returns whether all
    /// were taken.
    pub fn take(&mut self, run: Run, parts: [&[u8]; 2]) -> bool {
        match &mut self.writer {
            Writer::Direct(sink) if run.bytes >= DIRECT => {
                self.shared.add_pending(run.bytes);
                self.batch.note(run);
                sink.write(&self.batch, parts);
                self.batch.clear(sink.keep());
                return true;
            }
            Writer::Queue(queue, _) => {
                let room = queue.room(self.batch.cost());
                if run.bytes > room {
                    return self.take_some(run, parts, room);
                }
            }
            Writer::Direct(_) => {}
        }
        self.gather(run, parts);
        true
    }

    fn gather(&mut self, run: Run, parts: [&[u8]; 2]) {
        self.shared.add_pending(run.bytes);
        if let Writer::Queue(queue, _) = &self.writer {
            queue.gathers(run.bytes);
        }
        self.batch.note(run);
        for part in parts {
            self.batch.bytes.extend_from_slice(part);
        }
        if self.batch.bytes.len() >= FULL {
            self.flush();
        }
    }

    /// Takes the lines that end within the first `room` bytes and drops the others.
    fn take_some(&mut self, run: Run, [head, body]: [&[u8]; 2], room: usize) -> bool {
        let within = room.saturating_sub(head.len()).min(body.len());
        let end = body.get(..within).and_then(|body| memrchr(b'\n', body));
        let fits = body.get(..end.map_or(0, |end| end + 1)).unwrap_or_default();
        let lines = memchr_iter(b'\n', fits).count() as u64;
        if lines > 0 {
            let bytes = head.len() + fits.len();
            self.gather(
                Run {
                    lines,
                    bytes,
                    ..run
                },
                [head, fits],
            );
            self.lose(Run {
                lines: run.lines - lines,
                bytes: run.bytes - bytes,
                ..run
            });
        } else {
            self.lose(run);
        }
        false
    }

    /// Counts lines as dropped: they did not fit, or the beginning of their line did not.
    pub fn lose(&mut self, run: Run) {
        self.loss.lines += run.lines;
        self.loss.bytes += run.bytes as u64;
        self.shared.dropped(run.owner, self.reason, run.lines);
    }

    /// Writes or queues everything that was taken.
    pub fn flush(&mut self) {
        if self.batch.bytes.is_empty() {
            return;
        }
        match &mut self.writer {
            Writer::Direct(sink) => {
                sink.write(&self.batch, [b"", b""]);
                self.batch.clear(sink.keep());
            }
            Writer::Queue(queue, place) => queue.push(*place, &mut self.batch),
        }
    }

    /// Lines dropped for lack of room, once there is room again; the caller reports them.
    pub fn lost(&mut self) -> Option<LostLines> {
        let flows = match &self.writer {
            Writer::Direct(_) => true,
            Writer::Queue(queue, _) => self.loss.lines > 0 && queue.flows(self.batch.cost()),
        };
        (self.loss.lines > 0 && flows).then(|| mem::take(&mut self.loss))
    }

    /// Reopens its file after the lines that were taken before. With a queue, the owner of the queue reopens all files.
    pub fn reopen(&mut self) {
        self.flush();
        if let Writer::Direct(sink) = &mut self.writer {
            sink.reopen();
        }
    }

    /// Empties its file after the lines that were taken before. With a queue, the owner of the queue empties all files.
    pub fn empty(&mut self, emptying: &Emptying) {
        self.flush();
        if let Writer::Direct(sink) = &mut self.writer {
            sink.empty(emptying);
        }
    }

    /// Drops `done` once everything that was taken is written.
    pub fn done(&mut self, done: Sender<()>) {
        self.flush();
        if let Writer::Queue(queue, _) = &self.writer {
            queue.done(done);
        }
    }
}
