//! Reports of the hand-over thread that are made once for each worker.

use crate::policy::unix::Endpoint;

use super::{PortEvent, ServedWorker, Thread};

impl<F: Fn(PortEvent)> Thread<F> {
    /// A process of the worker cannot be inspected.
    pub(super) fn unseen(&self, served: &mut ServedWorker) {
        if !served.unseen {
            served.unseen = true;
            let (worker, slot) = (served.trapped.worker, served.trapped.slot);
            (self.events)(PortEvent::Unseen { worker, slot });
        }
    }

    /// An address cannot be shared. A program may try a thousand ports.
    pub(super) fn not_opened(
        &self,
        served: &mut ServedWorker,
        key: impl Into<Endpoint>,
        reason: String,
    ) {
        if !served.refused {
            served.refused = true;
            let key = key.into();
            (self.events)(PortEvent::NotOpened { key, reason });
        }
    }
}
