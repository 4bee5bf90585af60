//! Limits the lines that a worker may write: a token bucket that fills at a constant rate.

use std::fmt;

use crate::model::Tick;

/// Parts of a token. With one token per second, one part is added per nanosecond, so nothing is rounded.
const PARTS: u64 = 1_000_000_000;

/// RPM_LOG_RATE if it is not `off`; applies to each worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Lines per second; not 0.
    pub per_second: u32,
    /// Lines in a burst; not 0.
    pub burst: u32,
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { per_second, burst } = self;
        if per_second == burst {
            per_second.fmt(f)
        } else {
            write!(f, "{per_second}:{burst}")
        }
    }
}

/// A token bucket. It holds at most `burst` tokens and starts full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    per_second: u32,
    /// The burst, in parts.
    most: u64,
    /// In parts.
    held: u64,
    filled: Tick,
}

impl Bucket {
    /// Creates a bucket that gets `per_second` tokens per second and has room for `burst` tokens.
    pub fn new(per_second: u32, burst: u32, now: Tick) -> Self {
        let most = u64::from(burst) * PARTS;
        Self {
            per_second,
            most,
            held: most,
            filled: now,
        }
    }

    /// Takes up to `wanted` tokens and returns the number taken. A time before that of an earlier call counts as that
    /// time.
    pub fn take(&mut self, wanted: u64, now: Tick) -> u64 {
        let come = now.since(self.filled).as_nanos() * u128::from(self.per_second);
        let held = u128::from(self.held).saturating_add(come);
        self.held = u64::try_from(held).unwrap_or(u64::MAX).min(self.most);
        self.filled = self.filled.max(now);
        let taken = wanted.min(self.held / PARTS);
        self.held -= taken * PARTS;
        taken
    }

    /// Returns tokens that were not used.
    pub fn put_back(&mut self, tokens: u64) {
        let held = self.held.saturating_add(tokens.saturating_mul(PARTS));
        self.held = held.min(self.most);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn at(milliseconds: u64) -> Tick {
        Tick(Duration::from_millis(milliseconds))
    }

    /// Time, wanted tokens, taken tokens.
    type Step = (u64, u64, u64);

    #[test]
    fn whole_tokens_come_back_at_the_rate() {
        let table: [(u32, u32, &[Step]); 6] = [
            (
                10,
                10,
                &[
                    (0, 4, 4),
                    (0, 10, 6),
                    (99, 1, 0),
                    (100, 2, 1),
                    (350, 9, 2),
                    (400, 9, 1),
                ],
            ),
            (10, 3, &[(0, 1, 1), (60_000, 100, 3), (60_099, 1, 0)]),
            (
                1,
                5,
                &[
                    (0, 9, 5),
                    (999, 1, 0),
                    (1000, 1, 1),
                    (2999, 9, 1),
                    (3000, 9, 1),
                ],
            ),
            (1000, 1, &[(0, 9, 1), (1, 9, 1), (2, 9, 1), (9, 9, 1)]),
            // A step back in time adds no tokens, and the time after it does not count twice.
            (
                10,
                10,
                &[(1000, 10, 10), (500, 1, 0), (1000, 1, 0), (1100, 9, 1)],
            ),
            (
                u32::MAX,
                u32::MAX,
                &[
                    (0, u64::MAX, 4_294_967_295),
                    (u64::MAX, u64::MAX, 4_294_967_295),
                ],
            ),
        ];
        for (per_second, burst, steps) in table {
            let mut bucket = Bucket::new(per_second, burst, at(0));
            for (time, wanted, passed) in steps {
                let got = bucket.take(*wanted, at(*time));
                assert_eq!(got, *passed, "{per_second}:{burst} at {time}");
            }
        }
    }

    #[test]
    fn nothing_drifts_in_a_day_of_odd_steps() {
        let mut bucket = Bucket::new(7, 7, at(0));
        assert_eq!(bucket.take(7, at(0)), 7);
        let step = Duration::from_nanos(86_399_999);
        let passed: u64 = (1..=1_000_000_u32)
            .map(|step_count| bucket.take(u64::MAX, Tick(step * step_count)))
            .sum();
        let whole = (step * 1_000_000).as_nanos() * 7 / 1_000_000_000;
        assert_eq!(u128::from(passed), whole);
    }

    proptest::proptest! {
        #[test]
        fn no_interval_has_more_than_the_burst_and_the_rate(
            per_second in 1_u32..5000,
            burst in 1_u32..5000,
            steps in proptest::collection::vec((0_u64..3_000_000_000, 0_u64..10_000), 1..60),
        ) {
            let mut bucket = Bucket::new(per_second, burst, at(0));
            let mut now = Duration::ZERO;
            let passed: Vec<(Duration, u64)> = steps.into_iter().map(|(wait, wanted)| {
                now += Duration::from_nanos(wait);
                (now, bucket.take(wanted, Tick(now)))
            }).collect();
            for (first, (start, _)) in passed.iter().enumerate() {
                let mut sum = 0;
                for (end, count) in passed.iter().skip(first) {
                    sum += u128::from(*count);
                    let come = Tick(*end).since(Tick(*start)).as_nanos() * u128::from(per_second) / 1_000_000_000;
                    proptest::prop_assert!(sum <= u128::from(burst) + come + 1);
                }
            }
        }

        #[test]
        fn a_steady_stream_below_the_rate_passes_whole(
            per_second in 1_u32..100_000,
            burst in 1_u32..100,
            slower in 0_u64..1000,
            count in 1_u32..500,
        ) {
            let mut bucket = Bucket::new(per_second, burst, at(0));
            let wait = Duration::from_nanos(1_000_000_000_u64.div_ceil(u64::from(per_second)) + slower);
            for number in 0..count {
                proptest::prop_assert_eq!(bucket.take(1, Tick(wait * number)), 1);
            }
        }

        #[test]
        fn time_may_do_as_it_likes(
            per_second in 0_u32..,
            burst in 0_u32..,
            steps in proptest::collection::vec((0_u64.., 0_u64..), 1..20),
        ) {
            let mut bucket = Bucket::new(per_second, burst, at(5));
            for (time, wanted) in steps {
                let taken = bucket.take(wanted, Tick(Duration::from_secs(time)));
                proptest::prop_assert!(taken <= wanted && taken <= u64::from(burst));
            }
        }
    }
}
