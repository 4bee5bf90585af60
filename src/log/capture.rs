//! The log thread: reads the workers' pipes and passes whole lines to the outputs.

use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::LogSettings;
use super::format::Formatter;
use super::handle::{Attached, Inbox, Log};
use super::inserted::InsertedStreams;
use super::line::Splitter;
use super::outputs::Outputs;
use super::own::{self, OwnFormat};
use super::own_file::{OwnFile, StartError};
use super::rate_limit::RateLimits;
use super::record::Joiner;
use super::shared::Shared;
use super::source::{Pipeline, Source};
use super::stamp::Stamper;
use crate::model::{Overflow, Timestamp};
use crate::sys::clock;
use crate::sys::epoll::{Interest, Poller, ReadyFd, Waker};
use crate::sys::io::{self, Read};
use crate::sys::thread::{self, LateThread};

/// Most bytes in one read, equal to the capacity of a pipe (pipe(7), "Pipe capacity"). All streams share one such
/// buffer.
const READ: usize = 64 * 1024;
/// The token of the inbox. The token of a stream is its index in the table plus one.
const INBOX: u64 = 0;

/// Starts the log thread, unless it is to start late, and that of the runtime's own file.
pub fn start(mut settings: LogSettings) -> Result<Log, StartError> {
    settings.app_name = settings.app_name.replace(char::is_control, "?");
    let form = OwnFormat {
        format: settings.format,
        timestamp: settings.timestamp.clone(),
        app: settings.app_name.clone(),
        colour: settings.colour,
    };
    let in_file = OwnFormat {
        timestamp: match form.timestamp.clone() {
            Timestamp::None => Timestamp::Rfc3339,
            given => given,
        },
        colour: false,
        ..form.clone()
    };
    let late = settings.late && settings.own_file.is_none();
    let shared = Arc::new(Shared::new(form, settings.buffer, settings.ring)?);
    if let Some(own) = settings.own_file.take() {
        let file = OwnFile::start(own, in_file, Arc::downgrade(&shared))?;
        // Nobody else sets it.
        let _ = shared.own_file.set(file);
    }
    let poller = Poller::new()?;
    poller.add(&shared.waker, INBOX, Interest::Readable)?;
    let now = clock::instant();
    let pipeline = Pipeline {
        outputs: Outputs::start(&mut settings, &shared)?,
        limits: settings.rate.map(|rate| RateLimits::new(rate, now)),
        shared: Arc::clone(&shared),
        now,
        time: Vec::new(),
        wall: Duration::ZERO,
        formatted: Vec::new(),
    };
    let capture = Capture {
        poller,
        pipeline,
        stamper: Stamper::new(&settings.timestamp),
        sources: Vec::new(),
        inserted: InsertedStreams::default(),
        buffer: Vec::new(),
        tails: match settings.overflow {
            Overflow::Block => settings.buffer / 2,
            // The other half belongs to the queues.
            Overflow::Drop => settings.buffer / 4,
        },
        settings,
        shared: Arc::clone(&shared),
        over: false,
    };
    let thread = LateThread::new("log", thread::STACK, move || capture.run());
    if !late {
        thread.ensure()?;
    }
    Ok(Log::new(shared, thread))
}

/// Result of reading from a stream once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReadResult {
    Took(usize),
    Empty,
    End,
}

#[derive(Debug)]
struct Capture {
    poller: Poller,
    shared: Arc<Shared>,
    pipeline: Pipeline,
    stamper: Stamper,
    sources: Vec<Option<Source>>,
    inserted: InsertedStreams,
    buffer: Vec<u8>,
    /// Most bytes that all unfinished lines and records together may take.
    tails: usize,
    settings: LogSettings,
    over: bool,
}

impl Capture {
    fn run(mut self) {
        self.buffer = vec![0; READ];
        let mut ready = Vec::new();
        loop {
            let wait = self
                .due()
                .map(|due| due.saturating_duration_since(clock::instant()));
            if self.poller.wait(&mut ready, wait).is_err() {
                // Not possible for a poller that worked before (epoll_wait(2)).
                return;
            }
            self.tick();
            let mut inbox = false;
            for &ReadyFd { token, .. } in &ready {
                match token.checked_sub(1).map(usize::try_from) {
                    // One read for each stream, so that no stream waits for the loudest one.
                    Some(Ok(at)) => drop(self.take(at)),
                    _ => inbox = true,
                }
            }
            self.expire();
            if inbox {
                self.serve();
            }
            self.pipeline.outputs.flush();
            if self.over && self.sources.iter().all(Option::is_none) {
                self.end();
                return;
            }
        }
    }

    fn tick(&mut self) {
        self.pipeline.now = clock::instant();
        let Pipeline { time, wall, .. } = &mut self.pipeline;
        let now = clock::wall();
        *wall = now
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        time.clear();
        time.extend_from_slice(self.stamper.stamp(now));
    }

    /// When something must be done even if nothing arrives.
    fn due(&self) -> Option<Instant> {
        let limits = self.pipeline.limits.as_ref().and_then(RateLimits::due);
        if self.settings.multiline.is_none() {
            return limits;
        }
        let sources = self.sources.iter().flatten();
        let records = sources.filter_map(|source| source.due);
        records.chain(limits).min()
    }

    fn expire(&mut self) {
        let now = self.pipeline.now;
        if self.settings.multiline.is_some() {
            for source in self.sources.iter_mut().flatten() {
                if source.due.is_some_and(|due| due <= now) {
                    source.end_record(&mut self.pipeline);
                }
            }
        }
        self.tell_limits(Some(now));
    }

    fn tell_limits(&mut self, now: Option<Instant>) {
        let told = self.pipeline.limits.as_mut().map(|limits| limits.told(now));
        for (slot, lines) in told.unwrap_or_default() {
            let line = self.shared.own_line(&own::limited(slot, lines));
            self.pipeline.outputs.own(&line);
        }
    }

    /// Reports what is still to be reported. The last writes may cause further reports, so this runs twice.
    fn end(&mut self) {
        self.tell_limits(None);
        for _ in 0..2 {
            self.serve();
            self.pipeline.outputs.flush();
        }
    }

    /// Processes the content of the inbox.
    fn serve(&mut self) {
        self.shared.waker.clear();
        let inbox = mem::take(&mut *self.shared.inbox());
        // `mem::take` reset the flag, so remember it here.
        self.over |= inbox.over;
        let Inbox {
            attached,
            own,
            inserted,
            room,
            missing,
            flush,
            reopen,
            empty,
            ..
        } = inbox;
        // Own lines that were logged before a worker was attached come before the worker's lines.
        let mut said = 0;
        let before = attached.last().map_or(0, |attached| attached.after);
        self.own_until(&own, before, &mut said);
        for attached in attached {
            self.attach(attached);
        }
        if !flush.is_empty() {
            // Drain the pipes first, so that the runtime's last lines come last.
            self.drain();
            self.tell_limits(None);
        }
        for event in &inserted {
            self.own_until(&own, event.after, &mut said);
            self.inserted
                .write(event, &self.settings, &mut self.pipeline);
        }
        room.iter().for_each(Waker::wake);
        self.own_until(&own, own.len(), &mut said);
        if missing > 0 {
            let line = self
                .shared
                .stream_line(&own::missing(missing, "the output"));
            self.pipeline.outputs.own(&line);
        }
        if reopen {
            self.pipeline.outputs.reopen();
        }
        for emptying in empty {
            self.pipeline.outputs.empty(&emptying);
            if let Some(ring) = &self.shared.ring {
                ring.clear();
            }
        }
        self.pipeline.outputs.flush();
        if flush.is_empty() {
            return;
        }
        // Reports that the writing itself caused.
        let own = self.shared.inbox().take_own();
        self.pipeline.outputs.own(&own);
        self.pipeline.outputs.flush();
        for done in flush {
            self.pipeline.outputs.done(&done);
        }
    }

    /// Passes on own lines up to the offset `end`. `said` is the end of those that were passed on before.
    fn own_until(&mut self, own: &[u8], end: usize, said: &mut usize) {
        let lines = own.get(*said..end).unwrap_or_default();
        self.pipeline.outputs.own(lines);
        *said = end.max(*said);
    }

    fn attach(&mut self, attached: Attached) {
        let Attached {
            worker,
            stream,
            pipe,
            tail,
            ..
        } = attached;
        let slot = worker.slot;
        let free = self.sources.iter().position(Option::is_none);
        let at = free.unwrap_or(self.sources.len());
        if let Err(errno) = self.poller.add(&*pipe, at as u64 + 1, Interest::Readable) {
            // No memory, or the user's limit of epoll watches is reached. The worker finds its output closed.
            let line = self.shared.own_line(&own::unwatched(slot, errno));
            self.pipeline.outputs.own(&line);
            return;
        }
        let LogSettings {
            max_line,
            multiline,
            format,
            app_name,
            colour,
            ..
        } = &self.settings;
        let joiner = multiline
            .as_ref()
            .map(|rule| Joiner::new(rule.clone(), *max_line));
        let formatter = Formatter::new(*format, app_name, *colour, worker, stream);
        let splitter = Splitter::new(*max_line);
        let source = Source::new(pipe, tail, splitter, joiner, (worker, stream), formatter);
        match self.sources.get_mut(at) {
            Some(place) => *place = Some(source),
            None => self.sources.push(Some(source)),
        }
    }

    /// Reads once from a stream. At the end of the stream, finishes its last line and closes it.
    fn take(&mut self, at: usize) -> ReadResult {
        let Some(place) = self.sources.get_mut(at) else {
            return ReadResult::End;
        };
        let Some(source) = place else {
            return ReadResult::End;
        };
        match io::read(&*source.pipe, &mut self.buffer) {
            Ok(Read::Data(count)) => {
                let before = source.room();
                source.feed(
                    self.buffer.get(..count).unwrap_or_default(),
                    &mut self.pipeline,
                );
                if source.room() > before {
                    self.bound();
                }
                ReadResult::Took(count)
            }
            Ok(Read::Empty) => ReadResult::Empty,
            // A pipe has no read errors of its own; treat an error as the end.
            Ok(Read::End) | Err(_) => {
                source.finish(&mut self.pipeline);
                if let Some(tail) = &source.tail {
                    tail.end();
                }
                // `Log::unwritten` may hold the descriptor at this moment, so closing alone would not remove it from
                // the poller.
                let _ = self.poller.remove(&*source.pipe);
                *place = None;
                ReadResult::End
            }
        }
    }

    /// Keeps unfinished lines and records below the limit: the largest go out in pieces.
    fn bound(&mut self) {
        loop {
            let rooms = self.sources.iter().flatten().map(Source::room);
            if rooms.sum::<usize>() <= self.tails {
                return;
            }
            let largest = self
                .sources
                .iter_mut()
                .flatten()
                .max_by_key(|source| source.room());
            let Some(source) = largest else { return };
            let before = source.room();
            source.shed(&mut self.pipeline);
            if source.room() >= before {
                return;
            }
        }
    }

    /// Reads what is in the pipes now, and not what is written meanwhile. Then ends every unfinished line.
    fn drain(&mut self) {
        for at in 0..self.sources.len() {
            let Some(Some(source)) = self.sources.get(at) else {
                continue;
            };
            let mut waiting = io::unread(&*source.pipe).unwrap_or(0);
            while waiting > 0 {
                match self.take(at) {
                    ReadResult::Took(count) => waiting = waiting.saturating_sub(count),
                    ReadResult::Empty | ReadResult::End => break,
                }
            }
            if let Some(Some(source)) = self.sources.get_mut(at) {
                source.finish(&mut self.pipeline);
            }
        }
    }
}
