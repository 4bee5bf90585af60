//! The inodes of the listeners, by which other processes that hold one are found.

use crate::model::ListenerId;
use crate::policy::handover::PortKey;

use super::group::Group;
use super::registry::SharedPorts;

impl Group {
    /// The inode of this listener; `None` for a common socket.
    pub fn inode(&self, listener: ListenerId) -> Option<u64> {
        self.steering?;
        let number = self.number(listener);
        self.listeners.get(number).map(|listener| listener.inode)
    }

    /// The inodes of all listeners; none for a common socket.
    pub fn inodes(&self) -> impl Iterator<Item = (ListenerId, u64)> {
        let all = self.listeners.iter().filter(|_| self.steering.is_some());
        (0..)
            .map(ListenerId)
            .zip(all.map(|listener| listener.inode))
    }
}

impl SharedPorts {
    /// The inode of this listener of the port `key`; `None` for a common socket.
    pub fn inode_at(&self, key: PortKey, listener: ListenerId) -> Option<u64> {
        let state = self.lock();
        let mut groups = state.groups.iter();
        groups.find(|group| group.key == key)?.inode(listener)
    }

    /// The inodes of this listener on all ports, also of ports that were let go. None for a common socket, because other
    /// workers hold that too.
    pub fn inodes(&self, listener: ListenerId) -> Vec<u64> {
        let state = self.lock();
        let groups = state
            .groups
            .iter()
            .filter_map(|group| group.inode(listener));
        let sockets = state.datagrams.iter();
        let sockets = sockets.filter_map(|group| group.inode(listener));
        let gone = state.gone.iter().filter(|(one, _)| *one == listener);
        let unix = state.unix.groups.iter();
        let unix = unix.filter_map(|group| group.members.get(&listener));
        groups
            .chain(sockets)
            .chain(unix.map(|member| member.inode))
            .chain(gone.map(|(_, inode)| *inode))
            .collect()
    }
}
