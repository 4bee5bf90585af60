//! Calculates when something is due by the wall clock, which may jump in either direction. Pure: the time is an
//! argument.

use std::time::{Duration, SystemTime};

use super::rotation::Every;

/// The next time at which a file must be rotated.
#[derive(Clone, Debug)]
pub struct Due {
    /// The latest time seen by the last check.
    seen: SystemTime,
    /// `at` is the first rotation time after this.
    from: SystemTime,
    /// `None`: never.
    at: Option<SystemTime>,
}

impl Due {
    /// The first rotation time after `from`. A `from` in the future is treated as now.
    pub fn new(every: Option<&Every>, from: SystemTime, now: SystemTime) -> Self {
        let from = from.min(now);
        Self {
            seen: now,
            from,
            at: every.and_then(|every| every.next(from)),
        }
    }

    /// Whether the rotation time has come.
    ///
    /// If the clock was set back by years, `at` would be years ahead, so it is calculated again. It stays if only one
    /// rotation time lies in between: that one is done, and a small correction of the clock at midnight must not rotate
    /// twice. So there are never more than two rotation times between now and the next rotation.
    pub fn is_over(&mut self, every: Option<&Every>, now: SystemTime) -> bool {
        if now < self.seen && now < self.from {
            let next = |after| every.and_then(|every| every.next(after));
            let first = next(now);
            let again = first.is_some_and(|first| first <= self.from);
            if again && first.and_then(next) != self.at {
                self.from = now;
                self.at = first;
            }
        }
        self.seen = now;
        self.at.is_some_and(|at| now >= at)
    }
}

/// A pause between two attempts. If the clock jumps in either direction, the pause ends early, never late.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pause(Option<SystemTime>);

impl Pause {
    /// Starts the pause.
    pub fn begin(&mut self, now: SystemTime) {
        self.0 = Some(now);
    }

    /// Whether the pause has lasted for `length` or was never started.
    pub fn is_over(self, now: SystemTime, length: Duration) -> bool {
        let passed = self.0.map(|begin| now.duration_since(begin));
        passed.is_none_or(|passed| passed.map_or(true, |passed| passed >= length))
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

    fn daily() -> Every {
        Every::Period(Duration::from_secs(DAY))
    }

    /// Checks at each of `times` and returns when a rotation was due, as the writer does.
    fn rotations(start: u64, times: &[u64]) -> Vec<u64> {
        let every = daily();
        let mut due = Due::new(Some(&every), at(start), at(start));
        let mut rotated = Vec::new();
        for time in times {
            if due.is_over(Some(&every), at(*time)) {
                rotated.push(*time);
                due = Due::new(Some(&every), at(*time), at(*time));
            }
        }
        rotated
    }

    #[test]
    fn a_point_comes_once() {
        let table: &[(&[u64], &[u64])] = &[
            (&[10 * DAY + 1, 11 * DAY - 1], &[]),
            (&[11 * DAY], &[11 * DAY]),
            (&[11 * DAY + 5, 11 * DAY + 6, 12 * DAY - 1], &[11 * DAY + 5]),
            // No writes for days: one rotation, not four.
            (&[14 * DAY + 5, 14 * DAY + 6], &[14 * DAY + 5]),
            // The clock goes back over midnight by a moment, and forward again.
            (
                &[11 * DAY, 11 * DAY - 1, 11 * DAY, 11 * DAY + 1, 12 * DAY],
                &[11 * DAY, 12 * DAY],
            ),
            // The clock goes back within the day.
            (&[10 * DAY + 9, 10 * DAY + 3, 11 * DAY], &[11 * DAY]),
            // The clock goes back by years, then continues as usual.
            (
                &[4000 * DAY, 11 * DAY + 7, 11 * DAY + 8, 12 * DAY, 13 * DAY],
                &[4000 * DAY, 12 * DAY, 13 * DAY],
            ),
            // The clock goes back by years in two steps.
            (
                &[4000 * DAY, 4000 * DAY - 1, 11 * DAY, 12 * DAY],
                &[4000 * DAY, 12 * DAY],
            ),
        ];
        for (times, expected) in table {
            assert_eq!(rotations(10 * DAY, times), *expected, "{times:?}");
        }
    }

    #[test]
    fn what_was_written_yesterday_is_due_today() {
        let every = daily();
        let mut due = Due::new(Some(&every), at(11 * DAY - 60), at(11 * DAY + 60));
        assert!(due.is_over(Some(&every), at(11 * DAY + 60)));
        let mut due = Due::new(Some(&every), at(11 * DAY + 30), at(11 * DAY + 60));
        assert!(!due.is_over(Some(&every), at(11 * DAY + 60)));
        // The file was written under a clock that was ahead.
        let mut due = Due::new(Some(&every), at(99 * DAY), at(11 * DAY + 60));
        assert!(!due.is_over(Some(&every), at(12 * DAY - 1)));
        assert!(due.is_over(Some(&every), at(12 * DAY)));
    }

    #[test]
    fn without_points_nothing_is_due() {
        let mut due = Due::new(None, at(0), at(5));
        for time in [5, 1, 1_000_000_000] {
            assert!(!due.is_over(None, at(time)));
        }
    }

    #[test]
    fn a_pause_ends_when_the_clock_jumps() {
        let mut pause = Pause::default();
        let length = Duration::from_secs(10);
        assert!(pause.is_over(at(100), length));
        pause.begin(at(100));
        for (time, over) in [(100, false), (109, false), (110, true), (99, true)] {
            assert_eq!(pause.is_over(at(time), length), over, "{time}");
        }
    }

    proptest! {
        /// Whatever the clock does, there is at most one rotation for each passed rotation time and for each step back,
        /// and never more than two rotation times before the next rotation.
        #[test]
        fn a_clock_that_jumps_neither_loops_nor_ends_it(
            steps in prop::collection::vec((-4_000..5_000_i64, any::<bool>()), 1..200),
        ) {
            let period = 1_000;
            let every = Every::Period(Duration::from_secs(period));
            let mut now = 1_000_000_u64;
            let mut due = Due::new(Some(&every), at(now), at(now));
            let (mut rotated, mut passed, mut back) = (0, 0, 0);
            for (step, large) in steps {
                let before = now;
                now = now.saturating_add_signed(if large { step } else { step / 100 });
                passed += (now / period).saturating_sub(before / period);
                back += u64::from(now < before);
                if due.is_over(Some(&every), at(now)) {
                    rotated += 1;
                    due = Due::new(Some(&every), at(now), at(now));
                }
                prop_assert!(due.at.unwrap() > at(now));
                prop_assert!(due.at.unwrap() <= at(now + 2 * period));
            }
            prop_assert!(rotated <= passed + back, "{rotated} {passed} {back}");
        }
    }
}
