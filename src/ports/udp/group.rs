//! One shared UDP port: its sockets, their indexes in the kernel's group, and the steering program.

use std::os::fd::OwnedFd;

use crate::model::{Bpf, ListenerId, QueueKind, QueueSample, SlotId, Tick};
use crate::policy::Rotation;
use crate::policy::handover::PortKey;
use crate::policy::steering::flow_program;
use crate::ports::PortSettings;
use crate::ports::told::{Options, carry};
use crate::sys::sockopt::{Joined, SocketOption};
use crate::sys::{datagram, listener, steering};

use super::own::Own;

/// One socket of a shared UDP port.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) fd: OwnedFd,
    inode: u64,
    /// A worker has it now.
    pub(super) taken: bool,
    /// Since when no worker has it.
    pub(super) free_since: Tick,
    /// A worker has or had it.
    ever: bool,
    /// What undoes the options that the program of a worker set before its `bind`.
    back: Vec<SocketOption>,
    /// The multicast groups that the program of its worker has joined.
    pub(super) joined: Vec<Joined>,
}

impl Member {
    fn bound(key: PortKey, reuse: bool) -> nix::Result<Self> {
        Self::of(datagram::bound(key.addr, key.v6only, reuse)?)
    }

    fn of(fd: OwnedFd) -> nix::Result<Self> {
        Ok(Self {
            inode: listener::inode(&fd)?,
            fd,
            taken: false,
            free_since: Tick::default(),
            ever: false,
            back: Vec::new(),
            joined: Vec::new(),
        })
    }

    pub(super) fn is(&self, inode: u64) -> bool {
        self.inode == inode
    }

    pub(super) fn is_connected(&self) -> bool {
        datagram::is_connected(&self.fd)
    }
}

/// The steering program.
#[derive(Debug, Default)]
pub(super) struct Attached {
    code: Option<Vec<Bpf>>,
    /// The kernel's group has it. If not, it may have none: a group ends with its last member.
    pub(super) certain: bool,
}

/// A SO_REUSEPORT group; or one common socket where steering is not possible. Unlike listeners, sockets are members from
/// their `bind` on, spares too; the program keeps datagrams away from them.
#[derive(Debug)]
pub(in crate::ports) struct DatagramGroup {
    pub key: PortKey,
    pub(super) members: Vec<Member>,
    /// The numbers of the members, in the order of their indexes in the kernel's group: that of the `bind` calls.
    pub(super) order: Vec<usize>,
    pub steered: bool,
    pub(super) program: Attached,
    /// Once the kernel chooses; see [`super::own`].
    pub(super) own: Option<Own>,
    /// A worker has or had a socket of this group.
    pub used: bool,
    /// The program of a worker has a socket of its own in the group. Indexes after it are not known for certain.
    pub(super) strangers: bool,
}

impl DatagramGroup {
    /// Opens all sockets at once, that of `first` before all others. Fails with EADDRINUSE if another process has the port,
    /// unless we are `beside` another port of ours that includes the address.
    pub fn open(
        key: PortKey,
        settings: &PortSettings,
        first: Option<ListenerId>,
        (rotation, beside): (&Rotation, bool),
    ) -> nix::Result<Self> {
        let mut group = Self {
            key,
            members: Vec::new(),
            order: Vec::new(),
            steered: settings.steering.is_some(),
            program: Attached::default(),
            own: None,
            used: false,
            strangers: false,
        };
        let seats = rotation
            .seats
            .iter()
            .map(|(listener, _)| group.number(*listener));
        let highest = seats.chain(first.map(|first| group.number(first))).max();
        let count = if group.steered {
            let wanted = usize::from(settings.listeners);
            highest.map_or(wanted, |highest| wanted.max(highest + 1))
        } else {
            1
        };
        let first = first.map_or(0, |first| group.number(first));
        // A datagram that comes before the program is attached is the first member's: it has a worker.
        let mut early = Some(if group.steered && !beside {
            Member::of(datagram::first(key.addr, key.v6only)?)?
        } else {
            Member::bound(key, group.steered)?
        });
        if let Some(member) = early.as_ref().filter(|_| group.steered)
            && let Some(code) = flow_program(1, &[], &[0])
        {
            steering::attach(&member.fd, &code)?;
        }
        group.order.push(first);
        for number in 0..count {
            let member = if let Some(member) = early.take_if(|_| number == first) {
                member
            } else {
                group.order.push(number);
                Member::bound(key, group.steered)?
            };
            group.members.push(member);
        }
        if let Some(member) = group.members.get_mut(first) {
            member.ever = group.steered;
        }
        group.steer(rotation)?;
        Ok(group)
    }

    /// Ensures that the socket exists, unless the kernel chooses.
    pub fn join(&mut self, listener: ListenerId) -> nix::Result<()> {
        let number = self.number(listener);
        if self.members.len() <= number && (self.strangers || self.has_strangers()) {
            // The index of a new socket would not be known.
            self.let_the_kernel_choose();
        }
        while self.own.is_none() && self.members.len() <= number {
            self.members.push(Member::bound(self.key, self.steered)?);
            self.order.push(self.members.len() - 1);
        }
        Ok(())
    }

    pub(super) fn number(&self, listener: ListenerId) -> usize {
        if self.steered {
            usize::from(listener.0)
        } else {
            0
        }
    }

    /// The descriptor and the inode of this socket.
    pub fn socket(&self, listener: ListenerId) -> Option<(&OwnedFd, u64)> {
        let member = self.members.get(self.number(listener))?;
        Some((&member.fd, member.inode))
    }

    /// The inode of this socket; `None` for a common socket.
    pub fn inode(&self, listener: ListenerId) -> Option<u64> {
        let socket = self.socket(listener).filter(|_| self.steered);
        socket.map(|(_, inode)| inode)
    }

    /// The inodes of all sockets; none for a common socket.
    pub fn inodes(&self) -> impl Iterator<Item = (ListenerId, u64)> {
        let all = self.members.iter().filter(|_| self.steered);
        (0..).map(ListenerId).zip(all.map(|member| member.inode))
    }

    /// All descriptors, by number.
    pub fn descriptors(&self) -> impl Iterator<Item = &OwnedFd> {
        self.members.iter().map(|member| &member.fd)
    }

    /// Whether `inode` is one of our sockets.
    pub fn owns(&self, inode: u64) -> bool {
        self.members.iter().any(|member| member.is(inode))
    }

    /// Whether a worker has a socket of this group now.
    pub fn is_held(&self) -> bool {
        let own = self.own.as_ref().is_some_and(|own| !own.holders.is_empty());
        own || self.members.iter().any(|member| member.taken)
    }

    /// Whether O_NONBLOCK may be cleared before the next worker gets a socket, see `Group::may_block`.
    pub fn may_block(&self) -> bool {
        self.steered || !self.used
    }

    /// Sets the options that the worker's program has set before its `bind`.
    pub fn carry(&mut self, listener: ListenerId, options: &Options) {
        let number = self.number(listener);
        if let Some(member) = self.members.get_mut(number) {
            carry(&member.fd, options, &mut member.back);
        }
    }

    /// Marks the socket as taken by a worker.
    pub fn take(&mut self, listener: ListenerId) {
        let number = self.number(listener);
        self.used = true;
        if let Some(own) = &mut self.own {
            own.holders.insert(listener);
        }
        if let Some(member) = self.members.get_mut(number) {
            member.taken = true;
            member.ever = true;
        }
    }

    /// Marks the socket as free after its worker ended. If the worker's program had connected it to one client, it is
    /// of no use to others: the next worker gets a new one.
    pub fn release(&mut self, listener: ListenerId, now: Tick) {
        let number = usize::from(listener.0);
        if !self.steered {
            return;
        }
        if let Some(own) = &mut self.own {
            own.holders.remove(&listener);
        }
        if let Some(member) = self.members.get_mut(number) {
            member.taken = false;
            member.free_since = now;
            member.leave_groups();
        }
        if self.members.get(number).is_some_and(Member::is_connected) {
            self.notice();
            self.renew(number);
        }
    }

    /// Replaces a socket. Without a new one, this member stays out of the steering.
    pub(super) fn renew(&mut self, number: usize) {
        if self.members.len() <= number {
            return;
        }
        let belongs = self.order.contains(&number);
        let new = Member::bound(self.key, self.steered);
        if !belongs || new.is_err() {
            self.leave(number);
        }
        if let (Some(old), Ok(new)) = (self.members.get_mut(number), new) {
            let (ever, free_since) = (old.ever, old.free_since);
            // When the old one is closed, the last member of the kernel's group, the new one, moves to its index.
            *old = Member {
                free_since,
                ever,
                ..new
            };
            if !belongs {
                self.order.push(number);
            }
        }
        self.program.certain = false;
    }

    /// Whether the socket is in the kernel's group: the kernel takes it out when a program connects it.
    fn is_member(&self, member: &Member) -> bool {
        let program = self.program.code.as_deref();
        program.is_some_and(|code| steering::attach(&member.fd, code).is_ok())
    }

    /// The kernel has taken this member out of the group, and the last one has its index.
    fn leave(&mut self, number: usize) {
        if let Some(index) = self.order.iter().position(|other| *other == number) {
            self.order.swap_remove(index);
            self.program.certain = false;
        }
    }

    /// Notices which members have left the kernel's group. The kernel moves its last socket to the index of one that
    /// leaves. If two have left, or the last socket is not ours, the indexes are not known.
    pub(super) fn notice(&mut self) {
        let left = |number: &usize| {
            let member = self.members.get(*number);
            member.is_some_and(|member| member.is_connected() && !self.is_member(member))
        };
        let left: Vec<usize> = self.order.iter().copied().filter(left).collect();
        if left.len() > 1 || self.strangers && !left.is_empty() {
            self.let_the_kernel_choose();
        } else if let Some(number) = left.first() {
            self.leave(*number);
        }
    }

    /// Whether datagrams wait in the socket of this listener. `None` if its worker has not taken it.
    pub fn is_waiting(&self, listener: ListenerId) -> Option<bool> {
        let member = self.members.get(self.number(listener))?;
        let waiting = || datagram::queue(&member.fd).is_ok_and(|queue| queue.bytes > 0);
        member.taken.then(waiting)
    }

    /// The members that get datagrams: for each seat its own if its worker is live. If none is, all that are expected.
    pub(super) fn targets(&self, rotation: &Rotation) -> (Vec<Option<usize>>, Vec<usize>) {
        let can = |listener: &ListenerId, keep: fn(&Member) -> bool| {
            let number = usize::from(listener.0);
            let member = self.members.get(number)?;
            let served = keep(member) && !member.is_connected();
            served.then_some(number)
        };
        let mut seats = rotation.seats.clone();
        seats.sort_unstable_by_key(|(_, slot)| *slot);
        let seats = seats.iter().map(|(listener, _)| {
            let live = rotation.live.contains(listener);
            can(listener, |member| member.taken).filter(|_| live)
        });
        let homes: Vec<Option<usize>> = seats.collect();
        let mut live: Vec<usize> = homes.iter().flatten().copied().collect();
        for keep in [|member: &Member| member.ever, |_: &Member| true] {
            if live.is_empty() {
                let expected = rotation.expected.iter();
                live = expected.filter_map(|one| can(one, keep)).collect();
            }
        }
        if live.is_empty() {
            live.extend(self.order.first());
        }
        (homes, live)
    }

    /// Replaces the steering program if the rotation needs another one.
    pub fn steer(&mut self, rotation: &Rotation) -> nix::Result<()> {
        if !self.steered || self.own.is_some() {
            return Ok(());
        }
        self.notice();
        let mut places = vec![None; self.members.len()];
        for (index, number) in (0_u32..).zip(&self.order) {
            if let Some(place) = places.get_mut(*number) {
                *place = Some(index);
            }
        }
        let place = |number: usize| places.get(number).copied().flatten();
        let (homes, live) = self.targets(rotation);
        let homes: Vec<Option<u32>> = homes.into_iter().map(|home| home.and_then(place)).collect();
        let live: Vec<u32> = live.into_iter().filter_map(place).collect();
        let count = u32::try_from(self.order.len()).unwrap_or(u32::MAX);
        let wanted = flow_program(count, &homes, &live);
        if let Some(code) = &wanted
            && (!self.program.certain || wanted != self.program.code)
            && let Some(member) = self.steerable()
        {
            steering::attach(&member.fd, code)?;
            self.program = Attached {
                code: wanted,
                certain: true,
            };
        }
        Ok(())
    }

    /// The queue of each socket, by number.
    pub fn queues(&self, rotation: &Rotation) -> Vec<QueueSample> {
        let (_, live) = self.targets(rotation);
        let seat = |number: usize| -> Option<SlotId> {
            let mut seats = rotation.seats.iter();
            let found = seats.find(|(listener, _)| usize::from(listener.0) == number);
            found.filter(|_| self.steered).map(|(_, slot)| *slot)
        };
        let sample = |(number, member): (usize, &Member)| {
            let queue = datagram::queue(&member.fd).ok()?;
            Some(QueueSample {
                listener: self.key.to_string(),
                worker: seat(number),
                kind: QueueKind::Datagrams {
                    dropped: queue.dropped,
                },
                length: queue.bytes,
                limit: queue.limit,
                in_rotation: !self.steered || live.contains(&number),
                held: member.taken,
            })
        };
        self.members.iter().enumerate().filter_map(sample).collect()
    }
}

#[cfg(test)]
mod tests;
