//! The thread: every worker's pipes in, whole lines to the outputs.

use std::mem;
use std::sync::Arc;
use std::time::Instant;

use super::format::Dress;
use super::handle::{Attached, Inbox, Log};
use super::limits::Limits;
use super::line::Splitter;
use super::outputs::Outputs;
use super::own::{self, Form};
use super::record::Joiner;
use super::shared::Shared;
use super::source::{Press, Source};
use super::stamp::Stamper;
use super::{Overflow, Settings};
use crate::sys::clock;
use crate::sys::epoll::{Interest, Poller, Ready};
use crate::sys::io::{self, Read};
use crate::sys::thread;

/// One read takes at most so much: what a pipe holds (pipe(7), "Pipe capacity"). All streams share one such buffer.
const READ: usize = 64 * 1024;
/// The inbox's token; that of a stream is its place in the table plus one.
const INBOX: u64 = 0;

/// Starts the log. Fails if the kernel has no descriptor or no thread for it.
pub fn start(mut settings: Settings) -> nix::Result<Log> {
    settings.app_name = settings.app_name.replace(char::is_control, "?");
    let form = Form {
        format: settings.format,
        timestamp: settings.timestamp.clone(),
        app: settings.app_name.clone(),
        colour: settings.colour,
    };
    let shared = Arc::new(Shared::new(form, settings.buffer)?);
    let poller = Poller::new()?;
    poller.add(&shared.waker, INBOX, Interest::Readable)?;
    let now = clock::instant();
    let press = Press {
        outputs: Outputs::start(&mut settings, &shared)?,
        limits: settings.rate.map(|rate| Limits::new(rate, now)),
        shared: Arc::clone(&shared),
        now,
        time: Vec::new(),
        dressed: Vec::new(),
    };
    let capture = Capture {
        poller,
        press,
        stamper: Stamper::new(&settings.timestamp),
        sources: Vec::new(),
        buffer: vec![0; READ],
        tails: match settings.overflow {
            Overflow::Block => settings.buffer / 2,
            // The queues have the other half.
            Overflow::Drop => settings.buffer / 4,
        },
        settings,
        shared: Arc::clone(&shared),
        over: false,
    };
    thread::start("log", thread::STACK, move || capture.run())?;
    Ok(Log::new(shared))
}

/// What a read left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    Took(usize),
    Empty,
    End,
}

#[derive(Debug)]
struct Capture {
    poller: Poller,
    shared: Arc<Shared>,
    press: Press,
    stamper: Stamper,
    sources: Vec<Option<Source>>,
    buffer: Vec<u8>,
    /// The most that unfinished lines and records may take, all together.
    tails: usize,
    settings: Settings,
    over: bool,
}

impl Capture {
    fn run(mut self) {
        let mut ready = Vec::new();
        loop {
            let wait = self
                .due()
                .map(|due| due.saturating_duration_since(clock::instant()));
            if self.poller.wait(&mut ready, wait).is_err() {
                // For no reason that a program which got here could give it (epoll_wait(2)).
                return;
            }
            self.tick();
            let mut inbox = false;
            for &Ready { token, .. } in &ready {
                match token.checked_sub(1).map(usize::try_from) {
                    // One read each, so that nobody waits for the loudest.
                    Some(Ok(at)) => drop(self.take(at)),
                    _ => inbox = true,
                }
            }
            self.expire();
            if inbox {
                self.serve();
            }
            self.press.outputs.flush();
            if self.over && self.sources.iter().all(Option::is_none) {
                self.end();
                return;
            }
        }
    }

    fn tick(&mut self) {
        self.press.now = clock::instant();
        let Press { time, .. } = &mut self.press;
        time.clear();
        time.extend_from_slice(self.stamper.stamp(clock::wall()));
    }

    /// When something is to be done though nothing happens.
    fn due(&self) -> Option<Instant> {
        let limits = self.press.limits.as_ref().and_then(Limits::due);
        if self.settings.multiline.is_none() {
            return limits;
        }
        let sources = self.sources.iter().flatten();
        let records = sources.filter_map(|source| source.due);
        records.chain(limits).min()
    }

    fn expire(&mut self) {
        let now = self.press.now;
        if self.settings.multiline.is_some() {
            for source in self.sources.iter_mut().flatten() {
                if source.due.is_some_and(|due| due <= now) {
                    source.end_record(&mut self.press);
                }
            }
        }
        self.tell_limits(Some(now));
    }

    fn tell_limits(&mut self, now: Option<Instant>) {
        let told = self.press.limits.as_mut().map(|limits| limits.told(now));
        for (slot, lines) in told.unwrap_or_default() {
            let line = self.shared.formed(&own::limited(slot, lines));
            self.press.outputs.own(&line);
        }
    }

    /// Says what there is still to say. What the last writes give occasion to say themselves is the last.
    fn end(&mut self) {
        self.tell_limits(None);
        for _ in 0..2 {
            self.serve();
            self.press.outputs.flush();
        }
    }

    /// Takes over what waits in the inbox.
    fn serve(&mut self) {
        self.shared.waker.clear();
        let inbox = mem::take(&mut *self.shared.inbox());
        // `mem::take` reset the word; it is said once.
        self.over |= inbox.over;
        let Inbox {
            attached,
            own,
            missing,
            flush,
            reopen,
            ..
        } = inbox;
        // What was said before a worker's first word comes before it, whenever that is read.
        let before = attached.last().map_or(0, |attached| attached.after);
        let (before, own) = own.split_at(before.min(own.len()));
        self.press.outputs.own(before);
        for attached in attached {
            self.attach(attached);
        }
        if !flush.is_empty() {
            // First, so that the runtime's last words come last.
            self.drain();
            self.tell_limits(None);
        }
        self.press.outputs.own(own);
        if missing > 0 {
            let line = self.shared.formed(&own::missing(missing));
            self.press.outputs.own(&line);
        }
        if reopen {
            self.press.outputs.reopen();
        }
        self.press.outputs.flush();
        if flush.is_empty() {
            return;
        }
        // What the writing itself gave occasion to say.
        let own = self.shared.inbox().take_own();
        self.press.outputs.own(&own);
        self.press.outputs.flush();
        for done in flush {
            self.press.outputs.done(&done);
        }
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
            // No memory, or the user's share of watches is used up: the worker finds its output closed.
            let line = self.shared.formed(&own::unwatched(slot, errno));
            self.press.outputs.own(&line);
            return;
        }
        let Settings {
            max_line,
            multiline,
            format,
            app_name,
            colour,
            ..
        } = &self.settings;
        let joiner = multiline
            .as_ref()
            .map(|first| Joiner::new(Arc::clone(first), *max_line));
        let dress = Dress::new(*format, app_name, *colour, worker, stream);
        let splitter = Splitter::new(*max_line);
        let source = Source::new(pipe, tail, splitter, joiner, (slot, stream), dress);
        match self.sources.get_mut(at) {
            Some(place) => *place = Some(source),
            None => self.sources.push(Some(source)),
        }
    }

    /// Reads once from a stream. At its end it is finished and closed.
    fn take(&mut self, at: usize) -> After {
        let Some(place) = self.sources.get_mut(at) else {
            return After::End;
        };
        let Some(source) = place else {
            return After::End;
        };
        match io::read(&*source.pipe, &mut self.buffer) {
            Ok(Read::Data(count)) => {
                let before = source.room();
                source.feed(
                    self.buffer.get(..count).unwrap_or_default(),
                    &mut self.press,
                );
                if source.room() > before {
                    self.bound();
                }
                After::Took(count)
            }
            Ok(Read::Empty) => After::Empty,
            // A pipe has no errors of its own; one that cannot be read is as good as ended.
            Ok(Read::End) | Err(_) => {
                source.finish(&mut self.press);
                if let Some(tail) = &source.tail {
                    tail.end();
                }
                // The number may be lent out at this moment (`Log::unwritten`), so closing alone would not do.
                let _ = self.poller.remove(&*source.pipe);
                *place = None;
                After::End
            }
        }
    }

    /// Keeps what unfinished lines and records take below the limit: the largest go out in pieces.
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
            source.shed(&mut self.press);
            if source.room() >= before {
                return;
            }
        }
    }

    /// Reads what lies in the pipes now, and no more, whoever goes on writing; then finishes every line.
    fn drain(&mut self) {
        for at in 0..self.sources.len() {
            let Some(Some(source)) = self.sources.get(at) else {
                continue;
            };
            let mut waiting = io::unread(&*source.pipe).unwrap_or(0);
            while waiting > 0 {
                match self.take(at) {
                    After::Took(count) => waiting = waiting.saturating_sub(count),
                    After::Empty | After::End => break,
                }
            }
            if let Some(Some(source)) = self.sources.get_mut(at) {
                source.finish(&mut self.press);
            }
        }
    }
}
