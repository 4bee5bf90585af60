//! The connections of each worker, and which workers get the next ones: those with the fewest.
//!
//! The kernel tells neither how many connections came to a listener nor when one is closed. So the open connections are
//! counted now and then, and arrivals that are seen in between are added. A connection that is placed stays with its worker
//! until it is closed, so a wrong choice is mended only by the connections that come later.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::model::Tick;

/// If a worker has fewer connections than most others by more than this, it is catching up: it is new, or many of its
/// clients have left at once.
const CATCHING_UP: u64 = 2;

/// Chances are at most so large, so that they change seldom where many connections arrive.
const FINEST: u64 = 16;

/// The unit of [`Load::vanished`].
const PARTS: u64 = 16;

/// So many connections that vanish say nothing of a worker: they were checks, or clients that left.
const TOLERATED: u64 = 8;

/// What vanishes is remembered while at least so many arrive.
const LEAST: u64 = 64;

/// A connection that a count has seen is young for this time, and at most for twice as long.
const YOUTH: Duration = Duration::from_secs(2);

/// The connections of one worker, as far as they are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Load {
    /// Open at the last count. `None`: they cannot be seen.
    open: Option<u32>,
    /// Arrivals since then. Of a worker whose connections cannot be seen: how many more arrived than at the one with the
    /// fewest.
    arrived: u32,
    /// Of the open ones those that arrived lately; and those a little earlier.
    young: [u32; 2],
    /// Arrivals that were closed when they were young, in sixteenths. The more has arrived since, the less they count.
    vanished: u64,
}

/// A new worker has no connections.
impl Default for Load {
    fn default() -> Self {
        Self {
            open: Some(0),
            arrived: 0,
            young: [0; 2],
            vanished: 0,
        }
    }
}

impl Load {
    /// A count has found so many open.
    fn counted(&mut self, now: u32) {
        let all = self.open.unwrap_or(0).saturating_add(self.arrived);
        let mut gone = all.saturating_sub(now);
        let mut vanish = |young: &mut u32| {
            let part = gone.min(*young);
            (gone, *young) = (gone - part, *young - part);
            u64::from(part)
        };
        let [lately, earlier] = &mut self.young;
        let vanished = vanish(&mut self.arrived) + vanish(lately) + vanish(earlier);
        *lately = lately.saturating_add(self.arrived);
        self.vanished = self.vanished.saturating_add(vanished * PARTS);
        (self.open, self.arrived) = (Some(now), 0);
    }
}

/// The connections of all workers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loads {
    /// By the number of their listeners.
    all: BTreeMap<usize, Load>,
    /// Arrivals since the last count.
    uncounted: u32,
    /// When connections became older last.
    aged: Tick,
}

impl Loads {
    /// A new worker has this listener. What the one before did with its connections is held against it: the next worker of a
    /// program that dies of each request is not a better one.
    pub fn begin(&mut self, number: usize) {
        let vanished = self.all.get(&number).map_or(0, |load| load.vanished);
        let load = Load {
            vanished,
            ..Load::default()
        };
        self.all.insert(number, load);
    }

    /// The worker of this listener has ended. What has arrived since the last count has ended with it.
    pub fn end(&mut self, number: usize) {
        if let Some(load) = self.all.get_mut(&number) {
            load.counted(load.open.unwrap_or(0));
        }
        self.begin(number);
    }

    /// Adds `count` arrivals. Nothing happens if the listener never had a worker.
    pub fn arrived(&mut self, number: usize, count: u32) {
        if let Some(load) = self.all.get_mut(&number) {
            load.arrived = load.arrived.saturating_add(count);
            self.uncounted = self.uncounted.saturating_add(count);
        }
    }

    /// Arrivals were missed, so those that were seen say nothing.
    pub fn forget_arrivals(&mut self) {
        self.all.values_mut().for_each(|load| load.arrived = 0);
    }

    /// The worker of this listener gets new connections from now on. What came before were checks.
    pub fn admit(&mut self, number: usize) {
        if let Some(load) = self.all.get_mut(&number) {
            load.arrived = 0;
        }
    }

    /// The worker of this listener gets no more connections. It may keep those that it has for hours, and is not counted.
    pub fn leave(&mut self, number: usize) {
        if let Some(load) = self.all.get_mut(&number) {
            (load.arrived, load.young) = (0, [0; 2]);
        }
    }

    /// All connections that are known.
    pub fn sum(&self) -> u32 {
        let now = |load: &Load| load.open.unwrap_or(0).saturating_add(load.arrived);
        self.all.values().map(now).fold(0, u32::saturating_add)
    }

    /// Arrivals since the last count.
    pub fn uncounted(&self) -> u32 {
        self.uncounted
    }

    /// Takes over a count of the workers with these listeners: for each the connections that its worker has open, with those
    /// in its queues; `None` if the worker cannot be read.
    pub fn counted(&mut self, now: Tick, open: &BTreeMap<usize, Option<u32>>) {
        let ages = now.since(self.aged) >= YOUTH;
        let arrivals = u64::from(std::mem::take(&mut self.uncounted));
        let workers = u64::try_from(open.len()).unwrap_or(1).max(1);
        let seen: u64 = open.values().flatten().copied().map(u64::from).sum();
        // While so many arrive, a worker with a fair share of them gets as many as each of the others has, beside those that
        // are tolerated: what vanishes of a fair share is just enough to count as much as they.
        let others = seen * workers / (workers - 1).max(1);
        let most = (others + TOLERATED * workers).max(LEAST);
        let of = |number: &usize| open.contains_key(number);
        let fewest = if open.values().any(Option::is_some) {
            // Beside others, an unseen worker has got too much only if it got more than they.
            arrivals / workers
        } else {
            let counted = self.all.iter().filter(|(number, _)| of(number));
            u64::from(counted.map(|(_, load)| load.arrived).min().unwrap_or(0))
        };
        for (number, load) in &mut self.all {
            load.vanished -= load.vanished * arrivals.min(most) / most;
            match open.get(number) {
                Some(Some(now)) => load.counted(*now),
                Some(None) => {
                    load.open = None;
                    let fewest = u32::try_from(fewest).unwrap_or(u32::MAX);
                    load.arrived = load.arrived.saturating_sub(fewest);
                }
                None => {}
            }
            if ages {
                load.young = [0, load.young[0]];
            }
        }
        if ages {
            self.aged = now;
        }
    }

    /// The connections of the workers with these listeners, in their order. A worker whose connections cannot be seen
    /// counts as the mean of the others. So does a worker of whose connections more vanish than of others: it is broken, and
    /// must not get more because it closes them.
    pub fn of(&self, numbers: &[usize]) -> Vec<u32> {
        let load = |number: &usize| self.all.get(number).copied().unwrap_or_default();
        let loads: Vec<Load> = numbers.iter().map(load).collect();
        let open: Vec<u64> = loads
            .iter()
            .filter_map(|load| load.open)
            .map(u64::from)
            .collect();
        let sum: u64 = open.iter().sum();
        let seen = u64::try_from(open.len()).unwrap_or(u64::MAX);
        let vanished: u64 = loads
            .iter()
            .map(|load| load.vanished)
            .fold(0, u64::saturating_add);
        let others = u64::try_from(loads.len())
            .unwrap_or(u64::MAX)
            .saturating_sub(1)
            .max(1);
        let now = |load: &Load| {
            let Some(open) = load.open.map(u64::from) else {
                return sum.div_ceil(seen.max(1));
            };
            // Of the others.
            let mean = (sum - open).div_ceil(seen.saturating_sub(1).max(1));
            let usual = (vanished - load.vanished) / others;
            let more = (load.vanished.saturating_sub(usual) / PARTS).saturating_sub(TOLERATED);
            open.max(mean.min(open.saturating_add(more)))
        };
        let load = |load: &Load| {
            let now = u32::try_from(now(load)).unwrap_or(u32::MAX);
            now.saturating_add(load.arrived)
        };
        loads.iter().map(load).collect()
    }
}

/// Returns the chance of each listener to get the next connection, as whole numbers: its share of their sum. `loads` are the
/// connections of their workers; `out` says which listeners get none for another reason. The sum is 0 only if all are out.
///
/// The chances are those that make the loads equal if `expected` connections arrive before the next choice, as far as so
/// few can. So one connection goes to a worker with the fewest, and many go to all. A single worker that has far fewer
/// than most is given at most every second connection (of two workers three of four; of many, four times its share): a new worker
/// is still cold, and a burst must not hit it alone.
pub fn chances(loads: &[u32], out: &[bool], expected: u32) -> Vec<u32> {
    let live = || loads.iter().zip(out).filter(|(_, out)| !**out);
    let mut sorted: Vec<u64> = live().map(|(load, _)| u64::from(*load)).collect();
    sorted.sort_unstable();
    let expected = u64::from(expected.max(1));
    // The level that `expected` connections fill up to is (expected + below) / count.
    let (mut count, mut below) = (0_u64, 0_u64);
    for load in &sorted {
        if count > 0 && load.saturating_mul(count).saturating_sub(below) >= expected {
            break;
        }
        below += load;
        count += 1;
    }
    let mut chances: Vec<u64> = loads
        .iter()
        .zip(out)
        .map(|(load, out)| {
            (expected + below).saturating_sub(count * u64::from(*load)) * u64::from(!out)
        })
        .collect();
    let middle = sorted.get(sorted.len() / 2).copied().unwrap_or(0);
    let lowest = sorted.first().copied().unwrap_or(0);
    if middle - lowest > CATCHING_UP {
        share_out(&mut chances, out, sorted.len());
    }
    whole(&chances)
}

/// Gives the others so much that no chance is above the share of one that catches up.
fn share_out(chances: &mut [u64], out: &[bool], live: usize) {
    // So that a part of one connection can be given.
    for chance in chances.iter_mut() {
        *chance = chance.saturating_mul(1 << 16);
    }
    let live = u64::try_from(live).unwrap_or(u64::MAX);
    let largest = chances.iter().max().copied().unwrap_or(0);
    let sum = chances.iter().copied().fold(0, u64::saturating_add);
    let others = sum - largest;
    let wanted = match live {
        // Three of four: with a half each, neither would ever catch up.
        0..=2 => largest / 3,
        // One of two.
        3..=8 => largest,
        _ => largest.saturating_mul(live / 4 - 1),
    };
    let base = wanted.saturating_sub(others).div_ceil(live.max(2) - 1);
    for (chance, out) in chances.iter_mut().zip(out) {
        if !out && *chance < largest {
            *chance = chance.saturating_add(base);
        }
    }
}

/// The same chances in small numbers. None becomes zero.
fn whole(chances: &[u64]) -> Vec<u32> {
    let largest = chances.iter().max().copied().unwrap_or(0);
    let smallest = chances
        .iter()
        .filter(|chance| **chance > 0)
        .min()
        .copied()
        .unwrap_or(0);
    let unit = if largest == smallest {
        largest
    } else {
        largest.div_ceil(FINEST)
    };
    let small = |chance: &u64| u32::try_from(chance.div_ceil(unit.max(1))).unwrap_or(u32::MAX);
    chances.iter().map(small).collect()
}

#[cfg(test)]
mod tests;
