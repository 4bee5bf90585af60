//! All shared ports, as the loop and the answering thread see them.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::errno::Errno;

use crate::model::{ListenerId, Pid, QueueSample, SlotId};
use crate::policy::Rotation;
use crate::policy::handover::{PortKey, PortRule};
use crate::sys::epoll::Waker;
use crate::sys::{io, listener};

use super::group::Group;
use super::repair::Repaired;
use super::{PortEvent, Settings};

/// The shared ports. Cheap to clone; safe from any thread; no call waits for anything but a few syscalls.
#[derive(Clone, Debug)]
pub struct SharedPorts(Arc<Mutex<State>>);

#[derive(Debug)]
pub(super) struct State {
    pub settings: Settings,
    pub groups: Vec<Group>,
    /// Each listener's present worker. Words of an earlier one may still be under way.
    pub present: HashMap<ListenerId, Pid>,
    pub rotation: Rotation,
    /// The stop began: nothing is shared any more.
    pub over: bool,
    /// Wakes the balancing thread, if there is one: there are listeners that it does not watch, or it is to end.
    pub balancer: Option<Waker>,
    /// Programs that it replaced.
    pub balanced: u64,
}

/// What a worker gets for its descriptor.
#[derive(Debug)]
pub(super) struct Handed {
    pub fd: OwnedFd,
    pub opened: bool,
}

impl State {
    /// Closes the port of the same number as `bound` that was opened for nobody, if there is one: a wildcard that the
    /// program does not bind, but another of the same family, or, where a bare number is listed, any address.
    fn supersede(&mut self, bound: PortKey) -> Option<PortEvent> {
        let port = bound.addr.port();
        let bare = self.settings.rule.lists_bare(port);
        let unwanted = |group: &Group| {
            let wild = group.key.addr.ip().is_unspecified() && group.key.addr.port() == port;
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

    /// Lets the balancing thread watch what is new, if there is anything.
    fn tell_balancer(&mut self) {
        let new = self
            .groups
            .iter_mut()
            .any(|group| group.unwatched().next().is_some());
        if let Some(balancer) = self.balancer.as_ref().filter(|_| new) {
            balancer.wake();
        }
    }

    /// Most ports that are shared at once under `auto`: a program that binds one fixed port after the other must not
    /// take all descriptors.
    fn most_groups(&self) -> usize {
        if self.settings.rule != PortRule::Any {
            // Their number is the user's choice.
            return usize::MAX;
        }
        let slots = usize::from(self.settings.listeners);
        // Beside them: ours, and two pipes, a notifier and a socket for each worker that starts, twice over.
        let left = self.settings.descriptors.saturating_sub(20 + 8 * slots);
        (left / slots.max(1)).clamp(1, 64)
    }
}

impl SharedPorts {
    /// None open yet.
    pub fn new(settings: Settings) -> Self {
        let seats: Vec<(ListenerId, SlotId)> = (0..settings.slots)
            .map(|number| (ListenerId(number), SlotId(number)))
            .collect();
        let rotation = Rotation {
            live: Vec::new(),
            expected: seats.iter().map(|(listener, _)| *listener).collect(),
            seats,
        };
        let state = State {
            settings,
            groups: Vec::new(),
            present: HashMap::new(),
            rotation,
            over: false,
            balancer: None,
            balanced: 0,
        };
        Self(Arc::new(Mutex::new(state)))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics half-way; a poisoned lock still holds a usable state.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Which ports are shared.
    pub fn rule(&self) -> PortRule {
        self.lock().settings.rule.clone()
    }

    /// Opens a port before the first worker. EADDRINUSE, EACCES, EADDRNOTAVAIL, EMFILE.
    pub fn open(&self, key: PortKey) -> nix::Result<()> {
        let mut state = self.lock();
        let group = Group::open(key, &state.settings, None, &state.rotation)?;
        state.groups.push(group);
        state.tell_balancer();
        Ok(())
    }

    /// Sends new connections to these slots from now on. Returns what could not be done.
    pub fn steer(&self, rotation: Rotation) -> Vec<PortEvent> {
        let mut state = self.lock();
        let state = &mut *state;
        state.rotation = rotation;
        let mut failed = Vec::new();
        for group in &mut state.groups {
            if let Err(errno) = group.steer(&state.rotation) {
                failed.push(PortEvent::steering_failed(group.key, errno));
            }
        }
        failed
    }

    /// The listener has this worker from now on.
    pub fn occupy(&self, listener: ListenerId, worker: Pid) {
        let mut state = self.lock();
        state.present.insert(listener, worker);
        for group in &mut state.groups {
            group.reclaim(listener);
        }
    }

    /// The worker is gone: its listener is nobody's, unless it has a successor already.
    pub fn release(&self, listener: ListenerId, worker: Pid) {
        let mut state = self.lock();
        if state.present.get(&listener) != Some(&worker) {
            return;
        }
        state.present.remove(&listener);
        for group in &mut state.groups {
            group.release(listener);
        }
    }

    /// Whether this inode is a listener of ours.
    pub(super) fn owns(&self, inode: u64) -> Option<PortKey> {
        self.lock()
            .groups
            .iter()
            .find(|group| group.owns(inode))
            .map(|group| group.key)
    }

    /// That listener of that port, opened if it is not yet, with O_NONBLOCK as the program's own socket had it (the flag
    /// lives in the open file description, and only this worker uses it now).
    pub(super) fn hand(
        &self,
        key: PortKey,
        listener: ListenerId,
        nonblocking: bool,
        events: &mut Vec<PortEvent>,
    ) -> nix::Result<Option<Handed>> {
        let mut state = self.lock();
        let state = &mut *state;
        if state.over {
            return Ok(None);
        }
        let known = state.groups.iter().position(|group| group.key == key);
        let opened = known.is_none();
        if opened && state.settings.steering.is_none() {
            // Without SO_REUSEPORT the two cannot be open at once.
            events.extend(state.supersede(key));
        }
        let at = if let Some(at) = known {
            at
        } else if state.groups.len() >= state.most_groups() {
            return Err(Errno::EDQUOT);
        } else {
            let group = Group::open(key, &state.settings, Some(listener), &state.rotation)?;
            state.groups.push(group);
            state.groups.len() - 1
        };
        let Some(group) = state.groups.get_mut(at) else {
            return Err(Errno::ENOENT);
        };
        group.join(listener, &state.rotation)?;
        group.reclaim(listener);
        let listener = group.listener(listener).ok_or(Errno::ENOENT)?;
        if nonblocking || group.may_block() {
            io::set_nonblocking(listener, nonblocking)?;
        }
        let fd = listener::duplicate(listener)?;
        state.tell_balancer();
        Ok(Some(Handed { fd, opened }))
    }

    /// The worker has the listener: it may get connections, unless it died in the meantime and was released. Closes the
    /// port of the same number that was opened for nobody, if there is one.
    pub(super) fn taken(&self, key: PortKey, listener: ListenerId, worker: Pid) -> Vec<PortEvent> {
        let mut state = self.lock();
        let state = &mut *state;
        let mut events: Vec<PortEvent> = state.supersede(key).into_iter().collect();
        let present = state.present.get(&listener) == Some(&worker);
        let group = state.groups.iter_mut().find(|group| group.key == key);
        if let Some(group) = group.filter(|_| present) {
            group.take(listener);
            if let Err(errno) = group.steer(&state.rotation) {
                events.push(PortEvent::steering_failed(key, errno));
            }
        }
        events
    }

    /// Shows each listener of a port.
    pub(super) fn each_listener(&self, key: PortKey, show: impl FnMut(BorrowedFd<'_>)) {
        let state = self.lock();
        let groups = state.groups.iter().filter(|group| group.key == key);
        groups
            .flat_map(Group::descriptors)
            .map(AsFd::as_fd)
            .for_each(show);
    }

    /// Mends the listeners of a port that fell out of their group. `None` if the port is not shared any more.
    pub(super) fn repair(&self, key: PortKey) -> Option<Repaired> {
        let mut state = self.lock();
        let state = &mut *state;
        let group = state.groups.iter_mut().find(|group| group.key == key)?;
        let repaired = group.repair(&state.rotation);
        state.tell_balancer();
        Some(repaired)
    }

    /// Copies of that listener of each port with a name each, for activation; blocking, as systemd hands them out. The
    /// worker that is started has them from now on.
    pub fn activation(&self, listener: ListenerId) -> nix::Result<Vec<(OwnedFd, String)>> {
        let mut state = self.lock();
        let mut handed = Vec::new();
        let state = &mut *state;
        for group in &mut state.groups {
            group.join(listener, &state.rotation)?;
            group.reclaim(listener);
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
        state.tell_balancer();
        Ok(handed)
    }

    /// Sets the backlog of every listener back to RPM_BACKLOG.
    pub fn restore_backlog(&self) {
        let state = self.lock();
        state.groups.iter().for_each(Group::restore_backlog);
    }

    /// Queue of every listener.
    pub fn queues(&self) -> Vec<QueueSample> {
        let state = self.lock();
        state
            .groups
            .iter()
            .flat_map(|group| group.queues(&state.rotation))
            .collect()
    }

    /// A port of which a worker has that listener, and the source port that reaches it alone; `wanted` says which number
    /// the port must have.
    pub fn probe_target(
        &self,
        listener: ListenerId,
        wanted: Option<NonZeroU16>,
    ) -> Option<(PortKey, u16)> {
        let state = self.lock();
        let fits = |group: &&Group| {
            wanted.is_none_or(|port| port.get() == group.key.addr.port()) && group.taken(listener)
        };
        let group = state.groups.iter().find(fits)?;
        Some((group.key, group.probe_port(listener)?))
    }

    /// How many wait at that listener of that port.
    pub fn queue_length(&self, key: PortKey, listener: ListenerId) -> Option<u32> {
        let state = self.lock();
        state
            .groups
            .iter()
            .find(|group| group.key == key)?
            .queue_length(listener)
    }

    /// How many wait at that listener for its worker: on the ports that it has bound, or, if it has bound none yet, on
    /// all. Who waits at a port that the program no longer binds waits for somebody else.
    pub fn queued(&self, listener: ListenerId) -> u32 {
        let state = self.lock();
        let none = !state.groups.iter().any(|group| group.taken(listener));
        let its = state
            .groups
            .iter()
            .filter(|group| none || group.taken(listener));
        its.filter_map(|group| group.queue_length(listener)).sum()
    }

    /// Where the ports that are shared listen.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        let state = self.lock();
        state.groups.iter().map(|group| group.key.addr).collect()
    }

    /// The same; `None` once they were let go, when workers may still serve there.
    pub fn shared_addresses(&self) -> Option<Vec<SocketAddr>> {
        let state = self.lock();
        let addresses = state.groups.iter().map(|group| group.key.addr);
        (!state.over).then(|| addresses.collect())
    }

    /// Closes the ports that came by themselves and that no worker has any more, as after a reload to a version that binds
    /// another: clients are refused there, instead of waiting for nobody.
    pub fn close_abandoned(&self) -> Vec<PortKey> {
        let mut state = self.lock();
        if state.settings.rule != PortRule::Any {
            return Vec::new();
        }
        let abandoned = |group: &Group| group.used() && !group.is_held();
        let (gone, kept): (Vec<Group>, Vec<Group>) = state.groups.drain(..).partition(abandoned);
        state.groups = kept;
        gone.iter().for_each(Group::let_go);
        gone.iter().map(|group| group.key).collect()
    }

    /// The stop begins: the workers' own descriptors alone decide from now on how long each port listens.
    pub fn let_go(&self) {
        let mut state = self.lock();
        state.over = true;
        for group in state.groups.drain(..) {
            group.let_go();
        }
        if let Some(balancer) = state.balancer.take() {
            balancer.wake();
        }
    }
}

#[cfg(test)]
mod tests;
