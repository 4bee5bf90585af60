//! RPM_INSTANCES_FOLLOW: what follows when limits of the container change.

use std::sync::{Arc, PoisonError};

use tracing::{info, warn};

use crate::control::protocol::{What, cut};
use crate::model::Followed;
use crate::policy::Event;
use crate::policy::follow::Step;
use crate::triggers::{self, Fired, Granted};

use super::Supervisor;

impl Supervisor {
    /// Starts to look at the limits, if anything follows them.
    pub(super) fn start_following(&self, tell: impl Fn(Fired) + Send + 'static) {
        let Some(rule) = self.config.follow else {
            return;
        };
        // Ports should be shared but cannot be shared here: another worker could not bind the same one.
        let alone = self.config.shares_ports() && self.sharing.is_none();
        let rule = if alone { rule.without_workers() } else { rule };
        if let Some(rule) = rule.if_any() {
            let granted = Granted::find(&self.host.places, rule);
            let snapshot = Arc::clone(&self.snapshot);
            let leaving = move || {
                let seen = snapshot.lock().unwrap_or_else(PoisonError::into_inner);
                let live = seen.retiring.iter().filter(|one| one.pid.is_some());
                live.count()
            };
            tokio::spawn(triggers::follow(rule, granted, leaving, tell));
        }
    }

    /// Follows a change. Returns the event for the fleet.
    pub(super) fn follow(&self, step: Step) -> Option<Event> {
        match step {
            Step::Workers { from, to, how } => {
                info!(
                    from,
                    to, how, "the limits have changed, and RPM_INSTANCES follows"
                );
                self.metrics.followed(Followed::Workers);
                self.followed(Followed::Workers, from.get().into(), to.get().into(), how);
                Some(Event::Granted { workers: to.get() })
            }
            Step::Memory { from, to, how } => {
                if to < from {
                    // A fresh worker may need more, and then its successors do too.
                    warn!(%from, %to, how, "RPM_MAX_MEMORY follows the memory limit and the number of workers; workers above it are replaced");
                } else {
                    info!(%from, %to, how, "RPM_MAX_MEMORY follows the memory limit and the number of workers");
                }
                self.metrics.followed(Followed::MaxMemory);
                self.followed(Followed::MaxMemory, from.0, to.0, how);
                self.metrics.set_worker_memory(to.0);
                self.worker_memory.send_replace(Some(to));
                None
            }
            Step::Stays { why } => {
                warn!(
                    why,
                    "a limit is not followed now, and the last value holds (RPM_INSTANCES_FOLLOW)"
                );
                None
            }
        }
    }

    fn followed(&self, what: Followed, from: u64, to: u64, how: String) {
        self.events.push(What::Followed {
            what: what.label().into(),
            from,
            to,
            why: cut(how),
        });
    }
}
