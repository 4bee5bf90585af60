//! The end of one check.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::model::Tick;
use crate::sys::clock::Clock;

use super::check::{Failure, Fault, Step};

/// A wake-up that comes later than this was slept over: the runtime itself did not run, and most likely the worker, in
/// the same container, did not either.
const FROZEN: Duration = Duration::from_secs(1);

/// When a check ends.
#[derive(Debug)]
pub(super) struct Deadline {
    clock: Clock,
    pub limit: Duration,
}

impl Deadline {
    /// That far from now.
    pub fn new(limit: Duration) -> Self {
        Self {
            clock: Clock::start(),
            limit,
        }
    }

    /// The moment when so much of it is over.
    pub fn at(&self, part: Duration) -> Instant {
        Instant::from_std(self.clock.instant(Tick(part)))
    }

    /// Waits for `work`, and no longer than to the end. Too late, `fault` says what it means for the worker, unless
    /// nobody was there to look.
    pub async fn bound<T>(
        &self,
        work: impl Future<Output = Result<T, Fault>>,
        fault: impl FnOnce(Duration) -> Failure,
    ) -> Result<T, Fault> {
        match timeout_at(self.at(self.limit), work).await {
            Ok(result) => result,
            Err(_) if self.clock.now().since(Tick(self.limit)) > FROZEN => Err(Fault::Ours(
                "the runtime did not run for a while".to_owned(),
            )),
            Err(_) => Err(fault(self.limit).into()),
        }
    }

    /// The same, for one step.
    pub async fn step<T>(
        &self,
        step: Step,
        work: impl Future<Output = Result<T, Fault>>,
    ) -> Result<T, Fault> {
        self.bound(work, |limit| Failure::TimedOut { step, limit })
            .await
    }
}
