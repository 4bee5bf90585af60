//! One shared UDP port: its sockets, their indexes in the kernel's group, and the steering program.

use std::os::fd::OwnedFd;

use crate::model::{Bpf, ListenerId, QueueKind, QueueSample, SlotId};
use crate::policy::Rotation;
use crate::policy::handover::PortKey;
use crate::policy::steering::flow_program;
use crate::ports::PortSettings;
use crate::ports::told::{Options, carry};
use crate::sys::sockopt::SocketOption;
use crate::sys::{datagram, listener, steering};

/// One socket of a shared UDP port.
#[derive(Debug)]
struct Member {
    fd: OwnedFd,
    inode: u64,
    /// A worker has it now.
    taken: bool,
    /// A worker has or had it.
    ever: bool,
    /// What undoes the options that the program of a worker set before its `bind`.
    back: Vec<SocketOption>,
}

impl Member {
    fn bound(key: PortKey, reuse: bool) -> nix::Result<Self> {
        let fd = datagram::bound(key.addr, key.v6only, reuse)?;
        Ok(Self {
            inode: listener::inode(&fd)?,
            fd,
            taken: false,
            ever: false,
            back: Vec::new(),
        })
    }

    fn is_connected(&self) -> bool {
        datagram::is_connected(&self.fd)
    }
}

/// A SO_REUSEPORT group; or one common socket where steering is not possible. Unlike listeners, sockets are members from
/// their `bind` on, spares too; the program keeps datagrams away from them.
#[derive(Debug)]
pub(in crate::ports) struct DatagramGroup {
    pub key: PortKey,
    members: Vec<Member>,
    /// The numbers of the members, in the order of their indexes in the kernel's group: that of the `bind` calls.
    order: Vec<usize>,
    steered: bool,
    program: Option<Vec<Bpf>>,
    /// A worker has or had a socket of this group.
    pub used: bool,
    /// The program of a worker has a socket of its own in the group. Indexes after it are not known for certain.
    strangers: bool,
}

impl DatagramGroup {
    /// Opens all sockets at once, that of `first` before all others.
    pub fn open(
        key: PortKey,
        settings: &PortSettings,
        first: Option<ListenerId>,
        rotation: &Rotation,
    ) -> nix::Result<Self> {
        let mut group = Self {
            key,
            members: Vec::new(),
            order: Vec::new(),
            steered: settings.steering.is_some(),
            program: None,
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
        let mut early = Some(Member::bound(key, group.steered)?);
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

    /// Ensures that the socket exists. Fails with EBUSY if its index would not be known.
    pub fn join(&mut self, listener: ListenerId) -> nix::Result<()> {
        let number = self.number(listener);
        while self.members.len() <= number {
            if self.strangers {
                return Err(nix::errno::Errno::EBUSY);
            }
            self.members.push(Member::bound(self.key, self.steered)?);
            self.order.push(self.members.len() - 1);
        }
        Ok(())
    }

    fn number(&self, listener: ListenerId) -> usize {
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

    /// A socket of the program's own beside the worker's: a program that connects one socket to each client opens the
    /// next one at the same address. The steering never chooses it; it gets what its peer sends.
    pub fn another(&mut self) -> nix::Result<OwnedFd> {
        let fd = datagram::bound(self.key.addr, self.key.v6only, self.steered)?;
        self.strangers = true;
        Ok(fd)
    }

    /// All descriptors, by number.
    pub fn descriptors(&self) -> impl Iterator<Item = &OwnedFd> {
        self.members.iter().map(|member| &member.fd)
    }

    /// Whether `inode` is one of our sockets.
    pub fn owns(&self, inode: u64) -> bool {
        self.members.iter().any(|member| member.inode == inode)
    }

    /// Whether a worker has a socket of this group now.
    pub fn is_held(&self) -> bool {
        self.members.iter().any(|member| member.taken)
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
        if let Some(member) = self.members.get_mut(number) {
            member.taken = true;
            member.ever = true;
        }
    }

    /// Marks the socket as free after its worker ended. If the worker's program had connected it to one client, it is
    /// of no use to others: the next worker gets a new one.
    pub fn release(&mut self, listener: ListenerId) {
        let number = usize::from(listener.0);
        if !self.steered {
            return;
        }
        if let Some(member) = self.members.get_mut(number) {
            member.taken = false;
        }
        if self.members.get(number).is_some_and(Member::is_connected) {
            self.renew(number);
        }
    }

    /// Replaces a socket. Without a new one, this member stays out of the steering.
    fn renew(&mut self, number: usize) {
        let Some(old) = self.members.get(number) else {
            return;
        };
        let belongs = self.is_member(old);
        let new = Member::bound(self.key, self.steered);
        if !belongs || new.is_err() {
            self.leave(number);
        }
        if let (Some(old), Ok(new)) = (self.members.get_mut(number), new) {
            let ever = old.ever;
            // When the old one is closed, the last member of the kernel's group, the new one, moves to its index.
            *old = Member { ever, ..new };
            if !belongs {
                self.order.push(number);
            }
        }
        self.program = None;
    }

    /// Whether the socket is in the kernel's group: the kernel takes it out when a program connects it.
    fn is_member(&self, member: &Member) -> bool {
        let program = self.program.as_deref();
        program.is_some_and(|code| steering::attach(&member.fd, code).is_ok())
    }

    /// The kernel has taken this member out of the group, and the last one has its index.
    fn leave(&mut self, number: usize) {
        if let Some(index) = self.order.iter().position(|other| *other == number) {
            self.order.swap_remove(index);
            self.program = None;
        }
    }

    /// Notices which members have left the kernel's group.
    fn notice(&mut self) {
        let left: Vec<usize> = (0_usize..)
            .zip(&self.members)
            .filter(|(_, member)| member.is_connected() && !self.is_member(member))
            .map(|(number, _)| number)
            .collect();
        for number in left {
            self.leave(number);
        }
    }

    /// Whether datagrams wait in the socket of this listener. `None` if its worker has not taken it.
    pub fn is_waiting(&self, listener: ListenerId) -> Option<bool> {
        let member = self.members.get(self.number(listener))?;
        let waiting = || datagram::queue(&member.fd).is_ok_and(|queue| queue.bytes > 0);
        member.taken.then(waiting)
    }

    /// The members that get datagrams: for each seat its own if its worker is live. If none is, all that are expected.
    fn targets(&self, rotation: &Rotation) -> (Vec<Option<usize>>, Vec<usize>) {
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
        if !self.steered {
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
            && wanted != self.program
            && let Some(member) = self
                .order
                .first()
                .and_then(|first| self.members.get(*first))
        {
            steering::attach(&member.fd, code)?;
            self.program = wanted;
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
}

#[cfg(test)]
mod tests;
