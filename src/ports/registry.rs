//! All shared ports. Used by the event loop and by the hand-over thread.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::errno::Errno;

use crate::model::{ListenerId, Pid, SlotId};
use crate::policy::Rotation;
use crate::policy::balance::Arrivals;
use crate::policy::handover::{PortKey, PortRule, Transport};
use crate::sys::clock::Clock;
use crate::sys::epoll::Waker;
use crate::sys::{io, listener};

use super::balance::follow;
use super::group::Group;
use super::probes::Moves;
use super::repair::Repaired;
use super::spoilt::Mending;
use super::strangers::Looks;
use super::told::Options;
use super::udp::DatagramGroup;
use super::unix::UnixSockets;
use super::{PortEvent, PortSettings};

/// The shared ports. Cheap to clone and usable from any thread. No method waits for more than a few system calls.
#[derive(Clone, Debug)]
pub struct SharedPorts(Arc<Mutex<State>>);

#[derive(Debug)]
pub(super) struct State {
    pub settings: PortSettings,
    pub groups: Vec<Group>,
    /// The UDP ports.
    pub datagrams: Vec<DatagramGroup>,
    /// The present worker of each listener. Calls and events of an earlier worker may still arrive.
    pub present: HashMap<ListenerId, Pid>,
    pub rotation: Rotation,
    /// The port that has no anteroom; see [`crate::policy::Apart`].
    pub except: Option<String>,
    /// The stop began, and no port is shared any more.
    pub over: bool,
    /// The inodes of the listeners that were closed then.
    pub gone: Vec<(ListenerId, u64)>,
    /// Wakes the balancing thread, if it runs: new listeners must be watched, or it must end.
    pub balancer: Option<Waker>,
    /// Number of steering programs that the balancing thread replaced.
    pub balanced: u64,
    /// The last token of a listener that it watches.
    pub watched: u64,
    /// What it knows of arrivals.
    pub arrivals: Arrivals,
    pub unix: UnixSockets,
    pub looks: Looks,
    pub mending: Mending,
    /// It tells how long nobody has had a socket.
    pub clock: Clock,
    pub(super) moves: Moves,
}

/// A listener that replaces a worker's descriptor.
#[derive(Debug)]
pub(super) struct Handed {
    pub fd: OwnedFd,
    /// The inode of the listener.
    pub inode: u64,
    pub opened: bool,
}

impl State {
    /// The listener at which clients of this port wait while no worker serves it; `None`: those of the workers.
    fn anteroom(&self, key: PortKey) -> Option<ListenerId> {
        let excepted = self.except.as_ref() == Some(&key.port_name());
        let apart = self.rotation.apart.filter(|_| !excepted);
        apart.map(|apart| apart.anteroom)
    }

    /// Opens the group of a port.
    fn open(&self, key: PortKey, first: Option<ListenerId>) -> nix::Result<Group> {
        let anteroom = self.anteroom(key);
        let beside = self.groups.iter().any(|group| group.key.conflicts(&key));
        let of = (&self.rotation, beside);
        Group::open(key, &self.settings, (first, anteroom), of)
    }

    /// Closes an unused port that conflicts with `bound`: it has the same port number and was opened before the program
    /// bound anything. It has the same address in another form or family, or any wildcard address if RPM_PORTS lists the
    /// bare number.
    pub(super) fn supersede(&mut self, bound: PortKey) -> Option<PortEvent> {
        let port = bound.addr.port();
        let bare = self.settings.rule.lists_bare(bound.transport, port);
        let unwanted = |group: &Group| {
            let at = group.key.reached_at();
            let wild = at.ip().is_unspecified() && at.port() == port;
            let rival = group.key.overlaps(&bound) || (bare && wild);
            group.key != bound && rival && !group.used()
        };
        let at = self.groups.iter().position(unwanted)?;
        let group = self.groups.remove(at);
        let waiting = group.waiting();
        group.let_go();
        Some(PortEvent::Superseded {
            opened: group.key,
            bound,
            waiting,
        })
    }

    /// Wakes the threads that watch listeners, if there are new ones: the balancing thread, and the hand-over thread. Call it
    /// wherever a listener may have been made.
    pub(super) fn tell_watchers(&self) {
        let listeners = || self.groups.iter().flat_map(|group| &group.listeners);
        if let Some(balancer) = &self.balancer
            && listeners().any(|listener| listener.watched.is_none())
        {
            balancer.wake();
        }
        if listeners().any(|listener| !listener.guarded) {
            self.looks.wake();
        }
    }

    /// Limit of shared ports beyond a list, so that a program that binds many fixed ports cannot use up all descriptors.
    fn most_groups(&self) -> usize {
        let slots = usize::from(self.settings.listeners);
        (self.free_descriptors() / slots.max(1)).clamp(1, 64)
    }

    /// The number of descriptors that listeners and what belongs to them may use.
    pub(super) fn free_descriptors(&self) -> usize {
        let slots = usize::from(self.settings.listeners);
        // The others: of the runtime itself, and two pipes, a notifier and a socket for each starting worker, counted
        // twice.
        self.settings.descriptors.saturating_sub(20 + 8 * slots)
    }

    /// Whether one more port or unix path may be shared.
    pub(super) fn has_room(&self) -> bool {
        // With a list, the user chose the number.
        self.settings.rule != PortRule::Any || self.may_grow()
    }

    /// Whether one more may be shared because a program asks for it, beyond those of RPM_PORTS.
    pub(super) fn may_grow(&self) -> bool {
        let listed = match &self.settings.rule {
            PortRule::Listed(list) => list.ports.len() + list.paths.len(),
            PortRule::Any | PortRule::Nothing => 0,
        };
        let shared = self.groups.len() + self.datagrams.len() + self.unix.len();
        shared < listed + self.most_groups()
    }
}

impl SharedPorts {
    /// Creates the registry; no port is open yet.
    pub fn new(settings: PortSettings) -> Self {
        let seats: Vec<(ListenerId, SlotId)> = (0..settings.slots)
            .map(|number| (ListenerId(number), SlotId(number)))
            .collect();
        let rotation = Rotation {
            live: Vec::new(),
            expected: seats.iter().map(|(listener, _)| *listener).collect(),
            apart: None,
            seats,
        };
        let state = State {
            groups: Vec::new(),
            datagrams: Vec::new(),
            present: HashMap::new(),
            rotation,
            except: None,
            over: false,
            gone: Vec::new(),
            balancer: None,
            balanced: 0,
            watched: 0,
            arrivals: follow(settings.steering),
            settings,
            unix: UnixSockets::default(),
            looks: Looks::default(),
            mending: Mending::default(),
            clock: Clock::start(),
            moves: Moves::default(),
        };
        Self(Arc::new(Mutex::new(state)))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // No code under the lock panics half-way, so a poisoned lock still holds a usable state.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Which ports are shared.
    pub fn rule(&self) -> PortRule {
        self.lock().settings.rule.clone()
    }

    /// Opens a port before the first worker starts. Fails with EADDRINUSE, EACCES, EADDRNOTAVAIL or EMFILE.
    pub fn open(&self, key: PortKey) -> nix::Result<()> {
        let mut state = self.lock();
        if key.transport == Transport::Udp {
            return state.open_datagrams(key, None);
        }
        let group = state.open(key, None)?;
        state.groups.push(group);
        state.tell_watchers();
        Ok(())
    }

    /// Steers new connections as `rotation` says. `except` is the name of its port without an anteroom. Returns what is
    /// to be said, as events.
    pub fn steer(&self, rotation: Rotation, except: Option<String>) -> Vec<PortEvent> {
        let mut state = self.lock();
        let state = &mut *state;
        if state.rotation.live != rotation.live {
            state.admit(&rotation.live);
        }
        state.rotation = rotation;
        state.unix.steer(&state.rotation);
        state.except = except;
        let anterooms: Vec<Option<ListenerId>> = state
            .groups
            .iter()
            .map(|group| state.anteroom(group.key))
            .collect();
        for (group, anteroom) in state.groups.iter_mut().zip(anterooms) {
            group.anteroom = anteroom;
        }
        let mut events = Vec::new();
        state.mend_all(&mut events);
        state.tell_watchers();
        events
    }

    /// Records the present worker of a listener.
    pub fn occupy(&self, listener: ListenerId, worker: Pid) {
        let mut state = self.lock();
        state.present.insert(listener, worker);
        state.arrivals.begin(usize::from(listener.0));
        for group in &mut state.groups {
            group.admit(listener);
            group.reclaim(listener, false);
        }
        state.tell_watchers();
    }

    /// Frees the listener of an ended worker, unless a successor has it already.
    pub fn release(&self, listener: ListenerId, worker: Pid) {
        let mut state = self.lock();
        if state.present.get(&listener) != Some(&worker) {
            return;
        }
        state.present.remove(&listener);
        state.arrivals.end(usize::from(listener.0));
        for group in &mut state.groups {
            group.release(listener);
        }
        let now = state.clock.now();
        for group in &mut state.datagrams {
            group.release(listener, now);
        }
        state.unix.release(listener, worker);
    }

    /// Returns a descriptor for this listener of this port, and opens the port if needed. O_NONBLOCK and the options are
    /// set as on the program's own socket; they belong to the open file description, which only this worker uses now.
    /// `None` after [`Self::let_go`].
    pub(super) fn hand(
        &self,
        key: PortKey,
        listener: ListenerId,
        (nonblocking, options): (bool, &Options),
        events: &mut Vec<PortEvent>,
    ) -> nix::Result<Option<Handed>> {
        let mut state = self.lock();
        let state = &mut *state;
        if state.over {
            return Ok(None);
        }
        if key.transport == Transport::Udp {
            let handed = state.hand_datagrams(key, listener, (nonblocking, options), events);
            return handed.map(Some);
        }
        let known = state.groups.iter().position(|group| group.key == key);
        let opened = known.is_none();
        if opened && state.settings.steering.is_none() {
            // Without SO_REUSEPORT the two ports cannot be open at once.
            events.extend(state.supersede(key));
        }
        let at = if let Some(at) = known {
            at
        } else if !state.has_room() {
            return Err(Errno::EDQUOT);
        } else {
            let group = state.open(key, Some(listener))?;
            state.groups.push(group);
            state.groups.len() - 1
        };
        state.mend_for_next(at, listener, events);
        let Some(group) = state.groups.get_mut(at) else {
            return Err(Errno::ENOENT);
        };
        group.join(listener, &state.rotation)?;
        group.reclaim(listener, true);
        group.carry(listener, options);
        let listener = group.listener(listener).ok_or(Errno::ENOENT)?;
        if nonblocking || group.may_block() {
            io::set_nonblocking(listener, nonblocking)?;
        }
        let fd = listener::duplicate(listener)?;
        let inode = listener::inode(&fd)?;
        state.tell_watchers();
        state.wake_balancer();
        Ok(Some(Handed { fd, inode, opened }))
    }

    /// Records that the worker has the listener, so it may get connections, unless the worker died and was released
    /// meanwhile. Also closes an unused port that conflicts with it (see [`State::supersede`]).
    pub(super) fn taken(&self, key: PortKey, listener: ListenerId, worker: Pid) -> Vec<PortEvent> {
        let mut state = self.lock();
        let state = &mut *state;
        let present = state.present.get(&listener) == Some(&worker);
        if key.transport == Transport::Udp {
            return state.take_datagrams(key, listener, present);
        }
        let mut events: Vec<PortEvent> = state.supersede(key).into_iter().collect();
        let group = state.groups.iter_mut().find(|group| group.key == key);
        if let Some(group) = group.filter(|_| present) {
            group.take(listener);
            group.choose_anew();
            if let Err(errno) = group.steer(&state.rotation) {
                events.push(PortEvent::steering_failed(key, errno));
            }
            if group.order.is_fragile() {
                state.looks.want();
            }
            state.wake_balancer();
        }
        events
    }

    /// Calls `show` with each listener or socket of a port.
    pub(super) fn each_listener(&self, key: PortKey, show: impl FnMut(BorrowedFd<'_>)) {
        let state = self.lock();
        let groups = state.groups.iter().filter(|group| group.key == key);
        let sockets = state.datagrams.iter().filter(|group| group.key == key);
        groups
            .flat_map(Group::descriptors)
            .chain(sockets.flat_map(DatagramGroup::descriptors))
            .map(AsFd::as_fd)
            .for_each(show);
    }

    /// Calls `show` with each TCP listener that is not guarded yet, and its port. From now on it counts as guarded.
    pub(super) fn each_new_listener(&self, mut show: impl FnMut(PortKey, BorrowedFd<'_>)) {
        let mut state = self.lock();
        for group in &mut state.groups {
            let new = group.listeners.iter_mut();
            for listener in new.filter(|listener| !listener.guarded) {
                listener.guarded = true;
                show(group.key, listener.fd.as_fd());
            }
        }
    }

    /// Mends the listeners of a port that left their group. `None` if the port is no longer shared.
    pub(super) fn repair(&self, key: PortKey) -> Option<Repaired> {
        let mut state = self.lock();
        let state = &mut *state;
        let group = state.groups.iter_mut().find(|group| group.key == key)?;
        let repaired = group.repair(&state.rotation, state.clock.now());
        state.tell_watchers();
        Some(repaired)
    }

    /// Closes all descriptors of the runtime because the stop begins. Each port then listens as long as a worker holds
    /// a descriptor of it.
    pub fn let_go(&self) {
        let mut state = self.lock();
        state.over = true;
        let listeners = state.groups.iter().flat_map(Group::inodes);
        let sockets = state.datagrams.iter().flat_map(DatagramGroup::inodes);
        state.gone = listeners.chain(sockets).collect();
        for group in state.groups.drain(..) {
            group.let_go();
        }
        for group in state.datagrams.drain(..) {
            group.let_go();
        }
        state.unix.let_go();
        if let Some(balancer) = state.balancer.take() {
            balancer.wake();
        }
    }
}

#[cfg(test)]
mod tests;
