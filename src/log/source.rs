//! One stream of a worker: splits bytes into lines, joins records, applies limits, formats lines.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use memchr::memchr_iter;

use super::batch::LineOwner;
use super::format::Formatter;
use super::line::{Block, Splitter};
use super::outputs::{Outputs, Rest};
use super::rate_limit::RateLimits;
use super::record::Joiner;
use super::ring::About;
use super::shared::Shared;
use super::{RECORD_MOST, RECORD_WAIT, Stream, Tail, WorkerLabel};
use crate::model::{LossReason, Pid, SlotId};

/// Capacity for formatted lines that is kept between two reads, bytes.
const KEEP: usize = 256 * 1024;

/// State shared by all streams.
#[derive(Debug)]
pub struct Pipeline {
    pub outputs: Outputs,
    pub limits: Option<RateLimits>,
    pub shared: Arc<Shared>,
    /// The time of this turn; below: the same as text, and since 1970.
    pub now: Instant,
    pub time: Vec<u8>,
    pub wall: Duration,
    /// Formatted lines.
    pub formatted: Vec<u8>,
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
    downstream: Downstream,
}

/// The steps after splitting and joining.
#[derive(Debug)]
pub struct Downstream {
    slot: SlotId,
    pid: Pid,
    stream: Stream,
    formatter: Formatter,
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
        place: (WorkerLabel, Stream),
        formatter: Formatter,
    ) -> Self {
        Self {
            pipe,
            tail,
            splitter,
            joiner,
            due: None,
            overdue: None,
            downstream: Downstream::new(place, formatter),
        }
    }

    /// Allocated capacity for held bytes.
    pub fn room(&self) -> usize {
        self.splitter.room() + self.joiner.as_ref().map_or(0, Joiner::room)
    }

    /// Takes the bytes of one read.
    pub fn feed(&mut self, chunk: &[u8], pipeline: &mut Pipeline) {
        pipeline.shared.add_pending(chunk.len());
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
            downstream,
            ..
        } = self;
        let split = match joiner {
            None => splitter.feed(chunk, |block| downstream.write(block, pipeline)),
            Some(joiner) => splitter.feed(chunk, |block| {
                joiner.feed(block, |record| {
                    *overdue = None;
                    downstream.write(record, pipeline);
                });
            }),
        };
        pipeline.split(split);
        let waits = self.joiner.as_ref().is_some_and(|joiner| joiner.held() > 0);
        self.due = waits.then(|| {
            let overdue = *self.overdue.get_or_insert(pipeline.now + RECORD_MOST);
            overdue.min(pipeline.now + RECORD_WAIT)
        });
    }

    /// Ends the held record.
    pub fn end_record(&mut self, pipeline: &mut Pipeline) {
        self.due = None;
        self.overdue = None;
        if let Some(joiner) = &mut self.joiner {
            joiner.finish(|record| self.downstream.write(record, pipeline));
        }
    }

    /// Ends the stream, or treats it as ended.
    pub fn finish(&mut self, pipeline: &mut Pipeline) {
        let Self {
            splitter,
            joiner,
            downstream,
            ..
        } = self;
        // Count the added newline, which was not read.
        pipeline
            .shared
            .add_pending(usize::from(splitter.held() > 0));
        match joiner {
            None => splitter.finish(|block| downstream.write(block, pipeline)),
            Some(joiner) => splitter.finish(|block| {
                joiner.feed(block, |record| downstream.write(record, pipeline));
            }),
        }
        self.end_record(pipeline);
    }

    /// Emits as much of the held bytes as possible, in pieces.
    pub fn shed(&mut self, pipeline: &mut Pipeline) {
        self.end_record(pipeline);
        let downstream = &mut self.downstream;
        let split = self
            .splitter
            .shed(|block| downstream.write(block, pipeline));
        pipeline.split(split);
    }
}

impl Pipeline {
    /// Counts lines that turned out to be too long.
    pub fn split(&self, lines: u64) {
        if lines > 0 {
            let split = &self.shared.counters.split;
            split.fetch_add(lines, std::sync::atomic::Ordering::Relaxed);
        }
    }
}

impl Downstream {
    pub fn new((worker, stream): (WorkerLabel, Stream), formatter: Formatter) -> Self {
        Self {
            slot: worker.slot,
            pid: worker.pid,
            stream,
            formatter,
            passing: true,
            rest: Rest::default(),
        }
    }

    fn owner(&self) -> LineOwner {
        LineOwner {
            origin: self.stream.into(),
            slot: Some(self.slot),
        }
    }

    /// Formats and passes on what RPM_LOG_RATE lets through. The bytes of `block` were counted as pending.
    pub fn write(&mut self, block: Block<'_>, pipeline: &mut Pipeline) {
        if block.partial && !block.joined {
            // Count the newline that is added to a piece. A piece of a record ends with a line, so nothing is added.
            pipeline.shared.add_pending(1);
        }
        let taken = block.size();
        if let Some(block) = self.limited(block, pipeline) {
            let Pipeline {
                outputs,
                shared,
                time,
                wall,
                formatted,
                ..
            } = pipeline;
            formatted.clear();
            let lines = self.formatter.format(block, time, formatted);
            if let Some(ring) = &shared.ring {
                let LineOwner { origin, slot } = self.owner();
                ring.push(
                    About::new(origin, slot, Some(self.pid), *wall),
                    block,
                    lines,
                );
            }
            let parts = match &self.formatter {
                Formatter::Raw => [block.head, block.body],
                _ => [&formatted[..], b""],
            };
            if !block.continued {
                self.rest = Rest::default();
            }
            outputs.take(self.owner(), lines, parts, &mut self.rest);
            formatted.shrink_to(KEEP);
        }
        pipeline.shared.sub_pending(taken);
    }

    /// The part of `block` that passes RPM_LOG_RATE.
    fn limited<'a>(&mut self, block: Block<'a>, pipeline: &mut Pipeline) -> Option<Block<'a>> {
        let Some(limits) = &mut pipeline.limits else {
            return Some(block);
        };
        let lines = match self.formatter {
            Formatter::Json { .. } if block.joined => 1,
            _ => block.count(),
        };
        let passed = if !block.continued {
            limits.pass(self.slot, lines, block.joined, pipeline.now)
        } else if self.passing {
            lines
        } else {
            limits.hold(self.slot, lines, pipeline.now);
            0
        };
        self.passing = passed == lines;
        pipeline
            .shared
            .dropped(self.owner(), LossReason::RateLimit, lines - passed);
        if self.passing {
            return Some(block);
        }
        let last = usize::try_from(passed).ok()?.checked_sub(1)?;
        let at = memchr_iter(b'\n', block.body).nth(last)?;
        let body = block.body.get(..=at)?;
        Some(Block { body, ..block })
    }
}
