//! RPM_LOG_RATE: limits the lines of each worker.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::model::{SlotId, Tick};
use crate::policy::{Bucket, Rate};

/// Shortest interval between two reports about dropped lines of a worker.
const TELL: Duration = Duration::from_secs(5);

/// The limits of all workers.
#[derive(Debug)]
pub struct RateLimits {
    rate: Rate,
    start: Instant,
    slots: BTreeMap<SlotId, SlotLimit>,
}

#[derive(Debug)]
struct SlotLimit {
    bucket: Bucket,
    /// Lines dropped since the last report, and when to report them.
    held: Option<(u64, Instant)>,
}

impl RateLimits {
    /// Creates the limits; time counts from `now`.
    pub fn new(rate: Rate, now: Instant) -> Self {
        Self {
            rate,
            start: now,
            slots: BTreeMap::new(),
        }
    }

    /// Returns how many of these lines may pass; the others are counted as dropped. A `whole` record passes completely
    /// or not at all. A record longer than the burst passes if the whole burst is available.
    pub fn pass(&mut self, slot: SlotId, lines: u64, whole: bool, now: Instant) -> u64 {
        let tick = Tick(now.saturating_duration_since(self.start));
        let burst = u64::from(self.rate.burst);
        let bucket = &mut self.limit(slot, tick).bucket;
        let wanted = if whole { lines.min(burst) } else { lines };
        let taken = bucket.take(wanted, tick);
        let passed = if !whole {
            taken
        } else if taken == wanted {
            lines
        } else {
            bucket.put_back(taken);
            0
        };
        if passed < lines {
            self.hold(slot, lines - passed, now);
        }
        passed
    }

    /// Counts lines as dropped because the line or record that they belong to was dropped.
    pub fn hold(&mut self, slot: SlotId, lines: u64, now: Instant) {
        let tick = Tick(now.saturating_duration_since(self.start));
        let held = &mut self.limit(slot, tick).held;
        held.get_or_insert((0, now + TELL)).0 += lines;
    }

    fn limit(&mut self, slot: SlotId, now: Tick) -> &mut SlotLimit {
        let Rate { per_second, burst } = self.rate;
        self.slots.entry(slot).or_insert_with(|| SlotLimit {
            bucket: Bucket::new(per_second, burst, now),
            held: None,
        })
    }

    /// When the next report is due.
    pub fn due(&self) -> Option<Instant> {
        let held = self.slots.values().filter_map(|limit| limit.held);
        held.map(|(_, due)| due).min()
    }

    /// Returns the slots and the numbers of dropped lines that are due to be reported; all of them if `now` is `None`.
    pub fn told(&mut self, now: Option<Instant>) -> Vec<(SlotId, u64)> {
        let mut told = Vec::new();
        for (slot, limit) in &mut self.slots {
            if let Some((lines, _)) = limit
                .held
                .take_if(|(_, due)| now.is_none_or(|now| *due <= now))
            {
                told.push((*slot, lines));
            }
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::clock;

    #[test]
    fn what_is_held_back_is_told_in_one_number_after_a_while() {
        let start = clock::instant();
        let rate = Rate {
            per_second: 10,
            burst: 20,
        };
        let mut limits = RateLimits::new(rate, start);
        assert_eq!(limits.pass(SlotId(1), 15, false, start), 15);
        assert_eq!(limits.due(), None);
        assert_eq!(limits.pass(SlotId(1), 15, false, start), 5);
        assert_eq!(
            limits.pass(SlotId(2), 15, false, start),
            15,
            "each for itself"
        );
        let later = start + Duration::from_secs(1);
        assert_eq!(limits.pass(SlotId(1), 15, false, later), 10);
        assert_eq!(limits.due(), Some(start + TELL));
        assert_eq!(limits.told(Some(later)), []);
        assert_eq!(limits.told(limits.due()), [(SlotId(1), 15)]);
        assert_eq!(limits.due(), None);
        assert_eq!(limits.pass(SlotId(2), 100, false, start), 5);
        assert_eq!(limits.told(None), [(SlotId(2), 95)]);
    }

    #[test]
    fn a_record_passes_as_a_whole_and_a_long_one_in_its_time() {
        let start = clock::instant();
        let rate = Rate {
            per_second: 10,
            burst: 10,
        };
        let mut limits = RateLimits::new(rate, start);
        let slot = SlotId(0);
        assert_eq!(limits.pass(slot, 7, true, start), 7);
        assert_eq!(limits.pass(slot, 4, true, start), 0, "three are left");
        assert_eq!(limits.pass(slot, 3, true, start), 3, "and were not taken");
        assert_eq!(limits.pass(slot, 100, true, start), 0);
        let later = start + Duration::from_secs(1);
        assert_eq!(limits.pass(slot, 100, true, later), 100);
        limits.hold(slot, 5, later);
        assert_eq!(limits.told(None), [(slot, 109)]);
    }
}
