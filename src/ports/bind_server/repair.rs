//! Listeners that left their group, because a worker called `shutdown` on them.

use crate::model::ListenerId;
use crate::policy::handover::{PortKey, Transport};
use crate::sys::epoll::Interest;

use super::{PortEvent, Thread};

impl<F: Fn(PortEvent)> Thread<F> {
    /// Watches the listeners of a port for leaving their group. Only hang-ups wake the thread, connections do not.
    /// Returns the number of listeners.
    pub(super) fn watch(&mut self, key: PortKey) -> usize {
        let (poller, watched, next) = (&self.poller, &mut self.watched, &mut self.next_token);
        let mut count = 0;
        self.ports.each_listener(key, |fd| {
            count += 1;
            // A listener that cannot be watched is repaired when its worker calls `listen`. UDP sockets do not hang up.
            if key.transport == Transport::Tcp && poller.add(fd, *next, Interest::Hangup).is_ok() {
                watched.insert(*next, key);
                *next += 1;
            }
        });
        count
    }

    /// Repairs the listeners of this port that left their group.
    pub(super) fn repair_port(&mut self, key: PortKey) {
        let Some(repaired) = self.ports.repair(key) else {
            // The port is not shared any more.
            self.watched.retain(|_, watched| *watched != key);
            return;
        };
        if repaired.rebuilt {
            // A listener may have been replaced. Adding one that is already watched has no effect.
            self.watch(key);
        }
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
