//! Queues that stand still because their slot has no worker that serves.

use std::time::Duration;

use crate::model::{ListenerId, Tick};

/// How long clients wait for the next worker of their slot before they are passed on to a live one. A worker that was
/// restarted at once mostly serves within this time, and then its clients need no relay.
pub const STANDSTILL: Duration = Duration::from_secs(1);

/// Remembers since when each listener has had no worker that serves, while others have.
#[derive(Clone, Debug, Default)]
pub struct Standstill {
    since: Vec<(ListenerId, Tick)>,
}

impl Standstill {
    /// Takes the listeners without a serving worker at `now`; see [`super::Fleet::unserved`].
    pub fn update(&mut self, now: Tick, unserved: &[ListenerId]) {
        self.since.retain(|(known, _)| unserved.contains(known));
        for listener in unserved {
            if !self.since.iter().any(|(known, _)| known == listener) {
                self.since.push((*listener, now));
            }
        }
    }

    /// The listeners whose queue has stood still for [`STANDSTILL`].
    pub fn due(&self, now: Tick) -> impl Iterator<Item = ListenerId> {
        let due = self
            .since
            .iter()
            .filter(move |(_, since)| since.after(STANDSTILL) <= now);
        due.map(|(listener, _)| *listener)
    }

    /// When the next listener becomes due after `now`.
    pub fn deadline(&self, now: Tick) -> Option<Tick> {
        let ends = self.since.iter().map(|(_, since)| since.after(STANDSTILL));
        ends.filter(|end| *end > now).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: ListenerId = ListenerId(1);
    const TWO: ListenerId = ListenerId(2);

    fn at(millis: u64) -> Tick {
        Tick::default().after(Duration::from_millis(millis))
    }

    fn due(still: &Standstill, millis: u64) -> Vec<ListenerId> {
        still.due(at(millis)).collect()
    }

    #[test]
    fn a_queue_is_due_after_its_time_however_often_it_is_looked_at() {
        let mut still = Standstill::default();
        still.update(at(0), &[ONE]);
        still.update(at(600), &[ONE, TWO]);
        assert_eq!(still.deadline(at(600)), Some(at(1000)));
        assert_eq!(due(&still, 999), []);
        assert_eq!(due(&still, 1000), [ONE]);
        assert_eq!(still.deadline(at(1000)), Some(at(1600)));
        assert_eq!(due(&still, 1600), [ONE, TWO]);
        assert_eq!(still.deadline(at(1600)), None);
    }

    #[test]
    fn a_worker_that_serves_begins_the_time_anew() {
        let mut still = Standstill::default();
        still.update(at(0), &[ONE]);
        still.update(at(1500), &[]);
        assert_eq!(
            (due(&still, 1500), still.deadline(at(1500))),
            (vec![], None)
        );
        still.update(at(2000), &[ONE]);
        assert_eq!((due(&still, 2999), due(&still, 3000)), (vec![], vec![ONE]));
    }
}
