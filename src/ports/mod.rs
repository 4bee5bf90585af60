//! The shared ports: opening them, choosing a listener for each connection, and handing listeners to workers.
//!
//! For each shared port the runtime opens one SO_REUSEPORT group at once: a listener for each slot, and spares for a
//! reload. It closes none while it serves, so the queue of a dead worker waits for its successor. A BPF program on the
//! group (see [`crate::policy::steering`]) chooses among the live listeners. A separate thread answers the workers'
//! `bind` and `listen` calls, so they never wait for the event loop.

mod abandoned;
mod activation;
mod asked;
mod balance;
mod bind_server;
mod epoll_sets;
mod group;
mod guarded;
mod holder;
mod inodes;
mod lookup;
mod probes;
mod registry;
mod relay;
mod repair;
mod rescue;
mod second_bind;
mod selftest;
mod spoilt;
mod stranded;
mod strangers;
mod targets;
#[cfg(test)]
mod testing;
mod told;
mod trapped_call;
mod udp;
mod unix;

use std::net::SocketAddr;
use std::time::Duration;

use nix::errno::Errno;

use crate::model::{ListenerId, Pid, SlotId};
use crate::policy::epoll_sets::Unregistered;
use crate::policy::handover::{PortKey, PortRule};
use crate::policy::steering::{Balance, ProbePorts};
use crate::policy::unix::{Endpoint, UnixKey};
use crate::sys::unseen::Unseen;

pub use abandoned::Closed;
pub use asked::{Asker, Given, Wanted};
pub use balance::{Balancer, Census};
pub use bind_server::{BindServer, TrappedWorker};
pub use holder::Holder;
pub use probes::probe_ports;
pub use registry::SharedPorts;
pub use rescue::Waiting;
pub use selftest::{interception, obstacle, steering};
pub use stranded::StrandedRelay;

/// Settings of the shared ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortSettings {
    /// Number of slots at the start.
    pub slots: u16,
    /// Listeners in each group at the start: one for each slot, and spares for new workers during a reload.
    pub listeners: u16,
    /// Limit of open descriptors of the runtime.
    pub descriptors: usize,
    /// Length limit of each accept queue; the kernel caps it at somaxconn.
    pub backlog: u32,
    /// Which ports are shared.
    pub rule: PortRule,
    /// How connections are steered. `None`: the kernel does not allow it, and one common socket serves all slots.
    pub steering: Option<Steering>,
}

/// How connections are steered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Steering {
    /// RPM_BALANCE.
    pub balance: Balance,
    /// Arrivals are followed, and new connections go to the workers with the fewest.
    pub follows: bool,
    /// Source ports that reach one particular listener. `None` if the range of client ports leaves no room.
    pub probe: Option<ProbePorts>,
}

/// Events for the event loop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortEvent {
    /// A port became shared.
    Opened {
        /// The port or the unix socket.
        key: Endpoint,
        /// Listeners in its group.
        listeners: usize,
    },
    /// A port could not be shared; the program bound its own socket instead.
    NotOpened {
        /// The port or the unix socket.
        key: Endpoint,
        /// The reason.
        reason: String,
        /// Who has it, if another process has it and can be found.
        holder: Option<Holder>,
    },
    /// A worker binds a port that RPM_PORTS does not list, so it is not shared.
    Unlisted {
        /// The leader of the worker's group.
        worker: Pid,
        /// Its slot.
        slot: SlotId,
        /// The port.
        key: PortKey,
    },
    /// A worker connects to a path of its service that it has not bound, and somebody answers.
    FoundInUse {
        /// The leader of the worker's group.
        worker: Pid,
    },
    /// A worker before this one ended because somebody answered at its path. This one, and those after it, find nobody
    /// there until they have bound it.
    FindsNobody {
        /// The leader of the worker's group.
        worker: Pid,
        /// Its slot.
        slot: SlotId,
        /// The path.
        key: UnixKey,
    },
    /// A path that RPM_PORTS lists cannot be opened before the first worker.
    NotYet {
        /// The path.
        key: UnixKey,
        /// The reason.
        reason: String,
    },
    /// A port was opened before the first worker, but the program binds another address. The opened port is closed.
    Superseded {
        /// The port that was opened.
        opened: PortKey,
        /// The port that the program binds.
        bound: PortKey,
        /// Connections in the queues of the closed port. They are reset.
        waiting: u32,
    },
    /// A worker took its listener by `bind`.
    Taken {
        /// The leader of the worker's group.
        worker: Pid,
        /// Its slot.
        slot: SlotId,
        /// The port or the unix socket.
        key: Endpoint,
    },
    /// A worker called `listen` on a shared TCP port, or `bind` for a shared UDP port: it serves there from now on.
    Listening {
        /// The leader of the worker's group.
        worker: Pid,
        /// Its slot.
        slot: SlotId,
        /// The port or the unix socket.
        key: Endpoint,
    },
    /// A ready worker listens by itself on a port that is to be shared: its `bind` was not seen.
    NotShared {
        /// The leader of the worker's group.
        worker: Pid,
        /// Its slot.
        slot: SlotId,
        /// The address.
        addr: SocketAddr,
        /// Why it was not seen.
        why: Unseen,
    },
    /// A worker listens on a socket of its own, after one of its ports could not be shared.
    ListensAlone {
        /// The leader of the worker's group.
        worker: Pid,
        /// Its slot.
        slot: SlotId,
    },
    /// A worker does not let one of its calls be read: it fills that memory when it likes. The call waits.
    Stalls {
        /// The leader of the worker's group.
        worker: Pid,
        /// Its slot.
        slot: SlotId,
    },
    /// The thread that answers the workers' calls has ended. Their calls fail from now on.
    ServerEnded,
    /// Another process of the same user has joined the group of a port, or listens at an address of it.
    Stranger {
        /// The port.
        key: PortKey,
        /// The address of its socket.
        addr: SocketAddr,
        /// Who it is.
        holder: Holder,
        /// It is in the group and gets nothing. Else it gets what comes to its address.
        joined: bool,
        /// It came within this time.
        within: Duration,
    },
    /// A worker joined a multicast group with its socket of a shared UDP port. Such datagrams reach every socket there.
    Everybody {
        /// The leader of the worker's group.
        worker: Pid,
        /// Its slot.
        slot: SlotId,
        /// The port.
        key: PortKey,
    },
    /// A program connects the sockets of a UDP port, one to each client. From now on the kernel chooses among them.
    KernelChooses {
        /// The port.
        key: PortKey,
    },
    /// A worker has bound an address by itself, and no other process can bind it meanwhile.
    Excludes {
        /// The leader of the worker's group.
        worker: Pid,
        /// The address.
        key: PortKey,
        /// How that is known.
        why: Excluded,
    },
    /// A process of a worker cannot be inspected (another uid, or not dumpable). Its `bind` calls are not intercepted.
    Unseen {
        /// The leader of the worker's group.
        worker: Pid,
        /// Its slot.
        slot: SlotId,
    },
    /// The socket is in an epoll set in which the listener cannot be registered, so the port is not shared.
    Unregistered {
        /// The leader of the worker's group.
        worker: Pid,
        /// Its slot.
        slot: SlotId,
        /// The port.
        key: PortKey,
        /// The reason.
        reason: String,
        /// The answer to `bind`.
        answer: Unregistered,
    },
    /// A worker closed its listener and lives on, while connections wait in the queue; or the process of it that listened
    /// has ended.
    Closed {
        /// The leader of the worker's group.
        worker: Pid,
        /// Its slot.
        slot: SlotId,
        /// The port.
        key: PortKey,
        /// Number of connections in the queue.
        waiting: u32,
        /// The process that listened has ended.
        ended: bool,
    },
    /// The process that listened has ended, and another one has the listener.
    StillHeld {
        /// The leader of the worker's group.
        worker: Pid,
        /// The port.
        key: PortKey,
        /// The process that has it, if it is known.
        process: Option<i32>,
    },
    /// A worker has closed its listener and lives on. It gets no new connections there.
    Left {
        /// The leader of the worker's group.
        worker: Pid,
        /// Its slot.
        slot: SlotId,
        /// The port or the unix socket.
        key: Endpoint,
        /// No worker is left that listens there, so the port was closed.
        last: bool,
    },
    /// Listeners had left the group (a worker called `shutdown`). They listen again.
    Repaired {
        /// The port.
        key: PortKey,
        /// Which listeners.
        listeners: Vec<usize>,
        /// All listeners of the port were reopened, and every queue was reset.
        rebuilt: bool,
    },
    /// A worker has shut its listener down too often. It does not get it back, and is to be replaced.
    Barred {
        /// The port.
        key: PortKey,
        /// The listener.
        listener: ListenerId,
        /// The worker that has it.
        worker: Option<Pid>,
    },
    /// A worker sets an option on its listener that would spoil it for others. It was not set.
    Guarded {
        /// The leader of the worker's group.
        worker: Pid,
        /// Its slot.
        slot: SlotId,
        /// The port.
        key: PortKey,
        /// Level and name of the option.
        option: (i32, i32),
        /// The call failed; otherwise it was answered as done.
        refused: bool,
    },
    /// A process had spoilt a listener by a socket option.
    Spoilt {
        /// The port.
        key: PortKey,
        /// Which listener.
        listener: usize,
        /// The option.
        what: &'static str,
        /// A new listener is in its place; otherwise it was mended.
        replaced: bool,
    },
    /// Connections arrived on a listener that has no worker and gets none soon: a handshake completed late, a worker was
    /// killed with connections in its queue, or no worker was ready. They are passed on to a live worker.
    Stranded {
        /// The port.
        key: PortKey,
        /// The listener.
        listener: ListenerId,
        /// Number of connections since the last event of this kind.
        count: u32,
        /// They were steered there, to wait for a ready worker.
        waited: bool,
    },
    /// Another process listens on a source port by which the runtime reaches one worker, so no connection can come from
    /// there. Reported once a minute at most.
    SourcePortTaken {
        /// The port.
        port: u16,
        /// The source ports that are used from now on; `None` if none are free.
        moved: Option<ProbePorts>,
    },
    /// The steering program could not be replaced; the previous one stays attached.
    SteeringFailed {
        /// The port or the unix socket.
        key: Endpoint,
        /// The reason.
        reason: String,
    },
}

/// How it is known that only one process can have an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Excluded {
    /// It is a multicast or broadcast address, or two workers have wanted it before.
    Known {
        /// The worker's slot.
        slot: SlotId,
        /// This address was not reported before.
        tell: bool,
    },
    /// Another worker tries to bind it.
    Tried {
        /// The slot of that one.
        slot: SlotId,
        /// The slot of the worker that has it.
        held_by: SlotId,
    },
}

impl PortEvent {
    fn steering_failed(key: impl Into<Endpoint>, errno: Errno) -> Self {
        let (key, reason) = (key.into(), errno.desc().to_owned());
        Self::SteeringFailed { key, reason }
    }
}
