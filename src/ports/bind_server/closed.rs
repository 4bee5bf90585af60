//! Listeners that a worker closes while it lives on. It must get no new connections there: nobody would answer them.
//!
//! If the listener was in an epoll set that the runtime keeps, there is more to do. The kernel removes a closed descriptor from every epoll set when the last descriptor of the same file is closed. The
//! runtime has one of each listener, so a program that relies on this (without EPOLL_CTL_DEL) would be woken by
//! connections that it cannot accept: for ever, if its set is level-triggered. So the listener is removed from the sets
//! that are kept of this worker.
//!
//! Nobody reports that a descriptor is closed, and only connections in the queue do harm. So an arrival starts the
//! clock. After a pause, a queue that is empty is waited for again, and for one that is not, somebody must have the
//! listener. Where another process than the worker itself listens, its end starts the clock too ([`super::holders`]).

use std::collections::HashMap;
use std::time::Duration;

use nix::errno::Errno;

use crate::model::{Pid, Tick};
use crate::policy::handover::PortKey;
use crate::ports::{Asker, PortEvent};
use crate::sys::epoll::{Interest, Poller, ReadyFd};
use crate::sys::listener;
use crate::sys::pidfd;
use crate::sys::remote::Descriptor;

use super::having::{Having, having};
use super::{ServedWorker, Thread};

/// Time between the arrival of a connection and the look at its listener, and between two looks.
const PAUSE: Duration = Duration::from_secs(2);

/// The listeners whose arrivals are waited for.
pub(super) struct ClosedWatch {
    pub(super) poller: Poller,
    ready: Vec<ReadyFd>,
    /// How long a program may take to start another process that listens (RPM_READY_TIMEOUT).
    restarts_within: Duration,
    /// By the inode of the listener, which is also the token.
    listeners: HashMap<u64, Listening>,
}

/// A listener in the hands of a worker.
struct Listening {
    worker: Pid,
    key: PortKey,
    /// Where the worker had it.
    place: Descriptor,
    /// When to look. `None`: it waits for an arrival.
    look: Option<Tick>,
    /// The process that had it has ended: look whether the queue is empty or not.
    ended: bool,
    /// That was so at a look, and no new connections come to it. At this time the port may be closed.
    closes: Option<Tick>,
}

impl ClosedWatch {
    pub(super) fn new(restarts_within: Duration) -> nix::Result<Self> {
        Ok(Self {
            poller: Poller::new()?,
            ready: Vec::new(),
            restarts_within,
            listeners: HashMap::new(),
        })
    }

    /// When something is to be looked at.
    pub(super) fn until(&self) -> Option<Tick> {
        self.listeners.values().filter_map(|one| one.look).min()
    }

    fn has_ended(&self, inode: u64) -> bool {
        self.listeners.get(&inode).is_some_and(|one| one.ended)
    }

    /// A process has ended that had this listener. The program may start another one.
    pub(super) fn holder_ended(&mut self, inode: u64, now: Tick) {
        if let Some(one) = self.listeners.get_mut(&inode) {
            one.ended = true;
            one.look = Some(now.after(PAUSE));
        }
    }
}

impl<F: Fn(PortEvent)> Thread<F> {
    /// A worker listens: watches that listener. A common socket is not watched, because its queue says nothing about one
    /// worker.
    pub(super) fn watch_closing(
        &mut self,
        served: &ServedWorker,
        place: Descriptor,
        inode: u64,
        key: PortKey,
    ) {
        if !self.ports.steers() {
            return;
        }
        let worker = served.trapped.worker;
        let before = self.closed.listeners.insert(
            inode,
            Listening {
                worker,
                key,
                place,
                look: None,
                ended: false,
                closes: None,
            },
        );
        if let Ok(process) = pidfd::of_thread(place.task)
            && process != worker.get()
        {
            self.watch_holder(process, inode);
        }
        if before.is_none_or(|before| before.look.is_some()) {
            self.wait_for_arrival(inode);
        }
    }

    fn wait_for_arrival(&mut self, inode: u64) {
        let poller = &self.closed.poller;
        // Without memory for it, the listener is not watched.
        let added = self.ports.with_listener(inode, |fd| {
            matches!(
                poller.add(fd, inode, Interest::Arrival),
                Ok(()) | Err(Errno::EEXIST)
            )
        });
        match self.closed.listeners.get_mut(&inode) {
            Some(one) if added == Some(true) => one.look = None,
            _ => drop(self.closed.listeners.remove(&inode)),
        }
    }

    /// Connections arrived. Until the next look, further ones wake nobody.
    pub(super) fn arrived(&mut self) {
        let mut ready = std::mem::take(&mut self.closed.ready);
        // An error would come back with the next arrival.
        let _ = self.closed.poller.wait(&mut ready, Some(Duration::ZERO));
        let look = self.clock.now().after(PAUSE);
        for one in ready.drain(..) {
            let poller = &self.closed.poller;
            // If it is closed, it is no longer watched.
            let _ = self.ports.with_listener(one.token, |fd| poller.remove(fd));
            if let Some(listening) = self.closed.listeners.get_mut(&one.token) {
                listening.look = Some(look);
            }
        }
        self.closed.ready = ready;
    }

    /// Looks at the listeners whose time has come.
    pub(super) fn look_at_queues(&mut self) {
        let now = self.clock.now();
        let due = |one: &Listening| one.look.is_some_and(|look| look <= now);
        let listeners = self.closed.listeners.iter();
        let due: Vec<u64> = listeners
            .filter(|(_, one)| due(one))
            .map(|(inode, _)| *inode)
            .collect();
        for inode in due {
            let queue = self.ports.with_listener(inode, |fd| listener::queue(fd));
            match queue {
                Some(Ok(queue)) if queue.length == 0 && !self.closed.has_ended(inode) => {
                    self.wait_for_arrival(inode);
                }
                Some(Ok(queue)) => self.look_at_holder(inode, queue.length, now),
                // The port is closed.
                _ => drop(self.closed.listeners.remove(&inode)),
            }
        }
    }

    /// Looks whether the worker still has the listener, in whose queue connections wait or which a process had that has
    /// ended.
    fn look_at_holder(&mut self, inode: u64, waiting: u32, now: Tick) {
        let restarts_within = self.closed.restarts_within;
        let Some(one) = self.closed.listeners.get_mut(&inode) else {
            return;
        };
        let having = if one.place.inode() == Ok(inode) {
            Having::Somebody(None)
        } else {
            having(one.worker, inode)
        };
        let (worker, key, ended) = (one.worker, one.key, one.ended);
        match having {
            Having::Somebody(process) => {
                one.look = Some(now.after(PAUSE));
                one.closes = None;
                let looked_for_end = std::mem::take(&mut one.ended);
                if looked_for_end && waiting == 0 {
                    self.wait_for_arrival(inode);
                }
                if looked_for_end {
                    (self.events)(PortEvent::StillHeld {
                        worker,
                        key,
                        process,
                    });
                }
                if let Some(process) = process.filter(|process| *process != worker.get()) {
                    self.watch_holder(process, inode);
                }
            }
            Having::Nobody if ended => {
                let Some(closes) = one.closes else {
                    let closes = now.after(restarts_within);
                    one.closes = Some(closes);
                    one.look = Some(closes);
                    self.leave_listener(inode, (worker, key), waiting, ended);
                    return;
                };
                one.look = Some(closes);
                if closes <= now {
                    self.closed.listeners.remove(&inode);
                    if let Some(served) = self.served(worker) {
                        let asker = Asker::from(&served.trapped);
                        let left = self.ports.leave_port(&key.into(), asker);
                        left.into_iter().for_each(&self.events);
                    }
                }
            }
            Having::Nobody => {
                self.closed.listeners.remove(&inode);
                self.leave_listener(inode, (worker, key), waiting, ended);
            }
            Having::Over => drop(self.closed.listeners.remove(&inode)),
        }
    }

    /// No process of the worker has this listener: it gets no new connections there. If its process has `ended`, the port
    /// stays open for now.
    fn leave_listener(
        &mut self,
        inode: u64,
        (worker, key): (Pid, PortKey),
        waiting: u32,
        ended: bool,
    ) {
        let Some(served) = self.served(worker) else {
            return;
        };
        let asker = Asker::from(&served.trapped);
        let copy = self
            .ports
            .with_listener(inode, |fd| listener::duplicate(fd));
        if let Some(Ok(listener)) = copy {
            let thread = served.sets.remove(&listener, inode);
            drop(listener);
            self.settle();
            self.changing = thread;
        }
        (self.events)(PortEvent::Closed {
            worker,
            slot: asker.slot,
            key,
            waiting,
            ended,
        });
        let key = key.into();
        let left = if ended {
            self.ports.leave_open_port(&key, asker)
        } else {
            self.ports.leave_port(&key, asker)
        };
        left.into_iter().for_each(&self.events);
    }
}
