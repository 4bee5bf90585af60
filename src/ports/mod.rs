//! The shared ports: who listens where, who gets which connection, and how a worker comes by its listener.
//!
//! The runtime opens one SO_REUSEPORT group for each shared port, a listener for each slot and spares for a reload, all at once,
//! and closes none while it serves: a dead worker's queue waits for its successor. A program on the group (see
//! [`crate::policy::steering`]) chooses among the live. A thread of its own answers the workers' `bind` and `listen`,
//! so that they never wait for the loop.

mod balance;
mod caller;
mod group;
mod registry;
mod repair;
mod rescue;
mod selftest;
mod serve;
mod splice;
#[cfg(test)]
mod testing;

use nix::errno::Errno;

use crate::model::{ListenerId, Pid, SlotId};
use crate::policy::handover::{PortKey, PortRule};
use crate::policy::steering::{Choice, ProbePorts};

pub use balance::Balancer;
pub use registry::SharedPorts;
pub use rescue::Rescue;
pub use selftest::{interception, probe_ports, steering};
pub use serve::{Attendant, Server};

/// How ports are shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Number of slots at the start.
    pub slots: u16,
    /// Listeners that each group has at the start: one for each slot, and spares for a reload's new workers.
    pub listeners: u16,
    /// Descriptors that the runtime may have open.
    pub descriptors: usize,
    /// Accept queue of each listener, capped by somaxconn.
    pub backlog: u32,
    /// Which ports.
    pub rule: PortRule,
    /// How connections are steered; `None`: the kernel does not let us, and one common socket serves all slots.
    pub steering: Option<Steering>,
}

/// How connections are steered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Steering {
    /// RPM_BALANCE.
    pub choice: Choice,
    /// Source ports that reach one listener; `None` where the range of client ports leaves no room.
    pub probe: Option<ProbePorts>,
}

/// What the loop should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortEvent {
    /// A port became shared.
    Opened {
        /// The port.
        key: PortKey,
        /// Listeners in its group.
        listeners: usize,
    },
    /// A port should have been shared and could not be; the program got it by itself.
    NotOpened {
        /// The port.
        key: PortKey,
        /// Why.
        reason: String,
    },
    /// A port that was opened before the first worker is not what the program binds; it is closed.
    Superseded {
        /// The port that was opened.
        opened: PortKey,
        /// What the program binds.
        bound: PortKey,
        /// Clients that waited there, now reset.
        waiting: u32,
    },
    /// A worker took its listener.
    Taken {
        /// The leader of the worker's group.
        worker: Pid,
        /// Its slot.
        slot: SlotId,
        /// The port.
        key: PortKey,
    },
    /// A worker called `listen` on a shared port.
    Listening {
        /// The leader of the worker's group.
        worker: Pid,
        /// Its slot.
        slot: SlotId,
        /// The port.
        key: PortKey,
    },
    /// A process of a worker cannot be looked into (another uid, or not dumpable): what it binds is its own.
    Unseen {
        /// The leader of the worker's group.
        worker: Pid,
        /// Its slot.
        slot: SlotId,
    },
    /// Listeners had left the group (a worker's `shutdown`); they listen again.
    Repaired {
        /// The port.
        key: PortKey,
        /// Which listeners.
        listeners: Vec<usize>,
        /// All listeners of the port listen anew, and every queue was reset.
        rebuilt: bool,
    },
    /// Connections came to a listener that has no worker and gets none soon (a handshake that ended late, or the queue
    /// of a worker that had to be killed). They are passed on to a live one.
    Stranded {
        /// The port.
        key: PortKey,
        /// The listener.
        listener: ListenerId,
        /// How many, since this was last said.
        count: u32,
    },
    /// The program that chooses could not be replaced; the one before goes on.
    SteeringFailed {
        /// The port.
        key: PortKey,
        /// Why.
        reason: String,
    },
}

impl PortEvent {
    fn steering_failed(key: PortKey, errno: Errno) -> Self {
        let reason = errno.desc().to_owned();
        Self::SteeringFailed { key, reason }
    }
}
