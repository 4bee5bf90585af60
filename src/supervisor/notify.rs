//! Messages of workers through sd_notify(3), with RPM_READY=notify.

use std::time::Duration;

use tracing::{debug, warn};

use crate::config::Ready;
use crate::model::{Cause, Pid, ReadyBy, Snapshot, Tick};
use crate::notify::{self, Heard};
use crate::policy::notify::Message;
use crate::policy::watchdog::Watchdog;
use crate::policy::{Action, Event};
use crate::sys::notify::Sender;

use super::Supervisor;
use super::incoming::{Incoming, Report};
use super::worker::{AbortOnDrop, WorkerId, Workers};

/// The socket of one worker, and the state from its messages.
#[derive(Debug)]
pub(super) struct Notify {
    _task: AbortOnDrop,
    watchdog: Watchdog,
    /// The expiry of the watchdog was logged and reported to the fleet.
    expired: bool,
    status: Option<String>,
    /// Messages of strangers that no line has told yet.
    untold: u32,
    /// When the last line about them was written.
    told: Option<Tick>,
}

/// Shortest time between two lines about the messages of strangers to one worker. All are counted.
const STRANGERS: Duration = Duration::from_mins(1);

impl Notify {
    /// Counts messages that were refused. Returns how many to tell of now.
    fn refuse(&mut self, now: Tick, more: u32) -> Option<u32> {
        self.untold = self.untold.saturating_add(more);
        let lately = self.told.is_some_and(|told| now.since(told) < STRANGERS);
        if self.untold == 0 || lately {
            return None;
        }
        self.told = Some(now);
        Some(std::mem::take(&mut self.untold))
    }
}

impl Workers {
    /// Time at which the next watchdog expires.
    pub(super) fn watchdog_deadline(&self) -> Option<Tick> {
        let notify = self.iter().filter_map(|worker| worker.notify.as_ref());
        let waiting = notify.filter(|notify| !notify.expired);
        waiting
            .filter_map(|notify| notify.watchdog.deadline())
            .min()
    }

    /// Adds the workers' status texts to the snapshot.
    pub(super) fn add_status(&self, seen: &mut Snapshot) {
        let views = seen.slots.iter_mut().chain(&mut seen.rising);
        for view in views.chain(&mut seen.retiring) {
            let worker = view.pid.and_then(|pid| self.get(pid));
            let notify = worker.and_then(|worker| worker.notify.as_ref());
            view.status = notify.and_then(|notify| notify.status.clone());
        }
    }
}

impl Supervisor {
    /// Creates a socket for the next worker, and its name for NOTIFY_SOCKET. If that fails, the worker runs anyway, and
    /// it is stopped if it does not become ready.
    pub(super) fn notify_socket(&self) -> Option<(notify::NotifySocket, String)> {
        if self.config.life.ready != Ready::Notify {
            return None;
        }
        match notify::NotifySocket::new() {
            Ok(both) => Some(both),
            Err(error) => {
                warn!(%error, "no socket for sd_notify; the worker cannot report that it is ready");
                None
            }
        }
    }

    pub(super) fn listen_to(&self, id: WorkerId, socket: notify::NotifySocket) -> Notify {
        let outbox = self.outbox.clone();
        let task = AbortOnDrop::spawn(async move {
            loop {
                let report = Report::Said(socket.next(id.pid).await);
                if outbox.send(Incoming::Worker(id, report)).is_err() {
                    return;
                }
            }
        });
        Notify {
            _task: task,
            watchdog: Watchdog::new(self.environment.watchdog),
            expired: false,
            status: None,
            untold: 0,
            told: None,
        }
    }

    /// Handles messages of a worker.
    pub(super) fn said(&mut self, pid: Pid, heard: &Heard, events: &mut Vec<Event>) {
        let now = self.now;
        self.metrics.notify_refused(u64::from(heard.refused));
        let worker = self.workers.get_mut(pid);
        let Some(notify) = worker.and_then(|worker| worker.notify.as_mut()) else {
            return;
        };
        if let Some(messages) = notify.refuse(now, heard.refused) {
            let stranger = heard.stranger.unwrap_or(Sender { pid: 0, uid: 0 });
            warn!(
                pid = pid.get(),
                sender = stranger.pid,
                uid = stranger.uid,
                messages,
                next = "ignoring them; only processes of the worker are believed",
                "somebody else speaks for a worker (sd_notify)"
            );
        }
        for message in &heard.messages {
            notify.watchdog.hear(now, message);
            let event = match message {
                Message::Ready => Event::Ready {
                    pid,
                    by: ReadyBy::Notify,
                },
                Message::Stopping => Event::Leaving { pid },
                Message::ExtendTimeout(by) => Event::Extended { pid, by: *by },
                Message::Status(text) => {
                    debug!(pid = pid.get(), status = text, "worker says");
                    notify.status = Some(text.clone());
                    continue;
                }
                Message::Reloading => {
                    debug!(pid = pid.get(), "worker reloads its configuration");
                    continue;
                }
                Message::Watchdog | Message::WatchdogTrigger | Message::WatchdogTimeout(_) => {
                    continue;
                }
            };
            events.push(event);
        }
    }

    /// Reports expired watchdogs.
    pub(super) fn look_at_watchdogs(&mut self, actions: &mut Vec<Action>) {
        let mut expired = Vec::new();
        for worker in self.workers.iter_mut() {
            let Some(notify) = &mut worker.notify else {
                continue;
            };
            if !notify.expired && notify.watchdog.expired(self.now) {
                notify.expired = true;
                expired.push(worker.id.pid);
            }
        }
        for pid in expired {
            warn!(
                pid = pid.get(),
                "the worker's watchdog has expired (sd_notify)"
            );
            let cause = Cause::Unhealthy;
            self.take(Event::Unfit { pid, cause }, actions);
        }
    }
}
