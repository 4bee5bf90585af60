//! Judges whether a thread still turns, by what it shows of itself.

use std::time::Duration;

use crate::model::Tick;

/// No round of work takes so long, however slow the machine is.
const LONGEST: Duration = Duration::from_secs(30);

/// What a thread does at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beat {
    /// It waits for work.
    Rests,
    /// It works; each round has another number.
    Works(u64),
    /// It has ended.
    Ended,
}

/// Why a thread does not turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It works at the same thing since it was first seen so, for this long.
    Stuck(Duration),
    /// It has ended.
    Ended,
}

/// Compares what is seen at several looks. Nothing is looked at between them, so a healthy thread wakes nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct Heartbeat(Option<(u64, Tick)>);

impl Heartbeat {
    /// A look at the thread; `now` is on a clock that leaves out the time in which the runtime was frozen. `None` if it
    /// turns, as far as that is known.
    pub fn look(&mut self, beat: Beat, now: Tick) -> Option<Standing> {
        let round = match beat {
            Beat::Ended => return Some(Standing::Ended),
            Beat::Rests => {
                self.0 = None;
                return None;
            }
            Beat::Works(round) => round,
        };
        match self.0 {
            Some((same, since)) if same == round => {
                let stuck = now.since(since);
                (stuck >= LONGEST).then_some(Standing::Stuck(stuck))
            }
            _ => {
                self.0 = Some((round, now));
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Tick {
        Tick(Duration::from_secs(seconds))
    }

    #[test]
    fn a_thread_that_works_at_one_thing_for_long_is_stuck_and_recovers() {
        let mut heartbeat = Heartbeat::default();
        assert_eq!(heartbeat.look(Beat::Works(7), at(10)), None);
        assert_eq!(heartbeat.look(Beat::Works(7), at(39)), None);
        let stuck = Some(Standing::Stuck(Duration::from_secs(30)));
        assert_eq!(heartbeat.look(Beat::Works(7), at(40)), stuck);
        assert_eq!(heartbeat.look(Beat::Works(9), at(41)), None);
        assert_eq!(heartbeat.look(Beat::Rests, at(90)), None);
    }

    #[test]
    fn a_thread_that_is_always_seen_at_work_turns_if_it_is_another_round() {
        let mut heartbeat = Heartbeat::default();
        for round in 0..100 {
            let beat = Beat::Works(2 * round + 1);
            assert_eq!(heartbeat.look(beat, at(60 * round)), None);
        }
    }

    #[test]
    fn the_time_before_it_was_first_seen_at_work_does_not_count() {
        let mut heartbeat = Heartbeat::default();
        assert_eq!(heartbeat.look(Beat::Rests, at(0)), None);
        assert_eq!(heartbeat.look(Beat::Works(1), at(3600)), None);
    }

    #[test]
    fn an_end_is_told_at_once() {
        let mut heartbeat = Heartbeat::default();
        assert_eq!(heartbeat.look(Beat::Ended, at(0)), Some(Standing::Ended));
    }
}
