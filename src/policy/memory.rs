//! The memory that a worker may have. Finds workers that use more, and decides how often memory is checked.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Bytes;
use crate::model::Pid;

/// Time between two checks while a worker is above half of the limit.
const SOON: Duration = Duration::from_secs(2);
/// Time between two checks otherwise.
const LATER: Duration = Duration::from_secs(10);

/// No program needs less memory.
pub const LEAST_MEMORY: Bytes = Bytes(1 << 20);

/// RPM_MAX_MEMORY in percent as a size: so much of the memory limit (bytes) divided by the number of workers. Also returns the
/// calculation, e.g. `80% of memory limit 1Gi for 4 workers`.
pub fn share_of_limit(percent: u16, limit: u64, workers: u16) -> (Bytes, String) {
    let part = u128::from(limit) * u128::from(percent) / 100 / u128::from(workers.max(1));
    // Whole Ki are easier to read.
    let bytes = Bytes(u64::try_from(part).unwrap_or(u64::MAX) & !1023);
    let how = format!(
        "{percent}% of memory limit {} for {workers} workers",
        Bytes(limit)
    );
    (bytes, how)
}

/// The state of one worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    /// Within the limit at the last check.
    Within,
    /// Above the limit at the last check only.
    Above,
    /// Already reported.
    Named,
}

/// RPM_MAX_MEMORY, and the results of the checks so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryGuard {
    limit: Bytes,
    marks: BTreeMap<Pid, Mark>,
    growing: bool,
}

impl MemoryGuard {
    /// Starts without any check.
    pub fn new(limit: Bytes) -> Self {
        Self {
            limit,
            marks: BTreeMap::new(),
            growing: false,
        }
    }

    /// Changes the limit from the next check on.
    pub fn set_limit(&mut self, limit: Bytes) {
        self.limit = limit;
    }

    /// Whether this number of bytes is above the limit.
    pub fn exceeds(&self, bytes: u64) -> bool {
        bytes > self.limit.0
    }

    /// Records one check of all workers. Returns those that were above the limit in this check and the previous one,
    /// because a single spike does not matter. Each worker is returned once. Workers that are not in `seen` have ended
    /// and are forgotten.
    pub fn look(&mut self, seen: &[(Pid, u64)]) -> Vec<(Pid, u64)> {
        let mut over = Vec::new();
        let mut marks = BTreeMap::new();
        for (pid, bytes) in seen {
            let before = self.marks.get(pid).copied().unwrap_or(Mark::Within);
            let mark = match (before, self.exceeds(*bytes)) {
                (Mark::Named, _) => Mark::Named,
                (_, false) => Mark::Within,
                (Mark::Within, true) => Mark::Above,
                (Mark::Above, true) => {
                    over.push((*pid, *bytes));
                    Mark::Named
                }
            };
            marks.insert(*pid, mark);
        }
        self.marks = marks;
        self.growing = seen.iter().any(|(_, bytes)| *bytes > self.limit.0 / 2);
        over
    }

    /// Time until the next check.
    pub fn pause(&self) -> Duration {
        if self.growing { SOON } else { LATER }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pid(raw: i32) -> Pid {
        Pid::new(raw).unwrap()
    }

    /// A guard with a limit of 100 bytes.
    fn guard() -> MemoryGuard {
        MemoryGuard::new(Bytes(100))
    }

    #[test]
    fn two_looks_in_a_row_above_the_limit_are_too_much() {
        let mut guard = guard();
        let mut look = |bytes| guard.look(&[(pid(7), bytes)]);
        assert_eq!(look(101), []);
        assert_eq!(look(100), [], "a spike");
        assert_eq!(look(150), []);
        assert_eq!(look(160), [(pid(7), 160)]);
        assert_eq!(look(170), [], "named once");
        assert_eq!(look(10), []);
        assert_eq!(look(170), []);
        assert_eq!(look(170), []);
    }

    #[test]
    fn a_number_that_comes_again_is_somebody_else() {
        let mut guard = guard();
        guard.look(&[(pid(7), 200)]);
        assert_eq!(guard.look(&[(pid(7), 200)]).len(), 1);
        guard.look(&[]);
        assert_eq!(guard.look(&[(pid(7), 200)]), []);
        assert_eq!(guard.look(&[(pid(7), 200)]).len(), 1);
    }

    #[test]
    fn it_looks_more_often_while_one_is_above_half_of_the_limit() {
        let mut guard = guard();
        assert_eq!(guard.pause(), LATER);
        guard.look(&[(pid(7), 50), (pid(8), 51)]);
        assert_eq!(guard.pause(), SOON);
        guard.look(&[(pid(7), 50), (pid(8), 50)]);
        assert_eq!(guard.pause(), LATER);
        guard.look(&[]);
        assert_eq!(guard.pause(), LATER);
    }

    #[test]
    fn another_limit_counts_from_the_next_look() {
        let mut guard = guard();
        assert_eq!(guard.look(&[(pid(7), 150)]), []);
        guard.set_limit(Bytes(200));
        assert_eq!(guard.look(&[(pid(7), 150)]), []);
        guard.set_limit(Bytes(100));
        assert_eq!(guard.look(&[(pid(7), 150)]), []);
        assert_eq!(guard.look(&[(pid(7), 150)]), [(pid(7), 150)]);
    }

    proptest! {
        #[test]
        fn nobody_is_named_without_cause_or_twice(
            looks in proptest::collection::vec(proptest::collection::vec(0_u64..200, 3), 1..40)
        ) {
            let mut guard = guard();
            let (mut before, mut named) = (vec![0; 3], vec![]);
            for look in looks {
                let seen: Vec<(Pid, u64)> = (2..).map(pid).zip(look.iter().copied()).collect();
                for (one, bytes) in guard.look(&seen) {
                    let at = usize::try_from(one.get() - 2).unwrap();
                    prop_assert!(bytes > 100 && before[at] > 100 && !named.contains(&one));
                    named.push(one);
                }
                before = look;
            }
        }
    }
}
