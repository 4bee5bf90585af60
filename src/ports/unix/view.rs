//! What the event loop does with shared unix sockets. Nothing here touches a file: the hand-over thread moves the paths.

use std::ffi::OsString;

use crate::model::{ListenerId, Pid, QueueKind, QueueSample};
use crate::policy::Rotation;
use crate::policy::handover::PortRule;
use crate::policy::unix::UnixKey;
use crate::sys::epoll::Waker;
use crate::sys::unix::{self, Place, waits};

use super::common::CommonName;
use super::group::{Due, UnixGroup};
use super::in_use::InUse;
use crate::ports::registry::SharedPorts;

/// All shared unix sockets.
#[derive(Debug, Default)]
pub(in crate::ports) struct UnixSockets {
    pub groups: Vec<UnixGroup>,
    /// The abstract names.
    pub common: Vec<CommonName>,
    /// Wakes the hand-over thread, which moves the paths.
    pub waker: Option<Waker>,
    /// The paths of RPM_PORTS: without symbolic links, and as they are written there.
    pub listed: Vec<(UnixKey, UnixKey)>,
    /// The paths of RPM_PORTS whose directory does not exist yet.
    pub pending: Vec<UnixKey>,
    /// Workers that connect to paths of their own service.
    pub(super) in_use: InUse,
}

impl UnixSockets {
    /// Number of shared addresses.
    pub fn len(&self) -> usize {
        self.groups.len() + self.common.len()
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.as_ref().filter(|_| !self.groups.is_empty()) {
            waker.wake();
        }
    }

    /// The rotation has changed.
    pub fn steer(&mut self, rotation: &Rotation) {
        self.in_use.serve(&rotation.live);
        for group in &mut self.groups {
            for listener in &rotation.live {
                if let Some(member) = group.members.get_mut(listener) {
                    member.was_live |= member.taken;
                }
            }
        }
        self.wake();
    }

    /// The worker of this listener has ended.
    pub fn release(&mut self, listener: ListenerId, worker: Pid) {
        for one in &mut self.common {
            one.release(listener, worker);
        }
        for group in &mut self.groups {
            if let Some(member) = group.members.get_mut(&listener) {
                member.taken = false;
            }
        }
        self.in_use.ended(worker);
        self.wake();
    }

    /// A worker has closed its listener of this address and lives on. `closes`: if it was the last, the address is closed.
    /// Returns whether it is.
    pub fn leave(
        &mut self,
        key: &UnixKey,
        (listener, worker): (ListenerId, Pid),
        closes: bool,
    ) -> bool {
        let mut last = false;
        if let Some(one) = self.common(key) {
            one.release(listener, worker);
            last = closes && one.is_abandoned();
        }
        if last {
            self.common.retain(|one| one.key != *key);
        }
        if let Some(group) = self.by_key(key)
            && let Some(member) = group.members.get_mut(&listener)
        {
            member.taken = false;
            if closes && !group.is_held() {
                group.due = Due::Close;
                last = true;
            }
        }
        self.wake();
        last
    }

    /// The group of this address.
    pub fn group(&self, key: &UnixKey) -> Option<&UnixGroup> {
        self.groups.iter().find(|group| group.key == *key)
    }

    pub fn by_key(&mut self, key: &UnixKey) -> Option<&mut UnixGroup> {
        self.groups.iter_mut().find(|group| group.key == *key)
    }

    /// Whether RPM_PORTS has the workers share this path.
    pub fn shares(&self, key: &UnixKey, rule: &PortRule) -> bool {
        match rule {
            PortRule::Any => true,
            PortRule::Listed(_) => self.is_listed(key),
            PortRule::Nothing => false,
        }
    }

    /// Looks whether the directories of listed paths exist by now: a worker may have made them, behind a symbolic link.
    pub fn settle_pending(&mut self) {
        let pending = std::mem::take(&mut self.pending);
        for written in pending {
            match resolve(&written) {
                Some(key) => self.listed.push((key, written)),
                None => self.pending.push(written),
            }
        }
    }

    /// Whether RPM_PORTS lists this path.
    pub fn is_listed(&self, key: &UnixKey) -> bool {
        self.listed.iter().any(|(listed, _)| listed == key)
    }

    /// The path as users know it: as RPM_PORTS has it, if it is listed.
    pub fn shown(&self, key: &UnixKey) -> UnixKey {
        let written = self.listed.iter().find(|(listed, _)| listed == key);
        written.map_or(key, |(_, written)| written).clone()
    }

    /// The address of the listener with this inode.
    pub fn owner(&self, inode: u64) -> Option<&UnixKey> {
        let groups = self.groups.iter().find(|group| group.owns(inode));
        let names = || self.common.iter().find(|one| one.inode == inode);
        groups
            .map(|group| &group.key)
            .or_else(|| names().map(|one| &one.key))
    }

    /// Connections that wait for the worker of this listener, at least: the kernel does not tell how many.
    pub fn queued(&self, listener: ListenerId, rotation: &Rotation) -> u32 {
        let waits = |group: &&UnixGroup| {
            let member = group.members.get(&listener);
            let queue = member.is_some_and(|member| waits(&member.fd));
            queue || group.still_reached(listener, rotation)
        };
        u32::try_from(self.groups.iter().filter(waits).count()).unwrap_or(u32::MAX)
    }

    /// The queue of every listener.
    pub fn queues(&self, rotation: &Rotation, backlog: u32) -> Vec<QueueSample> {
        let groups = self.groups.iter();
        let samples = groups.flat_map(|group| {
            let targets = group.targets(rotation);
            group
                .members
                .iter()
                .map(move |(listener, member)| QueueSample {
                    listener: group.key.to_string(),
                    worker: rotation
                        .seats
                        .iter()
                        .find(|(seated, _)| seated == listener)
                        .map(|(_, slot)| *slot),
                    kind: QueueKind::Connections,
                    length: u32::from(waits(&member.fd)),
                    limit: backlog,
                    in_rotation: targets.contains(listener),
                    held: member.taken,
                })
        });
        let names = self.common.iter().map(|one| one.sample(backlog));
        samples.chain(names).collect()
    }

    /// The stop begins: the runtime's copies are closed, and the hand-over thread removes the second names.
    pub fn let_go(&mut self) {
        self.common.clear();
        self.wake();
    }
}

/// The path without symbolic links. `None` if its directory does not exist.
pub(super) fn resolve(written: &UnixKey) -> Option<UnixKey> {
    let UnixKey::Path(path) = written else {
        return None;
    };
    let (parent, base) = unix::split(unix::path(path))?;
    let place = Place::open(parent).ok()?;
    Some(UnixKey::Path(unix::bytes(&place.path().join(base))))
}

impl SharedPorts {
    /// Names the waker of the hand-over thread.
    pub(in crate::ports) fn wake_for_paths(&self, waker: &Waker) {
        self.lock().unix.waker = Some(waker.clone());
    }

    /// The addresses of the listeners of unix sockets, as their connections show them.
    pub fn unix_addresses(&self) -> Vec<OsString> {
        let state = self.lock();
        let groups = state.unix.groups.iter();
        let members = groups.flat_map(|group| group.members.values());
        members
            .map(|member| member.address.clone().into_os_string())
            .chain(state.unix.common.iter().map(CommonName::address))
            .collect()
    }

    /// Marks the unix sockets that no worker has any more, as [`Self::close_abandoned`] does with ports. The hand-over
    /// thread closes them.
    pub fn close_abandoned_paths(&self) -> Vec<UnixKey> {
        let mut state = self.lock();
        let state = &mut *state;
        let auto = state.settings.rule == PortRule::Any;
        let mut gone = state.unix.close_abandoned_names(&state.settings.rule);
        for group in &mut state.unix.groups {
            if auto && !group.is_held() && group.due != Due::Close {
                group.due = Due::Close;
                gone.push(group.key.clone());
            }
        }
        state.unix.wake();
        gone
    }

    /// Whether the worker of this listener is the given one.
    pub(in crate::ports) fn is_present(&self, listener: ListenerId, worker: Pid) -> bool {
        self.lock().present.get(&listener) == Some(&worker)
    }
}
