//! Sockets of a UDP port that the runtime does not steer, and what a worker leaves on a socket.
//!
//! A program that connects its sockets, one to each client (DTLS), changes the order of the kernel's group, and nobody
//! tells the runtime. Where the order is not known any more, datagrams would be steered to sockets that nobody reads. So
//! the kernel chooses then, as it does for a program that sets SO_REUSEPORT itself: each worker has a socket of its own,
//! of which the runtime keeps no descriptor, and there are no spares.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::time::Duration;

use crate::model::{ListenerId, Tick};
use crate::policy::Rotation;
use crate::sys::sockopt::Joined;
use crate::sys::{datagram, steering};

use super::DatagramGroup;
use super::group::Member;

/// Datagrams that have waited for so long without a worker are of no use to anybody: clients that want an answer have
/// asked again, or have given up.
const STALE: Duration = Duration::from_secs(10);

/// Most multicast groups of one socket that are remembered; the kernel allows 20 by default (igmp_max_memberships).
const GROUPS: usize = 64;

/// What is known of the sockets of workers among which the kernel chooses.
#[derive(Debug)]
pub(super) struct Own {
    /// The listeners of the workers that have one.
    pub holders: BTreeSet<ListenerId>,
    reported: bool,
}

impl DatagramGroup {
    /// Lets the kernel choose among the sockets that workers have, and closes all of ours.
    pub(super) fn let_the_kernel_choose(&mut self) {
        if !self.steered || self.own.is_some() {
            return;
        }
        for member in &self.members {
            // It fails for one that has left the group.
            let _ = steering::detach(&member.fd);
        }
        let members = (0..).map(ListenerId).zip(self.members.drain(..));
        let taken = members.filter(|(_, member)| member.taken);
        self.own = Some(Own {
            holders: taken.map(|(listener, _)| listener).collect(),
            reported: false,
        });
        self.order.clear();
    }

    /// Detaches the steering program before our descriptors are closed, because indexes move when members leave.
    pub fn let_go(&self) {
        let first = self
            .order
            .first()
            .and_then(|first| self.members.get(*first));
        if let Some(member) = first.filter(|_| self.steered) {
            // The error is ignored: the descriptors are closed next. Without the program, the kernel's hash chooses.
            let _ = steering::detach(&member.fd);
        }
    }

    /// Whether the kernel has chosen since it was asked last.
    pub fn reports(&mut self) -> bool {
        let own = self.own.as_mut();
        own.is_some_and(|own| !std::mem::replace(&mut own.reported, true))
    }

    /// A socket of the program's own. `None` if a worker gets one of the group. It is the only socket of a worker once
    /// the kernel chooses.
    pub fn own_socket(&self) -> Option<nix::Result<OwnedFd>> {
        let bound = || datagram::bound(self.key.addr, self.key.v6only, true);
        self.own.as_ref().map(|_| bound())
    }

    /// A socket of the program's own beside the worker's. If the worker's is connected, clients must find the new one:
    /// the kernel chooses. Otherwise the program will connect this one to a client: the steering never chooses it, and it
    /// gets what its peer sends.
    pub fn another(&mut self, listener: ListenerId) -> nix::Result<OwnedFd> {
        let member = self.members.get(self.number(listener));
        if member.is_some_and(Member::is_connected) {
            self.let_the_kernel_choose();
        }
        let fd = datagram::bound(self.key.addr, self.key.v6only, self.steered)?;
        self.strangers = true;
        Ok(fd)
    }

    /// A worker gets this socket. What came long ago is thrown away, unless datagrams still come: of an earlier worker,
    /// and of multicast and broadcast, which reach every socket.
    pub fn empty_stale(&self, listener: ListenerId, rotation: &Rotation, now: Tick) {
        let number = self.number(listener);
        let Some(member) = self.members.get(number) else {
            return;
        };
        let stale = !member.taken && now.since(member.free_since) >= STALE;
        if self.steered && stale && !self.targets(rotation).1.contains(&number) {
            datagram::discard(&member.fd);
        }
    }

    /// The program of a worker joins a multicast group with this socket.
    pub fn joins(&mut self, inode: u64, group: Joined) {
        let member = self.members.iter_mut().find(|one| one.is(inode));
        if let Some(member) = member
            && member.joined.len() < GROUPS
            && !member.joined.contains(&group)
        {
            member.joined.push(group);
        }
    }
}

impl Member {
    /// Leaves the multicast groups that the program of the last worker had joined: the next one joins them again, and the
    /// kernel refuses to join twice.
    pub(super) fn leave_groups(&mut self) {
        for group in self.joined.drain(..) {
            // The program may have left it.
            let _ = group.leave(&self.fd);
        }
    }
}
