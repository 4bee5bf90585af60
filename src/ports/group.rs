//! One shared port: its listeners, their indexes in the kernel's group, and the steering program.

use std::os::fd::OwnedFd;

use nix::errno::Errno;
use tokio::sync::oneshot;

use crate::model::{Bpf, ListenerId, QueueKind, QueueSample, SlotId};
use crate::policy::handover::PortKey;
use crate::policy::{Members, Rotation, Shuts};
use crate::sys::sockopt::SocketOption;
use crate::sys::{guarded, listener, steering};

use super::balance::Standing;
use super::{PortSettings, Steering};

#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
pub(super) struct Listener {
    pub fd: OwnedFd,
    pub inode: u64,
    /// A worker has it now.
    pub taken: bool,
    /// A worker has or had it.
    pub ever: bool,
    /// Its present worker has got a descriptor of it.
    pub handed: bool,
    /// Its worker has closed it and lives on.
    pub left: bool,
    /// State of its queue under its present worker.
    pub(super) standing: Standing,
    /// Clients wait there for a ready worker, and no worker ever has it.
    pub(super) apart: bool,
    /// How often its present worker has shut it down.
    pub(super) shut: Shuts,
    /// Its worker has shut it down too often. It is in no group until that worker has ended.
    pub(super) barred: bool,
    /// Under this token the balancing thread watches it for arrivals.
    pub(super) watched: Option<u64>,
    /// The hand-over thread watches it for leaving its group.
    pub(super) guarded: bool,
    /// While this is set, the runtime accepts here itself (see [`super::stranded`]). Take it away only under the lock.
    pub(super) claim: Option<oneshot::Sender<()>>,
    /// What undoes the options that the program of a worker set before its `bind`.
    pub(super) back: Vec<SocketOption>,
    /// What it had of some options when it was new.
    pub(super) fresh: Vec<SocketOption>,
}

impl Listener {
    /// Creates a bound listener that no worker has.
    pub(super) fn bound(key: PortKey, reuse: bool) -> nix::Result<Self> {
        Self::of(listener::bound(key.addr, key.v6only, reuse)?)
    }

    /// As [`Self::bound`], but nobody else can have the address until it listens and is shared.
    fn first(key: PortKey) -> nix::Result<Self> {
        Self::of(listener::first(key.addr, key.v6only)?)
    }

    fn of(fd: OwnedFd) -> nix::Result<Self> {
        Ok(Self {
            inode: listener::inode(&fd)?,
            fresh: guarded::inherited(&fd),
            fd,
            taken: false,
            ever: false,
            handed: false,
            left: false,
            standing: Standing::default(),
            apart: false,
            shut: Shuts::default(),
            barred: false,
            watched: None,
            guarded: false,
            claim: None,
            back: Vec::new(),
        })
    }
}

/// State of a listener in the rotation.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    listens: bool,
    in_rotation: bool,
    worker: Option<SlotId>,
}

/// A SO_REUSEPORT group; or one common socket where steering is not possible.
#[derive(Debug)]
pub(super) struct Group {
    pub key: PortKey,
    pub(super) listeners: Vec<Listener>,
    /// The members of the kernel's group, by their indexes. The kernel assigns indexes in the order of `listen` (socket(7)).
    pub(super) order: Members,
    pub(super) steering: Option<Steering>,
    pub(super) program: Option<Vec<Bpf>>,
    pub(super) backlog: u32,
    /// The listener at which clients wait while no worker serves; `None`: those of the workers.
    pub(super) anteroom: Option<ListenerId>,
    /// A worker has or had a listener of this group.
    used: bool,
    /// A worker shut its listener down once; others may do so too.
    pub(super) shuts: bool,
}

impl Group {
    /// Opens all listeners at once. The listeners of `seats` listen; before all others the anteroom, if there is one, and
    /// then `first`. Spares are bound
    /// but do not listen until a worker takes them: no process serves them, and a member of the group may get
    /// connections at any moment, whatever the program says (when a listener leaves, the last member moves to its
    /// index).
    ///
    /// Fails with EADDRINUSE if another process has the port, unless we are `beside` another port of ours that includes
    /// the address: the kernel cannot tell that from another process.
    pub fn open(
        key: PortKey,
        settings: &PortSettings,
        (first, anteroom): (Option<ListenerId>, Option<ListenerId>),
        (rotation, beside): (&Rotation, bool),
    ) -> nix::Result<Self> {
        let reuse = settings.steering.is_some();
        let mut group = Self {
            key,
            listeners: Vec::new(),
            order: Members::default(),
            steering: settings.steering,
            program: None,
            backlog: settings.backlog,
            anteroom: anteroom.filter(|_| reuse),
            used: false,
            shuts: false,
        };
        let seats = rotation.seats.iter().map(|(listener, _)| *listener);
        let mut order: Vec<usize> = Vec::new();
        let ahead = group.anteroom.into_iter().chain(first);
        for listener in ahead.chain(seats) {
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
        if reuse && !beside {
            let head = Listener::first(key)?;
            let at = order.first().copied().unwrap_or(0);
            group.extend(at)?;
            group.listeners.push(head);
        }
        group.extend(count)?;
        let first = first.map(|listener| group.number(listener));
        if let Some(listener) = first.and_then(|at| group.listeners.get_mut(at)) {
            listener.ever = reuse;
        }
        let apart = group.anteroom.map(|listener| group.number(listener));
        if let Some(listener) = apart.and_then(|at| group.listeners.get_mut(at)) {
            listener.apart = true;
        }
        group.listen_in(&order, rotation)?;
        Ok(group)
    }

    /// Opens listeners until there are `count`. They do not listen yet.
    pub(super) fn extend(&mut self, count: usize) -> nix::Result<()> {
        while self.listeners.len() < count {
            self.listeners
                .push(Listener::bound(self.key, self.steering.is_some())?);
        }
        Ok(())
    }

    /// Ensures that the listener exists and listens. A new one joins the group at the end, so no other index changes.
    /// It gets no connections until the rotation includes it. Fails with EBUSY if its worker has shut it down too often.
    pub fn join(&mut self, listener: ListenerId, rotation: &Rotation) -> nix::Result<()> {
        let number = self.number(listener);
        self.extend(number + 1)?;
        if self.is_barred(number) {
            return Err(Errno::EBUSY);
        }
        if self.order.contains(number) {
            return Ok(());
        }
        self.enter(vec![number])?;
        // From now on a probe can reach it.
        self.steer(rotation).map(drop)
    }

    /// Makes these listeners listen in this order; none of them may listen before. The program is attached as soon as
    /// the group exists. While only some members listen, an index beyond them falls back to the kernel's hash over
    /// those that do. It cannot be attached earlier: `listen` on a socket with a program fails with EADDRINUSE if
    /// another socket already listens.
    pub(super) fn listen_in(&mut self, order: &[usize], rotation: &Rotation) -> nix::Result<()> {
        self.begin_with_strangers();
        for number in order {
            self.order.join(*number);
        }
        self.program = None;
        for (place, number) in order.iter().enumerate() {
            if let Some(listener) = self.listeners.get(*number) {
                listener::listen(&listener.fd, self.backlog)?;
                if place == 0 && self.steering.is_some() {
                    listener::share(&listener.fd)?;
                }
            }
            if place == 0
                && let Some(code) = self.wanted(rotation)
                && let Some(member) = self.listeners.get(*number)
            {
                steering::attach(&member.fd, &code)?;
                self.program = Some(code);
            }
        }
        if self.strangers_changed() {
            // Somebody came while we listened, and may be between two of ours.
            return Err(Errno::EAGAIN);
        }
        Ok(())
    }

    /// Its index in `listeners`; always 0 for a common socket.
    pub(super) fn number(&self, listener: ListenerId) -> usize {
        if self.steering.is_some() {
            usize::from(listener.0)
        } else {
            0
        }
    }

    /// The descriptor of this listener.
    pub fn listener(&self, listener: ListenerId) -> Option<&OwnedFd> {
        self.listeners
            .get(self.number(listener))
            .map(|listener| &listener.fd)
    }

    /// All descriptors, by number.
    pub fn descriptors(&self) -> impl Iterator<Item = &OwnedFd> {
        self.listeners.iter().map(|listener| &listener.fd)
    }

    /// Whether `inode` is one of our listeners.
    pub fn owns(&self, inode: u64) -> bool {
        self.listeners
            .iter()
            .any(|listener| listener.inode == inode)
    }

    /// Whether any worker has or had a listener of this group.
    pub fn used(&self) -> bool {
        self.used
    }

    /// Whether a worker has a listener of this group now.
    pub fn is_held(&self) -> bool {
        self.listeners.iter().any(|listener| listener.taken)
    }

    /// Whether O_NONBLOCK may be cleared before the next worker gets a listener. The flag belongs to the open file
    /// description: workers that share a common socket may rely on it, and would block in `accept` forever.
    pub fn may_block(&self) -> bool {
        self.steering.is_some() || !self.used()
    }

    /// Marks the listener as taken by a worker.
    pub fn take(&mut self, listener: ListenerId) {
        let number = self.number(listener);
        self.used = true;
        if let Some(listener) = self.listeners.get_mut(number) {
            listener.taken = true;
            listener.ever = true;
            listener.left = false;
            // A queue that did not move was the fault of the worker before.
            listener.standing = Standing::default();
        }
    }

    /// Marks the listener as free after its worker ended. A common socket stays taken, because other workers have it.
    pub fn release(&mut self, listener: ListenerId) {
        if self.steering.is_some()
            && let Some(listener) = self.listeners.get_mut(usize::from(listener.0))
        {
            listener.taken = false;
            listener.handed = false;
            listener.left = false;
        }
        self.admit(listener);
    }

    /// Whether a worker has the listener.
    pub fn taken(&self, listener: ListenerId) -> bool {
        self.listeners
            .get(self.number(listener))
            .is_some_and(|listener| listener.taken)
    }

    /// Replaces the steering program if the rotation needs another one. True if it was replaced.
    pub fn steer(&mut self, rotation: &Rotation) -> nix::Result<bool> {
        self.open_anteroom(rotation);
        if self.order.is_fragile() {
            self.compare();
        }
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

    /// A listener that is in the group now. A listener that a worker shut down is not in it: attaching the program
    /// there would create a separate group, and the listener could never return to this one. Through one that a process
    /// has locked, nothing can be attached.
    pub(super) fn member(&self) -> Option<&Listener> {
        let listens = |one: &&Listener| listener::queue(&one.fd).is_ok_and(|it| it.listening);
        let members = || self.listeners.iter().filter(listens);
        let free = members().find(|one| !guarded::is_locked(&one.fd));
        free.or_else(|| members().next())
    }

    /// The source port that reaches this listener from a loopback address.
    pub fn probe_port(&self, listener: ListenerId) -> Option<u16> {
        let probe = self.steering?.probe?;
        probe.port(u16::try_from(self.number(listener)).ok()?)
    }

    /// Resets the backlog of every listener: programs that got their descriptor by activation may lower it
    /// (`listen(5)`). Skips listeners that do not listen, because `listen` would return them to the group at an unknown
    /// index.
    pub fn restore_backlog(&self) {
        for listener in &self.listeners {
            if listener::queue(&listener.fd).is_ok_and(|queue| queue.listening) {
                // An error is visible in the next sample; nothing else depends on it.
                let _ = listener::listen(&listener.fd, self.backlog);
            }
        }
    }

    /// The queue of each listener, by number.
    pub fn queues(&self, rotation: &Rotation) -> Vec<QueueSample> {
        let common = self.steering.is_none();
        let mut places = vec![Place::default(); self.listeners.len()];
        for number in self.order.numbers() {
            if let Some(place) = places.get_mut(number) {
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
                kind: QueueKind::Connections,
                length: queue.length,
                limit: queue.limit,
                in_rotation: common || place.in_rotation,
                held: listener.taken,
            })
        };
        let all = self.listeners.iter().zip(places);
        all.filter_map(sample).collect()
    }

    /// Length of this listener's queue.
    pub fn queue_length(&self, listener: ListenerId) -> Option<u32> {
        self.listener(listener)
            .and_then(|fd| listener::queue(fd).ok())
            .map(|queue| queue.length)
    }
}

#[cfg(test)]
mod tests;
