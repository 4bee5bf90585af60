//! All destinations of lines: the standard streams and the files.

use std::sync::Arc;
use std::sync::mpsc::Sender;

use memchr::memchr_iter;

use super::batch::{LineOwner, Run};
use super::emptying::Emptying;
use super::files::Files;
use super::output::{Output, Sink};
use super::queue::Queue;
use super::shared::Shared;
use super::stream::StreamWriter;
use super::{LogSettings, own};
use crate::model::{LogOrigin, LossReason, Overflow};

/// Names in reports about dropped lines.
const STREAMS: [&str; 2] = ["stdout", "stderr"];

/// Which outputs have all pieces of the present line so far. An output that dropped a piece does not get the next ones.
#[derive(Clone, Copy, Debug)]
pub struct Rest {
    stream: bool,
    file: bool,
}

impl Default for Rest {
    fn default() -> Self {
        Self {
            stream: true,
            file: true,
        }
    }
}

/// All outputs.
#[derive(Debug)]
pub struct Outputs {
    /// Stdout, and stderr if it is separate.
    streams: Vec<Output>,
    files: Files,
    shared: Arc<Shared>,
}

impl Outputs {
    /// Takes the descriptors and the files out of `settings`. Fails if a thread for a queue cannot be started.
    pub fn start(settings: &mut LogSettings, shared: &Arc<Shared>) -> nix::Result<Self> {
        let err = settings.err.take();
        let fds = [settings.out.take(), err];
        let mut streams = Vec::new();
        let lanes = fds.iter().flatten().count() + usize::from(settings.files.any());
        let limit = settings.buffer / 2 / lanes.max(1);
        let queue = |name: &str| match settings.overflow {
            Overflow::Block => Ok(None),
            Overflow::Drop => {
                Queue::start(name, limit, Arc::clone(shared)).map(|q| Some(Arc::new(q)))
            }
        };
        for (fd, name) in fds.into_iter().zip(["log-stdout", "log-stderr"]) {
            let Some(fd) = fd else { continue };
            let sink = Sink::Stream(StreamWriter::new(fd, Arc::clone(shared)));
            let shared = Arc::clone(shared);
            streams.push(match queue(name)? {
                None => Output::direct(sink, shared),
                Some(queue) => Output::queued(&queue, sink, LossReason::BufferFull, shared),
            });
        }
        let files_queue = if settings.files.any() {
            queue("log-files")?
        } else {
            None
        };
        Ok(Self {
            streams,
            files: Files::new(settings.files.clone(), files_queue, Arc::clone(shared)),
            shared: Arc::clone(shared),
        })
    }

    /// Takes `lines` whole lines; `parts` are concatenated. `rest` tells which outputs have the earlier pieces of a cut
    /// line.
    pub fn take(&mut self, owner: LineOwner, lines: u64, parts: [&[u8]; 2], rest: &mut Rest) {
        let run = Run {
            owner,
            lines,
            bytes: parts.iter().map(|part| part.len()).sum(),
        };
        let put = |output: &mut Output, goes_on: &mut bool| {
            if *goes_on {
                *goes_on = output.take(run, parts);
            } else {
                output.lose(run);
            }
        };
        if let Some(file) = self.files.of(owner) {
            put(file, &mut rest.file);
        }
        let stream = match owner.origin {
            LogOrigin::Stdout => self.streams.first_mut(),
            LogOrigin::Stderr | LogOrigin::Runtime => self.streams.last_mut(),
        };
        if let Some(stream) = stream {
            put(stream, &mut rest.stream);
        }
    }

    /// Takes the runtime's own lines.
    pub fn own(&mut self, lines: &[u8]) {
        let count = memchr_iter(b'\n', lines).count() as u64;
        if count > 0 {
            self.take(
                LineOwner::RUNTIME,
                count,
                [lines, b""],
                &mut Rest::default(),
            );
        }
    }

    /// Writes or queues everything that was taken, and reports dropped lines of outputs that have room again.
    pub fn flush(&mut self) {
        let mut said = Vec::new();
        for (stream, name) in self.streams.iter_mut().zip(STREAMS) {
            if let Some(loss) = stream.lost() {
                said.push(own::dropped(name, loss.lines, loss.bytes));
            }
        }
        if let Some(loss) = self.files.lost() {
            said.push(own::dropped("files", loss.lines, loss.bytes));
        }
        for said in said {
            let line = self.shared.own_line(&said);
            if line.is_empty() {
                continue;
            }
            if let Some(file) = self.files.of(LineOwner::RUNTIME) {
                file.tell(LineOwner::RUNTIME, &line);
            }
            if let Some(stream) = self.streams.last_mut() {
                stream.tell(LineOwner::RUNTIME, &line);
            }
        }
        self.streams.iter_mut().for_each(Output::flush);
        self.files.flush();
    }

    /// Reopens the files after the lines that were taken before.
    pub fn reopen(&mut self) {
        self.files.reopen();
    }

    /// Empties the files after the lines that were taken before.
    pub fn empty(&mut self, emptying: &Arc<Emptying>) {
        self.files.empty(emptying);
    }

    /// Drops the copies of `done` once everything that was taken is written.
    pub fn done(&mut self, done: &Sender<()>) {
        for stream in &mut self.streams {
            stream.done(done.clone());
        }
        self.files.done(done);
    }
}
