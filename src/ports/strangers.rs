//! Sockets of other processes of the same user that join the group of a shared port, or listen beside it. Nobody can keep
//! them away, so they are looked for (sock_diag(7)) before an index of the group is believed: see
//! [`crate::policy::Members`].

use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::time::Duration;

use nix::errno::Errno;

use crate::model::Tick;
use crate::policy::handover::{PortKey, Transport};
use crate::sys::epoll::Waker;
use crate::sys::listener;
use crate::sys::sockdiag::{Bound, SockDiag};

use super::PortEvent;
use super::group::Group;
use super::holder::key_of;
use super::registry::{SharedPorts, State};
use super::udp::DatagramGroup;

/// How often a listener joins anew because strangers came or went meanwhile.
const ATTEMPTS: u32 = 4;

/// Shortest time between two looks that readers of the metrics cause.
const BETWEEN: Duration = Duration::from_secs(10);

/// A socket that is not ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stranger {
    /// The port of ours.
    pub key: PortKey,
    /// Its own address.
    pub addr: SocketAddr,
    pub inode: u64,
    pub uid: u32,
    /// It is in the group. Else it gets what comes to its address.
    pub joined: bool,
}

/// When strangers are looked for.
#[derive(Debug, Default)]
pub(super) struct Looks {
    /// Wakes the thread that looks.
    waker: Option<Waker>,
    wanted: bool,
    last: Tick,
}

/// What a look has found.
#[derive(Debug, Default)]
pub(super) struct Look {
    pub strangers: Vec<Stranger>,
    /// What is to be told besides.
    pub events: Vec<PortEvent>,
    /// Somebody must look again soon: an index of ours changes when a stranger leaves.
    pub fragile: bool,
    /// Since the last look.
    pub since: Duration,
}

/// The sockets that have this port, of both families. `None` if the kernel does not tell.
fn listed(key: PortKey) -> Option<Vec<Bound>> {
    let udp = key.transport == Transport::Udp;
    let mut diag = SockDiag::open().ok()?;
    diag.bound(udp, key.addr.port()).ok()
}

/// Whether the kernel puts `other` into the group of the sockets of `key`, of which `fd` is one.
fn is_in_group(other: &Bound, key: PortKey, fd: impl AsFd, own: Option<&Bound>) -> bool {
    let same = other.addr.ip() == key.addr.ip() && other.v6only == key.v6only;
    let uid = listener::owner(fd).is_ok_and(|uid| uid == other.uid);
    same && uid && other.device == own.map_or(0, |own| own.device)
}

impl Group {
    /// The strangers in the group, by their inodes. `None` if the kernel does not tell, or of a common socket.
    fn strangers(&self) -> Option<Vec<u64>> {
        self.steering?;
        let fd = &self.listeners.first()?.fd;
        let sockets = listed(self.key)?;
        let own = sockets.iter().find(|socket| self.owns(socket.inode));
        let stranger =
            |socket: &&Bound| !self.owns(socket.inode) && is_in_group(socket, self.key, fd, own);
        let strangers = sockets.iter().filter(stranger);
        Some(strangers.map(|socket| socket.inode).collect())
    }

    /// Whether other strangers are in the group than is believed.
    pub(super) fn strangers_changed(&self) -> bool {
        let now = self.strangers();
        now.is_some_and(|now| !self.order.are_strangers(&now))
    }

    /// None of ours listens: only strangers are members.
    pub(super) fn begin_with_strangers(&mut self) {
        self.order = std::iter::empty().collect();
        // None of ours is a member, so none is lost.
        let _ = self.order.see(&self.strangers().unwrap_or_default());
    }

    /// Compares the members of the group with what is believed. Listeners whose indexes are not known any more leave and
    /// join again, which resets their queues.
    pub(super) fn compare(&mut self) {
        if let Some(now) = self.strangers() {
            let lost = self.order.see(&now);
            self.take_out(&lost);
            // An error is visible in the queues.
            let _ = self.enter(lost);
        }
    }

    fn take_out(&self, numbers: &[usize]) {
        for listener in numbers
            .iter()
            .filter_map(|number| self.listeners.get(*number))
        {
            // If this fails, its index stays unknown.
            let _ = listener::stop_listening(&listener.fd);
        }
    }

    /// Makes these listeners listen. Each joins the group at the end, so no other index changes.
    pub(super) fn enter(&mut self, mut numbers: Vec<usize>) -> nix::Result<()> {
        let mut attempts = 0;
        while let Some(number) = numbers.pop() {
            let before = self.strangers();
            if let Some(before) = &before {
                let lost = self.order.see(before);
                self.take_out(&lost);
                numbers.extend(lost);
            }
            let listener = self.listeners.get(number).ok_or(Errno::ENOENT)?;
            listener::listen(&listener.fd, self.backlog)?;
            attempts += 1;
            // The last attempt is believed, because a worker that gets nothing is worse.
            let certain = before.is_none() || attempts >= ATTEMPTS || !self.strangers_changed();
            if certain {
                self.order.join(number);
            } else {
                let _ = listener::stop_listening(&listener.fd);
                numbers.push(number);
            }
        }
        Ok(())
    }
}

impl DatagramGroup {
    /// Whether a socket that is not ours is in the group.
    pub(super) fn has_strangers(&self) -> bool {
        let first = self.descriptors().next().filter(|_| self.steered);
        let sockets = first.and_then(|_| listed(self.key));
        first.zip(sockets).is_some_and(|(first, sockets)| {
            let stranger = |socket: &Bound| {
                !self.owns(socket.inode) && is_in_group(socket, self.key, first, None)
            };
            sockets.iter().any(stranger)
        })
    }
}

impl Looks {
    /// Wakes the thread, which watches new listeners too.
    pub fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake();
        }
    }

    /// Somebody looks for strangers soon.
    pub fn want(&mut self) {
        if let Some(waker) = self.waker.as_ref().filter(|_| !self.wanted) {
            self.wanted = true;
            waker.wake();
        }
    }
}

impl State {
    /// Somebody looks for strangers soon, unless that was done lately.
    pub(super) fn want_look(&mut self) {
        if self.clock.now().since(self.looks.last) >= BETWEEN {
            self.looks.want();
        }
    }

    /// The sockets on a port of ours that are not ours: in the group, or at an address that ours includes or that
    /// includes ours.
    fn strangers_at(
        &self,
        key: PortKey,
        is_member: impl Fn(&Bound, &[Bound]) -> bool,
    ) -> Vec<Stranger> {
        let Some(sockets) = listed(key) else {
            return Vec::new();
        };
        let ours = |socket: &Bound| self.owner(socket.inode).is_some();
        let rival =
            |socket: &&Bound| !ours(socket) && key_of(socket, key.transport).conflicts(&key);
        let strangers = sockets.iter().filter(rival);
        strangers
            .map(|socket| Stranger {
                key,
                addr: socket.addr,
                inode: socket.inode,
                uid: socket.uid,
                joined: is_member(socket, &sockets),
            })
            .collect()
    }
}

impl SharedPorts {
    /// `waker` wakes the thread that calls [`Self::look_for_strangers`].
    pub(super) fn wake_for_strangers(&self, waker: &Waker) {
        self.lock().looks.waker = Some(waker.clone());
    }

    /// Whether somebody wants a look.
    pub(super) fn wants_look(&self) -> bool {
        self.lock().looks.wanted
    }

    /// Compares the members of all groups with what is believed, corrects the steering, and returns the strangers.
    pub(super) fn look_for_strangers(&self) -> Look {
        let mut state = self.lock();
        let state = &mut *state;
        let now = state.clock.now();
        let mut look = Look {
            since: now.since(state.looks.last),
            ..Look::default()
        };
        state.looks.last = now;
        state.looks.wanted = false;
        for group in &mut state.groups {
            group.compare();
            if let Err(errno) = group.steer(&state.rotation) {
                look.events
                    .push(PortEvent::steering_failed(group.key, errno));
            }
            look.fragile |= group.order.is_fragile();
        }
        for group in &state.groups {
            let Some(first) = group.listeners.first().filter(|_| group.steering.is_some()) else {
                continue;
            };
            let own = |sockets: &[Bound]| {
                sockets
                    .iter()
                    .find(|socket| group.owns(socket.inode))
                    .copied()
            };
            look.strangers
                .extend(state.strangers_at(group.key, |socket, all| {
                    is_in_group(socket, group.key, &first.fd, own(all).as_ref())
                }));
        }
        for group in &state.datagrams {
            let first = group.descriptors().next().filter(|_| group.steered);
            let Some(first) = first else { continue };
            look.strangers
                .extend(state.strangers_at(group.key, |socket, _| {
                    is_in_group(socket, group.key, first, None)
                }));
        }
        look
    }
}
