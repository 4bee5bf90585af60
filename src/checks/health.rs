//! Asking a worker regularly.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::policy::health::first_check;

use super::check::{Check, Fault};
use super::http::http;
use super::queue::{accept, tcp};
use super::target::Target;

/// What is asked (RPM_HEALTH).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `http:PATH`: it answers with 2xx or 3xx.
    Http(String),
    /// `tcp`: it accepts a connection.
    Tcp,
    /// `accept`: its queue moves, if anybody waits there.
    Accept,
}

/// The checks of one worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watch {
    /// What is asked.
    pub kind: Kind,
    /// How often (RPM_HEALTH_INTERVAL).
    pub interval: Duration,
    /// Time for one check (RPM_HEALTH_TIMEOUT).
    pub timeout: Duration,
    /// Differs between the workers, so that not all are asked at the same moment: the pid, say.
    pub seed: u64,
}

impl Watch {
    /// Checks for ever, and reports each check; the caller drops it when the worker is no longer to be checked. The
    /// first check comes after a part of the interval. `target` and `queue` are asked anew each time; a worker that
    /// cannot be asked gives [`Check::NotMade`], which says nothing about it.
    pub async fn run(
        &self,
        target: impl Fn() -> Option<Target>,
        queue: impl Fn() -> Option<u32>,
        report: impl Fn(Check),
    ) {
        sleep(first_check(self.interval, self.seed)).await;
        // Zero would be refused by a panic.
        let mut ticks = interval(self.interval.max(Duration::from_millis(1)));
        // A check that took longer than the interval is followed by a whole one, not by two checks at once.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            report(self.check(&target, &queue).await);
        }
    }

    async fn check(
        &self,
        target: &impl Fn() -> Option<Target>,
        queue: &impl Fn() -> Option<u32>,
    ) -> Check {
        match (&self.kind, target()) {
            // It needs none as long as the queue moves.
            (Kind::Accept, _) => accept(target, queue, self.timeout).await,
            (Kind::Http(path), Some(target)) => http(target, path, self.timeout).await,
            (Kind::Tcp, Some(target)) => tcp(target, queue, self.timeout).await,
            (Kind::Http(_) | Kind::Tcp, None) => Err(Fault::no_target()).into(),
        }
    }
}
