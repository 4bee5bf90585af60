//! One worker's channel.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::time::Duration;

use nix::errno::Errno;

use crate::log::WorkerLabel;
use crate::model::Tick;
use crate::ports::Asker;
use crate::sys::channel::receive;
use crate::sys::epoll::{Interest, Poller};
use crate::sys::inspect::Seen;
use crate::sys::io;
use crate::sys::proc::Proc;

use super::lines::Lines;
use super::log4js::Waiting;
use super::outbox::Outbox;
use super::servers::Server;
use super::{Fault, Member, Worker};

/// Descriptors that came and belong to no message yet. If a program sends more, the oldest are closed.
const DESCRIPTORS: usize = 16;

/// When to look at a worker that reads nothing, and how long to wait before the next look.
const FIRST_LOOK: Duration = Duration::from_secs(1);
const BETWEEN_LOOKS: Duration = Duration::from_secs(5);

/// How long to wait between two looks whether a worker that is told to stop has read everything.
const END_LOOK: Duration = Duration::from_millis(100);

/// How reading from a channel ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// Bytes were read; there may be more.
    Some,
    /// Nothing is there now.
    Empty,
    /// The other end is closed.
    End,
    /// A line is too long.
    Fault(Fault),
}

#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
pub struct Peer {
    pub member: Member,
    /// The worker and its listener; `None` if no port is shared.
    pub asker: Option<Asker>,
    /// As its lines are labelled in the log.
    pub label: WorkerLabel,
    /// An event for which the log has no room. Nothing is read after it.
    pub event: Option<Waiting>,
    /// An event could not be read, and that was said.
    pub unreadable: bool,
    ours: OwnedFd,
    /// Kept until the worker is told to stop. As long as it is open, the end of the channel cannot be seen.
    theirs: Option<OwnedFd>,
    /// The inode of the worker's end.
    pub inode: u64,
    pub lines: Lines,
    pub outbox: Outbox,
    /// Came with messages that are not handled yet.
    fds: VecDeque<OwnedFd>,
    /// The servers that it has.
    pub servers: Vec<Server>,
    /// Answers with a listener whose arrival is not confirmed: the number of the question, and the name of the server.
    pub unconfirmed: VecDeque<(i64, String)>,
    /// The number of the next message of the cluster module.
    seq: u64,
    /// It leaves the cluster by itself, and gets no more servers.
    pub leaves: bool,
    /// It has said `ready`.
    pub said_ready: bool,
    /// When to look whether the copy of its end can be closed: it is told to stop, and has not read everything.
    end_look: Option<Tick>,
    /// It is told to stop.
    stops: bool,
    /// It waits until another worker has read what it sent.
    pub paused: bool,
    /// Nothing more is read from it.
    pub over: bool,
    /// The other end is closed.
    pub closed: bool,
    /// Since when the kernel takes nothing more for it.
    pub stuck: Option<Tick>,
    /// How often it was looked since then whether the worker still has its end.
    pub looks: u32,
    /// What the poller watches.
    interest: Option<Interest>,
}

impl Peer {
    pub fn new(worker: Worker) -> nix::Result<Self> {
        let Worker {
            member,
            pid,
            slot,
            generation,
            listener,
            ours,
            theirs,
        } = worker;
        Ok(Self {
            member,
            asker: listener.map(|listener| Asker {
                worker: pid,
                slot,
                listener,
            }),
            label: WorkerLabel {
                slot,
                generation,
                pid,
            },
            event: None,
            unreadable: false,
            ours,
            inode: crate::sys::listener::inode(&theirs)?,
            theirs: Some(theirs),
            lines: Lines::default(),
            outbox: Outbox::default(),
            fds: VecDeque::new(),
            servers: Vec::new(),
            unconfirmed: VecDeque::new(),
            seq: 0,
            leaves: false,
            said_ready: false,
            end_look: None,
            stops: false,
            paused: false,
            over: false,
            closed: false,
            stuck: None,
            looks: 0,
            interest: None,
        })
    }

    /// Reads once.
    pub fn read(&mut self, buffer: &mut [u8]) -> Read {
        let received = match receive(&self.ours, buffer) {
            Ok(received) => received,
            Err(Errno::EAGAIN) => return Read::Empty,
            // Closed before it had read everything.
            Err(_) => return Read::End,
        };
        if received.len == 0 {
            return Read::End;
        }
        self.fds.extend(received.fds);
        let most = self.fds.len().saturating_sub(DESCRIPTORS);
        self.fds.drain(..most);
        let read = buffer.get(..received.len).unwrap_or_default();
        match self.lines.push(read) {
            Ok(()) => Read::Some,
            Err(_) => Read::Fault(Fault::TooLong),
        }
    }

    /// Closes the descriptor that came with a message.
    pub fn drop_descriptor(&mut self) {
        self.fds.pop_front();
    }

    /// Queues a message of the cluster module. `body`: its members after `cmd`, without the closing brace.
    pub fn tell_cluster(&mut self, body: &str) {
        let line = format!("{{\"cmd\":\"NODE_CLUSTER\",{body},\"seq\":{}}}\n", self.seq);
        self.seq += 1;
        self.outbox.push(line.into_bytes().into(), None);
    }

    /// As [`Self::tell_cluster`], with a descriptor of this type (`net.Native`).
    pub fn tell_cluster_with(&mut self, body: &str, kind: &str, fd: OwnedFd) {
        let line = format!(
            "{{\"cmd\":\"NODE_HANDLE\",\"type\":\"{kind}\",\"msg\":{{\"cmd\":\"NODE_CLUSTER\",{body},\"seq\":{}}}}}\n",
            self.seq
        );
        self.seq += 1;
        self.outbox.push(line.into_bytes().into(), Some(fd));
    }

    /// Sends what fits.
    pub fn flush(&mut self, now: Tick) {
        if self.closed {
            return;
        }
        let sent = self.outbox.flush(&self.ours, self.theirs.as_ref());
        if sent.is_err() {
            self.closed = true;
        }
        self.stuck = match self.stuck {
            _ if self.outbox.queued() == 0 => None,
            Some(since) if sent == Ok(false) => Some(since),
            _ => {
                self.looks = 0;
                Some(now)
            }
        };
    }

    /// When to look whether the worker still has its end: it reads nothing.
    pub fn stuck_look(&self) -> Option<Tick> {
        let since = self.stuck.filter(|_| !self.closed)?;
        Some(since.after(FIRST_LOOK + BETWEEN_LOOKS * self.looks))
    }

    /// When to look at the worker for any reason.
    pub fn look_at(&self) -> Option<Tick> {
        self.stuck_look().into_iter().chain(self.end_look).min()
    }

    /// Tells the poller what to wait for.
    pub fn watch(&mut self, poller: &Poller) {
        let reads = !(self.over || self.paused);
        let writes = self.outbox.queued() > 0;
        let wanted = match (reads, writes) {
            _ if self.closed => None,
            (true, true) => Some(Interest::Both),
            (true, false) => Some(Interest::Readable),
            (false, true) => Some(Interest::Writable),
            (false, false) => None,
        };
        if wanted == self.interest {
            return;
        }
        let token = self.member.0;
        let done = match (self.interest, wanted) {
            (None, Some(wanted)) => poller.add(&self.ours, token, wanted),
            (Some(_), Some(wanted)) => poller.change(&self.ours, token, wanted),
            (Some(_), None) => poller.remove(&self.ours),
            (None, None) => Ok(()),
        };
        // Without memory for epoll it is tried again at the next change.
        if done.is_ok() {
            self.interest = wanted;
        }
    }

    /// The worker is told to stop. From now on the end of its channel can be seen, as soon as it has read everything.
    pub fn stops(&mut self, now: Tick) {
        self.stops = true;
        self.let_end_be_seen(now);
    }

    /// Closes the copy of the worker's end if it is not needed any more.
    pub fn let_end_be_seen(&mut self, now: Tick) {
        let empty = |theirs: &OwnedFd| io::unread(theirs) == Ok(0);
        if self.stops && self.outbox.queued() == 0 && self.theirs.as_ref().is_some_and(empty) {
            self.theirs = None;
        }
        // Nobody tells when the other end has read something.
        let waits = self.stops && !self.closed && self.theirs.is_some();
        self.end_look = waits.then(|| now.after(END_LOOK));
    }

    /// The worker has ended: what it had not read of other workers.
    pub fn not_taken(self) -> Vec<crate::policy::node::Parcel<super::outbox::Line>> {
        self.outbox.not_taken(self.theirs.as_ref())
    }

    /// Whether the worker still has its end of the channel, as far as that can be seen.
    pub fn has_its_end(&self) -> bool {
        let proc = Proc::new("/proc");
        let Ok(processes) = proc.processes() else {
            return true;
        };
        let family = processes.family(self.label.pid);
        family.iter().any(|process| {
            let (has, seen) = proc.has_socket(process, &[self.inode]);
            has || seen == Seen::Hidden
        })
    }
}
