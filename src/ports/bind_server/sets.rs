//! Sockets that are in an epoll set before `bind` (see [`crate::policy::epoll_sets`]).

use std::os::fd::OwnedFd;
use std::thread::JoinHandle;
use std::time::Duration;

use nix::errno::Errno;

use crate::policy::epoll_sets::Unregistered;
use crate::policy::handover::PortKey;
use crate::sys::intercept::Notification;
use crate::sys::listener::inode as inode_of;
use crate::sys::remote::Descriptor;

use super::{Answer, PortEvent, ServedWorker, Thread};
use crate::ports::epoll_sets::{NotReplaced, replace};

impl ServedWorker {
    /// Replaces the worker's socket by `listener`, in the epoll sets too that hold the socket. Returns the thread that
    /// changed them.
    pub(super) fn replace(
        &mut self,
        notification: &Notification,
        socket: Descriptor,
        listener: &OwnedFd,
        cloexec: bool,
    ) -> Result<Option<JoinHandle<()>>, NotReplaced> {
        let notifier = &self.trapped.notifier;
        let inode = socket.inode().map_err(NotReplaced::Failed)?;
        let own = inode_of(listener).map_err(NotReplaced::Failed)?;
        let found = self.sets.find(socket, inode, own);
        let found = found.map_err(NotReplaced::Failed)??;
        replace(listener, socket.fd, &found, || {
            notifier.replace(notification, listener, socket.fd, cloexec)
        })
    }
}

impl<F: Fn(PortEvent)> Thread<F> {
    /// Answers a call that creates an epoll set.
    pub(super) fn create_set(
        &self,
        served: &mut ServedWorker,
        notification: &Notification,
    ) -> Answer {
        let others = self.workers.values().map(|other| other.sets.len());
        let total = others.sum::<usize>() + served.sets.len();
        let limits = (total, self.ports.most_sets());
        let notifier = &served.trapped.notifier;
        if served
            .sets
            .create(notifier, notification, self.clock.now(), limits)
        {
            Answer::Given
        } else {
            Answer::Proceed
        }
    }

    /// Answers the `bind` of a socket that could not be replaced.
    pub(super) fn not_replaced(
        &mut self,
        served: &mut ServedWorker,
        (key, inode): (PortKey, u64),
        why: NotReplaced,
    ) -> Answer {
        let reason = match why {
            NotReplaced::Failed(_) => return Answer::Proceed,
            NotReplaced::Unregistered(reason) => reason,
        };
        let (answer, events) = self.ports.leave(key);
        events.into_iter().for_each(&self.events);
        if !served.once.refused {
            served.once.refused = true;
            let (worker, slot) = (served.trapped.worker, served.trapped.slot);
            (self.events)(PortEvent::Unregistered {
                worker,
                slot,
                key,
                reason,
                answer,
            });
        }
        match answer {
            Unregistered::LeaveAlone => {
                self.alone(served, (key, inode), false);
                Answer::Proceed
            }
            Unregistered::Refuse => Answer::Fail(Errno::EOPNOTSUPP),
        }
    }

    /// Waits until no thread holds copies of descriptors any more, so that what is closed from now on is closed. That is
    /// so a moment after the `bind` that needed the thread.
    pub(super) fn settle(&mut self) {
        if let Some(thread) = self.changing.take() {
            // It has done its work, and a panic at its end changes nothing.
            let _ = thread.join();
        }
    }

    /// How long the thread may sleep until epoll sets must be dropped or a queue must be looked at.
    pub(super) fn until_expiry(&self) -> Option<Duration> {
        let now = self.clock.now();
        let until = self.workers.values().filter_map(|one| one.sets.until());
        let until = until.chain(self.closed.until()).chain(self.until_told());
        let until = until.chain(self.strangers.until());
        until.min().map(|first| first.since(now))
    }

    /// Drops the epoll sets whose time is over.
    pub(super) fn expire_sets(&mut self) {
        let now = self.clock.now();
        for served in self.workers.values_mut() {
            if served.sets.until().is_some_and(|until| until <= now) {
                served.sets.expire(now, &self.ports);
            }
        }
    }
}
