//! What a worker is sent: a queue in memory, and what is in the kernel and the worker has not read yet.

use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use nix::errno::Errno;

use crate::policy::node::Parcel;
use crate::sys::{channel, io};

/// A line with its newline.
pub type Line = Arc<[u8]>;

/// Messages that the kernel has are recorded up to this number before it is looked which of them were read.
const LOOK_EVERY: usize = 256;

/// The same, in bytes: the kernel has less room than that for what a worker has not read.
const LOOK_BYTES: u64 = 1 << 20;

/// One line on its way.
#[derive(Debug)]
enum Letter {
    /// Of the runtime, perhaps with a descriptor.
    Own(Line, Option<OwnedFd>),
    /// Of another worker.
    Relayed(Parcel<Line>),
}

impl Letter {
    fn line(&self) -> &Line {
        match self {
            Self::Own(line, _) => line,
            Self::Relayed(parcel) => &parcel.message,
        }
    }
}

/// The lines for one worker.
#[derive(Debug, Default)]
pub struct Outbox {
    queue: VecDeque<Letter>,
    /// Bytes in the queue, without those of its first line that were sent.
    queued: usize,
    /// Bytes of the runtime's own lines in the queue.
    own: usize,
    /// Bytes of the first line that were sent.
    sent_of_first: usize,
    /// Bytes sent so far.
    sent: u64,
    /// Lines that were sent and perhaps not read, and what had been sent at the end of each.
    unread: VecDeque<(u64, Parcel<Line>)>,
}

impl Outbox {
    /// Queues a line of the runtime.
    pub fn push(&mut self, line: Line, fd: Option<OwnedFd>) {
        self.queued += line.len();
        self.own += line.len();
        self.queue.push_back(Letter::Own(line, fd));
    }

    /// Queues a line of another worker.
    pub fn relay(&mut self, parcel: Parcel<Line>) {
        self.queued += parcel.message.len();
        self.queue.push_back(Letter::Relayed(parcel));
    }

    /// Bytes that the kernel has not taken.
    pub fn queued(&self) -> usize {
        self.queued
    }

    /// Bytes of the runtime's own lines that are not sent whole.
    pub fn own(&self) -> usize {
        self.own
    }

    /// Sends what fits. `theirs` is a copy of the worker's end. True if something was sent. Fails with EPIPE or ECONNRESET
    /// if the other end is closed.
    pub fn flush(&mut self, ours: &OwnedFd, theirs: Option<&OwnedFd>) -> nix::Result<bool> {
        let before = self.sent;
        while let Some(letter) = self.queue.front() {
            let line = letter.line();
            let rest = line.get(self.sent_of_first..).unwrap_or_default();
            let attached = match letter {
                Letter::Own(_, Some(fd)) if self.sent_of_first == 0 => Some(fd.as_fd()),
                _ => None,
            };
            let sent = match channel::send(ours, rest, attached) {
                Ok(sent) => sent,
                Err(Errno::EAGAIN) => break,
                Err(errno) => return Err(errno),
            };
            let whole = sent == rest.len();
            self.sent += u64::try_from(sent).unwrap_or(0);
            self.queued -= sent;
            self.sent_of_first += sent;
            if whole {
                self.sent_of_first = 0;
                match self.queue.pop_front() {
                    Some(Letter::Relayed(parcel)) => self.unread.push_back((self.sent, parcel)),
                    Some(Letter::Own(line, _)) => self.own -= line.len(),
                    None => {}
                }
                let oldest = self.unread.front().map_or(self.sent, |(end, _)| *end);
                if self.unread.len() >= LOOK_EVERY || self.sent - oldest >= LOOK_BYTES {
                    self.forget_read(theirs);
                }
            }
        }
        Ok(self.sent != before)
    }

    /// Forgets the lines that the worker has read; all of them if that cannot be known.
    fn forget_read(&mut self, theirs: Option<&OwnedFd>) {
        let unread = theirs
            .and_then(|theirs| io::unread(theirs).ok())
            .unwrap_or(0);
        let read = self.sent.saturating_sub(u64::try_from(unread).unwrap_or(0));
        while self.unread.front().is_some_and(|(end, _)| *end <= read) {
            self.unread.pop_front();
        }
    }

    /// The worker has ended: the lines of others that it has not read, in order.
    pub fn not_taken(mut self, theirs: Option<&OwnedFd>) -> Vec<Parcel<Line>> {
        self.forget_read(theirs);
        let unread = self.unread.into_iter().map(|(_, parcel)| parcel);
        let queued = self.queue.into_iter().filter_map(|letter| match letter {
            Letter::Relayed(parcel) => Some(parcel),
            Letter::Own(..) => None,
        });
        unread.chain(queued).collect()
    }
}
