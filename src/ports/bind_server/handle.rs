//! The handle of the hand-over thread.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use crate::model::Pid;
use crate::policy::heartbeat::Beat;
use crate::policy::unix::UnixKey;
use crate::ports::registry::SharedPorts;
use crate::ports::told::v6only_default;
use crate::ports::unix::UnixServer;
use crate::ports::{Asker, PortEvent};
use crate::sys::clock::Clock;
use crate::sys::epoll::{Interest, Poller, Waker};
use crate::sys::network::OwnNetwork;
use crate::sys::thread;

use super::alone::Alone;
use super::closed::ClosedWatch;
use super::holders::Holders;
use super::own_sockets::OwnSockets;
use super::pulse::Pulse;
use super::strangers::StrangerWatch;
use super::{ARRIVALS, Thread, TrappedWorker, WAKER};

/// The event loop's handle of the thread.
#[derive(Debug, Clone)]
pub struct BindServer {
    orders: Sender<Order>,
    waker: Waker,
    pulse: Pulse,
}

#[derive(Debug)]
pub(super) enum Order {
    ServeWorker(TrappedWorker),
    LookAtSockets(Pid),
    /// Tells the sender when it is done.
    OpenPaths(Sender<()>),
    /// A path, the worker that asks for a listener of it, and where the answer goes.
    AskPath(Vec<u8>, Asker, Sender<nix::Result<(OwnedFd, UnixKey)>>),
}

impl BindServer {
    /// Starts the thread. A port whose process has ended stays open for `restarts_within`. `events` is called on the thread and must not block.
    pub fn start(
        ports: SharedPorts,
        restarts_within: Duration,
        events: impl Fn(PortEvent) + Clone + Send + 'static,
    ) -> std::io::Result<Self> {
        let (orders, inbox) = channel();
        let waker = Waker::new()?;
        let poller = Poller::new()?;
        poller.add(&waker, WAKER, Interest::Readable)?;
        let closed = ClosedWatch::new(restarts_within)?;
        poller.add(&closed.poller, ARRIVALS, Interest::Readable)?;
        ports.wake_for_paths(&waker);
        ports.wake_for_strangers(&waker);
        let unix = UnixServer::new(ports.clone());
        let pulse = Pulse::default();
        let end = pulse.end({
            let events = events.clone();
            move || events(PortEvent::ServerEnded)
        });
        let state = Thread {
            ports,
            events,
            poller,
            waker: waker.clone(),
            inbox,
            workers: HashMap::new(),
            watched: HashMap::new(),
            next_token: ARRIVALS + 1,
            v6only_default: v6only_default(),
            network: OwnNetwork::read(),
            clock: Clock::start(),
            changing: None,
            closed,
            holders: Holders::default(),
            unix,
            alone: Alone::default(),
            pulse: pulse.clone(),
            strangers: StrangerWatch::default(),
            own_sockets: OwnSockets::default(),
        };
        thread::start("handover", thread::STACK, move || {
            let _end = end;
            state.run();
        })?;
        Ok(Self {
            orders,
            waker,
            pulse,
        })
    }

    /// Answers the calls of this worker until its last descendant has ended.
    pub fn serve_worker(&self, trapped: TrappedWorker) {
        self.order(Order::ServeWorker(trapped));
    }

    /// The worker is ready: looks whether it listens by itself on a port that is to be shared.
    pub fn look_at_sockets(&self, worker: Pid) {
        self.order(Order::LookAtSockets(worker));
    }

    /// What the thread does at this moment.
    pub fn beat(&self) -> Beat {
        self.pulse.beat()
    }

    pub(super) fn order(&self, order: Order) {
        // It fails if the thread has ended, which was reported.
        let _ = self.orders.send(order);
        self.waker.wake();
    }
}
