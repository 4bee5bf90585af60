//! Listeners for programs that take them at their start (sd_listen_fds(3)).

use std::os::fd::OwnedFd;

use nix::errno::Errno;

use crate::model::ListenerId;
use crate::sys::{io, listener};

use super::group::Group;
use super::registry::SharedPorts;

impl SharedPorts {
    /// Copies of this listener of every port, each with a name, for activation. They are in blocking mode, as systemd
    /// passes them. From now on they count as taken by the worker that is about to start.
    pub fn activation(&self, listener: ListenerId) -> nix::Result<Vec<(OwnedFd, String)>> {
        let mut state = self.lock();
        let mut handed = Vec::new();
        let state = &mut *state;
        state.mend_all_for_next(listener);
        for group in &mut state.groups {
            group.join(listener, &state.rotation)?;
            group.reclaim(listener, true);
            let fd = group.listener(listener).ok_or(Errno::ENOENT)?;
            if group.may_block() {
                io::set_nonblocking(fd, false)?;
            }
            handed.push((
                listener::duplicate(fd)?,
                format!("port-{}", group.key.addr.port()),
            ));
            group.take(listener);
        }
        state.tell_watchers();
        Ok(handed)
    }

    /// Resets the backlog of every listener to RPM_BACKLOG.
    pub fn restore_backlog(&self) {
        let state = self.lock();
        state.groups.iter().for_each(Group::restore_backlog);
    }
}
