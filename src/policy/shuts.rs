//! A worker that shuts its listener down again and again. Each repair disturbs the whole port: the kernel moves other
//! listeners in the group, and two that are shut at once reset every queue.

use std::collections::VecDeque;
use std::time::Duration;

use crate::model::Tick;

/// So many repairs within [`WITHIN`] are made for one worker. A program that shuts its listener down at its stop needs
/// one for each port.
const MOST: usize = 3;

/// Repairs that are older are forgotten.
const WITHIN: Duration = Duration::from_secs(10);

/// How often the worker of one listener has shut it down of late.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shuts(VecDeque<Tick>);

impl Shuts {
    /// The worker has shut the listener down. False if it is not to be repaired any more for this worker.
    pub fn may_repair(&mut self, now: Tick) -> bool {
        self.0.retain(|at| now.since(*at) < WITHIN);
        let few = self.0.len() < MOST;
        if few {
            self.0.push_back(now);
        }
        few
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Tick {
        Tick(Duration::from_secs(seconds))
    }

    #[test]
    fn three_repairs_in_ten_seconds_are_made_and_the_fourth_is_not() {
        let mut shuts = Shuts::default();
        for second in [0, 1, 2] {
            assert!(shuts.may_repair(at(second)));
        }
        assert!(!shuts.may_repair(at(3)));
        assert!(!shuts.may_repair(at(9)));
    }

    #[test]
    fn repairs_that_are_far_apart_are_made_for_ever() {
        let mut shuts = Shuts::default();
        for round in 0..100 {
            assert!(shuts.may_repair(at(4 * round)), "{round}");
        }
    }
}
