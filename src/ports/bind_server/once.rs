//! Reports of the hand-over thread that are made once for each worker.

use nix::errno::Errno;

use crate::policy::handover::PortKey;
use crate::policy::unix::Endpoint;
use crate::ports::Holder;

use super::{PortEvent, ServedWorker, Thread};

/// What was reported of one worker.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
pub(super) struct Once {
    /// One of its processes could not be inspected.
    pub unseen: bool,
    /// A port of it could not be shared.
    pub refused: bool,
    /// It does not let one of its calls be read.
    pub stalls: bool,
    /// It tried to spoil its listener by an option.
    pub guarded: bool,
    /// It joined a multicast group.
    pub everybody: bool,
    /// The port that it binds and RPM_PORTS does not list.
    unlisted: Option<PortKey>,
}

impl<F: Fn(PortEvent)> Thread<F> {
    /// A process of the worker cannot be inspected.
    pub(super) fn unseen(&self, served: &mut ServedWorker) {
        if !served.once.unseen {
            served.once.unseen = true;
            let (worker, slot) = (served.trapped.worker, served.trapped.slot);
            (self.events)(PortEvent::Unseen { worker, slot });
        }
    }

    /// The worker binds a port that RPM_PORTS does not list: it may not be what the user wanted.
    pub(super) fn unlisted(&self, served: &mut ServedWorker, key: PortKey) {
        if served.once.unlisted.is_none() {
            served.once.unlisted = Some(key);
            let (worker, slot) = (served.trapped.worker, served.trapped.slot);
            (self.events)(PortEvent::Unlisted { worker, slot, key });
        }
    }

    /// An address cannot be shared. A program may try a thousand ports.
    pub(super) fn not_opened(
        &self,
        served: &mut ServedWorker,
        key: impl Into<Endpoint>,
        reason: String,
    ) {
        if !served.once.refused {
            served.once.refused = true;
            let key = key.into();
            let taken = reason == Errno::EADDRINUSE.desc();
            let holder = match &key {
                Endpoint::Port(key) if taken => Holder::of(key),
                Endpoint::Port(_) | Endpoint::Unix(_) => None,
            };
            (self.events)(PortEvent::NotOpened {
                key,
                reason,
                holder,
            });
        }
    }
}
