//! The time limit of one check.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::checks::{Failure, NotPassed, Step};
use crate::model::Tick;
use crate::sys::clock::Clock;

/// If a wake-up is later than this, the runtime itself did not run. Most likely the worker, which is in the same
/// container, did not run either.
const FROZEN: Duration = Duration::from_secs(1);

/// The time limit of a check.
#[derive(Debug)]
pub(crate) struct Deadline {
    clock: Clock,
    pub limit: Duration,
}

impl Deadline {
    /// Starts now and ends after `limit`.
    pub fn new(limit: Duration) -> Self {
        Self {
            clock: Clock::start(),
            limit,
        }
    }

    /// The time when `part` of the check has passed.
    pub fn at(&self, part: Duration) -> Instant {
        Instant::from_std(self.clock.instant(Tick(part)))
    }

    /// Waits for `work` until the limit. After that, returns the failure from `fault`, or a fault of ours if the
    /// runtime itself did not run.
    pub async fn bound<T>(
        &self,
        work: impl Future<Output = Result<T, NotPassed>>,
        fault: impl FnOnce(Duration) -> Failure,
    ) -> Result<T, NotPassed> {
        match timeout_at(self.at(self.limit), work).await {
            Ok(result) => result,
            Err(_) if self.clock.now().since(Tick(self.limit)) > FROZEN => Err(NotPassed::Ours(
                "the runtime did not run for a while".to_owned(),
            )),
            Err(_) => Err(fault(self.limit).into()),
        }
    }

    /// As [`Self::bound`], with a timeout of `step` as the failure.
    pub async fn step<T>(
        &self,
        step: Step,
        work: impl Future<Output = Result<T, NotPassed>>,
    ) -> Result<T, NotPassed> {
        self.bound(work, |limit| Failure::TimedOut { step, limit })
            .await
    }
}
