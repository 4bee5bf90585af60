//! One shared port: its listeners, their places in the group, and the program that chooses among them.

use std::os::fd::OwnedFd;

use tokio::sync::oneshot;

use crate::model::{Bpf, ListenerId, QueueSample, SlotId};
use crate::policy::Rotation;
use crate::policy::handover::PortKey;
use crate::policy::steering::program;
use crate::sys::{listener, steering};

use super::balance::Standing;
use super::{Settings, Steering};

#[derive(Debug)]
pub(super) struct Listener {
    pub fd: OwnedFd,
    pub inode: u64,
    /// A worker has it.
    pub taken: bool,
    /// Some worker had it.
    pub ever: bool,
    /// What its present worker has made of it.
    pub(super) standing: Standing,
    /// The balancing thread is woken when a connection arrives.
    pub(super) watched: bool,
    /// We accept on it ourselves as long as this is here; whoever takes it away does so under the lock.
    pub(super) rescue: Option<oneshot::Sender<()>>,
}

impl Listener {
    /// A new one, bound; nobody has it.
    pub(super) fn bound(key: PortKey, reuse: bool) -> nix::Result<Self> {
        let fd = listener::bound(key.addr, key.v6only, reuse)?;
        Ok(Self {
            inode: listener::inode(&fd)?,
            fd,
            taken: false,
            ever: false,
            standing: Standing::default(),
            watched: false,
            rescue: None,
        })
    }
}

/// What the rotation has for a listener.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    listens: bool,
    in_rotation: bool,
    worker: Option<SlotId>,
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
    /// Some worker had a listener of it.
    used: bool,
}

impl Group {
    /// Opens all listeners at once. Those of `seats` listen, the first of them before all others. Spares are bound and
    /// do not listen before a worker takes them: nobody serves them, and a member of the group may get connections at
    /// any moment, whatever the program says (when a listener leaves, the last member moves into its place).
    pub fn open(
        key: PortKey,
        settings: &Settings,
        first: Option<ListenerId>,
        rotation: &Rotation,
    ) -> nix::Result<Self> {
        let reuse = settings.steering.is_some();
        let mut group = Self {
            key,
            listeners: Vec::new(),
            order: Vec::new(),
            steering: settings.steering,
            program: None,
            backlog: settings.backlog,
            used: false,
        };
        let seats = rotation.seats.iter().map(|(listener, _)| *listener);
        let mut order: Vec<usize> = Vec::new();
        for listener in first.into_iter().chain(seats) {
            let number = group.number(listener);
            if !order.contains(&number) {
                order.push(number);
            }
        }
        let highest = order.iter().max().map_or(0, |number| number + 1);
        let count = if reuse {
            highest.max(usize::from(settings.listeners))
        } else {
            1
        };
        group.extend(count)?;
        if let Some(listener) = order.first().and_then(|at| group.listeners.get_mut(*at)) {
            listener.ever = reuse && first.is_some();
        }
        group.listen_in(order, rotation)?;
        Ok(group)
    }

    /// Opens listeners until there are so many; they do not listen yet.
    fn extend(&mut self, count: usize) -> nix::Result<()> {
        while self.listeners.len() < count {
            self.listeners
                .push(Listener::bound(self.key, self.steering.is_some())?);
        }
        Ok(())
    }

    /// Makes sure that the listener is there and in the group, at the end if it is new: no other one changes its
    /// place. It gets nothing before the rotation says so.
    pub fn join(&mut self, listener: ListenerId, rotation: &Rotation) -> nix::Result<()> {
        let number = self.number(listener);
        self.extend(number + 1)?;
        if self.order.contains(&number) {
            return Ok(());
        }
        if let Some(new) = self.listeners.get(number) {
            listener::listen(&new.fd, self.backlog)?;
        }
        self.order.push(number);
        // A probe can be sent to it from now on.
        self.steer(rotation).map(drop)
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

    /// Its place among the listeners of this port; there is but one where it is common.
    pub(super) fn number(&self, listener: ListenerId) -> usize {
        if self.steering.is_some() {
            usize::from(listener.0)
        } else {
            0
        }
    }

    /// The listener of that number.
    pub fn listener(&self, listener: ListenerId) -> Option<&OwnedFd> {
        self.listeners
            .get(self.number(listener))
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

    /// Whether any worker has a listener of it now.
    pub fn is_held(&self) -> bool {
        self.listeners.iter().any(|listener| listener.taken)
    }

    /// Whether O_NONBLOCK may be taken away before the next worker gets a listener. The flag lives in the open file
    /// description: those who have the common socket may rely on it, and would wait in `accept` for ever.
    pub fn may_block(&self) -> bool {
        self.steering.is_some() || !self.used()
    }

    /// A worker has the listener now.
    pub fn take(&mut self, listener: ListenerId) {
        let number = self.number(listener);
        self.used = true;
        if let Some(listener) = self.listeners.get_mut(number) {
            listener.taken = true;
            listener.ever = true;
            // How long its queue stood still is the fault of the worker before.
            listener.standing = Standing::default();
        }
    }

    /// Its worker is gone. The common socket stays taken: others have it.
    pub fn release(&mut self, listener: ListenerId) {
        if self.steering.is_some()
            && let Some(listener) = self.listeners.get_mut(usize::from(listener.0))
        {
            listener.taken = false;
        }
    }

    /// Whether a worker has the listener.
    pub fn taken(&self, listener: ListenerId) -> bool {
        self.listeners
            .get(self.number(listener))
            .is_some_and(|listener| listener.taken)
    }

    /// The listeners that get new connections: the live that are listened on here. With none of them, those that were,
    /// then all that are expected, so that clients wait in a queue which somebody will serve.
    pub(super) fn targets(&self, rotation: &Rotation) -> Vec<usize> {
        let places = self.places();
        let listens = |number: &usize| places.get(*number).is_some_and(Option::is_some);
        let pick = |from: &[ListenerId], keep: fn(&Listener) -> bool| -> Vec<usize> {
            let numbers = from.iter().map(|listener| usize::from(listener.0));
            numbers
                .filter(listens)
                .filter(|number| self.listeners.get(*number).is_some_and(keep))
                .collect()
        };
        let mut targets = pick(&rotation.live, |listener| listener.taken);
        if targets.is_empty() {
            targets = pick(&rotation.expected, |listener| listener.ever);
        }
        if targets.is_empty() {
            targets = pick(&rotation.expected, |_| true);
        }
        if targets.is_empty() {
            targets.clone_from(&self.order);
        }
        targets
    }

    /// The index in the kernel's group of each listener that is in it, by number.
    fn places(&self) -> Vec<Option<u32>> {
        let mut places = vec![None; self.listeners.len()];
        for (index, number) in (0_u32..).zip(&self.order) {
            if let Some(place) = places.get_mut(*number) {
                *place = Some(index);
            }
        }
        places
    }

    /// The program for this rotation; `None` on a common socket.
    fn wanted(&self, rotation: &Rotation) -> Option<Vec<Bpf>> {
        let how = self.steering?;
        let mut targets = self.targets(rotation);
        self.leave_out_held_back(&mut targets);
        // By number and not by place, so that a hash means the same slot after a repair.
        targets.sort_unstable();
        let places = self.places();
        let place = |number: &usize| places.get(*number).copied().flatten();
        let live: Vec<u32> = targets.iter().filter_map(place).collect();
        let nowhere = live.first().copied().unwrap_or(0);
        let members = u32::try_from(self.order.len()).ok()?;
        let numbers = self.order.iter().max().map_or(0, |highest| highest + 1);
        let places: Vec<u32> = (0..numbers)
            .map(|number| place(&number).unwrap_or(nowhere))
            .collect();
        program(members, &places, &live, how.choice, how.probe)
    }

    /// Replaces the program if the rotation asks for another one than is attached. True if it was replaced.
    pub fn steer(&mut self, rotation: &Rotation) -> nix::Result<bool> {
        let wanted = self.wanted(rotation);
        if let Some(code) = &wanted
            && wanted != self.program
            && let Some(member) = self.member()
        {
            steering::attach(&member.fd, code)?;
            self.program = wanted;
            return Ok(true);
        }
        Ok(false)
    }

    /// A listener that is in the group now. One that a worker has shut down is not: attaching through it would give it
    /// a group of its own, into which it could never listen again.
    fn member(&self) -> Option<&Listener> {
        self.listeners
            .iter()
            .find(|listener| listener::queue(&listener.fd).is_ok_and(|queue| queue.listening))
    }

    /// Source port that reaches the listener from a loopback address.
    pub fn probe_port(&self, listener: ListenerId) -> Option<u16> {
        let probe = self.steering?.probe?;
        probe.port(u16::try_from(self.number(listener)).ok()?)
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
        let common = self.steering.is_none();
        let mut places = vec![Place::default(); self.listeners.len()];
        for number in &self.order {
            if let Some(place) = places.get_mut(*number) {
                place.listens = true;
            }
        }
        for number in self.targets(rotation) {
            if let Some(place) = places.get_mut(number) {
                place.in_rotation = true;
            }
        }
        for (listener, slot) in rotation.seats.iter().filter(|_| !common) {
            if let Some(place) = places.get_mut(usize::from(listener.0)) {
                place.worker = place.worker.or(Some(*slot));
            }
        }
        let sample = |(listener, place): (&Listener, Place)| {
            let queue = listener::queue(&listener.fd).ok()?;
            place.listens.then(|| QueueSample {
                listener: self.key.addr.to_string(),
                worker: place.worker,
                length: queue.length,
                limit: queue.limit,
                in_rotation: common || place.in_rotation,
                held: listener.taken,
            })
        };
        let all = self.listeners.iter().zip(places);
        all.filter_map(sample).collect()
    }

    /// Queue of the listener.
    pub fn queue_length(&self, listener: ListenerId) -> Option<u32> {
        self.listener(listener)
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
