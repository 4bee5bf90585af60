//! Status messages of a worker between fork and exec: the descriptor of its notifier, or why the program cannot run.

use std::ffi::{OsStr, OsString};
use std::sync::Arc;

use tokio::io::Interest;
use tokio::net::UnixDatagram;
use tracing::{error, warn};

use crate::model::{ListenerId, Pid, SlotId};
use crate::policy::Event;
use crate::ports::TrappedWorker;
use crate::sys::status::{self, Status};

use super::Supervisor;
use super::incoming::{Incoming, Report};
use super::try_out::why_not;
use super::worker::{AbortOnDrop, WorkerId};

/// The start of a worker, until its program runs.
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
                // A closed socket stays readable for ever; all remaining messages can be read at once.
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

    /// Reads all pending status messages of a starting worker.
    pub(super) fn read_status(&mut self, pid: Pid, events: &mut Vec<Event>) {
        while let Some((slot, message)) = self.next_status(pid) {
            events.extend(self.begun(pid, slot, message));
        }
    }

    fn next_status(&self, pid: Pid) -> Option<(SlotId, Status)> {
        let worker = self.workers.get(pid)?;
        let start = worker.start.as_ref()?;
        let message = status::receive(&*start.status).ok()?;
        Some((worker.slot, message))
    }

    fn start_is_over(&mut self, pid: Pid) {
        if let Some(worker) = self.workers.get_mut(pid) {
            worker.start = None;
        }
    }

    /// Handles a status message of a starting worker.
    fn begun(&mut self, pid: Pid, slot: SlotId, message: Status) -> Option<Event> {
        match message {
            Status::Notifier(notifier) => {
                if let Some(sharing) = &self.sharing {
                    sharing.server.serve_worker(TrappedWorker {
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
                None
            }
            Status::NotIntercepted(errno) => {
                error!(
                    slot = slot.0,
                    pid = pid.get(),
                    error = errno.desc(),
                    "cannot intercept bind; the worker's ports are not shared"
                );
                // If a port is in use by another process, that says nothing about the program.
                Status::is_shortage(errno).then_some(Event::Starved { pid })
            }
            Status::ExecFailed(errno) if Status::is_shortage(errno) => {
                self.metrics.spawn_failed();
                let cause = Self::shortage(errno);
                warn!(slot = slot.0, pid = pid.get(), error = errno.desc(), %cause, "cannot start the program, will try again");
                self.reporter.remember(format!(
                    "slot {slot}: cannot start a worker: {} ({cause})",
                    errno.desc()
                ));
                self.start_is_over(pid);
                Some(Event::Starved { pid })
            }
            Status::ExecFailed(errno) => {
                let code = Status::exec_code(errno);
                let program = self.config.program.argv.first();
                let program = program.map_or(OsStr::new(""), OsString::as_os_str);
                let why = why_not(program, errno);
                let program = program.to_string_lossy().into_owned();
                error!(
                    slot = slot.0,
                    pid = pid.get(),
                    program,
                    error = why,
                    "cannot execute the program"
                );
                self.reporter
                    .remember(format!("cannot execute {program:?}: {why}"));
                self.start_is_over(pid);
                Some(Event::ExecFailed { pid, code })
            }
            Status::Closed => {
                self.start_is_over(pid);
                self.ask_without_listen(pid);
                Some(Event::Executed { pid })
            }
        }
    }

    /// With activation, the runtime does not see `listen`, so the readiness check starts with the program.
    fn ask_without_listen(&mut self, pid: Pid) {
        if self
            .sharing
            .as_ref()
            .is_some_and(|sharing| sharing.activation)
        {
            self.ask_if_ready(pid);
        }
    }
}
