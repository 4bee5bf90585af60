//! A draining worker that accepts nobody: it is suspended, hangs, or is busy with one client. Who waits in its queue need
//! not wait for the end of the drain while others serve.

use std::time::Duration;

use crate::model::Tick;

/// The queue of a worker that accepts becomes shorter within this time.
const LONGEST: Duration = Duration::from_secs(1);

/// The queue of one draining worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stall {
    queued: u32,
    /// Since when it has been neither empty nor shorter. `None`: it was empty.
    since: Option<Tick>,
}

impl Stall {
    /// Records how many wait at `now`. True if none of them was accepted for a second; the time then begins anew.
    pub fn look(&mut self, now: Tick, queued: u32) -> bool {
        let moved = queued == 0 || queued < self.queued;
        self.queued = queued;
        if moved {
            self.since = None;
        }
        if queued == 0 {
            return false;
        }
        let since = *self.since.get_or_insert(now);
        let stalls = now.since(since) >= LONGEST;
        if stalls {
            self.since = Some(now);
        }
        stalls
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_that_becomes_no_shorter_for_a_second_stalls() {
        let at = |millis| Tick::default().after(Duration::from_millis(millis));
        let mut stall = Stall::default();
        for (millis, queued, stalls) in [
            (0, 0, false),
            (5000, 3, false),
            (5999, 3, false),
            // One more has come, and none was accepted.
            (6000, 4, true),
            // Told once in a second.
            (6010, 4, false),
            (7000, 4, true),
            // It accepts one at a time.
            (7900, 3, false),
            (8800, 2, false),
            (9700, 2, false),
            (9800, 2, true),
            (9900, 0, false),
            (20_000, 0, false),
            (20_001, 1, false),
        ] {
            assert_eq!(stall.look(at(millis), queued), stalls, "{millis}");
        }
    }
}
