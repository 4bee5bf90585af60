//! The delay before a slot's next start.

use std::fmt;
use std::time::Duration;

/// Delay between starts. It doubles with each worker that ended too early, between a lower and an upper bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    min: Duration,
    max: Duration,
}

/// RPM_BACKOFF_MIN is above RPM_BACKOFF_MAX.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackoffBounds;

impl fmt::Display for BackoffBounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the smallest delay is above the largest")
    }
}

impl Backoff {
    /// Fails unless `min <= max`.
    pub fn new(min: Duration, max: Duration) -> Result<Self, BackoffBounds> {
        if min > max {
            Err(BackoffBounds)
        } else {
            Ok(Self { min, max })
        }
    }

    /// RPM_BACKOFF_MIN.
    pub fn min(self) -> Duration {
        self.min
    }

    /// RPM_BACKOFF_MAX.
    pub fn max(self) -> Duration {
        self.max
    }

    /// Returns the delay before the next start after `streak` workers that ended too early: zero if `streak` is 0, then
    /// the lower bound, doubled each time up to the upper bound, plus up to a tenth so that slots do not restart in
    /// step. `jitter` is uniform in 0..=65535 and is given by the caller. The result never exceeds the upper bound.
    pub fn delay(self, streak: u32, jitter: u16) -> Duration {
        let Some(doublings) = streak.checked_sub(1) else {
            return Duration::ZERO;
        };
        let factor = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
        let base = self.min.saturating_mul(factor).min(self.max);
        base.saturating_add(base / 10 * u32::from(jitter) / u32::from(u16::MAX))
            .min(self.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_good_life_is_followed_at_once_and_bad_ones_double() {
        let backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(15)).unwrap();
        let delays: Vec<u128> = (0..10)
            .map(|streak| backoff.delay(streak, 0).as_millis())
            .collect();
        assert_eq!(
            delays,
            [0, 100, 200, 400, 800, 1600, 3200, 6400, 12_800, 15_000]
        );
    }

    #[test]
    fn crossed_bounds_are_refused() {
        assert_eq!(
            Backoff::new(Duration::from_secs(2), Duration::from_secs(1)),
            Err(BackoffBounds)
        );
    }

    proptest! {
        #[test]
        fn delays_stay_within_the_bounds(min in 0_u64..100_000, more in 0_u64..100_000, streak in 1_u32.., jitter: u16) {
            let (low, high) = (Duration::from_millis(min), Duration::from_millis(min + more));
            let delay = Backoff::new(low, high).unwrap().delay(streak, jitter);
            prop_assert!(low <= delay && delay <= high);
        }
    }
}
