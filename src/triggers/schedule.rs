//! RPM_CRON_RELOAD, by the wall clock.

use std::time::{Duration, SystemTime};

use super::Fired;

/// Longest time between two looks at the wall clock: it may be set, and the machine may have been suspended.
const LOOK: Duration = Duration::from_mins(1);

/// If the clock is set back by more than this, it was wrong before, and the times already handled do not count. If by
/// less, it is a correction, and they count.
const CORRECTION: Duration = Duration::from_hours(1);

/// Sends [`Fired::Schedule`] at each time that `next` returns (`next` returns the first time after a given one).
/// Several times that passed during a suspension count as one. Ends when there is no next time.
pub async fn schedule(
    next: impl Fn(SystemTime) -> Option<SystemTime>,
    wall: impl Fn() -> SystemTime,
    tell: impl Fn(Fired),
) {
    let mut timetable = Timetable::new(wall());
    loop {
        match timetable.look(wall(), &next) {
            Look::Now => tell(Fired::Schedule),
            Look::Later(wait) => tokio::time::sleep(wait.min(LOOK)).await,
            Look::Never => return,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    Now,
    Later(Duration),
    Never,
}

/// The times that are already handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Timetable {
    done: SystemTime,
    /// The latest time for which an event was sent.
    acted: Option<SystemTime>,
}

impl Timetable {
    fn new(now: SystemTime) -> Self {
        Self {
            done: now,
            acted: None,
        }
    }

    fn look(&mut self, now: SystemTime, next: impl Fn(SystemTime) -> Option<SystemTime>) -> Look {
        let back = self.done.duration_since(now).unwrap_or_default();
        if back > CORRECTION {
            self.done = now;
        }
        let mut due = next(self.done);
        // The clock was set back to before that time.
        if due.is_some() && due == self.acted {
            due = due.and_then(&next);
        }
        let Some(due) = due else {
            return Look::Never;
        };
        match due.duration_since(now) {
            Ok(wait) if !wait.is_zero() => Look::Later(wait),
            _ => {
                self.acted = self.acted.max(Some(due));
                self.done = now;
                Look::Now
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    use crate::sys::clock::Clock;

    const HOUR: u64 = 3600;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    /// Every full hour up to the 100th.
    fn hourly(after: SystemTime) -> Option<SystemTime> {
        let seconds = after.duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let hour = seconds.as_secs() / HOUR + 1;
        (hour <= 100).then(|| at(hour * HOUR))
    }

    fn later(seconds: u64) -> Look {
        Look::Later(Duration::from_secs(seconds))
    }

    #[track_caller]
    fn walk(steps: &[(u64, Look)]) {
        let mut timetable = Timetable::new(at(steps[0].0));
        for (now, expected) in steps {
            assert_eq!(timetable.look(at(*now), hourly), *expected, "at {now}");
        }
    }

    #[test]
    fn each_time_comes_once() {
        walk(&[
            (10, later(3590)),
            (3599, later(1)),
            (3600, Look::Now),
            (3600, later(HOUR)),
            (7199, later(1)),
            (7201, Look::Now),
            (7201, later(HOUR - 1)),
        ]);
    }

    #[test]
    fn a_start_at_the_very_time_waits_for_the_next() {
        walk(&[(HOUR, later(HOUR))]);
    }

    #[test]
    fn what_was_slept_over_comes_once() {
        walk(&[
            (10, later(3590)),
            (5 * HOUR + 7, Look::Now),
            (5 * HOUR + 8, later(HOUR - 8)),
        ]);
    }

    #[test]
    fn a_clock_that_is_set_back_a_little_repeats_nothing() {
        walk(&[
            (3590, later(10)),
            (3601, Look::Now),
            (3500, later(HOUR + 100)),
            (3600, later(HOUR)),
            (2 * HOUR, Look::Now),
        ]);
    }

    #[test]
    fn a_clock_that_was_far_ahead_stops_nothing_and_repeats_nothing() {
        walk(&[
            (10, later(3590)),
            (50 * HOUR, Look::Now),
            (2 * HOUR - 5, later(5)),
            (2 * HOUR, Look::Now),
            (2 * HOUR + 1, later(HOUR - 1)),
        ]);
        walk(&[
            (9 * HOUR - 1, later(1)),
            (9 * HOUR, Look::Now),
            (8 * HOUR - 1, later(1)),
            (8 * HOUR, Look::Now),
            (8 * HOUR, later(2 * HOUR)),
        ]);
    }

    #[test]
    fn when_no_time_is_left_it_ends() {
        walk(&[
            (100 * HOUR - 1, later(1)),
            (100 * HOUR, Look::Now),
            (100 * HOUR, Look::Never),
        ]);
    }

    #[test]
    fn it_fires_by_the_wall_clock_that_it_is_given() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        // The clock shows 30 ms before one of the last hours; between two looks a few real milliseconds pass.
        let clock = Clock::start();
        let start = at(99 * HOUR) - Duration::from_millis(30);
        let fired = RefCell::new(Vec::new());
        let wall = || {
            let leap = if fired.borrow().is_empty() {
                0
            } else {
                HOUR - 1
            };
            start + clock.now().0 + Duration::from_secs(leap)
        };
        runtime.block_on(schedule(hourly, wall, |what| fired.borrow_mut().push(what)));
        assert_eq!(*fired.borrow(), [Fired::Schedule, Fired::Schedule]);
    }
}
