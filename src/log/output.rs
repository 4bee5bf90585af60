//! One output: whole lines are gathered, and written by who reads or by a thread of their own.

use std::mem;
use std::sync::Arc;
use std::sync::mpsc::Sender;

use memchr::{memchr_iter, memrchr};

use super::batch::{Batch, Run, Whose};
use super::files::FileWriter;
use super::queue::Queue;
use super::shared::{Reason, Shared};
use super::stream::StreamWriter;

/// From here on lines are written from where they were read; below, they are copied, to spare a call.
const DIRECT: usize = 16 * 1024;
/// The batch goes out when it is that long, at the end of a turn in any case.
pub const FULL: usize = 64 * 1024;

/// Where bytes end up.
#[derive(Debug)]
pub enum Target {
    Stream(StreamWriter),
    File(Box<FileWriter>),
}

impl Target {
    /// Writes the batch and then `more`, whose run the batch knows.
    pub fn write(&mut self, batch: &Batch, more: [&[u8]; 2]) {
        match self {
            Self::Stream(stream) => stream.write(batch, more),
            Self::File(file) => file.write(batch, more),
        }
    }

    /// Room for a batch that is kept between two: there may be a file for each of hundreds of workers.
    fn keep(&self) -> usize {
        match self {
            Self::Stream(_) => 2 * FULL,
            Self::File(_) => 4 * 1024,
        }
    }

    /// Opens its file anew, if it has one.
    pub fn reopen(&mut self) {
        if let Self::File(file) = self {
            file.reopen();
        }
    }
}

/// Who writes.
#[derive(Debug)]
enum Way {
    /// The thread that reads: nobody reads on while it stands in a write.
    Here(Target),
    /// The thread of the queue, where this is the place of that number.
    Queue(Arc<Queue>, usize),
}

/// Lines that found no room since it last flowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gone {
    pub lines: u64,
    pub bytes: u64,
}

/// Lines on their way to one place.
#[derive(Debug)]
pub struct Output {
    way: Way,
    batch: Batch,
    /// Why lines that find no room are counted as lost.
    reason: Reason,
    shared: Arc<Shared>,
    gone: Gone,
}

impl Output {
    pub fn here(target: Target, shared: Arc<Shared>) -> Self {
        Self::new(Way::Here(target), Reason::BufferFull, shared)
    }

    /// Through the queue; what finds no room there is counted under `reason`.
    pub fn queued(queue: &Arc<Queue>, target: Target, reason: Reason, shared: Arc<Shared>) -> Self {
        let place = queue.open(target);
        Self::new(Way::Queue(Arc::clone(queue), place), reason, shared)
    }

    fn new(way: Way, reason: Reason, shared: Arc<Shared>) -> Self {
        Self {
            way,
            batch: Batch::default(),
            reason,
            shared,
            gone: Gone::default(),
        }
    }

    /// Takes a line about what was lost. It has always room: there is one for each time that it flows again.
    pub fn tell(&mut self, whose: Whose, line: &[u8]) {
        let run = Run {
            whose,
            lines: 1,
            bytes: line.len(),
        };
        self.gather(run, [line, b""]);
    }

    /// Takes whole lines, `parts` being one after the other, as many as find room: the first ones. Says whether these
    /// were all.
    pub fn take(&mut self, run: Run, parts: [&[u8]; 2]) -> bool {
        match &mut self.way {
            Way::Here(target) if run.bytes >= DIRECT => {
                self.shared.owes(run.bytes);
                self.batch.note(run);
                target.write(&self.batch, parts);
                self.batch.clear(target.keep());
                return true;
            }
            Way::Queue(queue, _) => {
                let room = queue.room(self.batch.cost());
                if run.bytes > room {
                    return self.take_some(run, parts, room);
                }
            }
            Way::Here(_) => {}
        }
        self.gather(run, parts);
        true
    }

    fn gather(&mut self, run: Run, parts: [&[u8]; 2]) {
        self.shared.owes(run.bytes);
        if let Way::Queue(queue, _) = &self.way {
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

    /// Takes the lines that end within the first `room` bytes; the others are gone.
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

    /// Lines that are not taken, or not any more since what they belong to was not.
    pub fn lose(&mut self, run: Run) {
        self.gone.lines += run.lines;
        self.gone.bytes += run.bytes as u64;
        self.shared.dropped(run.whose, self.reason, run.lines);
    }

    /// Writes, or queues, all that was taken.
    pub fn flush(&mut self) {
        if self.batch.bytes.is_empty() {
            return;
        }
        match &mut self.way {
            Way::Here(target) => {
                target.write(&self.batch, [b"", b""]);
                self.batch.clear(target.keep());
            }
            Way::Queue(queue, place) => queue.push(*place, &mut self.batch),
        }
    }

    /// What was lost for want of room, once it flows again; to be told.
    pub fn lost(&mut self) -> Option<Gone> {
        let flows = match &self.way {
            Way::Here(_) => true,
            Way::Queue(queue, _) => self.gone.lines > 0 && queue.flows(self.batch.cost()),
        };
        (self.gone.lines > 0 && flows).then(|| mem::take(&mut self.gone))
    }

    /// Opens its file anew, after what was taken before. Where there is a queue, its owner does that for all.
    pub fn reopen(&mut self) {
        self.flush();
        if let Way::Here(target) = &mut self.way {
            target.reopen();
        }
    }

    /// Drops `done` once all that was taken is written.
    pub fn done(&mut self, done: Sender<()>) {
        self.flush();
        if let Way::Queue(queue, _) = &self.way {
            queue.done(done);
        }
    }
}
