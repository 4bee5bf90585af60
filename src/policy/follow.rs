//! Follows limits of the container that change while it runs (an in-place resize): the number of workers follows the CPUs
//! (RPM_INSTANCES=max), and RPM_MAX_MEMORY in percent follows the memory limit.
//!
//! A limit that comes and goes changes little: a number rises when two looks in a row have found the same higher one, and
//! falls only when [`FALL`] looks in a row were below it, to the highest of them. A fall drains workers, and the next rise
//! starts others, so two limits that alternate in less time cost one rise and nothing more.

use std::num::NonZeroU16;
use std::time::Duration;

use super::memory::{LEAST_MEMORY, share_of_limit};
use super::{Bytes, CpuBudget, Instances, MemoryBudget, Share};

/// Time between two looks.
pub const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Number of looks in a row that must be below a number before it falls: 15 to 20 s.
pub const FALL: u8 = 4;

/// What follows, and its value at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FollowRule {
    /// RPM_INSTANCES. A plain number does not follow.
    pub instances: Instances,
    /// The number of workers at the start.
    pub workers: NonZeroU16,
    /// RPM_MAX_MEMORY if it is a size, and RPM_RELOAD_SURGE: `max` is no more workers than have room.
    pub room: Option<(Bytes, Share)>,
    /// RPM_MAX_MEMORY if it is a percentage.
    pub percent: Option<PercentRule>,
}

/// RPM_MAX_MEMORY in percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PercentRule {
    /// The percentage.
    pub percent: u16,
    /// The memory limit at the start, bytes.
    pub limit: u64,
    /// The resulting size for one worker at the start.
    pub each: Bytes,
}

/// What a look has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Limits of the CPUs.
    pub cpus: CpuBudget,
    /// Memory limit, bytes.
    pub memory: Option<u64>,
    /// Number of workers that have left their slots and live.
    pub leaving: usize,
}

/// What follows from a look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Another number of workers.
    Workers {
        /// What was granted before.
        from: NonZeroU16,
        /// What is granted now.
        to: NonZeroU16,
        /// The calculation.
        how: String,
    },
    /// Another RPM_MAX_MEMORY.
    Memory {
        /// Before.
        from: Bytes,
        /// Now.
        to: Bytes,
        /// The calculation.
        how: String,
    },
    /// Something cannot be followed now, and its value stays. Told once, until it was followed again.
    Stays {
        /// The reason.
        why: String,
    },
}

/// A value that changes only if two looks in a row find the same new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Steady<T> {
    held: T,
    seen: Option<T>,
}

impl<T: PartialEq> Steady<T> {
    fn new(held: T) -> Self {
        Self { held, seen: None }
    }

    /// Returns the previous value if it has changed.
    fn look(&mut self, now: T) -> Option<T> {
        if now == self.held {
            self.seen = None;
            None
        } else if self.seen.as_ref() == Some(&now) {
            self.seen = None;
            Some(std::mem::replace(&mut self.held, now))
        } else {
            self.seen = Some(now);
            None
        }
    }
}

/// A number that rises soon and falls late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Level<T> {
    held: T,
    /// What the last look has found, if it was higher.
    above: Option<T>,
    /// Number of looks in a row that were lower, and the highest of them.
    below: Option<(u8, T)>,
}

impl<T: Ord + Copy> Level<T> {
    fn new(held: T) -> Self {
        Self {
            held,
            above: None,
            below: None,
        }
    }

    /// Returns the previous number if it has changed.
    fn look(&mut self, now: T) -> Option<T> {
        let (above, below) = (self.above, self.below);
        self.miss();
        if now > self.held {
            if above == Some(now) {
                return Some(std::mem::replace(&mut self.held, now));
            }
            self.above = Some(now);
        } else if now < self.held {
            let (looks, highest) = below.map_or((1, now), |(looks, highest)| {
                (looks.saturating_add(1), highest.max(now))
            });
            if looks >= FALL {
                return Some(std::mem::replace(&mut self.held, highest));
            }
            self.below = Some((looks, highest));
        }
        None
    }

    /// Whether this is what will hold if the number falls now.
    fn is_highest_below(&self, now: T) -> bool {
        self.below.is_some_and(|(_, highest)| highest == now)
    }

    /// Records a look that found nothing.
    fn miss(&mut self) {
        (self.above, self.below) = (None, None);
    }
}

/// The values that hold, and what the last looks have found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Follow {
    rule: FollowRule,
    workers: Level<NonZeroU16>,
    /// The calculation of the highest number below it that the last looks have found.
    how: String,
    limit: Level<u64>,
    each: Bytes,
    stays: Steady<Option<String>>,
}

impl FollowRule {
    /// Whether the number of workers follows.
    pub fn counts(&self) -> bool {
        matches!(self.instances, Instances::Max { .. })
    }

    /// Whether a memory limit is of interest.
    pub fn weighs(&self) -> bool {
        self.percent.is_some() || (self.counts() && self.room.is_some())
    }

    /// Without the number of workers.
    #[must_use]
    pub fn without_workers(self) -> Self {
        Self {
            instances: Instances::Count(self.workers),
            ..self
        }
    }

    /// `None` if nothing follows.
    pub fn if_any(self) -> Option<Self> {
        (self.counts() || self.percent.is_some()).then_some(self)
    }
}

impl Follow {
    /// Starts with the values of the start.
    pub fn new(rule: FollowRule) -> Self {
        let percent = rule.percent;
        Self {
            rule,
            workers: Level::new(rule.workers),
            how: String::new(),
            limit: Level::new(percent.map_or(0, |percent| percent.limit)),
            each: percent.map_or(Bytes(0), |percent| percent.each),
            stays: Steady::new(None),
        }
    }

    /// Records a look, or why it has found nothing. Returns what follows: at most one step of each kind.
    pub fn look(&mut self, seen: Result<Seen, String>) -> Vec<Step> {
        let mut steps = Vec::new();
        let why = match seen {
            Ok(seen) => self.follow(seen, &mut steps),
            Err(why) => {
                self.workers.miss();
                self.limit.miss();
                Some(why)
            }
        };
        if self.stays.look(why).is_some()
            && let Some(why) = self.stays.held.clone()
        {
            steps.push(Step::Stays { why });
        }
        steps
    }

    /// Returns why something does not follow.
    fn follow(&mut self, seen: Seen, steps: &mut Vec<Step>) -> Option<String> {
        let workers = self.follow_cpus(seen, steps);
        let memory = self.follow_memory(seen.memory, steps);
        workers.or(memory)
    }

    fn follow_cpus(&mut self, seen: Seen, steps: &mut Vec<Step>) -> Option<String> {
        if !self.rule.counts() {
            return None;
        }
        if !seen.cpus.is_known() {
            self.workers.miss();
            return Some("the number of CPUs is not known any more".to_owned());
        }
        let budget = self.rule.room.zip(seen.memory);
        let budget = budget.map(|((each, surge), limit)| MemoryBudget {
            limit,
            each: each.0,
            surge,
        });
        let (to, how) = self.rule.instances.resolve(seen.cpus, budget);
        // Each fall may leave workers that drain for long. Without this bound, limits that alternate would pile them up.
        if to > self.workers.held && seen.leaving > usize::from(to.get()) {
            self.workers.miss();
            return Some(format!(
                "{to} workers are granted, but more than {to} old ones are still leaving"
            ));
        }
        let how = how.unwrap_or_default();
        if let Some(from) = self.workers.look(to) {
            let held = self.workers.held;
            let how = if held == to { how } else { self.how.clone() };
            let to = held;
            steps.push(Step::Workers { from, to, how });
        } else if self.workers.is_highest_below(to) {
            self.how = how;
        }
        None
    }

    fn follow_memory(&mut self, limit: Option<u64>, steps: &mut Vec<Step>) -> Option<String> {
        let percent = self.rule.percent?.percent;
        let mut why = None;
        if let Some(limit) = limit {
            self.limit.look(limit);
        } else {
            self.limit.miss();
            why = Some("there is no memory limit any more".to_owned());
        }
        let (to, how) = share_of_limit(percent, self.limit.held, self.workers.held.get());
        if to < LEAST_MEMORY {
            return Some(format!("{how} is {to}, less than any program needs"));
        }
        if to != self.each {
            let from = std::mem::replace(&mut self.each, to);
            steps.push(Step::Memory { from, to, how });
        }
        why
    }
}

#[cfg(test)]
mod tests;
