//! Answers the workers' `listen` calls.

use nix::errno::Errno;

use crate::policy::handover::Transport;
use crate::policy::unix::{Endpoint, UnixKey};
use crate::sys::intercept::Notification;

use super::{Answer, PortEvent, ServedWorker, Thread};
use crate::ports::trapped_call::descriptor;

impl<F: Fn(PortEvent)> Thread<F> {
    /// Answers `listen` on one of our listeners without executing it, because it would only change the backlog.
    pub(super) fn answer_listen(
        &mut self,
        served: &mut ServedWorker,
        notification: &Notification,
    ) -> Answer {
        let trapped = &served.trapped;
        let fd = descriptor(notification, notification.args[0]);
        let inode = fd.and_then(|fd| fd.inode().ok());
        let port = inode.and_then(|inode| self.ports.owns(inode));
        let path = inode.and_then(|inode| self.unix.owner(inode));
        if !trapped.notifier.is_valid(notification) {
            return Answer::Proceed;
        }
        if port.is_none() && path.is_none() {
            self.listens_alone(served);
            return Answer::Proceed;
        }
        let port = port.filter(|key| key.transport == Transport::Tcp);
        if let Some((key, shown)) = &path
            && self.unix.is_renamed(key)
        {
            self.renamed(served, shown.clone());
            return Answer::Done;
        }
        let key = port
            .map(Endpoint::Port)
            .or(path.map(|(_, shown)| Endpoint::Unix(shown)));
        let (Some(key), Some(inode), Some(fd)) = (key, inode, fd) else {
            return Answer::Proceed;
        };
        if let Some(port) = port {
            if served.bounds.refuse_listen(inode, fd, trapped.worker) {
                return Answer::Fail(Errno::EADDRINUSE);
            }
            self.repair_port(port);
        }
        (self.events)(PortEvent::Listening {
            worker: trapped.worker,
            slot: trapped.slot,
            key,
        });
        served.sets.listened(self.clock.now());
        if let Some(port) = port {
            self.watch_closing(served, fd, inode, port);
        }
        Answer::Done
    }

    /// A socket of ours listens from its `bind` on. A program that asks is told so by the kernel, and does not call
    /// `listen` then (HAProxy).
    pub(super) fn answer_whether_it_listens(
        &mut self,
        served: &mut ServedWorker,
        notification: &Notification,
    ) -> Answer {
        let fd = descriptor(notification, notification.args[0]);
        let inode = fd.and_then(|fd| fd.inode().ok());
        let ours = |inode| self.ports.owns(inode).is_some() || self.unix.owner(inode).is_some();
        if inode.is_some_and(ours) {
            self.answer_listen(served, notification);
        }
        Answer::Proceed
    }

    /// A worker listens at a path to which it gave another name after `bind`.
    fn renamed(&self, served: &mut ServedWorker, key: UnixKey) {
        let (worker, slot) = (served.trapped.worker, served.trapped.slot);
        let reason = "after bind the program gave it another name, or another process removed it; the other name belongs to the last worker that took it: set RPM_INSTANCES=1";
        self.not_opened(served, key, reason.to_owned());
        (self.events)(PortEvent::ListensAlone { worker, slot });
    }

    /// A worker listens on a socket of its own.
    fn listens_alone(&self, served: &ServedWorker) {
        let (worker, slot) = (served.trapped.worker, served.trapped.slot);
        if served.once.unseen || served.once.refused {
            (self.events)(PortEvent::ListensAlone { worker, slot });
        }
    }
}
