//! All shared ports, as the loop and the answering thread see them.
#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::errno::Errno;

use crate::model::{Pid, QueueSample, SlotId};
use crate::policy::Rotation;
use crate::policy::handover::{PortKey, PortRule};
use crate::sys::{io, listener};

use super::group::Group;
use super::repair::Repaired;
use super::{PortEvent, Settings};

/// The shared ports. Cheap to clone; safe from any thread; no call waits for anything but a few syscalls.
#[derive(Clone, Debug)]
pub struct SharedPorts(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    settings: Settings,
    groups: Vec<Group>,
    /// Each slot's present worker. Words of an earlier one may still be under way.
    present: HashMap<SlotId, Pid>,
    rotation: Rotation,
    /// The stop began: nothing is shared any more.
    over: bool,
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

    /// Most ports that are shared at once under `auto`: a program that binds one fixed port after the other must not
    /// take all descriptors.
    fn most_groups(&self) -> usize {
        let slots = usize::from(self.settings.slots);
        // Beside them: ours, and two pipes, a notifier and a socket for each worker that starts, twice over.
        let left = self.settings.descriptors.saturating_sub(20 + 8 * slots);
        (left / (slots + 1)).clamp(1, 64)
    }
}

impl SharedPorts {
    /// None open yet.
    pub fn new(settings: Settings) -> Self {
        let state = State {
            settings,
            groups: Vec::new(),
            present: HashMap::new(),
            rotation: Rotation::default(),
            over: false,
        };
        Self(Arc::new(Mutex::new(state)))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
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

    /// The slot has this worker from now on.
    pub fn occupy(&self, slot: SlotId, worker: Pid) {
        self.lock().present.insert(slot, worker);
    }

    /// The worker is gone: its listeners are nobody's, unless the slot has a successor already.
    pub fn release(&self, slot: SlotId, worker: Pid) {
        let mut state = self.lock();
        if state.present.get(&slot) != Some(&worker) {
            return;
        }
        state.present.remove(&slot);
        for group in &mut state.groups {
            group.release(slot);
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

    /// The slot's listener of that port, opened if it is not yet, with O_NONBLOCK as the program's own socket had it
    /// (the flag lives in the open file description, and only this slot's worker uses it now).
    pub(super) fn hand(
        &self,
        key: PortKey,
        slot: SlotId,
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
            let group = Group::open(key, &state.settings, Some(slot), &state.rotation)?;
            state.groups.push(group);
            state.groups.len() - 1
        };
        let Some(group) = state.groups.get_mut(at) else {
            return Err(Errno::ENOENT);
        };
        let listener = group.listener(slot).ok_or(Errno::ENOENT)?;
        if nonblocking || group.may_block() {
            io::set_nonblocking(listener, nonblocking)?;
        }
        let fd = listener::duplicate(listener)?;
        Ok(Some(Handed { fd, opened }))
    }

    /// The worker has the listener: it may get connections, unless it died in the meantime and was released. Closes the
    /// port of the same number that was opened for nobody, if there is one.
    pub(super) fn taken(&self, key: PortKey, slot: SlotId, worker: Pid) -> Vec<PortEvent> {
        let mut state = self.lock();
        let state = &mut *state;
        let mut events: Vec<PortEvent> = state.supersede(key).into_iter().collect();
        let present = state.present.get(&slot) == Some(&worker);
        let group = state.groups.iter_mut().find(|group| group.key == key);
        if let Some(group) = group.filter(|_| present) {
            group.take(slot);
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
        Some(group.repair(&state.rotation))
    }

    /// Copies of the slot's listeners with a name each, for activation; blocking, as systemd hands them out. The
    /// slot's worker has them from now on.
    pub fn activation(&self, slot: SlotId) -> nix::Result<Vec<(OwnedFd, String)>> {
        let mut state = self.lock();
        let mut handed = Vec::new();
        for group in &mut state.groups {
            let listener = group.listener(slot).ok_or(Errno::ENOENT)?;
            if group.may_block() {
                io::set_nonblocking(listener, false)?;
            }
            handed.push((
                listener::duplicate(listener)?,
                format!("port-{}", group.key.addr.port()),
            ));
            group.take(slot);
        }
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

    /// A port that the slot's worker has, and the source port that reaches it alone.
    pub(super) fn probe_target(&self, slot: SlotId) -> Option<(PortKey, u16)> {
        let state = self.lock();
        let group = state.groups.iter().find(|group| group.taken(slot))?;
        Some((group.key, group.probe_port(slot)?))
    }

    /// How many wait at the slot's listener of that port.
    pub(super) fn queue_length(&self, key: PortKey, slot: SlotId) -> Option<u32> {
        let state = self.lock();
        state
            .groups
            .iter()
            .find(|group| group.key == key)?
            .queue_length(slot)
    }

    /// The stop begins: the workers' own descriptors alone decide from now on how long each port listens.
    pub fn let_go(&self) {
        let mut state = self.lock();
        state.over = true;
        for group in state.groups.drain(..) {
            group.let_go();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::steering::Choice;
    use crate::port::Steering;

    const SLOT: SlotId = SlotId(0);

    fn ports() -> (SharedPorts, PortKey) {
        let free = std::net::TcpListener::bind("127.73.0.2:0").unwrap();
        let key = PortKey::new(free.local_addr().unwrap(), false);
        drop(free);
        let ports = SharedPorts::new(Settings {
            descriptors: 1024,
            slots: 1,
            backlog: 16,
            rule: PortRule::Any,
            steering: Some(Steering {
                choice: Choice::Random,
                probe: Some(crate::policy::steering::ProbePorts { base: 61_000 }),
            }),
        });
        ports.open(key).unwrap();
        (ports, key)
    }

    /// Only the listener of a present worker is asked.
    fn has_it(ports: &SharedPorts) -> bool {
        ports.probe_target(SLOT).is_some()
    }

    #[test]
    fn late_words_of_a_dead_worker_say_nothing_of_its_successor() {
        let (ports, key) = ports();
        let [first, second] = [101, 102].map(|pid| Pid::new(pid).unwrap());
        ports.occupy(SLOT, first);
        ports.release(SLOT, first);
        // Its bind was answered as it died.
        ports.taken(key, SLOT, first);
        assert!(!has_it(&ports));
        ports.occupy(SLOT, second);
        ports.taken(key, SLOT, first);
        assert!(!has_it(&ports));
        ports.taken(key, SLOT, second);
        assert!(has_it(&ports));
        // One that did not die of its SIGKILL for long, and now did.
        ports.release(SLOT, first);
        assert!(has_it(&ports));
        ports.release(SLOT, second);
        assert!(!has_it(&ports));
    }
}
