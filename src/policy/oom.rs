//! Finds ends of processes that the kernel's OOM killer caused, with the kernel's counter of such kills.

use std::time::Duration;

use crate::model::Tick;

/// How long a counted kill waits for the matching end. The kernel counts before the process ends, so of two kills in a
/// row the second process may end later. And if the process is not reaped by the runtime, its end is never seen.
const WAITS: Duration = Duration::from_secs(1);

/// Counted kills without a matching end so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Strikes {
    open: u64,
    since: Tick,
}

impl Strikes {
    /// Whether the kernel may have sent the SIGKILL: `more` kills were counted since the last call, and `ended`
    /// processes have ended by SIGKILL now.
    pub fn claim(&mut self, now: Tick, more: u64, ended: u64) -> bool {
        if now.since(self.since) > WAITS {
            self.open = 0;
        }
        if more > 0 {
            self.since = now;
        }
        self.open = self.open.saturating_add(more);
        let struck = self.open > 0;
        self.open = self.open.saturating_sub(ended);
        struck
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Milliseconds, counted kills, ended processes, and the expected answer.
    #[track_caller]
    fn walk(steps: &[(u64, u64, u64, bool)]) {
        let mut strikes = Strikes::default();
        for step in steps {
            let (at, more, ended, struck) = *step;
            let now = Tick(Duration::from_secs(100) + Duration::from_millis(at));
            assert_eq!(strikes.claim(now, more, ended), struck, "{step:?}");
        }
    }

    #[test]
    fn an_end_without_a_kill_is_not_the_kernels() {
        walk(&[(0, 0, 1, false), (10, 1, 1, true), (20, 0, 1, false)]);
    }

    #[test]
    fn two_kills_that_are_counted_at_once_may_end_one_after_the_other() {
        walk(&[(0, 2, 1, true), (300, 0, 1, true), (310, 0, 1, false)]);
        walk(&[(0, 2, 2, true), (10, 0, 1, false)]);
    }

    #[test]
    fn a_kill_that_is_no_end_of_ours_is_forgotten() {
        walk(&[(0, 2, 1, true), (1001, 0, 1, false)]);
        // The old kills do not come back with the next one.
        walk(&[(0, 5, 1, true), (2000, 1, 1, true), (2001, 0, 1, false)]);
    }
}
