//! The shared UDP ports among all shared ports.

use std::os::fd::OwnedFd;
use std::time::Duration;

use nix::errno::Errno;

use crate::model::ListenerId;
use crate::policy::Rotation;
use crate::policy::handover::PortKey;
use crate::ports::PortEvent;
use crate::ports::registry::{Handed, SharedPorts, State};
use crate::ports::told::Options;
use crate::sys::sockopt::Joined;
use crate::sys::{io, listener};

use super::DatagramGroup;

impl State {
    /// Opens a UDP port.
    pub fn open_datagrams(&mut self, key: PortKey, first: Option<ListenerId>) -> nix::Result<()> {
        let beside = self.datagrams.iter().any(|group| group.key.conflicts(&key));
        let of = (&self.rotation, beside);
        let group = DatagramGroup::open(key, &self.settings, first, of)?;
        self.datagrams.push(group);
        Ok(())
    }

    /// As [`SharedPorts::hand`], for a UDP port.
    pub fn hand_datagrams(
        &mut self,
        key: PortKey,
        listener: ListenerId,
        (nonblocking, options): (bool, &Options),
        events: &mut Vec<PortEvent>,
    ) -> nix::Result<Handed> {
        let opened = !self.datagrams.iter().any(|group| group.key == key);
        if opened {
            if self.settings.steering.is_none() {
                // Without SO_REUSEPORT the two ports cannot be open at once.
                events.extend(self.supersede_datagrams(key));
            }
            if !self.has_room() {
                return Err(Errno::EDQUOT);
            }
            self.open_datagrams(key, Some(listener))?;
        }
        let mut groups = self.datagrams.iter_mut();
        let group = groups.find(|group| group.key == key).ok_or(Errno::ENOENT)?;
        group.join(listener)?;
        let mended = group.mend_for_next(listener);
        events.extend(mended.map(|mended| mended.told(key)));
        if group.reports() {
            events.push(PortEvent::KernelChooses { key });
        }
        if let Some(own) = group.own_socket() {
            let handed = as_told(own?, nonblocking, options);
            return handed.map(|handed| Handed { opened, ..handed });
        }
        group.empty_stale(listener, &self.rotation, self.clock.now());
        group.carry(listener, options);
        let (fd, inode) = group.socket(listener).ok_or(Errno::ENOENT)?;
        if nonblocking || group.may_block() {
            io::set_nonblocking(fd, nonblocking)?;
        }
        let fd = listener::duplicate(fd)?;
        Ok(Handed { fd, inode, opened })
    }

    /// As [`State::supersede`], for UDP ports. Datagrams that wait there are lost, and nobody can count them.
    pub fn supersede_datagrams(&mut self, bound: PortKey) -> Option<PortEvent> {
        let port = bound.addr.port();
        let bare = self.settings.rule.lists_bare(bound.transport, port);
        let unwanted = |group: &DatagramGroup| {
            let at = group.key.reached_at();
            let wild = at.ip().is_unspecified() && at.port() == port;
            group.key != bound && (group.key.overlaps(&bound) || bare && wild) && !group.used
        };
        let at = self.datagrams.iter().position(unwanted)?;
        let group = self.datagrams.remove(at);
        group.let_go();
        Some(PortEvent::Superseded {
            opened: group.key,
            bound,
            waiting: 0,
        })
    }

    /// As [`SharedPorts::taken`], for a UDP port.
    pub fn take_datagrams(
        &mut self,
        key: PortKey,
        listener: ListenerId,
        present: bool,
    ) -> Vec<PortEvent> {
        let mut events: Vec<PortEvent> = self.supersede_datagrams(key).into_iter().collect();
        let group = self.datagrams.iter_mut().find(|group| group.key == key);
        if let Some(group) = group.filter(|_| present) {
            group.take(listener);
            group.steer_or_tell(&self.rotation, &mut events);
        }
        events
    }
}

impl DatagramGroup {
    /// As [`Self::steer`]. What is to be said goes to `events`.
    pub(in crate::ports) fn steer_or_tell(
        &mut self,
        rotation: &Rotation,
        events: &mut Vec<PortEvent>,
    ) {
        let key = self.key;
        if let Err(errno) = self.steer(rotation) {
            events.push(PortEvent::steering_failed(key, errno));
        }
        if self.reports() {
            events.push(PortEvent::KernelChooses { key });
        }
    }
}

/// A program's own socket, as the program has it.
fn as_told(fd: OwnedFd, nonblocking: bool, options: &Options) -> nix::Result<Handed> {
    for option in options.carried() {
        // The program was told the result of its own call.
        let _ = option.set(&fd);
    }
    io::set_nonblocking(&fd, nonblocking)?;
    let inode = listener::inode(&fd)?;
    Ok(Handed {
        fd,
        inode,
        opened: false,
    })
}

impl SharedPorts {
    /// A further socket of a program that has this UDP port already.
    pub(in crate::ports) fn another_socket(
        &self,
        key: PortKey,
        listener: ListenerId,
        (nonblocking, options): (bool, &Options),
        events: &mut Vec<PortEvent>,
    ) -> nix::Result<Option<Handed>> {
        let mut state = self.lock();
        let group = state.datagrams.iter_mut().find(|group| group.key == key);
        let Some(group) = group else { return Ok(None) };
        let fd = group.another(listener)?;
        if group.reports() {
            events.push(PortEvent::KernelChooses { key });
        }
        as_told(fd, nonblocking, options).map(Some)
    }

    /// A worker joins a multicast group with this socket. Returns its port, if it is one of ours.
    pub(in crate::ports) fn joins(&self, inode: u64, group: Joined) -> Option<PortKey> {
        let mut state = self.lock();
        let mut groups = state.datagrams.iter_mut();
        let port = groups.find(|port| port.owns(inode))?;
        port.joins(inode, group);
        Some(port.key)
    }

    /// Number of UDP sockets of this listener in which datagrams wait. `None` if its worker serves no UDP port.
    fn waiting_datagrams(&self, listener: ListenerId) -> Option<u32> {
        let state = self.lock();
        let sockets = state.datagrams.iter();
        let waiting = sockets.filter_map(|group| group.is_waiting(listener));
        waiting.fold(None, |sum, waits| {
            Some(sum.unwrap_or(0).saturating_add(u32::from(waits)))
        })
    }

    /// As [`SharedPorts::queued`], and the number of UDP sockets in which datagrams wait.
    pub fn waiting(&self, listener: ListenerId) -> u32 {
        let sockets = self.waiting_datagrams(listener);
        self.queued(listener).saturating_add(sockets.unwrap_or(0))
    }

    /// How long the worker of this listener may work at what cannot be seen: `udp_grace` if it serves a UDP port.
    pub fn hidden_work(&self, listener: ListenerId, udp_grace: Duration) -> Duration {
        let serves = self.waiting_datagrams(listener).is_some();
        if serves { udp_grace } else { Duration::ZERO }
    }
}
