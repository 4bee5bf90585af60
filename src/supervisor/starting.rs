//! What a worker says between its fork and its program: the descriptor of its notifier, or why it cannot run.

use std::path::Path;
use std::sync::Arc;

use nix::errno::Errno;
use tokio::io::Interest;
use tokio::net::UnixDatagram;
use tracing::{error, warn};

use crate::model::{ListenerId, Pid, SlotId};
use crate::policy::Event;
use crate::ports::Attendant;
use crate::sys::status::{self, Status};

use super::{Incoming, Supervisor};

impl Supervisor {
    pub(super) fn watch_status(
        &self,
        pid: Pid,
        status: Arc<UnixDatagram>,
    ) -> tokio::task::JoinHandle<()> {
        let outbox = self.outbox.clone();
        tokio::spawn(async move {
            while let Ok(ready) = status.ready(Interest::READABLE).await {
                let _ = status.try_io(Interest::READABLE, super::not_now);
                // A closed socket stays ready for ever; all that is left in it can be read at once.
                if outbox.send(Incoming::Status(pid)).is_err() || ready.is_read_closed() {
                    return;
                }
            }
        })
    }

    /// One message of a worker that is being started, and what it means; `None` if there is none now.
    pub(super) fn read_status(&mut self, pid: Pid) -> Option<Event> {
        let beginning = self.beginning.get(&pid)?;
        let slot = beginning.slot;
        let message = status::receive(&*beginning.status).ok()?;
        // There may be another behind it, and the descriptor reports each arrival once.
        let _ = self.outbox.send(Incoming::Status(pid));
        Some(self.begun(pid, slot, message))
    }

    /// A worker said something on its way to its program.
    pub(super) fn begun(&mut self, pid: Pid, slot: SlotId, message: Status) -> Event {
        match message {
            Status::Notifier(notifier) => {
                if let Some(sharing) = &self.sharing {
                    sharing.server.attend(Attendant {
                        notifier,
                        worker: pid,
                        slot,
                        listener: self
                            .listeners
                            .get(&pid)
                            .copied()
                            .unwrap_or(ListenerId(slot.0)),
                    });
                }
                Event::Woke
            }
            Status::NotIntercepted(errno) => {
                error!(%slot, %pid, error = errno.desc(), "cannot intercept bind, the worker's ports are its own");
                if Status::is_shortage(errno) {
                    // That it cannot bind a port which another has says nothing about the program.
                    Event::Starved { pid }
                } else {
                    Event::Woke
                }
            }
            Status::ExecFailed(errno) if Status::is_shortage(errno) => {
                self.metrics.spawn_failed();
                let cause = Self::shortage(errno);
                warn!(%slot, %pid, error = errno.desc(), %cause, "cannot start the program, will try again");
                self.history.push(format!(
                    "slot {slot}: cannot start a worker: {} ({cause})",
                    errno.desc()
                ));
                self.forget(pid);
                Event::Starved { pid }
            }
            Status::ExecFailed(errno) => {
                let code = Status::exec_code(errno);
                let program = self
                    .config
                    .argv
                    .first()
                    .map(|word| word.to_string_lossy().into_owned());
                let program = program.unwrap_or_default();
                let why = match errno {
                    Errno::ENOENT if program.contains('/') && Path::new(&program).is_file() => {
                        "the file is there, but its interpreter or loader is not found"
                    }
                    Errno::ENOENT | Errno::ENOTDIR => "not found",
                    other => other.desc(),
                };
                error!(%slot, %pid, program, error = why, "cannot execute the program");
                self.history
                    .push(format!("cannot execute {program:?}: {why}"));
                self.forget(pid);
                Event::ExecFailed { pid, code }
            }
            Status::Closed => {
                self.forget(pid);
                self.ask_without_listen(pid);
                Event::Executed { pid }
            }
        }
    }

    /// With activation no `listen` is seen: the question starts with the program.
    fn ask_without_listen(&mut self, pid: Pid) {
        if self
            .sharing
            .as_ref()
            .is_some_and(|sharing| sharing.ask && sharing.filter.is_none())
        {
            self.ask(pid);
        }
    }
}
