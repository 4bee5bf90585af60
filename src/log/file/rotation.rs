//! When to rotate and what to keep.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// When to rotate and how many files to keep. The default never rotates.
#[derive(Clone, Debug, Default)]
pub struct Rotation {
    /// If a write would bring the file above this size in bytes, it is rotated first; `None`: only by time.
    pub size: Option<u64>,
    /// Times of rotation (wall time); `None`: only by size.
    pub every: Option<Every>,
    /// Number of rotated files to keep; `None`: all of them.
    pub retain: Option<usize>,
    /// Whether rotated files are compressed with gzip.
    pub compress: bool,
}

/// Returns the first rotation time after the given time, if there is one.
pub type Points = Arc<dyn Fn(SystemTime) -> Option<SystemTime> + Send + Sync>;

/// Recurring points of wall time, UTC.
#[derive(Clone)]
pub enum Every {
    /// Multiples of this period since the start of 1970. So days begin at midnight; weeks would begin on a Thursday. A
    /// period of zero means never.
    Period(Duration),
    /// Times of a calendar.
    Points(Points),
}

impl fmt::Debug for Every {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Period(period) => f.debug_tuple("Period").field(period).finish(),
            Self::Points(_) => f.write_str("Points(..)"),
        }
    }
}

impl Every {
    /// The first time after `after`; `None` if there is no later one.
    pub fn next(&self, after: SystemTime) -> Option<SystemTime> {
        let next = match self {
            Self::Period(period) => {
                let since = after.duration_since(SystemTime::UNIX_EPOCH);
                let passed = since.unwrap_or_default().as_nanos();
                let period = period.as_nanos();
                let next = passed
                    .checked_div(period)?
                    .checked_add(1)?
                    .checked_mul(period)?;
                // The conversion would panic above this limit.
                let next = (next <= Duration::MAX.as_nanos()).then_some(next)?;
                SystemTime::UNIX_EPOCH.checked_add(Duration::from_nanos_u128(next))?
            }
            Self::Points(points) => points(after)?,
        };
        // A time that is not in the future would be due again and again.
        (next > after).then_some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DAY: u64 = 86_400;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn periods_are_counted_from_1970() {
        let table = [
            (DAY, 0, Some(DAY)),
            (DAY, DAY - 1, Some(DAY)),
            (DAY, DAY, Some(2 * DAY)),
            (12 * 3600, 5 * DAY + 1, Some(5 * DAY + 12 * 3600)),
            (7, 50, Some(56)),
            (0, 50, None),
            (u64::MAX, 50, None),
        ];
        for (period, after, next) in table {
            let every = Every::Period(Duration::from_secs(period));
            assert_eq!(every.next(at(after)), next.map(at), "{period} {after}");
        }
        let before = SystemTime::UNIX_EPOCH - Duration::from_secs(10);
        let hourly = Every::Period(Duration::from_hours(1));
        assert_eq!(hourly.next(before), Some(at(3600)));
        let longest = Every::Period(Duration::MAX);
        assert_eq!(longest.next(at(1)), None);
    }

    #[test]
    fn a_calendar_that_stands_still_is_at_its_end() {
        let every = Every::Points(Arc::new(Some));
        assert_eq!(every.next(at(1)), None);
        let every = Every::Points(Arc::new(|after| Some(after + Duration::from_nanos(1))));
        assert!(every.next(at(1)).is_some());
    }

    proptest! {
        #[test]
        fn a_period_never_skips(period in 1..10_000_000_u64, after in 0..100_000_000_u64) {
            let next = Every::Period(Duration::from_millis(period))
                .next(SystemTime::UNIX_EPOCH + Duration::from_millis(after)).unwrap();
            let next = next.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis();
            prop_assert_eq!(next % u128::from(period), 0);
            prop_assert!(next > u128::from(after) && next <= u128::from(after + period));
        }
    }
}
