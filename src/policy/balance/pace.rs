//! When the balance looks at the queues, and what it listens to in between.

use std::time::Duration;

use super::arrivals::Arrivals;
use super::budget::Attention;
use crate::model::Tick;

/// Shortest time between two looks, unless an arrival is a reason for one.
const PAUSE: Duration = Duration::from_millis(5);

/// A look costs about a third of a microsecond per listener, and a new BPF program some ten microseconds and more with
/// each gap. With this pause that is 1 to 2 % of a CPU.
const PAUSE_EACH: Duration = Duration::from_micros(40);

/// Even if everything has cost too much, the queues are looked at as often as this.
const SELDOM: Duration = Duration::from_millis(200);

/// The queues are at rest after this number of consecutive looks without a change and without waiting connections.
const REST: u32 = 4;

/// As [`REST`], while each arrival is a reason to look.
const REST_EXACT: u32 = 1;

/// As [`REST`], while connections wait. After this number of looks it is known which queues do not move.
const REST_WAITING: u32 = 20;

/// What arrivals do while the balance waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hearing {
    /// Nothing; those that are accepted meanwhile are missed.
    Nothing,
    /// They are counted at the next look.
    Counts,
    /// They end the wait.
    Ends,
}

/// Until when the balance waits, and for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The next look is due; `None`: only an arrival is a reason for one.
    pub until: Option<Tick>,
    /// What arrivals do until then.
    pub hearing: Hearing,
    /// Then the queues are looked at. Otherwise there is only another plan: at rest, a look that costs more than was paid for
    /// would lead to the next one, without end.
    pub looks: bool,
}

/// Follows the looks at the queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Consecutive looks that showed nothing new.
    rest: u32,
    /// The last look showed connections that wait.
    waiting: bool,
    looked: Tick,
}

impl Pace {
    /// Nothing has arrived yet.
    pub fn new(now: Tick) -> Self {
        Self {
            rest: REST,
            waiting: false,
            looked: now,
        }
    }

    /// Records a look. `news`: a queue changed, connections arrived, or a steering program was replaced.
    pub fn looked(&mut self, now: Tick, news: bool, waiting: bool) {
        self.rest = if news { 0 } else { self.rest.saturating_add(1) };
        self.waiting = waiting;
        self.looked = now;
    }

    /// The time since the last look, as far as it counts for queues that stand still: a connection may have come at any time
    /// after the last look, if that was long ago.
    pub fn since_look(&self, now: Tick, listeners: usize) -> Duration {
        now.since(self.looked).min(pause(listeners))
    }

    /// Whether no connections arrive for the moment and none wait, so that a count would be exact.
    pub fn is_quiet(&self) -> bool {
        self.rest > 0 && !self.waiting
    }

    /// What to wait for after a look.
    pub fn plan(&self, now: Tick, listeners: usize, arrivals: &Arrivals) -> Plan {
        let attention = arrivals.attention();
        let enough = match attention {
            _ if self.waiting => REST_WAITING,
            Some(Attention::Exact) => REST_EXACT,
            _ => REST,
        };
        let counted = arrivals.count_at(self.is_quiet());
        let owed = arrivals.owed();
        if self.rest >= enough {
            return if owed.is_zero() {
                Plan {
                    until: counted,
                    hearing: Hearing::Ends,
                    looks: true,
                }
            } else {
                Plan {
                    until: Some(now.after(owed)),
                    hearing: Hearing::Nothing,
                    looks: false,
                }
            };
        }
        let due = self.looked.after(pause(listeners).max(owed.min(SELDOM)));
        Plan {
            until: Some(counted.map_or(due, |counted| counted.min(due))),
            hearing: match attention {
                Some(Attention::Exact) => Hearing::Ends,
                Some(Attention::Counting) => Hearing::Counts,
                Some(Attention::Blind) | None => Hearing::Nothing,
            },
            looks: true,
        }
    }
}

/// Returns the time until the next look, for this number of listeners.
fn pause(listeners: usize) -> Duration {
    let listeners = u32::try_from(listeners).unwrap_or(u32::MAX);
    PAUSE_EACH.saturating_mul(listeners).max(PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const START: Tick = Tick(Duration::from_secs(9));

    fn at(ms: u32) -> Tick {
        START.after(MS * ms)
    }

    /// Arrivals that are followed, after this CPU time was used.
    fn after(used: Duration) -> Arrivals {
        let mut arrivals = Arrivals::new(true);
        arrivals.passed(Duration::ZERO, used);
        arrivals
    }

    fn plan(until: Option<Tick>, hearing: Hearing) -> Plan {
        Plan {
            until,
            hearing,
            looks: true,
        }
    }

    #[test]
    fn many_are_looked_at_less_often() {
        assert_eq!(pause(0), PAUSE);
        assert_eq!(pause(125), PAUSE);
        assert_eq!(pause(500), PAUSE * 4);
    }

    #[test]
    fn it_sleeps_until_something_arrives_and_looks_until_the_queues_are_at_rest() {
        for (followed, looks) in [(Arrivals::new(false), 4), (after(Duration::ZERO), 1)] {
            let mut pace = Pace::new(START);
            let sleeps = plan(None, Hearing::Ends);
            assert_eq!(pace.plan(START, 4, &followed), sleeps);
            pace.looked(START, true, false);
            for look in 0..looks {
                let due = at(5 * look + 5);
                assert_eq!(pace.plan(START, 4, &followed).until, Some(due), "{look}");
                pace.looked(due, false, false);
            }
            assert_eq!(pace.plan(START, 4, &followed), sleeps);
            // Where somebody waits, it takes longer until it is known that nothing moves.
            pace.looked(START, true, true);
            for look in 0..20 {
                assert_eq!(pace.plan(START, 4, &followed).until, Some(at(5 * look + 5)));
                pace.looked(at(5 * look + 5), false, true);
            }
            assert_eq!(pace.plan(START, 4, &followed), sleeps);
        }
    }

    #[test]
    fn the_less_it_may_use_the_less_it_hears_while_connections_arrive() {
        let mut pace = Pace::new(START);
        pace.looked(START, true, false);
        let due = Some(at(5));
        let heard = |followed: &Arrivals| pace.plan(START, 4, followed);
        assert_eq!(heard(&after(MS)), plan(due, Hearing::Ends));
        assert_eq!(heard(&after(MS * 30)), plan(due, Hearing::Counts));
        assert_eq!(heard(&after(MS * 49)), plan(due, Hearing::Nothing));
        assert_eq!(heard(&Arrivals::new(false)), plan(due, Hearing::Nothing));
        // What is owed is paid first, but the queues are still looked at now and then while connections arrive.
        let late = plan(Some(at(200)), Hearing::Nothing);
        assert_eq!(heard(&after(MS * 60)), late);
        let mut rests = pace;
        (0..4).for_each(|_| rests.looked(START, false, false));
        let pays = |ms| Plan {
            looks: false,
            ..plan(Some(at(ms)), Hearing::Nothing)
        };
        let paid = pays(670);
        assert_eq!(rests.plan(START, 4, &after(MS * 60)), paid);
        let forgotten = pays(1_005);
        assert_eq!(rests.plan(START, 4, &after(MS * 900)), forgotten);
        assert_eq!(
            rests.plan(START, 4, &after(MS * 49)),
            plan(None, Hearing::Ends)
        );
    }

    #[test]
    fn it_wakes_up_for_a_count_also_when_nothing_arrives() {
        let mut followed = after(Duration::ZERO);
        followed.begin(0);
        followed.arrived(0, 1, START);
        let mut pace = Pace::new(START);
        pace.looked(START, true, false);
        assert_eq!(pace.plan(START, 4, &followed).until, Some(at(1)));
        let open = [(0, Some(1))].into();
        followed.counted((at(2), MS), open, &[].into());
        pace.looked(at(2), false, false);
        // It cost 1 ms, so the next one may be 200 ms later.
        assert_eq!(
            pace.plan(START, 4, &followed),
            plan(Some(at(202)), Hearing::Ends)
        );
    }

    #[test]
    fn a_look_after_a_long_sleep_counts_as_one_after_the_usual_time() {
        let pace = Pace::new(START);
        assert_eq!(pace.since_look(at(2), 4), MS * 2);
        assert_eq!(pace.since_look(at(9_000), 4), PAUSE);
    }
}
