//! Addresses that workers have bound by themselves, because they cannot be shared or are not to be shared.
//!
//! If no other process can bind such an address meanwhile, a successor cannot start beside the worker. For multicast and
//! broadcast addresses that is known at once. Elsewhere it is known when a second worker tries to bind what another one
//! has: a program may bind another port then, so nothing is concluded before.

use std::collections::{HashSet, VecDeque};

use crate::model::{Pid, SlotId};
use crate::policy::handover::{BindAnswer, PortKey};
use crate::ports::Excluded;
use crate::ports::second_bind::still_open;

use super::{Answer, PortEvent, ServedWorker, Thread};

/// Most addresses that are remembered. A program may bind a random port for each query.
const MOST: usize = 128;

/// Most addresses about which something is remembered for as long as the runtime lives.
const MOST_KNOWN: usize = 64;

/// An address that a worker has bound by itself.
struct Bound {
    worker: Pid,
    slot: SlotId,
    key: PortKey,
    /// The inode of its socket.
    inode: u64,
}

/// What workers have bound by themselves.
#[derive(Default)]
pub(super) struct Alone {
    /// Oldest first.
    bound: VecDeque<Bound>,
    /// Addresses that a worker tried to bind while another one had them.
    wanted_twice: Vec<PortKey>,
    /// Addresses that were reported.
    told: Vec<PortKey>,
}

/// Adds it. True if it is new.
fn note(known: &mut Vec<PortKey>, key: PortKey) -> bool {
    let new = !known.contains(&key) && known.len() < MOST_KNOWN;
    if new {
        known.push(key);
    }
    new
}

impl Alone {
    /// Another worker that has this address now. Forgets those that have closed it.
    fn holder(&mut self, key: &PortKey, but: Pid) -> Option<(Pid, SlotId)> {
        let rival = |bound: &Bound| bound.worker != but && bound.key.conflicts(key);
        let has = |bound: &Bound| {
            let inodes = HashSet::from([bound.inode]);
            !still_open(&inodes, 0, bound.worker).is_empty()
        };
        self.bound.retain(|bound| !rival(bound) || has(bound));
        let found = self.bound.iter().find(|bound| rival(bound));
        found.map(|bound| (bound.worker, bound.slot))
    }

    fn add(&mut self, bound: Bound) {
        self.bound
            .retain(|old| old.worker != bound.worker || old.key != bound.key);
        if self.bound.len() >= MOST {
            self.bound.pop_front();
        }
        self.bound.push_back(bound);
    }
}

impl<F: Fn(PortEvent)> Thread<F> {
    /// The kernel executes this `bind` of a worker.
    pub(super) fn left_alone(
        &mut self,
        served: &mut ServedWorker,
        (answer, inode): (BindAnswer, u64),
    ) {
        match answer {
            BindAnswer::LeaveEverybody(key) => self.alone(served, (key, inode), true),
            BindAnswer::LeaveUnlisted(key) => {
                self.unlisted(served, key);
                self.alone(served, (key, inode), false);
            }
            BindAnswer::LeaveElsewhere(key) => {
                let reason = "RPM_PORTS lists this port with another address";
                self.not_shared(served, (key, inode), reason);
            }
            BindAnswer::Leave | BindAnswer::Done | BindAnswer::Share(_) => {}
        }
    }

    /// A port cannot be shared, so the worker binds it by itself.
    pub(super) fn not_shared(
        &mut self,
        served: &mut ServedWorker,
        (key, inode): (PortKey, u64),
        reason: &str,
    ) -> Answer {
        self.not_opened(served, key, reason.to_owned());
        self.alone(served, (key, inode), false);
        Answer::Proceed
    }

    /// A worker binds this address by itself. `everybody`: each datagram there reaches every socket.
    pub(super) fn alone(
        &mut self,
        served: &ServedWorker,
        (key, inode): (PortKey, u64),
        everybody: bool,
    ) {
        if !served.told.reuse(inode).excludes(key.transport) {
            return;
        }
        let (worker, slot) = (served.trapped.worker, served.trapped.slot);
        let holder = self.alone.holder(&key, worker);
        if let Some((holder, held_by)) = holder {
            note(&mut self.alone.wanted_twice, key);
            (self.events)(PortEvent::Excludes {
                worker: holder,
                key,
                why: Excluded::Tried { slot, held_by },
            });
        } else if everybody || self.alone.wanted_twice.contains(&key) {
            let tell = everybody && note(&mut self.alone.told, key);
            (self.events)(PortEvent::Excludes {
                worker,
                key,
                why: Excluded::Known { slot, tell },
            });
        }
        self.alone.add(Bound {
            worker,
            slot,
            key,
            inode,
        });
    }
}
