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

use super::Supervisor;
use super::incoming::{Incoming, Report};
use super::worker::{AbortOnDrop, WorkerId};

/// A worker's way to its program.
#[derive(Debug)]
pub(super) struct Start {
    status: Arc<UnixDatagram>,
    _watch: AbortOnDrop,
}

impl Supervisor {
    pub(super) fn watch_start(&self, id: WorkerId, status: UnixDatagram) -> Start {
        let status = Arc::new(status);
        let (watched, outbox) = (Arc::clone(&status), self.outbox.clone());
        let watch = AbortOnDrop::spawn(async move {
            while let Ok(ready) = watched.ready(Interest::READABLE).await {
                let _ = watched.try_io(Interest::READABLE, super::not_now);
                // A closed socket stays ready for ever; all that is left in it can be read at once.
                let sent = outbox.send(Incoming::Worker(id, Report::Status));
                if sent.is_err() || ready.is_read_closed() {
                    return;
                }
            }
        });
        Start {
            status,
            _watch: watch,
        }
    }

    /// One message of a worker that is being started, and what it means; `None` if there is none now.
    pub(super) fn read_status(&mut self, pid: Pid) -> Option<Event> {
        let worker = self.workers.get(pid)?;
        let (id, slot) = (worker.id, worker.slot);
        let message = status::receive(&*worker.start.as_ref()?.status).ok()?;
        // There may be another behind it, and the descriptor reports each arrival once.
        let _ = self.outbox.send(Incoming::Worker(id, Report::Status));
        Some(self.begun(pid, slot, message))
    }

    fn start_is_over(&mut self, pid: Pid) {
        if let Some(worker) = self.workers.get_mut(pid) {
            worker.start = None;
        }
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
                            .workers
                            .get(pid)
                            .and_then(|worker| worker.listener)
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
                self.start_is_over(pid);
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
                self.start_is_over(pid);
                Event::ExecFailed { pid, code }
            }
            Status::Closed => {
                self.start_is_over(pid);
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
            self.ask_if_ready(pid);
        }
    }
}
