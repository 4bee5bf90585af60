//! The channel of Node workers: what `process.send` and the cluster module of Node speak to their primary, over a socket
//! that the worker inherits. The runtime answers as the primary would: it gives each worker its listener of the port that
//! the program asks for, relays messages between workers, and hears that a worker is ready.
//!
//! One thread serves all channels, so that a worker that sends much does not hold up the event loop.

mod cluster;
mod counts;
pub mod lines;
mod log4js;
pub mod message;
mod outbox;
mod peer;
mod preload;
mod servers;
mod stuck;
mod thread;

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};

use crate::log::Log;
use crate::model::{Generation, ListenerId, NodeTotals, Pid, SlotId};
use crate::ports::{BindServer, PortEvent, SharedPorts};
use crate::sys::epoll::Waker;
use crate::sys::inherited::Inherited;

pub use crate::policy::node::Member;
pub use counts::Counts;
pub use preload::options;

/// How the channels work.
#[derive(Debug)]
pub struct Settings {
    /// Gets the events of log4js that nobody else would write.
    pub log: Log,
    /// Number of slots.
    pub slots: u16,
    /// Messages are relayed between workers (RPM_NODE_INTERCOM).
    pub intercom: bool,
    /// The shared ports, if there are any.
    pub ports: Option<(SharedPorts, BindServer)>,
    /// The hand-over thread sees when a worker listens on a TCP port or a path.
    pub sees_listen: bool,
    /// Sockets that programs may name by their number.
    pub inherited: Inherited,
}

/// A worker with a channel.
#[derive(Debug)]
pub struct Worker {
    /// Its channel.
    pub member: Member,
    /// The worker.
    pub pid: Pid,
    /// Its slot.
    pub slot: SlotId,
    /// Its generation.
    pub generation: Generation,
    /// The listener that it serves, if ports are shared.
    pub listener: Option<ListenerId>,
    /// The runtime's end of the channel.
    pub ours: OwnedFd,
    /// A copy of the worker's end. It tells what a worker that has ended had not read.
    pub theirs: OwnedFd,
}

/// Something that a channel tells the event loop.
#[derive(Debug)]
pub enum NodeEvent {
    /// About a shared port.
    Port(PortEvent),
    /// About one worker.
    Worker(Member, Said),
    /// A worker has sent a message to its primary (`process.send`). This is how it begins.
    Message(SlotId, Pid, String),
}

/// What a worker has said or done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// `process.send('ready')`.
    Ready,
    /// It leaves the cluster by itself (`cluster.worker.disconnect()` or `kill()`).
    Leaves,
    /// It has closed its channel.
    Closed,
    /// It cannot be served any more.
    Fault(Fault),
}

/// Why a worker's channel cannot be served any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It sent a line that is not JSON.
    NotJson,
    /// It sent a line that is too long.
    TooLong,
    /// It reads nothing.
    ReadsNothing,
}

impl Fault {
    /// In words, after "the worker".
    pub fn text(self) -> &'static str {
        match self {
            Self::NotJson => "sent a line on its Node channel that is not JSON",
            Self::TooLong => "sent a line of more than 16 MiB on its Node channel",
            Self::ReadsNothing => "has read nothing from its Node channel for 30 s",
        }
    }
}

/// A message of an operator for some workers.
struct Post {
    to: Vec<Member>,
    line: Arc<[u8]>,
    /// Is told what became of it.
    told: Box<dyn FnOnce(Posted) + Send>,
}

impl std::fmt::Debug for Post {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Post")
            .field("to", &self.to)
            .finish_non_exhaustive()
    }
}

/// What became of a message of an operator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Posted {
    /// How many workers get it.
    pub workers: usize,
    /// So many have closed their channel, or have ended.
    pub closed: usize,
    /// For so many much waits already, because they do not read.
    pub full: usize,
}

/// The event loop's handle of the thread.
#[derive(Clone, Debug)]
pub struct Channels {
    orders: Sender<Order>,
    waker: Waker,
    counts: Arc<Counts>,
}

#[derive(Debug)]
enum Order {
    Serve(Worker),
    Ready(Member),
    Drains(Member),
    Stops(Member),
    Shutdown(Member),
    Post(Post),
    Ended(Member),
    Resize(u16),
}

impl Channels {
    /// Starts the thread. `events` is called on the thread and must not block.
    pub fn start(
        settings: Settings,
        events: impl Fn(NodeEvent) + Send + 'static,
    ) -> std::io::Result<Self> {
        let (orders, inbox) = channel();
        let waker = Waker::new()?;
        let counts = Arc::new(Counts::default());
        thread::start(settings, events, inbox, waker.clone(), Arc::clone(&counts))?;
        Ok(Self {
            orders,
            waker,
            counts,
        })
    }

    /// Serves the channel of a worker that was just started.
    pub fn serve(&self, worker: Worker) {
        self.order(Order::Serve(worker));
    }

    /// The worker is ready: it is the one of its slot that gets the messages of other workers.
    pub fn ready(&self, member: Member) {
        self.order(Order::Ready(member));
    }

    /// The worker drains: its HTTP servers are to let their clients go. Only for workers that have [`options`].
    pub fn drains(&self, member: Member) {
        self.order(Order::Drains(member));
    }

    /// The worker is told to stop now: it gets no more messages of other workers.
    pub fn stops(&self, member: Member) {
        self.order(Order::Stops(member));
    }

    /// Sends the message `shutdown`.
    pub fn shutdown(&self, member: Member) {
        self.order(Order::Shutdown(member));
    }

    /// Sends a line to workers, behind what waits for them. `told` is called on the thread and must not block.
    pub fn post(
        &self,
        to: Vec<Member>,
        line: Arc<[u8]>,
        told: impl FnOnce(Posted) + Send + 'static,
    ) {
        let told = Box::new(told);
        self.order(Order::Post(Post { to, line, told }));
    }

    /// The worker has ended.
    pub fn ended(&self, member: Member) {
        self.order(Order::Ended(member));
    }

    /// The number of slots has changed.
    pub fn resize(&self, slots: u16) {
        self.order(Order::Resize(slots));
    }

    /// What was counted so far.
    pub fn counts(&self) -> NodeTotals {
        self.counts.read()
    }

    fn order(&self, order: Order) {
        // The thread runs until the process ends, so sending never fails.
        let _ = self.orders.send(order);
        self.waker.wake();
    }
}
