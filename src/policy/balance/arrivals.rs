//! Follows arriving connections: who gets the next ones, and when to count the open ones.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::budget::{Attention, Budget};
use super::flow::{ALONE, Flow};
use super::loads::{Loads, chances};
use crate::model::Tick;

/// Shortest time between two counts.
const COUNT_EACH: Duration = Duration::from_millis(100);

/// Longest time between two counts while connections arrive.
const COUNT_AT_LEAST: Duration = Duration::from_secs(10);

/// Counts may use one part in so many of a CPU: 0.5 %.
const COUNT_SHARE: u32 = 200;

/// Arrivals are counted after this time even if more arrive all the time. A count takes the thread away from them.
const COUNT_AT_LAST: Duration = Duration::from_millis(200);

/// A count that is older says little of the connections that are open now.
const STALE: Duration = Duration::from_secs(1);

/// So many counts follow when no more connections arrive, because those that are closed are seen only so. Each comes after
/// twice the time of the one before. Then nothing is done until the next arrival.
const AFTERWARDS: u32 = 2;

/// For a worker whose connections arrive during a count, the count is not exact. It is used if so many in a row were like that,
/// or if so many arrivals for each worker are to be counted that a few do not matter.
const INEXACT: u32 = 3;
const UNCOUNTED: u32 = 16;

/// So many connections are expected for each worker where more arrive than can be followed, beside as many as are open. So who
/// has none gets at most twice its share, and a count that happens to find one more or less at a worker means little.
const MANY: u32 = 64;

/// What was seen since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Connections that arrived.
    pub arrivals: u64,
    /// Counts of the open connections that were used for all workers.
    pub counts: u64,
}

/// What is known of arrivals, and what following them has cost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arrivals {
    /// Without this, nothing is followed: all chances are the same.
    follows: bool,
    seen: Seen,
    /// Arrivals were missed, and nobody was counted since.
    lost: bool,
    loads: Loads,
    budget: Budget,
    flow: Flow,
    /// Arrivals that are accepted at once are missed.
    deaf: bool,
    counts: Counts,
}

/// The counts of open connections.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Counts {
    /// When the first arrival since the last count was seen.
    uncounted: Option<Tick>,
    /// The end of the last one.
    at: Option<Tick>,
    /// Since the last arrival.
    afterwards: u32,
    /// CPU time of the last one.
    cost: Duration,
    /// In a row that were not used.
    inexact: u32,
}

impl Arrivals {
    /// Follows arrivals if `follows`; otherwise they are ignored.
    pub fn new(follows: bool) -> Self {
        Self {
            follows,
            ..Self::default()
        }
    }

    /// Whether arrivals are followed.
    pub fn follows(&self) -> bool {
        self.follows
    }

    /// What was seen since the start, if arrivals are followed.
    pub fn seen(&self) -> Seen {
        self.seen
    }

    /// A new worker has this listener.
    pub fn begin(&mut self, number: usize) {
        self.loads.begin(number);
    }

    /// The worker of this listener gets new connections from now on.
    pub fn admit(&mut self, number: usize) {
        self.loads.admit(number);
    }

    /// The worker of this listener gets no more connections.
    pub fn leave(&mut self, number: usize) {
        self.loads.leave(number);
    }

    /// The worker of this listener has ended.
    pub fn end(&mut self, number: usize) {
        self.loads.end(number);
    }

    /// So many connections have arrived at this listener.
    pub fn arrived(&mut self, number: usize, count: u32, now: Tick) {
        if self.follows && count > 0 {
            self.seen.arrivals = self.seen.arrivals.saturating_add(u64::from(count));
            self.loads.arrived(number, count);
            self.flow.arrived(count, now);
            self.counts.uncounted.get_or_insert(now);
        }
    }

    /// So much time has passed, and looks and choices have used so much CPU time in it. True if arrivals are missed from now
    /// on: a choice that was meant for one connection must not stay.
    pub fn passed(&mut self, time: Duration, used: Duration) -> bool {
        self.budget.passed(time, used);
        if self.attention() != Some(Attention::Blind) {
            return false;
        }
        self.loads.forget_arrivals();
        !std::mem::replace(&mut self.lost, true)
    }

    /// How closely arrivals may be followed now; `None` if they are not followed at all.
    pub fn attention(&self) -> Option<Attention> {
        self.follows.then(|| self.budget.attention())
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
    pub fn chances(&self, now: Tick, numbers: &[usize], out: &[bool]) -> Vec<u32> {
        if !self.follows {
            return out.iter().map(|out| u32::from(!out)).collect();
        }
        let workers = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
        let mut expected = self.flow.expected(now, workers);
        if self.lost || self.deaf {
            // Nobody knows how many come until the next choice: many.
            let many = workers
                .saturating_mul(MANY)
                .saturating_add(self.loads.sum());
            expected = expected.max(many);
        }
        chances(&self.loads.of(numbers), out, expected)
    }

    /// A choice was made for all ports.
    pub fn chosen(&mut self, now: Tick) {
        self.flow.chosen(now);
    }

    /// When to count the open connections next, if no more arrive; `None`: not until then. `quiet`: none arrive for the
    /// moment.
    pub fn count_at(&self, quiet: bool) -> Option<Tick> {
        if !self.follows {
            return None;
        }
        let counts = &self.counts;
        let each = counts.cost.saturating_mul(COUNT_SHARE);
        let each = each.clamp(COUNT_EACH, COUNT_AT_LEAST);
        let Some(first) = counts.uncounted else {
            let ends = counts.afterwards >= AFTERWARDS || self.loads.sum() == 0;
            let next = each.saturating_mul(1 << counts.afterwards.min(AFTERWARDS));
            return counts.at.filter(|_| !ends).map(|at| at.after(next));
        };
        let mut due = first.after(if quiet { Duration::ZERO } else { COUNT_AT_LAST });
        if self.flow.is_slow() {
            // Where they come one by one, the next ones should find better knowledge. In a burst a count would miss too
            // many.
            let stale = counts.at.map_or(first, |at| at.after(STALE));
            due = due.min(first.after(ALONE).max(stale));
        }
        Some(counts.at.map_or(due, |at| due.max(at.after(each))))
    }

    /// Takes over a count that was made just now and cost so much CPU time, as [`Loads::counted`] does. At the listeners with
    /// the numbers `busy` connections arrived or were accepted meanwhile. Nobody knows whether the count includes these, so
    /// such workers are left out, if that was not so too often.
    pub fn counted(
        &mut self,
        (now, cost): (Tick, Duration),
        mut open: BTreeMap<usize, Option<u32>>,
        busy: &BTreeSet<usize>,
    ) {
        let counts = &mut self.counts;
        counts.cost = cost;
        counts.at = Some(now);
        let workers = u32::try_from(open.len()).unwrap_or(u32::MAX);
        let many = self.loads.uncounted() >= workers.saturating_mul(UNCOUNTED);
        let exact = many || busy.is_empty() || counts.inexact >= INEXACT;
        let before = counts.uncounted.take();
        if exact {
            counts.inexact = 0;
        } else {
            open.retain(|number, _| !busy.contains(number));
            counts.inexact += 1;
            counts.uncounted = Some(now);
        }
        counts.afterwards = match before {
            Some(_) => 0,
            None => counts.afterwards.saturating_add(1),
        };
        self.seen.counts += u64::from(exact);
        self.lost &= !exact || self.attention() == Some(Attention::Blind);
        self.loads.counted(now, &open);
    }

    /// Whether arrivals that are accepted at once are heard of.
    pub fn hear(&mut self, all: bool) {
        self.deaf = !all;
    }

    /// The connections of the workers with these listeners, as [`Loads::of`] tells them.
    #[cfg(test)]
    pub fn known(&self, numbers: &[usize]) -> Vec<u32> {
        self.loads.of(numbers)
    }
}

#[cfg(test)]
mod tests;
