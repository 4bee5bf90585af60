//! The connections of each worker, and which workers get the next ones: those with the fewest.
//!
//! The kernel tells neither how many connections came to a listener nor when one is closed. So the open connections are
//! counted now and then, and arrivals that are seen in between are added. A connection that is placed stays with its worker
//! until it is closed, so a wrong choice is mended only by the connections that come later.

use std::collections::BTreeMap;
use std::time::Duration;

/// If a worker has fewer connections than most others by more than this, it is catching up: it is new, or many of its
/// clients have left at once.
const CATCHING_UP: u64 = 2;

/// Chances are at most so large, so that they change seldom where many connections arrive.
const FINEST: u64 = 16;

/// What came in this time counts even if it is closed already, less and less, up to the mean of all. So a worker that only
/// accepts and closes, because it is broken, gets no more than the others.
const MEMORY: Duration = Duration::from_secs(10);

/// The unit of what came lately.
const PARTS: u32 = 16;

/// The connections of one worker, as far as they are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Load {
    /// Open at the last count. `None`: they cannot be seen.
    open: Option<u32>,
    /// Arrivals since then. Of a worker whose connections cannot be seen: how many more arrived than at the one with the
    /// fewest.
    arrived: u32,
    /// Arrivals before the last count, the older ones for less, in sixteenths.
    lately: u32,
}

/// A new worker has no connections.
impl Default for Load {
    fn default() -> Self {
        Self {
            open: Some(0),
            arrived: 0,
            lately: 0,
        }
    }
}

impl Load {
    fn forget_arrivals(&mut self) {
        (self.arrived, self.lately) = (0, 0);
    }
}

/// The connections of all workers, by the number of their listeners.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loads(BTreeMap<usize, Load>);

impl Loads {
    /// A new worker has this listener.
    pub fn begin(&mut self, number: usize) {
        self.0.insert(number, Load::default());
    }

    /// The worker of this listener has ended.
    pub fn end(&mut self, number: usize) {
        self.0.remove(&number);
    }

    /// Adds `count` arrivals. Nothing happens if the listener has no worker.
    pub fn arrived(&mut self, number: usize, count: u32) {
        if let Some(load) = self.0.get_mut(&number) {
            load.arrived = load.arrived.saturating_add(count);
        }
    }

    /// Arrivals were missed, so those that were seen say nothing.
    pub fn forget_arrivals(&mut self) {
        self.0.values_mut().for_each(Load::forget_arrivals);
    }

    /// The worker of this listener gets new connections from now on. What came before were checks.
    pub fn admit(&mut self, number: usize) {
        if let Some(load) = self.0.get_mut(&number) {
            load.forget_arrivals();
        }
    }

    /// All connections that are known.
    pub fn sum(&self) -> u32 {
        let now = |load: &Load| load.open.unwrap_or(0).saturating_add(load.arrived);
        self.0.values().map(now).fold(0, u32::saturating_add)
    }

    /// Takes over a count of the workers with these listeners, `time` after the one before: for each the connections that its
    /// worker has open, with those in its queues; `None` if the worker cannot be read.
    pub fn counted(&mut self, open: &BTreeMap<usize, Option<u32>>, time: Duration) {
        for (number, open) in open {
            if let Some(load) = self.0.get_mut(number) {
                load.open = *open;
                if open.is_some() {
                    let new = load.arrived.saturating_mul(PARTS);
                    load.lately = less(load.lately, time).saturating_add(new);
                    load.arrived = 0;
                }
            }
        }
        let counted = |number: &usize| open.contains_key(number);
        let mut unseen: Vec<&mut Load> = self
            .0
            .iter_mut()
            .filter_map(|(number, load)| (counted(number) && load.open.is_none()).then_some(load))
            .collect();
        let fewest = unseen.iter().map(|load| load.arrived).min().unwrap_or(0);
        for load in &mut unseen {
            load.arrived -= fewest;
        }
    }

    /// The connections of the workers with these listeners, in their order. A worker whose connections cannot be seen
    /// counts as the mean of the others; so does one that has fewer although that many came lately.
    pub fn of(&self, numbers: &[usize]) -> Vec<u32> {
        let load = |number: &usize| self.0.get(number).copied().unwrap_or_default();
        let loads: Vec<Load> = numbers.iter().map(load).collect();
        let open: Vec<u32> = loads.iter().filter_map(|load| load.open).collect();
        let sum: u64 = open.iter().copied().map(u64::from).sum();
        let mean = sum.checked_div(u64::try_from(open.len()).unwrap_or(1));
        let mean = u32::try_from(mean.unwrap_or(0)).unwrap_or(u32::MAX);
        let now = |load: &Load| {
            load.open
                .map_or(mean, |open| open.max(mean.min(load.lately / PARTS)))
        };
        let load = |load: &Load| now(load).saturating_add(load.arrived);
        loads.iter().map(load).collect()
    }
}

/// What is left of `lately` after this time.
fn less(lately: u32, time: Duration) -> u32 {
    let left = MEMORY.saturating_sub(time).as_millis();
    let left = u128::from(lately) * left / MEMORY.as_millis();
    u32::try_from(left).unwrap_or(lately)
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
