//! Asks workers over their own listeners whether they are ready and healthy.

use std::num::NonZeroU16;
use std::sync::{Arc, Mutex, PoisonError};

use tracing::{debug, info, warn};

use crate::checks::{Check, Failure, PeriodicCheck, Target, until_accepts, until_http};
use crate::control::protocol::{What, cut};
use crate::model::{ListenerId, Pid, SlotId};
use crate::policy::Event;
use crate::ports::SharedPorts;

use super::Supervisor;
use super::incoming::{Incoming, Report};
use super::observation::Question;
use super::worker::AbortOnDrop;

/// Longest time between two checks of a worker that will take over a slot: the takeover waits for the first passed
/// check.
const EAGER: std::time::Duration = std::time::Duration::from_secs(1);

/// The checks of one worker.
#[derive(Debug)]
pub(super) struct HealthTask {
    /// Another step waits for the first passed check.
    eager: bool,
    _task: AbortOnDrop,
}

/// Where a worker is asked: over its listener of the named port, or of the first that it has bound.
#[derive(Clone, Debug)]
struct Place {
    ports: SharedPorts,
    listener: ListenerId,
    port: Option<NonZeroU16>,
}

impl Place {
    /// The current target; `None` if the worker has no such port.
    fn target(&self) -> Option<Target> {
        let (key, source_port) = self.ports.probe_target(self.listener, self.port)?;
        Some(Target::new(key, source_port))
    }

    /// The length of the worker's queue there.
    fn queue(&self) -> Option<u32> {
        let (key, _) = self.ports.probe_target(self.listener, self.port)?;
        self.ports.queue_length(key, self.listener)
    }

    /// A failed check, for messages.
    fn failed(&self, path: Option<&str>, failure: &Failure) -> String {
        let port = self
            .shown()
            .map_or_else(String::new, |port| port.to_string());
        match path {
            Some(path) => format!("GET {path} on port {port}: {failure}"),
            None => format!("port {port}: {failure}"),
        }
    }

    /// The port for messages: the one that is named, or the one that is asked now.
    fn shown(&self) -> Option<u16> {
        let named = self.port.map(NonZeroU16::get);
        named.or_else(|| self.target().map(|target| target.addr.port()))
    }
}

/// The failure, if the worker answered: it is up, and one who waits for its success wants to know.
fn answered(check: &Check) -> Option<&Failure> {
    match check {
        Check::Failed(failure) => matches!(
            failure,
            Failure::Status(_)
                | Failure::NotHttp(_)
                | Failure::Tls(_)
                | Failure::Closed
                | Failure::TooLong
        )
        .then_some(failure),
        Check::Passed | Check::NotMade(_) => None,
    }
}

impl Supervisor {
    /// Starts checking whether a starting worker fulfils RPM_READY.
    pub(super) fn ask_if_ready(&mut self, pid: Pid) {
        let (Some(sharing), Some(worker)) = (&self.sharing, self.workers.get_mut(pid)) else {
            return;
        };
        let Some(listener) = worker.listener else {
            return;
        };
        if worker.readiness.is_some() {
            return;
        }
        let Some(question) = self.observation.question.clone() else {
            return;
        };
        let (id, slot, outbox) = (worker.id, worker.slot, self.outbox.clone());
        let last = Arc::clone(&worker.not_passed);
        let place = Place {
            ports: sharing.ports.clone(),
            listener,
            port: self.config.life.ready_port,
        };
        worker.readiness = Some(AbortOnDrop::spawn(async move {
            let target = || place.target();
            let page = match &question {
                Question::Http(page) => Some(page),
                Question::Tcp => None,
            };
            let path = page.map(|page| page.path.as_str());
            let told = Mutex::new(None);
            let heard = |check: &Check| {
                debug!(pid = pid.get(), ?check, "worker is not ready yet");
                if let Check::Failed(failure) = check {
                    let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
                    *last = Some(place.failed(path, failure));
                }
                let Some(failure) = answered(check) else {
                    return;
                };
                let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
                if told.as_ref() != Some(failure) {
                    let port = place.shown();
                    info!(slot = slot.0, pid = pid.get(), port, path, %failure, "worker answers the question of RPM_READY, but not with a success");
                    *told = Some(failure.clone());
                }
            };
            match page {
                Some(page) => until_http(target, page, heard).await,
                None => until_accepts(target, || place.queue(), heard).await,
            }
            let _ = outbox.send(Incoming::Worker(id, Report::Accepted(question.by())));
        }));
    }

    /// Starts and stops the checks of RPM_HEALTH when workers come and go.
    pub(super) fn check_health(&mut self) {
        let check = self.config.health.check.as_ref();
        let Some(check) = check.filter(|_| self.observation.health) else {
            return;
        };
        let Some(sharing) = &self.sharing else { return };
        let wanted: Vec<_> = self.fleet.checked_workers().collect();
        for worker in self.workers.iter_mut() {
            let stays = |health: &HealthTask| {
                let mut wanted = wanted.iter();
                wanted.any(|one| one.pid == worker.id.pid && one.eager == health.eager)
            };
            worker.health = worker.health.take().filter(stays);
        }
        for one in wanted {
            let Some(worker) = self.workers.get_mut(one.pid) else {
                continue;
            };
            if worker.health.is_some() {
                continue;
            }
            let (id, listener) = (worker.id, one.listener);
            let health = &self.config.health;
            let watch = PeriodicCheck {
                check: check.clone(),
                interval: if one.eager {
                    health.interval.min(EAGER)
                } else {
                    health.interval
                },
                timeout: health.timeout,
                seed: if one.eager {
                    0
                } else {
                    u64::from(id.pid.get().unsigned_abs())
                },
            };
            let outbox = self.outbox.clone();
            let place = Place {
                ports: sharing.ports.clone(),
                listener,
                port: health.port,
            };
            let task = AbortOnDrop::spawn(async move {
                let report = |check| {
                    let report = Report::Checked(check, place.shown());
                    drop(outbox.send(Incoming::Worker(id, report)));
                };
                watch.run(|| place.target(), || place.queue(), report).await;
            });
            worker.health = Some(HealthTask {
                eager: one.eager,
                _task: task,
            });
        }
    }

    /// Handles the result of a check on this port.
    pub(super) fn checked(
        &mut self,
        pid: Pid,
        slot: SlotId,
        check: &Check,
        port: Option<u16>,
    ) -> Option<Event> {
        let passed = match check {
            Check::Passed => true,
            Check::Failed(failure) => {
                warn!(slot = slot.0, pid = pid.get(), port, %failure, "worker failed a check (RPM_HEALTH)");
                let (why, answer) = failure.parts();
                self.events.push(What::CheckFailed {
                    slot: slot.0,
                    pid: pid.get(),
                    why: cut(why),
                    answer: answer.map(|bytes| cut(bytes.to_owned())),
                });
                false
            }
            Check::NotMade(reason) => {
                debug!(
                    pid = pid.get(),
                    port, reason, "a worker could not be checked"
                );
                self.tell_unchecked(pid, slot);
                return None;
            }
        };
        self.metrics.health_checked(passed);
        Some(Event::Checked { pid, passed })
    }

    /// Says once for each worker that the port of RPM_HEALTH is none of its shared ports.
    fn tell_unchecked(&mut self, pid: Pid, slot: SlotId) {
        let (Some(port), Some(sharing)) = (self.config.health.port, &self.sharing) else {
            return;
        };
        let Some(worker) = self
            .workers
            .get_mut(pid)
            .filter(|worker| !worker.told_unchecked)
        else {
            return;
        };
        let Some(listener) = worker.listener else {
            return;
        };
        if sharing.ports.probe_target(listener, Some(port)).is_none() {
            worker.told_unchecked = true;
            warn!(
                slot = slot.0,
                pid = pid.get(),
                port,
                "worker does not listen on the port of RPM_HEALTH, so it is not checked"
            );
        }
    }
}
