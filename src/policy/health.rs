//! When a worker that fails its checks is unhealthy, and when workers are checked.

use std::fmt;
use std::time::Duration;

use crate::model::Page;

/// RPM_HEALTH, unless it is `off`: what is asked of each worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HealthCheck {
    /// It answers a request for this page with 2xx or 3xx.
    Http(Page),
    /// It accepts a connection.
    Tcp,
    /// Its queue moves, if connections wait there.
    Accept,
}

impl fmt::Display for HealthCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(page) => page.fmt(f),
            Self::Tcp => f.write_str("tcp"),
            Self::Accept => f.write_str("accept"),
        }
    }
}

/// Check results of one worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Health {
    threshold: u32,
    in_a_row: u32,
}

/// The state according to the checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The last check passed.
    Fine,
    /// The last check failed, but not often enough to be unhealthy.
    Failing {
        /// Number of consecutive failures.
        in_a_row: u32,
    },
    /// At least RPM_HEALTH_FAILURES consecutive checks failed. Ends when a check passes.
    Unhealthy,
}

impl Health {
    /// For a new worker. `failures` consecutive failed checks make it unhealthy; 0 counts as 1.
    pub fn new(failures: u32) -> Self {
        Self {
            threshold: failures.max(1),
            in_a_row: 0,
        }
    }

    /// Records a check. Do not call it for a check that could not be made.
    pub fn report(&mut self, ok: bool) -> Verdict {
        self.in_a_row = if ok {
            0
        } else {
            self.in_a_row.saturating_add(1)
        };
        self.verdict()
    }

    /// The state after the last check. A new worker is fine.
    pub fn verdict(&self) -> Verdict {
        match self.in_a_row {
            0 => Verdict::Fine,
            in_a_row if in_a_row < self.threshold => Verdict::Failing { in_a_row },
            _ => Verdict::Unhealthy,
        }
    }
}

/// Delay of a worker's first check: a part of the interval, selected by `seed` (for example the PID), so that workers
/// that start together are not all checked at the same moment.
pub fn first_check(interval: Duration, seed: u64) -> Duration {
    // Consecutive seeds get very different values (Fibonacci hashing).
    let [first, second, ..] = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
    let part = u32::from(u16::from_be_bytes([first, second]));
    interval.saturating_mul(part) / (u32::from(u16::MAX) + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_threshold_is_met_exactly_and_a_success_resets() {
        let mut health = Health::new(3);
        assert_eq!(health.verdict(), Verdict::Fine);
        assert_eq!(health.report(false), Verdict::Failing { in_a_row: 1 });
        assert_eq!(health.report(false), Verdict::Failing { in_a_row: 2 });
        assert_eq!(health.report(true), Verdict::Fine);
        assert_eq!(health.report(false), Verdict::Failing { in_a_row: 1 });
        assert_eq!(health.report(false), Verdict::Failing { in_a_row: 2 });
        assert_eq!(health.report(false), Verdict::Unhealthy);
        assert_eq!(health.report(false), Verdict::Unhealthy);
        assert_eq!(health.report(true), Verdict::Fine);
    }

    #[test]
    fn one_failure_may_be_enough_and_none_never_is() {
        for failures in [0, 1] {
            let mut health = Health::new(failures);
            assert_eq!(health.report(true), Verdict::Fine);
            assert_eq!(health.report(false), Verdict::Unhealthy);
        }
    }

    #[test]
    fn neighbours_are_first_checked_at_different_times() {
        let interval = Duration::from_secs(8);
        let mut times: Vec<Duration> = (100..108).map(|pid| first_check(interval, pid)).collect();
        times.sort_unstable();
        let apart = Duration::from_millis(250);
        assert!(
            times.windows(2).all(|pair| pair[0] + apart < pair[1]),
            "{times:?}"
        );
    }

    proptest! {
        #[test]
        fn the_first_check_comes_within_the_interval(seconds in 1_u64..100_000, seed: u64) {
            let interval = Duration::from_secs(seconds);
            prop_assert!(first_check(interval, seed) < interval);
        }

        #[test]
        fn unhealthy_is_as_many_failures_at_the_end(checks in prop::collection::vec(any::<bool>(), 0..50), failures in 1_u32..6) {
            let mut health = Health::new(failures);
            for check in &checks {
                health.report(*check);
            }
            let failed = checks.iter().rev().take_while(|ok| !**ok).count();
            let unhealthy = health.verdict() == Verdict::Unhealthy;
            prop_assert_eq!(unhealthy, failed >= usize::try_from(failures).unwrap());
        }
    }
}
