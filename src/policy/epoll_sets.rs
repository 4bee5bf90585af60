//! Sockets that are in an epoll set before `bind`: which sets the runtime keeps a descriptor of, and what becomes of the
//! `bind`.
//!
//! The runtime makes the epoll sets of a starting worker itself and keeps a copy of each descriptor. So at a `bind` it
//! finds the sets that hold the socket, and registers the listener there in the socket's place.

use std::collections::VecDeque;
use std::time::Duration;

use crate::model::Tick;

/// Most sets of one worker to keep. Programs have one to six when they start to listen.
pub const MOST: usize = 16;

/// How long the sets are kept after the first `listen`: time for further ports.
const AFTER_LISTEN: Duration = Duration::from_secs(10);

/// How long the sets of a worker are kept that does not listen.
const WITHOUT_LISTEN: Duration = Duration::from_mins(10);

/// Why a set is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missed {
    /// The worker created too many.
    TooMany,
    /// It was too late: the worker had listened, or had not listened for very long.
    TooLate,
    /// The runtime had no descriptor left, or no memory.
    Shortage,
    /// The kernel is older than 5.14, or another error of it.
    Kernel,
}

/// The kept sets of one worker; `S` is the descriptor of one.
#[derive(Debug)]
pub struct KeptSets<S> {
    kept: VecDeque<S>,
    until: Tick,
    listened: bool,
    /// Their time is over. What is still kept stays as long as the worker.
    over: bool,
    /// The worker may have sets that are not kept, and the last reason.
    missed: Option<Missed>,
}

impl<S> KeptSets<S> {
    /// For a worker that starts now.
    pub fn new(now: Tick) -> Self {
        Self {
            kept: VecDeque::new(),
            until: now.after(WITHOUT_LISTEN),
            listened: false,
            over: false,
            missed: None,
        }
    }

    /// Whether a set that the worker creates now shall be kept. `total` is the number that is kept for all workers, of
    /// `most` that the limit of descriptors allows. If not, the worker has a set from now on that is not kept.
    pub fn wants(&mut self, now: Tick, total: usize, most: usize) -> bool {
        if now >= self.until {
            self.missed = Some(Missed::TooLate);
        } else if total >= most && self.kept.is_empty() {
            self.missed = Some(Missed::Shortage);
        } else {
            return true;
        }
        false
    }

    /// Keeps a set. If there are too many, the oldest is dropped: a program creates the set of a socket shortly before
    /// the socket, and what ran before it (a shell, a package manager) has ended.
    pub fn keep(&mut self, set: S, total: usize, most: usize) {
        let reason = if self.kept.len() >= MOST {
            Some(Missed::TooMany)
        } else {
            (total >= most).then_some(Missed::Shortage)
        };
        if reason.is_some() && self.kept.pop_front().is_some() {
            self.missed = reason;
        }
        self.kept.push_back(set);
    }

    /// A set was created that could not be kept.
    pub fn miss(&mut self, why: Missed) {
        self.missed = Some(why);
    }

    /// The worker listens on a shared port.
    pub fn listened(&mut self, now: Tick) {
        if !self.listened {
            self.listened = true;
            self.until = self.until.min(now.after(AFTER_LISTEN));
        }
    }

    /// Whether the worker still starts: it may open further sockets.
    pub fn starts(&self, now: Tick) -> bool {
        now < self.until
    }

    /// When the sets are dropped; `None` if none is dropped by time.
    pub fn until(&self) -> Option<Tick> {
        (!self.over && !self.kept.is_empty()).then_some(self.until)
    }

    /// Drops the sets if their time is over, except those that `stays` names.
    pub fn expire(&mut self, now: Tick, stays: impl FnMut(&S) -> bool) {
        if now >= self.until && !self.over {
            self.over = true;
            let before = self.kept.len();
            self.kept.retain(stays);
            if self.kept.len() < before {
                self.missed = Some(Missed::TooLate);
            }
        }
    }

    /// The kept sets, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &S> {
        self.kept.iter()
    }

    /// Number of kept sets.
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether no set is kept.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Why the worker may have sets that are not kept. `None` if all are.
    pub fn missed(&self) -> Option<Missed> {
        self.missed
    }
}

/// What to do with the `bind` of a socket that is in an epoll set where the listener cannot be registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unregistered {
    /// The kernel executes it: the only worker binds its own socket and serves.
    LeaveAlone,
    /// It fails. With several workers, each would wait for connections that it never sees, or fail to bind.
    Refuse,
}

/// `workers` is the number of slots; `held` tells whether a worker has a listener of that port already.
pub fn unregistered(workers: usize, held: bool) -> Unregistered {
    if workers <= 1 && !held {
        Unregistered::LeaveAlone
    } else {
        Unregistered::Refuse
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Tick {
        Tick(Duration::from_secs(seconds))
    }

    fn kept(sets: &KeptSets<u32>) -> Vec<u32> {
        sets.iter().copied().collect()
    }

    #[test]
    fn the_newest_sixteen_are_kept() {
        let mut sets = KeptSets::new(at(0));
        for set in 0..20 {
            assert!(sets.wants(at(1), sets.len(), 100));
            sets.keep(set, sets.len(), 100);
        }
        assert_eq!(kept(&sets), (4..20).collect::<Vec<_>>());
        assert_eq!(sets.missed(), Some(Missed::TooMany));
    }

    #[test]
    fn a_worker_keeps_its_own_share_where_descriptors_are_few() {
        let mut sets = KeptSets::new(at(0));
        assert!(!sets.wants(at(1), 8, 8));
        assert_eq!(sets.missed(), Some(Missed::Shortage));
        assert!(sets.wants(at(1), 7, 8));
        sets.keep(1, 7, 8);
        assert!(sets.wants(at(1), 8, 8));
        sets.keep(2, 8, 8);
        assert_eq!(kept(&sets), [2]);
    }

    #[test]
    fn sets_are_dropped_some_seconds_after_the_first_listen() {
        let mut sets = KeptSets::new(at(0));
        assert_eq!(sets.until(), None);
        sets.keep(1, 0, 100);
        sets.keep(2, 1, 100);
        assert_eq!(sets.until(), Some(at(600)));
        sets.listened(at(5));
        sets.listened(at(12));
        assert_eq!(sets.until(), Some(at(15)));
        assert!(sets.starts(at(14)) && !sets.starts(at(15)));
        sets.expire(at(14), |_| false);
        assert_eq!(kept(&sets), [1, 2]);
        assert_eq!(sets.missed(), None);
        sets.expire(at(15), |set| *set == 2);
        assert_eq!(kept(&sets), [2]);
        assert_eq!(sets.until(), None);
        assert_eq!(sets.missed(), Some(Missed::TooLate));
        assert!(!sets.wants(at(15), 1, 100));
    }

    #[test]
    fn a_worker_that_never_listens_does_not_keep_them_for_ever() {
        let mut sets = KeptSets::new(at(3));
        assert!(sets.wants(at(602), 0, 100));
        sets.keep(1, 0, 100);
        assert!(!sets.wants(at(603), 1, 100));
        sets.listened(at(700));
        assert_eq!(sets.until(), Some(at(603)));
        sets.expire(at(603), |_| false);
        assert_eq!(sets.until(), None);
    }

    #[test]
    fn only_one_worker_alone_can_bind_by_itself() {
        assert_eq!(unregistered(1, false), Unregistered::LeaveAlone);
        assert_eq!(unregistered(1, true), Unregistered::Refuse);
        assert_eq!(unregistered(2, false), Unregistered::Refuse);
    }
}
