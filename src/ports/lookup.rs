//! What the loop and other services ask of the shared ports.

use std::net::SocketAddr;
use std::num::NonZeroU16;

use crate::model::{ListenerId, Pid, QueueSample};
use crate::policy::handover::PortKey;

use super::group::Group;
use super::registry::{SharedPorts, State};

impl State {
    /// The port to which the listener or socket with this inode belongs, if it is ours.
    pub(super) fn owner(&self, inode: u64) -> Option<PortKey> {
        let listeners = self.groups.iter().find(|group| group.owns(inode));
        let sockets = || self.datagrams.iter().find(|group| group.owns(inode));
        let listens = listeners.map(|group| group.key);
        listens.or_else(|| sockets().map(|group| group.key))
    }
}

impl SharedPorts {
    /// The queue of every listener and of every UDP socket.
    pub fn queues(&self) -> Vec<QueueSample> {
        let mut state = self.lock();
        state.want_look();
        let rotation = &state.rotation;
        let listeners = state.groups.iter().flat_map(|group| group.queues(rotation));
        let sockets = state.datagrams.iter();
        let unix = state.unix.queues(rotation, state.settings.backlog);
        listeners
            .chain(sockets.flat_map(|group| group.queues(rotation)))
            .chain(unix)
            .collect()
    }

    /// A port on which a worker has this listener, and the source port that reaches only that listener. `wanted`
    /// restricts the port number. If another process listens on the source port, all of them move first.
    pub fn probe_target(
        &self,
        listener: ListenerId,
        wanted: Option<NonZeroU16>,
    ) -> Option<(PortKey, u16)> {
        let mut state = self.lock();
        let fits = |group: &&Group| {
            wanted.is_none_or(|port| port.get() == group.key.addr.port()) && group.taken(listener)
        };
        let find = |state: &State| {
            let group = state.groups.iter().find(fits)?;
            Some((group.key, group.probe_port(listener)?))
        };
        let (key, port) = find(&state)?;
        if state.is_free_or_moves(key, port) {
            return Some((key, port));
        }
        find(&state)
    }

    /// As [`State::owner`].
    pub(super) fn owns(&self, inode: u64) -> Option<PortKey> {
        self.lock().owner(inode)
    }

    /// Length of the queue of this listener on this port.
    pub fn queue_length(&self, key: PortKey, listener: ListenerId) -> Option<u32> {
        let state = self.lock();
        state
            .groups
            .iter()
            .find(|group| group.key == key)?
            .queue_length(listener)
    }

    /// Number of connections that wait for the worker of this listener: on the ports that it has bound, or on all ports
    /// if it has bound none yet. Connections on a port that the program no longer binds do not wait for this worker.
    pub fn queued(&self, listener: ListenerId) -> u32 {
        let state = self.lock();
        let none = !state.groups.iter().any(|group| group.taken(listener));
        let its = state
            .groups
            .iter()
            .filter(|group| none || group.taken(listener));
        let ports: u32 = its.filter_map(|group| group.queue_length(listener)).sum();
        ports.saturating_add(state.unix.queued(listener, &state.rotation))
    }

    /// The present worker of a listener.
    pub(super) fn holder(&self, listener: ListenerId) -> Option<Pid> {
        self.lock().present.get(&listener).copied()
    }

    /// Addresses of the shared TCP ports.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        let state = self.lock();
        state.groups.iter().map(|group| group.key.addr).collect()
    }

    /// As [`Self::addresses`], but `None` after [`Self::let_go`], when workers may still serve there.
    pub fn shared_addresses(&self) -> Option<Vec<SocketAddr>> {
        let state = self.lock();
        let addresses = state.groups.iter().map(|group| group.key.addr);
        (!state.over).then(|| addresses.collect())
    }
}
