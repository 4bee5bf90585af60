//! What is different about the sockets of UDP ports.

use crate::policy::handover::{PortKey, Transport};

use super::{PortEvent, ServedWorker, Thread, TrappedWorker};

impl<F: Fn(PortEvent)> Thread<F> {
    /// A UDP port is served from its `bind` on: nobody calls `listen`.
    pub(super) fn serves_from_bind(&self, trapped: &TrappedWorker, key: PortKey) {
        if key.transport == Transport::Udp {
            let (worker, slot) = (trapped.worker, trapped.slot);
            let key = key.into();
            (self.events)(PortEvent::Listening { worker, slot, key });
        }
    }

    /// A worker joined a multicast group with its socket of this port.
    pub(super) fn everybody(&self, served: &mut ServedWorker, key: PortKey) {
        if !served.once.everybody {
            served.once.everybody = true;
            let (worker, slot) = (served.trapped.worker, served.trapped.slot);
            (self.events)(PortEvent::Everybody { worker, slot, key });
        }
    }
}
