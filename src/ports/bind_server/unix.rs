//! The calls about unix sockets (see [`crate::ports::unix`]).

use std::os::fd::OwnedFd;
use std::sync::mpsc::{SendError, Sender, channel};
use std::time::Duration;

use nix::errno::Errno;

use crate::policy::unix::UnixKey;
use crate::sys::intercept::Notification;
use crate::sys::remote::Descriptor;

use super::{Answer, BindServer, Order, PortEvent, ServedWorker, Thread};
use crate::ports::Asker;
use crate::ports::epoll_sets::NotReplaced;
use crate::ports::unix::{Caller, Left, Offered, Removed, UnixServer};

/// How long a caller waits for the thread, in case that the file system hangs.
const PATIENCE: Duration = Duration::from_secs(1);

impl BindServer {
    /// Opens the unix paths that RPM_PORTS lists. Waits until it is done, so that clients find them when the first worker
    /// starts; at most a second, in case that the file system hangs.
    pub fn open_paths(&self) {
        let (done, wait) = channel();
        self.order(Order::OpenPaths(done));
        // If it is not done in time, it is done later.
        let _ = wait.recv_timeout(PATIENCE);
    }

    /// Gives a worker its listener of a unix path, as the worker writes it; a name that begins with NUL is abstract.
    /// Blocks until the thread has answered, at most [`PATIENCE`]. Fails as `bind` does, and with ETIMEDOUT.
    pub fn ask_path(&self, path: Vec<u8>, asker: Asker) -> nix::Result<(OwnedFd, UnixKey)> {
        let (answer, wait) = channel();
        self.order(Order::AskPath(path, asker, answer));
        wait.recv_timeout(PATIENCE).unwrap_or(Err(Errno::ETIMEDOUT))
    }
}

impl<F: Fn(PortEvent)> Thread<F> {
    pub(super) fn answer_path(
        &mut self,
        path: &[u8],
        asker: Asker,
        answer: &Sender<nix::Result<(OwnedFd, UnixKey)>>,
    ) {
        let given = self.unix.ask(path, asker, &self.poller, &self.events);
        if let Err(SendError(Ok((_, key)))) = answer.send(given) {
            // It took long, and nobody waits any more.
            let events = self.ports.leave_port(&key.into(), asker);
            events.into_iter().for_each(&self.events);
        }
    }

    /// How long to wait for the next call.
    pub(super) fn until_next(&self) -> Option<Duration> {
        let times = self.until_expiry().into_iter().chain(self.unix.pause());
        times.min()
    }

    pub(super) fn open_listed_paths(&mut self, done: &Sender<()>) {
        self.unix.open_listed(&self.events);
        // Nobody waits any more if it took long.
        let _ = done.send(());
    }

    /// Answers a `bind`. `None` if the socket is no unix socket that can be shared.
    pub(super) fn bind_unix(
        &mut self,
        served: &mut ServedWorker,
        notification: &Notification,
        (fd, protocol): (Descriptor, &str),
    ) -> Option<Answer> {
        let kind = UnixServer::kind(fd, protocol)?;
        let inode = fd.inode().ok()?;
        self.settle();
        let caller = Caller {
            trapped: &served.trapped,
            notification,
        };
        let offered = match self.unix.bind(caller, kind) {
            Ok(Some(offered)) => offered,
            Ok(None) | Err(Left::Quietly | Left::Refused(_)) => return Some(Answer::Proceed),
            Err(Left::Unseen) => {
                self.unseen(served);
                return Some(Answer::Proceed);
            }
            Err(Left::Because(key, reason)) => {
                self.not_opened(served, key, reason);
                return Some(Answer::Proceed);
            }
        };
        let Offered {
            key,
            fd: listener,
            opened,
            cloexec,
        } = offered;
        match served.replace(notification, fd, &listener, cloexec) {
            Ok(changing) => self.changing = changing,
            Err(why) => {
                if opened {
                    self.unix.take_back(&key);
                }
                if let NotReplaced::Unregistered(reason) = why {
                    self.not_opened(served, key, reason);
                }
                return Some(Answer::Proceed);
            }
        }
        served.told.forget(inode);
        if opened {
            let (key, listeners) = (key.clone().into(), 1);
            (self.events)(PortEvent::Opened { key, listeners });
        }
        let (worker, slot) = (served.trapped.worker, served.trapped.slot);
        let by = Asker::from(&served.trapped);
        self.unix.taken(&key, by, &self.poller, &self.events);
        let key = key.into();
        (self.events)(PortEvent::Taken { worker, slot, key });
        Some(Answer::Done)
    }

    pub(super) fn answer_connect(
        &mut self,
        served: &ServedWorker,
        notification: &Notification,
    ) -> Answer {
        let trapped = &served.trapped;
        let caller = Caller {
            trapped,
            notification,
        };
        if self.unix.finds_nobody(caller, &self.events) {
            Answer::Fail(Errno::ECONNREFUSED)
        } else {
            Answer::Proceed
        }
    }

    /// Answers the removal of a file.
    pub(super) fn remove_path(
        &mut self,
        served: &ServedWorker,
        notification: &Notification,
    ) -> Answer {
        let trapped = &served.trapped;
        let caller = Caller {
            trapped,
            notification,
        };
        let starts = served.sets.starts(self.clock.now());
        match self.unix.remove(caller, starts, &self.events) {
            Removed::ByKernel => Answer::Proceed,
            Removed::Done => Answer::Done,
            Removed::Failed(errno) => Answer::Fail(errno),
        }
    }
}
