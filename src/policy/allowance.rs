//! How much of the hand-over thread's time the questions about one worker may take. A worker can make each of them slow: it
//! fills its own memory, or serves a file system. Each is bounded in time, but their number is not.

use std::time::Duration;

use crate::model::Tick;

/// What a worker may use at once: many times what a start takes, also where the CPU is limited.
const FREE: Duration = Duration::from_millis(300);

/// What it has used is forgotten over this many times as long.
const SLOWNESS: u32 = 4;

/// A worker rests at most so long, so that one that is slow without any fault of its own is still served.
const LONGEST: Duration = Duration::from_millis(400);

/// What one worker has used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allowance {
    used: Duration,
    at: Tick,
}

impl Allowance {
    /// The thread has waited `cost` for this worker. Returns until when it answers others only, if the worker has used
    /// more than it may.
    pub fn spend(&mut self, now: Tick, cost: Duration) -> Option<Tick> {
        let forgotten = now.since(self.at) / SLOWNESS;
        self.used = self.used.saturating_sub(forgotten) + cost;
        self.at = now;
        let over = self.used.saturating_sub(FREE);
        if over.is_zero() {
            return None;
        }
        let rest = (over * SLOWNESS).min(LONGEST);
        self.used = FREE + rest / SLOWNESS;
        Some(now.after(rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOW: Duration = Duration::from_millis(100);

    fn at(millis: u64) -> Tick {
        Tick(Duration::from_millis(millis))
    }

    #[test]
    fn a_start_is_not_held_up() {
        let mut allowance = Allowance::default();
        for millis in 0..1000 {
            let cost = Duration::from_micros(200);
            assert_eq!(allowance.spend(at(millis), cost), None);
        }
        for _ in 0..3 {
            assert_eq!(Allowance::default().spend(at(5000), SLOW), None);
        }
    }

    #[test]
    fn who_has_used_it_up_gets_a_quarter_of_the_time() {
        let mut allowance = Allowance::default();
        let (mut now, mut used) = (at(0), Duration::ZERO);
        while now < at(60_000) {
            now = now.after(SLOW);
            used += SLOW;
            now = allowance.spend(now, SLOW).unwrap_or(now);
        }
        let share = used.as_secs_f64() / now.0.as_secs_f64();
        assert!((0.24..0.27).contains(&share), "{share}");
    }

    #[test]
    fn a_rest_is_short_and_what_was_used_is_forgotten() {
        let mut allowance = Allowance::default();
        let until = allowance.spend(at(0), Duration::from_secs(100));
        assert_eq!(until, Some(at(400)));
        assert!(allowance.spend(at(400), SLOW).is_some(), "not at once");
        assert_eq!(allowance.spend(at(10_000), SLOW), None);
    }
}
