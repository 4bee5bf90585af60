//! Asks workers over their own listeners whether they are ready and healthy.

use tracing::{debug, warn};

use crate::checks::{Check, PeriodicCheck, Target, until_accepts, until_http};
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

/// The current target for the worker with this listener.
fn reach(ports: &SharedPorts, listener: ListenerId) -> Option<Target> {
    let (key, source_port) = ports.probe_target(listener, None)?;
    Some(Target::new(key, source_port))
}

fn queue(ports: &SharedPorts, listener: ListenerId) -> Option<u32> {
    let (key, _) = ports.probe_target(listener, None)?;
    ports.queue_length(key, listener)
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
        let (id, ports, outbox) = (worker.id, sharing.ports.clone(), self.outbox.clone());
        worker.readiness = Some(AbortOnDrop::spawn(async move {
            let target = || reach(&ports, listener);
            let heard = |check: &Check| debug!(pid = pid.get(), ?check, "worker is not ready yet");
            match &question {
                Question::Http(path) => until_http(target, path, heard).await,
                Question::Tcp => until_accepts(target, || queue(&ports, listener), heard).await,
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
            let (ports, outbox) = (sharing.ports.clone(), self.outbox.clone());
            let task = AbortOnDrop::spawn(async move {
                let report =
                    |check| drop(outbox.send(Incoming::Worker(id, Report::Checked(check))));
                watch
                    .run(
                        || reach(&ports, listener),
                        || queue(&ports, listener),
                        report,
                    )
                    .await;
            });
            worker.health = Some(HealthTask {
                eager: one.eager,
                _task: task,
            });
        }
    }

    /// Handles the result of a check.
    pub(super) fn checked(&self, pid: Pid, slot: SlotId, check: &Check) -> Option<Event> {
        let passed = match check {
            Check::Passed => true,
            Check::Failed(failure) => {
                warn!(slot = slot.0, pid = pid.get(), %failure, "worker failed a check (RPM_HEALTH)");
                false
            }
            Check::NotMade(reason) => {
                debug!(pid = pid.get(), reason, "a worker could not be checked");
                return None;
            }
        };
        self.metrics.health_checked(passed);
        Some(Event::Checked { pid, passed })
    }
}
