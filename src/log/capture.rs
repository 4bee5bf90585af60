//! The thread: every worker's pipes in, whole lines to the sink.
#![forbid(unsafe_code)]

use std::mem;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;

use nix::errno::Errno;
use nix::sys::signal::SigSet;

use super::handle::{Attached, Log, Shared};
use super::line::{Block, Splitter};
use super::sink::{Label, Origin, Sink};
use super::{Format, Settings, Tail, own};
use crate::sys::epoll::{Interest, Poller, Ready};
use crate::sys::io::{self, Read};

/// One read takes at most so much: what a pipe holds (pipe(7), "Pipe capacity"). All streams share one such buffer.
const READ: usize = 64 * 1024;
/// Nothing in the thread recurses or keeps much on its stack.
const STACK: usize = 256 * 1024;
/// The inbox's token; that of a stream is its place in the table plus one.
const INBOX: u64 = 0;

/// Starts the log. Fails if the kernel has no descriptor or no thread for it.
pub fn start(settings: Settings) -> nix::Result<Log> {
    let shared = Arc::new(Shared::new()?);
    let poller = Poller::new()?;
    poller.add(&shared.waker, INBOX, Interest::Readable)?;
    let name = settings.app_name.replace(char::is_control, "?");
    let capture = Capture {
        poller,
        sink: Sink::new(settings.out, Arc::clone(&shared)),
        sources: Vec::new(),
        buffer: vec![0; READ],
        name: (settings.format == Format::Prefix).then_some(name),
        max_line: settings.max_line,
        shared: Arc::clone(&shared),
        over: false,
    };
    thread::Builder::new()
        .name("log".to_owned())
        .stack_size(STACK)
        .spawn(move || {
            // Signals are for the main thread. This cannot fail: the set and the way are valid (pthread_sigmask(3)).
            let _ = SigSet::all().thread_block();
            capture.run();
        })
        .map_err(|error| error.raw_os_error().map_or(Errno::EAGAIN, Errno::from_raw))?;
    Ok(Log::new(shared))
}

/// One pipe.
#[derive(Debug)]
struct Source {
    pipe: Arc<OwnedFd>,
    /// Who may ask for the last lines.
    tail: Option<Tail>,
    origin: Origin,
    splitter: Splitter,
    /// `None` in raw.
    label: Option<Label>,
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
    sink: Sink,
    sources: Vec<Option<Source>>,
    buffer: Vec<u8>,
    /// For the prefix; `None` in raw.
    name: Option<String>,
    max_line: usize,
    over: bool,
}

impl Capture {
    fn run(mut self) {
        let mut ready = Vec::new();
        // The wait fails for no reason that a program which got here could give it (epoll_wait(2)).
        while self.poller.wait(&mut ready, None).is_ok() {
            let mut inbox = false;
            for &Ready { token, .. } in &ready {
                match token.checked_sub(1).map(usize::try_from) {
                    // One read each, so that nobody waits for the loudest.
                    Some(Ok(at)) => drop(self.take(at)),
                    _ => inbox = true,
                }
            }
            if inbox {
                self.serve();
            }
            self.sink.flush();
            if self.over && self.sources.iter().all(Option::is_none) {
                return;
            }
        }
    }

    /// Takes over what waits in the inbox.
    fn serve(&mut self) {
        self.shared.waker.clear();
        let mut inbox = mem::take(&mut *self.shared.inbox());
        // `mem::take` reset the word; it is said once.
        self.over |= inbox.over;
        for attached in inbox.attached {
            self.attach(attached);
        }
        if !inbox.flush.is_empty() {
            // First, so that the runtime's last words come last.
            self.drain();
        }
        if !inbox.own.is_empty() {
            self.sink.own(&inbox.own);
        }
        if inbox.missing > 0 {
            self.sink.own(&own::missing(inbox.missing));
        }
        self.sink.flush();
        for done in inbox.flush.drain(..) {
            // Who asked may have lost patience.
            let _ = done.send(());
        }
    }

    fn attach(&mut self, attached: Attached) {
        let Attached {
            slot,
            stream,
            pipe,
            tail,
        } = attached;
        let free = self.sources.iter().position(Option::is_none);
        let at = free.unwrap_or(self.sources.len());
        if let Err(errno) = self.poller.add(&*pipe, at as u64 + 1, Interest::Readable) {
            // No memory, or the user's share of watches is used up: the worker finds its output closed.
            self.sink.own(&own::unwatched(slot, errno));
            return;
        }
        let source = Source {
            pipe,
            tail,
            origin: stream.into(),
            splitter: Splitter::new(self.max_line),
            label: self.name.as_ref().map(|name| Label::new(name, slot)),
        };
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
                let chunk = self.buffer.get(..count).unwrap_or_default();
                if let Some(tail) = &source.tail {
                    if tail.is_wanted() {
                        tail.push(chunk);
                    } else {
                        source.tail = None;
                    }
                }
                let held = self.sink.held.saturating_sub(source.splitter.held());
                self.sink.held += count;
                let Source {
                    splitter,
                    label,
                    origin,
                    ..
                } = source;
                let split = splitter.feed(chunk, |block| {
                    emit(&mut self.sink, *origin, label.as_ref(), block);
                });
                self.sink.held = held + splitter.held();
                if split > 0 {
                    self.shared.counters.split.fetch_add(split, Relaxed);
                }
                After::Took(count)
            }
            Ok(Read::Empty) => After::Empty,
            // A pipe has no errors of its own; one that cannot be read is as good as ended.
            Ok(Read::End) | Err(_) => {
                source.finish(&mut self.sink);
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
                source.finish(&mut self.sink);
            }
        }
    }
}

impl Source {
    fn finish(&mut self, sink: &mut Sink) {
        let Self {
            splitter,
            label,
            origin,
            ..
        } = self;
        let held = sink.held.saturating_sub(splitter.held());
        splitter.finish(|block| emit(sink, *origin, label.as_ref(), block));
        sink.held = held;
    }
}

fn emit(sink: &mut Sink, origin: Origin, label: Option<&Label>, block: Block<'_>) {
    // From here on the sink counts them (the newline that ends a piece was never read; the next read puts that right).
    sink.held = sink
        .held
        .saturating_sub(block.head.len() + block.body.len());
    match label {
        None => sink.raw(origin, block),
        Some(label) => sink.prefixed(origin, label, block),
    }
}
