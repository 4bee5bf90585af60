//! Regular checks of a worker.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::policy::health::{HealthCheck, first_check};

use super::check::{Check, NotPassed};
use super::http::http;
use super::queue::{accept, tcp};
use super::target::Target;

/// The regular checks of one worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeriodicCheck {
    /// The check (RPM_HEALTH).
    pub check: HealthCheck,
    /// Interval between checks (RPM_HEALTH_INTERVAL).
    pub interval: Duration,
    /// Time limit of one check (RPM_HEALTH_TIMEOUT).
    pub timeout: Duration,
    /// A number that differs between workers, such as the PID, so that they are not all checked at the same time.
    pub seed: u64,
}

impl PeriodicCheck {
    /// Checks at each interval and reports each result. Never returns; the caller drops the future to stop. The first
    /// check comes after a part of the interval. `target` and `queue` are called for each check. If a worker cannot be
    /// checked, the result is [`Check::NotMade`].
    pub async fn run(
        &self,
        target: impl Fn() -> Option<Target>,
        queue: impl Fn() -> Option<u32>,
        report: impl Fn(Check),
    ) {
        sleep(first_check(self.interval, self.seed)).await;
        // A zero interval would panic.
        let mut ticks = interval(self.interval.max(Duration::from_millis(1)));
        // If a check takes longer than the interval, wait a whole interval after it instead of catching up.
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
        match (&self.check, target()) {
            // No target is needed while the queue moves.
            (HealthCheck::Accept, _) => accept(target, queue, self.timeout).await,
            (HealthCheck::Http(page), Some(target)) => http(target, page, self.timeout).await,
            (HealthCheck::Tcp, Some(target)) => tcp(target, queue, self.timeout).await,
            (HealthCheck::Http(_) | HealthCheck::Tcp, None) => Err(NotPassed::no_target()).into(),
        }
    }
}
