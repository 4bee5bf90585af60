//! How many connections are expected before the next choice.

use std::time::Duration;

use crate::model::Tick;

/// A connection that is followed by none for so long is not the first one of a burst.
pub const ALONE: Duration = Duration::from_millis(1);

/// After this time without an arrival, nothing is expected because of earlier ones.
const OVER: Duration = Duration::from_millis(20);

/// So many connections at one listener between two choices are a batch. Checks of all workers at once are none.
const BATCH: u32 = 4;

/// A batch is expected again for about this time.
const AGAIN: Duration = Duration::from_secs(3);

/// Arrivals between choices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flow {
    /// Since the last choice.
    fresh: u32,
    /// Between the last choices, the older ones for less.
    before: u32,
    /// The most of these at one listener.
    most: u32,
    /// The last large batch between two choices, and when that was.
    batch: (u32, Tick),
    latest: Option<Tick>,
    /// The last one came shortly after the one before.
    burst: bool,
}

impl Flow {
    /// So many connections have arrived at one listener.
    pub fn arrived(&mut self, count: u32, now: Tick) {
        let before = self.latest.replace(now);
        let since = before.map_or(OVER, |before| now.since(before));
        if since >= OVER {
            self.before = 0;
        }
        self.burst = count > 1 || since < ALONE;
        self.fresh = self.fresh.saturating_add(count);
        self.most = self.most.max(count);
    }

    /// A choice was made.
    pub fn chosen(&mut self, now: Tick) {
        let batch = if self.most >= BATCH { self.fresh } else { 0 };
        if batch >= self.batch.0 || now.since(self.batch.1) >= AGAIN {
            self.batch = (batch, now);
        }
        self.burst &= self.fresh > 0;
        self.before = self.fresh.max(self.before / 2);
        (self.fresh, self.most) = (0, 0);
    }

    /// Whether connections come one by one.
    pub fn is_slow(&self) -> bool {
        self.before.max(self.fresh) <= 1
    }

    /// Connections that are expected before the next choice, by so many workers.
    pub fn expected(&self, now: Tick, workers: u32) -> u32 {
        let usual = self.fresh.max(self.before);
        // The next choice may be late, because the machine is busy. Until then a burst must not hit one worker alone.
        let burst = if self.burst { workers } else { 0 };
        // Where the CPU of the container is limited, choices are late again and again.
        let (batch, at) = self.batch;
        let batch = if now.since(at) < AGAIN { batch } else { 0 };
        usual.max(burst).max(batch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Tick {
        Tick(Duration::from_millis(9_000 + ms))
    }

    #[test]
    fn one_by_one_only_the_next_one_is_expected() {
        let mut flow = Flow::default();
        for number in 0..9 {
            flow.arrived(1, at(2 * number));
            assert_eq!(flow.expected(at(2 * number), 4), 1);
            flow.chosen(at(2 * number));
            assert!(flow.is_slow());
        }
    }

    #[test]
    fn in_a_burst_one_for_each_worker_is_expected_until_it_ends() {
        let mut flow = Flow::default();
        flow.arrived(1, at(0));
        flow.chosen(at(0));
        flow.arrived(1, at(0));
        flow.chosen(at(0));
        assert_eq!(flow.expected(at(0), 4), 4);
        flow.chosen(at(5));
        assert_eq!(flow.expected(at(5), 4), 0);
    }

    #[test]
    fn a_batch_is_expected_again_for_some_seconds() {
        let mut flow = Flow::default();
        flow.arrived(24, at(0));
        flow.chosen(at(0));
        for ms in (100..3_000).step_by(100) {
            flow.chosen(at(ms));
            assert_eq!(flow.expected(at(ms), 4), 24, "{ms}");
        }
        assert_eq!(
            flow.expected(at(3_000), 4),
            0,
            "without a choice in between"
        );
        // Checks of all workers at once are no batch, and are soon forgotten.
        (0..8).for_each(|_| flow.arrived(1, at(4_000)));
        flow.chosen(at(4_000));
        assert_eq!(flow.expected(at(4_000), 4), 8);
        flow.arrived(1, at(4_020));
        assert_eq!(flow.expected(at(4_020), 4), 1);
    }
}
