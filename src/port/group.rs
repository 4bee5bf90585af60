//! One shared port: its listeners, their places in the group, and the program that chooses among them.
#![forbid(unsafe_code)]

use std::os::fd::OwnedFd;

use crate::model::{Bpf, QueueSample, SlotId};
use crate::policy::Rotation;
use crate::policy::handover::PortKey;
use crate::policy::steering::program;
use crate::sys::{listener, steering};

use super::{SPARES, Settings, Steering};

#[derive(Debug)]
pub(super) struct Listener {
    pub fd: OwnedFd,
    pub inode: u64,
    /// The slot's present worker has it.
    pub taken: bool,
    /// Some worker of the slot had it.
    pub ever: bool,
}

/// A SO_REUSEPORT group, or one common socket where steering is not to be had.
#[derive(Debug)]
pub(super) struct Group {
    pub key: PortKey,
    pub(super) listeners: Vec<Listener>,
    /// By index in the kernel's group: the number of the listener. Index = order of `listen` (socket(7)).
    pub(super) order: Vec<usize>,
    pub(super) steering: Option<Steering>,
    pub(super) program: Option<Vec<Bpf>>,
    pub(super) backlog: u32,
    pub(super) slots: usize,
    /// Some worker had a listener of it.
    used: bool,
}

impl Group {
    /// Opens all listeners at once, that of `first` before all others. Spares are bound and do not listen yet: nobody
    /// serves them, and a member of the group may get connections at any moment, whatever the program says (when a
    /// listener leaves, the last member moves into its place).
    pub fn open(
        key: PortKey,
        settings: &Settings,
        first: Option<SlotId>,
        rotation: &Rotation,
    ) -> nix::Result<Self> {
        let slots = usize::from(settings.slots);
        let reuse = settings.steering.is_some();
        let count = if reuse {
            slots + usize::from(SPARES)
        } else {
            1
        };
        let first = first.map_or(0, |slot| usize::from(slot.0)).min(count - 1);
        let mut listeners = Vec::with_capacity(count);
        for number in 0..count {
            let fd = listener::bound(key.addr, key.v6only, reuse)?;
            let inode = listener::inode(&fd)?;
            let ever = number == first && reuse;
            listeners.push(Listener {
                fd,
                inode,
                taken: false,
                ever,
            });
        }
        let mut order: Vec<usize> = (0..count.min(slots))
            .filter(|number| *number != first)
            .collect();
        order.insert(0, first);
        let mut group = Self {
            key,
            listeners,
            order: Vec::new(),
            steering: settings.steering,
            program: None,
            backlog: settings.backlog,
            slots,
            used: false,
        };
        group.listen_in(order, rotation)?;
        Ok(group)
    }

    /// Makes those listen, none of whom does, in this order. The program is attached as soon as there is a group, and
    /// while only some listen an index beyond them falls back to the kernel's hash over those that do. It cannot be
    /// attached before: `listen` of a socket that has a program fails with EADDRINUSE where another listens already.
    pub(super) fn listen_in(&mut self, order: Vec<usize>, rotation: &Rotation) -> nix::Result<()> {
        self.order = order;
        self.program = None;
        for (place, number) in self.order.iter().enumerate() {
            if let Some(listener) = self.listeners.get(*number) {
                listener::listen(&listener.fd, self.backlog)?;
            }
            if place == 0
                && let Some(code) = self.wanted(rotation)
                && let Some(member) = self.listeners.get(*number)
            {
                steering::attach(&member.fd, &code)?;
                self.program = Some(code);
            }
        }
        Ok(())
    }

    /// The number of the listener that serves `slot`.
    fn seat(&self, slot: SlotId) -> usize {
        if self.steering.is_some() {
            usize::from(slot.0)
        } else {
            0
        }
    }

    /// The slot's listener.
    pub fn listener(&self, slot: SlotId) -> Option<&OwnedFd> {
        self.listeners
            .get(self.seat(slot))
            .map(|listener| &listener.fd)
    }

    /// All of them, by number.
    pub fn descriptors(&self) -> impl Iterator<Item = &OwnedFd> {
        self.listeners.iter().map(|listener| &listener.fd)
    }

    /// Whether a descriptor with this inode is one of ours.
    pub fn owns(&self, inode: u64) -> bool {
        self.listeners
            .iter()
            .any(|listener| listener.inode == inode)
    }

    /// Whether any worker ever had a listener of it.
    pub fn used(&self) -> bool {
        self.used
    }

    /// Whether O_NONBLOCK may be taken away before the next worker gets a listener. The flag lives in the open file
    /// description: those who have the common socket may rely on it, and would wait in `accept` for ever.
    pub fn may_block(&self) -> bool {
        self.steering.is_some() || !self.used()
    }

    /// The slot's worker has its listener now.
    pub fn take(&mut self, slot: SlotId) {
        let seat = self.seat(slot);
        self.used = true;
        if let Some(listener) = self.listeners.get_mut(seat) {
            listener.taken = true;
            listener.ever = true;
        }
    }

    /// The slot's worker is gone. The common socket stays taken: others have it.
    pub fn release(&mut self, slot: SlotId) {
        if self.steering.is_some()
            && let Some(listener) = self.listeners.get_mut(usize::from(slot.0))
        {
            listener.taken = false;
        }
    }

    /// Whether the slot's worker has its listener.
    pub fn taken(&self, slot: SlotId) -> bool {
        self.listeners
            .get(self.seat(slot))
            .is_some_and(|listener| listener.taken)
    }

    /// The slots that get new connections: the live that listen here. With none of them, those that did, then all
    /// that are expected, so that clients wait in a queue which somebody will serve.
    fn targets(&self, rotation: &Rotation) -> Vec<usize> {
        let pick = |from: &[SlotId], keep: fn(&Listener) -> bool| -> Vec<usize> {
            let numbers = from.iter().map(|slot| usize::from(slot.0));
            numbers
                .filter(|number| self.listeners.get(*number).is_some_and(keep))
                .collect()
        };
        let choices = [
            pick(&rotation.live, |listener| listener.taken),
            pick(&rotation.expected, |listener| listener.ever),
            pick(&rotation.expected, |_| true),
            (0..self.slots.min(self.listeners.len())).collect(),
        ];
        choices
            .into_iter()
            .find(|targets| !targets.is_empty())
            .unwrap_or_default()
    }

    /// The program for this rotation; `None` on a common socket.
    fn wanted(&self, rotation: &Rotation) -> Option<Vec<Bpf>> {
        let how = self.steering?;
        let place = |number: usize| {
            let index = self.order.iter().position(|other| *other == number)?;
            u32::try_from(index).ok()
        };
        let mut targets = self.targets(rotation);
        // By number and not by place, so that a hash means the same slot after a repair.
        targets.sort_unstable();
        let live: Vec<u32> = targets.into_iter().filter_map(place).collect();
        let nowhere = live.first().copied().unwrap_or(0);
        let members = self.order.len();
        let places: Vec<u32> = (0..members)
            .map(|number| place(number).unwrap_or(nowhere))
            .collect();
        program(&places, &live, how.choice, how.probe)
    }

    /// Replaces the program if the rotation asks for another one than is attached.
    pub fn steer(&mut self, rotation: &Rotation) -> nix::Result<()> {
        let wanted = self.wanted(rotation);
        if let Some(code) = &wanted
            && wanted != self.program
            && let Some(member) = self.member()
        {
            steering::attach(&member.fd, code)?;
            self.program = wanted;
        }
        Ok(())
    }

    /// A listener that is in the group now. One that a worker has shut down is not: attaching through it would give it
    /// a group of its own, into which it could never listen again.
    fn member(&self) -> Option<&Listener> {
        self.listeners
            .iter()
            .find(|listener| listener::queue(&listener.fd).is_ok_and(|queue| queue.listening))
    }

    /// Source port that reaches the slot's listener from a loopback address.
    pub fn probe_port(&self, slot: SlotId) -> Option<u16> {
        let base = self.steering?.probe?.base;
        base.checked_add(u16::try_from(self.seat(slot)).ok()?)
    }

    /// Sets every backlog back: programs that got their descriptor by activation lower it (`listen(5)`). One that
    /// does not listen is not our business here: it would come back without its place being known.
    pub fn restore_backlog(&self) {
        for listener in &self.listeners {
            if listener::queue(&listener.fd).is_ok_and(|queue| queue.listening) {
                // The next look shows it if this failed; nothing else depends on it.
                let _ = listener::listen(&listener.fd, self.backlog);
            }
        }
    }

    /// Clients that wait to be accepted, on all listeners.
    pub fn waiting(&self) -> u32 {
        self.listeners
            .iter()
            .filter_map(|listener| listener::queue(&listener.fd).ok())
            .map(|queue| queue.length)
            .sum()
    }

    /// Queue of each listener, by number.
    pub fn queues(&self, rotation: &Rotation) -> Vec<QueueSample> {
        let targets = self.targets(rotation);
        let common = self.steering.is_none();
        let sample = |(number, listener): (usize, &Listener)| {
            let queue = listener::queue(&listener.fd).ok()?;
            if !self.order.contains(&number) {
                return None;
            }
            let worker = u16::try_from(number)
                .ok()
                .filter(|_| !common && number < self.slots)
                .map(SlotId);
            Some(QueueSample {
                listener: self.key.addr.to_string(),
                worker,
                length: queue.length,
                limit: queue.limit,
                in_rotation: common || targets.contains(&number),
                held: listener.taken,
            })
        };
        self.listeners
            .iter()
            .enumerate()
            .filter_map(sample)
            .collect()
    }

    /// Queue of the slot's listener.
    pub fn queue_length(&self, slot: SlotId) -> Option<u32> {
        self.listener(slot)
            .and_then(|fd| listener::queue(fd).ok())
            .map(|queue| queue.length)
    }

    /// Takes the program away before our descriptors are closed: indices move as members leave.
    pub fn let_go(&self) {
        if self.steering.is_some()
            && let Some(member) = self.member()
        {
            // The descriptors are closed next; without the program the kernel's hash takes over.
            let _ = steering::detach(&member.fd);
        }
    }
}

#[cfg(test)]
mod tests;
