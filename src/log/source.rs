//! One stream of a worker: splits bytes into lines, joins records, applies limits, formats lines.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Instant;

use memchr::memchr_iter;

use super::batch::Whose;
use super::format::Dress;
use super::line::{Block, Splitter};
use super::outputs::{Outputs, Rest};
use super::rate_limit::Limits;
use super::record::Joiner;
use super::shared::Shared;
use super::{RECORD_MOST, RECORD_WAIT, Stream, Tail};
use crate::model::{LossReason, SlotId};

/// Capacity for formatted lines that is kept between two reads, bytes.
const KEEP: usize = 256 * 1024;

/// State shared by all streams.
#[derive(Debug)]
pub struct Press {
    pub outputs: Outputs,
    pub limits: Option<Limits>,
    pub shared: Arc<Shared>,
    /// The time of this turn; below: the same as text.
    pub now: Instant,
    pub time: Vec<u8>,
    /// Formatted lines.
    pub dressed: Vec<u8>,
}

/// One pipe.
#[derive(Debug)]
pub struct Source {
    pub pipe: Arc<OwnedFd>,
    /// Keeps the last bytes for a caller that may ask for them.
    pub tail: Option<Tail>,
    splitter: Splitter,
    joiner: Option<Joiner>,
    /// When the held record is treated as complete.
    pub due: Option<Instant>,
    /// The latest time for that, counted from the first line of the record.
    overdue: Option<Instant>,
    way: Way,
}

/// The steps after splitting and joining.
#[derive(Debug)]
struct Way {
    slot: SlotId,
    stream: Stream,
    dress: Dress,
    /// Whether the pieces of the present line pass RPM_LOG_RATE.
    passing: bool,
    /// Which outputs have the earlier pieces of the present line.
    rest: Rest,
}

impl Source {
    pub fn new(
        pipe: Arc<OwnedFd>,
        tail: Option<Tail>,
        splitter: Splitter,
        joiner: Option<Joiner>,
        (slot, stream): (SlotId, Stream),
        dress: Dress,
    ) -> Self {
        Self {
            pipe,
            tail,
            splitter,
            joiner,
            due: None,
            overdue: None,
            way: Way {
                slot,
                stream,
                dress,
                passing: true,
                rest: Rest::default(),
            },
        }
    }

    /// Allocated capacity for held bytes.
    pub fn room(&self) -> usize {
        self.splitter.room() + self.joiner.as_ref().map_or(0, Joiner::room)
    }

    /// Takes the bytes of one read.
    pub fn feed(&mut self, chunk: &[u8], press: &mut Press) {
        press.shared.owes(chunk.len());
        if let Some(tail) = &self.tail {
            if tail.is_wanted() {
                tail.push(chunk);
            } else {
                self.tail = None;
            }
        }
        let Self {
            splitter,
            joiner,
            overdue,
            way,
            ..
        } = self;
        let split = match joiner {
            None => splitter.feed(chunk, |block| way.put(block, press)),
            Some(joiner) => splitter.feed(chunk, |block| {
                joiner.feed(block, |record| {
                    *overdue = None;
                    way.put(record, press);
                });
            }),
        };
        press.split(split);
        let waits = self.joiner.as_ref().is_some_and(|joiner| joiner.held() > 0);
        self.due = waits.then(|| {
            let overdue = *self.overdue.get_or_insert(press.now + RECORD_MOST);
            overdue.min(press.now + RECORD_WAIT)
        });
    }

    /// Ends the held record.
    pub fn end_record(&mut self, press: &mut Press) {
        self.due = None;
        self.overdue = None;
        if let Some(joiner) = &mut self.joiner {
            joiner.finish(|record| self.way.put(record, press));
        }
    }

    /// Ends the stream, or treats it as ended.
    pub fn finish(&mut self, press: &mut Press) {
        let Self {
            splitter,
            joiner,
            way,
            ..
        } = self;
        // Count the added newline, which was not read.
        press.shared.owes(usize::from(splitter.held() > 0));
        match joiner {
            None => splitter.finish(|block| way.put(block, press)),
            Some(joiner) => splitter.finish(|block| {
                joiner.feed(block, |record| way.put(record, press));
            }),
        }
        self.end_record(press);
    }

    /// Emits as much of the held bytes as possible, in pieces.
    pub fn shed(&mut self, press: &mut Press) {
        self.end_record(press);
        let way = &mut self.way;
        let split = self.splitter.shed(|block| way.put(block, press));
        press.split(split);
    }
}

impl Press {
    fn split(&self, lines: u64) {
        if lines > 0 {
            let split = &self.shared.counters.split;
            split.fetch_add(lines, std::sync::atomic::Ordering::Relaxed);
        }
    }
}

impl Way {
    fn whose(&self) -> Whose {
        Whose {
            origin: self.stream.into(),
            slot: Some(self.slot),
        }
    }

    fn put(&mut self, block: Block<'_>, press: &mut Press) {
        if block.partial && !block.joined {
            // Count the newline that is added to a piece. A piece of a record ends with a line, so nothing is added.
            press.shared.owes(1);
        }
        let taken = block.size();
        if let Some(block) = self.limited(block, press) {
            let Press {
                outputs,
                time,
                dressed,
                ..
            } = press;
            dressed.clear();
            let lines = self.dress.put(block, time, dressed);
            let parts = match &self.dress {
                Dress::Raw => [block.head, block.body],
                _ => [&dressed[..], b""],
            };
            if !block.continued {
                self.rest = Rest::default();
            }
            outputs.take(self.whose(), lines, parts, &mut self.rest);
            dressed.shrink_to(KEEP);
        }
        press.shared.settled(taken);
    }

    /// The part of `block` that passes RPM_LOG_RATE.
    fn limited<'a>(&mut self, block: Block<'a>, press: &mut Press) -> Option<Block<'a>> {
        let Some(limits) = &mut press.limits else {
            return Some(block);
        };
        let lines = match self.dress {
            Dress::Json { .. } if block.joined => 1,
            _ => block.count(),
        };
        let passed = if !block.continued {
            limits.pass(self.slot, lines, block.joined, press.now)
        } else if self.passing {
            lines
        } else {
            limits.hold(self.slot, lines, press.now);
            0
        };
        self.passing = passed == lines;
        press
            .shared
            .dropped(self.whose(), LossReason::RateLimit, lines - passed);
        if self.passing {
            return Some(block);
        }
        let last = usize::try_from(passed).ok()?.checked_sub(1)?;
        let at = memchr_iter(b'\n', block.body).nth(last)?;
        let body = block.body.get(..=at)?;
        Some(Block { body, ..block })
    }
}
