//! Listeners that left their group, because a worker called `shutdown` on them.

use crate::model::ListenerId;
use crate::policy::handover::PortKey;
use crate::sys::epoll::Interest;

use super::{PortEvent, Thread};

impl<F: Fn(PortEvent)> Thread<F> {
    /// Watches new listeners for leaving their group. Only hang-ups wake the thread, connections do not.
    pub(super) fn watch_new(&mut self) {
        let (poller, watched, next) = (&self.poller, &mut self.watched, &mut self.next_token);
        self.ports.each_new_listener(|key, fd| {
            // A listener that cannot be watched is repaired when its worker calls `listen`.
            if poller.add(fd, *next, Interest::Hangup).is_ok() {
                watched.insert(*next, key);
                *next += 1;
            }
        });
    }

    /// Repairs the listeners of this port that left their group.
    pub(super) fn repair_port(&mut self, key: PortKey) {
        let Some(repaired) = self.ports.repair(key) else {
            // The port is not shared any more.
            self.watched.retain(|_, watched| *watched != key);
            return;
        };
        // A listener may have been replaced.
        self.watch_new();
        for number in repaired.barred {
            let listener = u16::try_from(number).map(ListenerId);
            let listener = listener.unwrap_or(ListenerId(u16::MAX));
            (self.events)(PortEvent::Barred {
                key,
                listener,
                worker: self.ports.holder(listener),
            });
        }
        if !repaired.mended.is_empty() {
            (self.events)(PortEvent::Repaired {
                key,
                listeners: repaired.mended,
                rebuilt: repaired.rebuilt,
            });
        }
        if let Some(errno) = repaired.error {
            (self.events)(PortEvent::steering_failed(key, errno));
        }
    }
}
