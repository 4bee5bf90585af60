//! Follows arriving connections: when to choose anew who gets the next ones, and when to count the open ones.

use std::collections::BTreeMap;
use std::time::Duration;

use super::budget::{Attention, Budget};
use super::loads::{Loads, chances};
use crate::model::Tick;

/// Shortest time between two counts.
const COUNT_EACH: Duration = Duration::from_millis(100);

/// Arrivals are counted after this time even if more arrive all the time. A count takes the thread away from them.
const COUNT_AT_LAST: Duration = Duration::from_millis(200);

/// A count that is older says little of the connections that are open now.
const STALE: Duration = Duration::from_secs(1);

/// A connection that is followed by none for so long is not the first one of a burst.
const ALONE: Duration = Duration::from_millis(1);

/// So many counts follow when no more connections arrive, because those that are closed are seen only so. Each comes after
/// twice the time of the one before. Then nothing is done until the next arrival.
const AFTERWARDS: u32 = 3;

/// A count during which connections arrived is not exact. It is used if so many in a row were like that.
const INEXACT: u32 = 3;

/// What was seen since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Connections that arrived.
    pub arrivals: u64,
    /// Counts of the open connections that were used.
    pub counts: u64,
}

/// What is known of arrivals, and what following them has cost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arrivals {
    /// Without this, nothing is followed: all chances are the same.
    follows: bool,
    /// Arrivals were missed, and nobody was counted since. Who has how many is not known.
    lost: bool,
    loads: Loads,
    budget: Budget,
    /// Since the last choice.
    fresh: u32,
    /// Between the last choices, the older ones for less.
    before: u32,
    /// When the first arrival since the last count was seen.
    uncounted: Option<Tick>,
    counted_at: Option<Tick>,
    /// The last count that was used.
    used_at: Option<Tick>,
    /// Counts since then without an arrival.
    afterwards: u32,
    /// CPU time of the last count.
    cost: Duration,
    /// Counts in a row that were not used.
    inexact: u32,
    seen: Seen,
    /// What the last choice knew of.
    told: Seen,
}

impl Arrivals {
    /// Follows arrivals; without it they are ignored.
    pub fn follow() -> Self {
        Self {
            follows: true,
            ..Self::default()
        }
    }

    /// Whether arrivals are followed.
    pub fn follows(&self) -> bool {
        self.follows
    }

    /// A new worker has this listener.
    pub fn begin(&mut self, number: usize) {
        self.loads.begin(number);
    }

    /// The worker of this listener has ended.
    pub fn end(&mut self, number: usize) {
        self.loads.end(number);
    }

    /// So many connections have arrived at this listener.
    pub fn arrived(&mut self, number: usize, count: u32, now: Tick) {
        if self.follows && count > 0 {
            self.seen.arrivals += u64::from(count);
            self.loads.arrived(number, count);
            self.fresh = self.fresh.saturating_add(count);
            self.uncounted.get_or_insert(now);
        }
    }

    /// So much time has passed, and the balance has used so much CPU time in it.
    pub fn passed(&mut self, time: Duration, used: Duration) {
        self.budget.passed(time, used);
        if self.follows && self.attention() == Attention::Blind {
            self.lost = true;
            self.loads.forget_arrivals();
        }
    }

    /// How closely arrivals are to be followed now.
    pub fn attention(&self) -> Attention {
        if !self.follows {
            return Attention::Blind;
        }
        // Counts come first: without them, arrivals say little.
        let kept = self.uncounted.map_or(Duration::ZERO, |_| self.cost);
        self.budget.attention(kept)
    }

    /// Time until what was used too much is paid.
    pub fn owed(&self) -> Duration {
        if self.follows {
            self.budget.owed()
        } else {
            Duration::ZERO
        }
    }

    /// Returns the chance of each of the listeners with these `numbers`, as [`chances`] does.
    pub fn chances(&self, numbers: &[usize], out: &[bool]) -> Vec<u32> {
        if self.lost || self.attention() == Attention::Blind {
            return out.iter().map(|out| u32::from(!out)).collect();
        }
        chances(&self.loads.of(numbers), out, self.fresh.max(self.before))
    }

    /// The connections of the workers with these listeners, as [`Loads::of`] tells them; and whether a choice has followed
    /// the last arrival.
    #[cfg(test)]
    pub fn known(&self, numbers: &[usize]) -> (Vec<u32>, bool) {
        (self.loads.of(numbers), self.fresh == 0)
    }

    /// What was seen before the last choice, so that the choice rests on it.
    pub fn told(&self) -> Seen {
        self.told
    }

    /// A choice was made for all ports.
    pub fn chosen(&mut self) {
        self.told = self.seen;
        self.before = self.fresh.max(self.before / 2);
        self.fresh = 0;
    }

    /// Whether to count the open connections now. `quiet`: none arrive for the moment.
    pub fn wants_count(&self, now: Tick, quiet: bool) -> bool {
        let Some(first) = self.uncounted else {
            return self.next_count(now).is_some_and(|left| left.is_zero());
        };
        let age = self.counted_at.map(|at| now.since(at));
        let due = quiet || now.since(first) >= COUNT_AT_LAST;
        // Where they come one by one, the next ones should find better knowledge. In a burst a count would miss too many.
        let alone = now.since(first) >= ALONE && self.before.max(self.fresh) <= 1;
        let due = due || (alone && age.is_none_or(|age| age >= STALE));
        due && age.is_none_or(|age| age >= COUNT_EACH) && self.budget.affords(self.cost)
    }

    /// Time until the next count, when no connections arrive. `None`: there is none.
    pub fn next_count(&self, now: Tick) -> Option<Duration> {
        if !self.follows {
            return None;
        }
        let ends = self.afterwards >= AFTERWARDS || self.loads.are_empty();
        if self.uncounted.is_none() && ends {
            return None;
        }
        let next = COUNT_EACH.saturating_mul(1 << self.afterwards.min(AFTERWARDS));
        let age = self.counted_at.map_or(next, |at| now.since(at));
        let left = next.saturating_sub(age);
        Some(left.max(self.budget.until_affords(self.cost)))
    }

    /// Takes over a count that was made just now, as [`Loads::counted`] does, or `None` if nothing can be counted. `exact`: no
    /// connection arrived meanwhile.
    pub fn counted(
        &mut self,
        (now, cost): (Tick, Duration),
        open: &BTreeMap<usize, Option<u32>>,
        exact: bool,
    ) {
        self.cost = cost;
        if !exact && self.inexact < INEXACT {
            self.inexact += 1;
            self.counted_at = Some(now);
            return;
        }
        let time = self.used_at.map_or(STALE, |at| now.since(at));
        (self.counted_at, self.used_at) = (Some(now), Some(now));
        self.inexact = 0;
        self.seen.counts += 1;
        self.lost = false;
        self.afterwards = match self.uncounted.take() {
            Some(_) => 0,
            None => self.afterwards.saturating_add(1),
        };
        self.loads.counted(open, time);
    }
}

#[cfg(test)]
mod tests;
