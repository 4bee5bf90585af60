//! Asking workers over their own listeners: whether they are ready, and whether they are healthy.

use std::collections::HashMap;

use tokio::task::JoinHandle;
use tracing::{debug, warn};

use crate::checks::{Check, Kind, Target, Watch, until_accepts, until_http};
use crate::config::{HealthCheck, Ready};
use crate::model::{ListenerId, Pid};
use crate::policy::Event;
use crate::ports::SharedPorts;

use super::{Incoming, Supervisor};

/// Longest time between two checks of a worker that is to take a slot over: somebody waits for the first that passes.
const EAGER: std::time::Duration = std::time::Duration::from_secs(1);

/// The questions that are under way; each ends with its worker.
#[derive(Debug, Default)]
pub(super) struct Asking {
    ready: HashMap<Pid, JoinHandle<()>>,
    health: HashMap<Pid, Checking>,
}

#[derive(Debug)]
struct Checking {
    /// Somebody waits for the answer.
    eager: bool,
    task: JoinHandle<()>,
}

impl Asking {
    /// The worker is gone.
    pub(super) fn forget(&mut self, pid: Pid) {
        if let Some(task) = self.ready.remove(&pid) {
            task.abort();
        }
        if let Some(checking) = self.health.remove(&pid) {
            checking.task.abort();
        }
    }
}

/// How the worker that has this listener is reached now.
fn reach(ports: &SharedPorts, listener: ListenerId) -> Option<Target> {
    let (key, source_port) = ports.probe_target(listener, None)?;
    Some(Target::new(key, source_port))
}

fn queue(ports: &SharedPorts, listener: ListenerId) -> Option<u32> {
    let (key, _) = ports.probe_target(listener, None)?;
    ports.queue_length(key, listener)
}

impl Supervisor {
    /// Finds out whether a starting worker does what RPM_READY asks for.
    pub(super) fn ask(&mut self, pid: Pid) {
        let (Some(sharing), Some(listener)) = (&self.sharing, self.listeners.get(&pid).copied())
        else {
            return;
        };
        if self.asking.ready.contains_key(&pid) {
            return;
        }
        let (ports, outbox) = (sharing.ports.clone(), self.outbox.clone());
        let path = match &self.config.ready {
            Ready::Http(path) => Some(path.clone()),
            _ => None,
        };
        let task = tokio::spawn(async move {
            let target = || reach(&ports, listener);
            let heard = |check: &Check| debug!(%pid, ?check, "worker is not ready yet");
            match path {
                Some(path) => until_http(target, &path, heard).await,
                None => until_accepts(target, || queue(&ports, listener), heard).await,
            }
            let _ = outbox.send(Incoming::Accepted(pid));
        });
        self.asking.ready.insert(pid, task);
    }

    /// A worker was asked, and does what RPM_READY asks for.
    pub(super) fn accepted(&mut self, pid: Pid) -> Event {
        self.asking.ready.remove(&pid);
        Event::Ready { pid }
    }

    /// Begins and ends the checks of RPM_HEALTH as workers come and go.
    pub(super) fn check_health(&mut self) {
        let Some(kind) = &self.config.health.check else {
            return;
        };
        let Some(sharing) = &self.sharing else { return };
        let wanted: Vec<_> = self.fleet.checked_workers().collect();
        self.asking.health.retain(|pid, checking| {
            let stays = wanted
                .iter()
                .any(|one| one.pid == *pid && one.eager == checking.eager);
            if !stays {
                checking.task.abort();
            }
            stays
        });
        for one in wanted {
            let (pid, listener) = (one.pid, one.listener);
            if self.asking.health.contains_key(&pid) {
                continue;
            }
            let health = &self.config.health;
            let watch = Watch {
                kind: match kind {
                    HealthCheck::Http(path) => Kind::Http(path.clone()),
                    HealthCheck::Tcp => Kind::Tcp,
                    HealthCheck::Accept => Kind::Accept,
                },
                interval: if one.eager {
                    health.interval.min(EAGER)
                } else {
                    health.interval
                },
                timeout: health.timeout,
                seed: if one.eager {
                    0
                } else {
                    u64::from(pid.get().unsigned_abs())
                },
            };
            let (ports, outbox) = (sharing.ports.clone(), self.outbox.clone());
            let task = tokio::spawn(async move {
                let report = |check| drop(outbox.send(Incoming::Checked(pid, check)));
                watch
                    .run(
                        || reach(&ports, listener),
                        || queue(&ports, listener),
                        report,
                    )
                    .await;
            });
            let eager = one.eager;
            self.asking.health.insert(pid, Checking { eager, task });
        }
    }

    /// The answer to a check.
    pub(super) fn checked(&mut self, pid: Pid, check: &Check) -> Event {
        let passed = match check {
            Check::Passed => true,
            Check::Failed(failure) => {
                let slot = self.fleet.workers().find(|(_, worker)| *worker == pid);
                let slot = slot.map_or_else(String::new, |(slot, _)| slot.to_string());
                warn!(slot, %pid, %failure, "worker failed a check (RPM_HEALTH)");
                false
            }
            Check::NotMade(reason) => {
                debug!(%pid, reason, "a worker could not be checked");
                return Event::Woke;
            }
        };
        self.metrics.health_checked(passed);
        Event::Checked { pid, passed }
    }
}
