//! The last lines, in memory (RPM_LOG_RING), for `rpmctl logs`: what workers wrote, after RPM_LOG_RATE and before it gets its
//! format, and what the runtime said.
//!
//! The log thread copies lines that it has read together in one piece: no line costs an allocation, or a look of its own.
//! Readers take them apart. They copy little at a time, so that nobody waits long for the lock, and find out by the numbers of
//! the lines what was overwritten before they came there.
//!
//! The memory is divided into segments, which are allocated when they are needed. The oldest one is overwritten as a whole.

mod grep;
mod reading;
mod record;
#[cfg(test)]
mod tests;
mod waiting;

use std::collections::VecDeque;
use std::sync::Mutex;
use std::task::Waker;

use memchr::{memchr, memchr_iter, memrchr};

use super::line::Block;
use super::shared::locked;

pub use grep::Grep;
pub use reading::{Cursor, Found};
pub use record::About;
pub use waiting::Waiting;

/// Number of segments, if none is too small or too large then.
const SEGMENTS: usize = 16;
/// Smallest and largest segment, bytes.
const SMALLEST: usize = 4 << 10;
const LARGEST: usize = 64 << 10;

/// Longest text of one line or record, bytes. The rest of a longer one is left out.
const LONGEST: usize = 8 << 10;

/// The lines. Shared by the log thread and the readers.
#[derive(Debug)]
pub struct Ring(Mutex<Kept>);

#[derive(Debug)]
struct Segment {
    /// The number of its first line.
    first: u64,
    /// Records, one after the other, as `record` writes them.
    bytes: Vec<u8>,
}

#[derive(Debug)]
struct Kept {
    segments: VecDeque<Segment>,
    /// The number of the first segment that is kept.
    oldest: u64,
    /// Size of a segment, and how many there may be.
    size: usize,
    most: usize,
    /// The number of the next line: lines are counted from 0.
    next: u64,
    /// Who waits for it.
    waiting: Waiting,
}

impl Ring {
    /// A ring of at most so many bytes. At first it has none.
    pub fn new(bytes: usize) -> Self {
        let size = (bytes / SEGMENTS).clamp(SMALLEST, LARGEST);
        Self(Mutex::new(Kept {
            segments: VecDeque::new(),
            oldest: 0,
            size,
            most: (bytes / size).max(2),
            next: 0,
            waiting: Waiting::default(),
        }))
    }

    /// Adds the lines of `block`; there are `lines`.
    pub fn push(&self, about: About, block: Block<'_>, lines: u64) {
        self.changed(|kept| {
            if block.joined || block.partial || block.continued {
                let partial = block.partial;
                kept.one(About { partial, ..about }, [block.head, block.body]);
            } else {
                kept.lines(about, block, lines);
            }
        });
    }

    /// Adds one line; a newline at its end is no part of it.
    pub fn push_line(&self, about: About, text: &[u8]) {
        self.changed(|kept| kept.one(about, [text, b""]));
    }

    /// Forgets all lines. Their numbers go on.
    pub fn clear(&self) {
        self.changed(|kept| {
            kept.oldest += kept.segments.len() as u64;
            kept.segments.clear();
            if kept.next > 0 {
                // A reader at the end goes on here.
                kept.turn();
            }
        });
    }

    fn changed(&self, then: impl FnOnce(&mut Kept)) {
        let mut kept = locked(&self.0);
        then(&mut kept);
        let waiting = kept.waiting.take();
        drop(kept);
        waiting.into_iter().for_each(Waker::wake);
    }
}

impl Kept {
    /// The longest text that is kept.
    fn longest(&self) -> usize {
        LONGEST.min(self.size - record::HEAD)
    }

    /// Bytes of text that a record may have in the present segment; `None`: there is no room for one.
    fn room(&self) -> Option<usize> {
        let used = self.segments.back()?.bytes.len();
        self.size.checked_sub(used + record::HEAD)
    }

    /// Begins a segment, in the place of the oldest one if there are enough.
    fn turn(&mut self) {
        let mut bytes = Vec::new();
        if self.segments.len() >= self.most
            && let Some(old) = self.segments.pop_front()
        {
            self.oldest += 1;
            bytes = old.bytes;
            bytes.clear();
        }
        bytes.reserve_exact(self.size);
        let first = self.next;
        self.segments.push_back(Segment { first, bytes });
    }

    /// Writes a record behind the last one; it fits.
    fn put(&mut self, about: About, lines: u64, text: [&[u8]; 2]) {
        if let Some(last) = self.segments.back_mut() {
            record::write(&mut last.bytes, about, lines, text);
            self.next += lines;
        }
    }

    /// One line or record.
    fn one(&mut self, about: About, [head, body]: [&[u8]; 2]) {
        let body = body.strip_suffix(b"\n").unwrap_or(body);
        let longest = self.longest();
        let (head, over) = start(head, longest);
        let (body, more) = start(body, longest - head.len());
        let size = head.len() + body.len();
        if self.room().is_none_or(|room| size > room) {
            self.turn();
        }
        let about = About {
            one: true,
            cut: over || more,
            ..about
        };
        self.put(about, 1, [head, body]);
    }

    /// Whole lines. They go into as few records as possible.
    fn lines(&mut self, about: About, block: Block<'_>, mut left: u64) {
        let Block { mut head, body, .. } = block;
        let mut rest = body;
        while !rest.is_empty() {
            let Some(room) = self.room() else {
                self.turn();
                continue;
            };
            let fits = room.saturating_sub(head.len()).min(rest.len());
            let window = rest.get(..fits).unwrap_or_default();
            let end = if fits == rest.len() && head.len() <= room {
                Some(fits)
            } else {
                memrchr(b'\n', window).map(|at| at + 1)
            };
            if let Some(end) = end {
                let (now, later) = rest.split_at(end);
                let lines = if later.is_empty() {
                    left
                } else {
                    memchr_iter(b'\n', now).count() as u64
                };
                self.put(about, lines, [head, now]);
                left = left.saturating_sub(lines);
                rest = later;
                head = b"";
            } else if room < self.size - record::HEAD {
                self.turn();
            } else {
                // The first line does not fit into any segment.
                let end = memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
                let (line, later) = rest.split_at(end);
                self.one(about, [head, line]);
                left = left.saturating_sub(1);
                rest = later;
                head = b"";
            }
        }
    }
}

/// The first `most` bytes, and whether there are more.
fn start(text: &[u8], most: usize) -> (&[u8], bool) {
    match text.get(..most) {
        Some(first) => (first, text.len() > most),
        None => (text, false),
    }
}
