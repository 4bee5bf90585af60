//! What workers say of themselves: sd_notify(3), with RPM_READY=notify.

use std::collections::HashMap;
use std::time::Duration;

use tokio::task::JoinHandle;
use tracing::{debug, warn};

use crate::checks::Notify;
use crate::config::Ready;
use crate::model::{Cause, Pid, Snapshot, Tick};
use crate::policy::notify::Message;
use crate::policy::watchdog::{Watchdog, preset};
use crate::policy::{Action, Event};

use super::{Incoming, Supervisor};

/// The workers that speak.
#[derive(Debug, Default)]
pub(super) struct Saying {
    workers: HashMap<Pid, One>,
    /// WATCHDOG_USEC of our own environment, which the workers inherit.
    preset: Option<Duration>,
}

#[derive(Debug)]
struct One {
    task: JoinHandle<()>,
    watchdog: Watchdog,
    /// It was told of.
    expired: bool,
    status: Option<String>,
}

impl Saying {
    /// With what our own environment asks for.
    pub(super) fn new(env: &[(std::ffi::OsString, std::ffi::OsString)]) -> Self {
        let usec = env.iter().find(|(name, _)| name == "WATCHDOG_USEC");
        Self {
            workers: HashMap::new(),
            preset: usec.and_then(|(_, value)| preset(value.to_str()?)),
        }
    }

    /// The worker is gone.
    pub(super) fn forget(&mut self, pid: Pid) {
        if let Some(one) = self.workers.remove(&pid) {
            one.task.abort();
        }
    }

    /// When the next watchdog expires.
    pub(super) fn deadline(&self) -> Option<Tick> {
        let waiting = self.workers.values().filter(|one| !one.expired);
        waiting.filter_map(|one| one.watchdog.deadline()).min()
    }

    /// Their own words, beside what is known of them.
    pub(super) fn add_to(&self, seen: &mut Snapshot) {
        if self.workers.is_empty() {
            return;
        }
        let views = seen.slots.iter_mut().chain(&mut seen.rising);
        for view in views.chain(&mut seen.retiring) {
            let one = view.pid.and_then(|pid| self.workers.get(&pid));
            view.status = one.and_then(|one| one.status.clone());
        }
    }
}

impl Supervisor {
    /// A socket for the worker that is about to be started, and its name for NOTIFY_SOCKET. Without one it runs all the
    /// same; it is told to stop if it is never ready.
    pub(super) fn prepare_to_hear(&self) -> Option<(Notify, String)> {
        if self.config.ready != Ready::Notify {
            return None;
        }
        match Notify::new() {
            Ok(both) => Some(both),
            Err(error) => {
                warn!(%error, "no socket for sd_notify, the worker cannot say that it is ready");
                None
            }
        }
    }

    pub(super) fn hear(&mut self, pid: Pid, notify: Notify) {
        let outbox = self.outbox.clone();
        let task = tokio::spawn(async move {
            while outbox
                .send(Incoming::Said(pid, notify.next().await))
                .is_ok()
            {}
        });
        let one = One {
            task,
            watchdog: Watchdog::new(self.saying.preset),
            expired: false,
            status: None,
        };
        self.saying.workers.insert(pid, one);
    }

    /// A worker said something.
    pub(super) fn said(&mut self, pid: Pid, messages: &[Message]) -> Event {
        let now = self.now;
        let Some(one) = self.saying.workers.get_mut(&pid) else {
            return Event::Woke;
        };
        for message in messages {
            one.watchdog.hear(now, message);
            let event = match message {
                Message::Ready => Event::Ready { pid },
                Message::Stopping => Event::Leaving { pid },
                Message::ExtendTimeout(by) => Event::Extended { pid, by: *by },
                Message::Status(text) => {
                    debug!(%pid, status = text, "worker says");
                    one.status = Some(text.clone());
                    continue;
                }
                Message::Reloading => {
                    debug!(%pid, "worker reads its configuration anew");
                    continue;
                }
                Message::Watchdog | Message::WatchdogTrigger | Message::WatchdogTimeout(_) => {
                    continue;
                }
            };
            // One after the other, in their order.
            let _ = self.outbox.send(Incoming::Told(event));
        }
        Event::Woke
    }

    /// Watchdogs that have expired.
    pub(super) fn look_at_watchdogs(&mut self, actions: &mut Vec<Action>) {
        let mut expired = Vec::new();
        for (pid, one) in &mut self.saying.workers {
            if !one.expired && one.watchdog.expired(self.now) {
                one.expired = true;
                expired.push(*pid);
            }
        }
        for pid in expired {
            warn!(%pid, "the worker's watchdog has expired (sd_notify)");
            let cause = Cause::Unhealthy;
            self.take(Event::Unfit { pid, cause }, actions);
        }
    }
}
