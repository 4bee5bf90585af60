//! Looks for sockets of other processes on our ports (see [`crate::ports::strangers`]), and tells of each once.

use std::collections::HashSet;
use std::time::Duration;

use crate::model::Tick;
use crate::policy::handover::PortKey;
use crate::ports::Holder;

use super::{PortEvent, Thread};

/// Time between two looks while an index of ours depends on a stranger.
const PAUSE: Duration = Duration::from_secs(1);

/// Most strangers that are told of.
const MOST: usize = 256;

/// What was told, and when to look.
#[derive(Debug, Default)]
pub(super) struct StrangerWatch {
    told: HashSet<(PortKey, u64)>,
    /// `None`: when somebody wants it.
    next: Option<Tick>,
}

impl StrangerWatch {
    pub(super) fn until(&self) -> Option<Tick> {
        self.next
    }
}

impl<F: Fn(PortEvent)> Thread<F> {
    /// Looks for strangers if it is time or somebody wants it.
    pub(super) fn look_for_strangers(&mut self) {
        let now = self.clock.now();
        let due = self.strangers.next.is_some_and(|at| at <= now);
        if !due && !self.ports.wants_look() {
            return;
        }
        let look = self.ports.look_for_strangers();
        self.strangers.next = look.fragile.then(|| now.after(PAUSE));
        look.events.into_iter().for_each(&self.events);
        // Where every listener is spoilt no connection arrives, which would be the other occasion.
        let mended = self.ports.mend_sometimes();
        mended.into_iter().for_each(&self.events);
        for stranger in look.strangers {
            let new = self.strangers.told.len() < MOST
                && self.strangers.told.insert((stranger.key, stranger.inode));
            if !new {
                continue;
            }
            let holder = Holder::with(stranger.inode, stranger.uid);
            // Workers may have sockets of their own there.
            if holder.is_ours() {
                continue;
            }
            (self.events)(PortEvent::Stranger {
                key: stranger.key,
                addr: stranger.addr,
                holder,
                joined: stranger.joined,
                within: look.since,
            });
        }
    }
}
