//! Moves the paths: to the workers that are live, and from one to the next as connections arrive. Runs on the hand-over
//! thread.

use std::os::fd::AsFd;
use std::time::Duration;

use nix::errno::Errno;

use crate::model::ListenerId;
use crate::policy::unix::UnixKey;
use crate::sys::epoll::{Interest, Poller};

use super::group::Due;
use super::names::Present;
use super::server::{Events, UnixServer};
use crate::ports::PortEvent;

/// Shortest time between two turns of a path. Connections that arrive meanwhile go to the same worker.
const TURN: Duration = Duration::from_millis(1);

/// Tokens of the poller from here on are those of paths.
const TOKENS: u64 = 1 << 63;

impl UnixServer {
    /// Does what the event loop wants to be done: moves paths, closes those that no worker has, ends all at the stop.
    pub fn attend(&mut self, poller: &Poller, events: Events<'_>) {
        if self.ports.lock().over {
            self.end();
            return;
        }
        let (keys, abandoned): (Vec<UnixKey>, Vec<(UnixKey, bool)>) = {
            let state = self.ports.lock();
            let groups = state.unix.groups.iter();
            let abandoned = groups.clone().filter(|group| group.due == Due::Close);
            (
                groups
                    .filter(|group| group.due != Due::Close)
                    .map(|group| group.key.clone())
                    .collect(),
                abandoned
                    .map(|group| (group.key.clone(), group.removal_is_due()))
                    .collect(),
            )
        };
        for (key, remove) in abandoned {
            if remove && let Some(names) = self.names.get(&key) {
                // As the program would have done. If it fails, a file without a listener is left.
                let _ = names.remove_path();
            }
            self.forget(&key);
        }
        for key in keys {
            self.point(&key, false, events);
            self.watch(&key, poller);
        }
    }

    /// Points the path where the rotation says. `turn`: at the next listener.
    pub(super) fn point(&mut self, key: &UnixKey, turn: bool, events: Events<'_>) {
        if let Err(errno) = self.try_point(key, turn) {
            events(PortEvent::steering_failed(key.clone(), errno));
        }
    }

    fn try_point(&mut self, key: &UnixKey, turn: bool) -> nix::Result<()> {
        let Some(names) = self.names.get(key) else {
            return Ok(());
        };
        // Not while the lock is held: the file system may be slow.
        let present = names.present()?;
        let (next, file, access) = {
            let state = self.ports.lock();
            let group = state.unix.group(key);
            let Some(group) = group.filter(|group| group.movable) else {
                return Ok(());
            };
            let (next, access) = match present {
                Present::Socket(present) => {
                    let at = group.by_file(present.id);
                    let Some(member) = at.and_then(|at| group.members.get(&at)) else {
                        return Ok(());
                    };
                    let next = group.move_to(&state.rotation, turn);
                    (next, Some((present.access, member.made)))
                }
                // Another process removed it, or a worker whose calls cannot be read. Others serve it.
                Present::Missing if group.known => (group.serving(&state.rotation), None),
                Present::Missing | Present::Other => return Ok(()),
            };
            let Some(next) = next else {
                return Ok(());
            };
            (
                next,
                group.members.get(&next).map(|member| member.file),
                access,
            )
        };
        names.point(next, file.ok_or(Errno::ENOENT)?, access)?;
        self.set_target(key, next);
        Ok(())
    }

    /// Puts the path back if another process removed it: a worker has just bound it.
    pub fn restore(&mut self, key: &UnixKey, listener: ListenerId, events: Events<'_>) {
        let Some(names) = self.names.get(key) else {
            return;
        };
        if names.present() != Ok(Present::Missing) {
            return;
        }
        let file = {
            let state = self.ports.lock();
            let group = state.unix.group(key);
            group.and_then(|group| group.members.get(&listener).map(|member| member.file))
        };
        let Some(file) = file else { return };
        match names.point(listener, file, None) {
            Ok(()) => self.set_target(key, listener),
            Err(errno) => events(PortEvent::steering_failed(key.clone(), errno)),
        }
    }

    pub(super) fn set_target(&self, key: &UnixKey, target: ListenerId) {
        let mut state = self.ports.lock();
        if let Some(group) = state.unix.by_key(key) {
            group.target = Some(target);
        }
    }

    /// Watches the listener at which the path points for arrivals, if there are others that could have the next one.
    pub(super) fn watch(&mut self, key: &UnixKey, poller: &Poller) {
        let state = self.ports.lock();
        let Some(group) = state.unix.group(key) else {
            return;
        };
        let several = group.targets(&state.rotation).len() > 1;
        let wanted = group
            .target
            .filter(|_| several && !self.resting.contains(&group.serial));
        let before = self.watched.get(&group.serial).copied();
        if before == wanted {
            return;
        }
        if let Some(member) = before.and_then(|before| group.members.get(&before)) {
            // It fails if the listener is not watched.
            let _ = poller.remove(&member.fd);
        }
        self.watched.remove(&group.serial);
        if let Some((listener, member)) = wanted.and_then(|it| Some((it, group.members.get(&it)?)))
        {
            let token = TOKENS | u64::from(group.serial);
            if poller
                .add(member.fd.as_fd(), token, Interest::Arrival)
                .is_ok()
            {
                self.watched.insert(group.serial, listener);
            }
        }
    }

    /// A connection has arrived: it is the turn of the next worker. False if the token is not that of a path.
    pub fn arrived(&mut self, token: u64, poller: &Poller, events: Events<'_>) -> bool {
        if token < TOKENS {
            return false;
        }
        let found = {
            let state = self.ports.lock();
            let mut groups = state.unix.groups.iter();
            let group = groups.find(|group| TOKENS | u64::from(group.serial) == token);
            group.map(|group| (group.serial, group.key.clone()))
        };
        if let Some((serial, key)) = found {
            self.point(&key, true, events);
            if !self.resting.contains(&serial) {
                self.resting.push(serial);
            }
            self.watch(&key, poller);
        }
        true
    }

    /// How long the thread may wait for the next event.
    pub fn pause(&self) -> Option<Duration> {
        (!self.resting.is_empty()).then_some(TURN)
    }

    /// The wait is over.
    pub fn rested(&mut self, poller: &Poller) {
        if self.resting.is_empty() {
            return;
        }
        let rested = std::mem::take(&mut self.resting);
        let keys: Vec<UnixKey> = {
            let state = self.ports.lock();
            let groups = state.unix.groups.iter();
            let rested = groups.filter(|group| rested.contains(&group.serial));
            rested.map(|group| group.key.clone()).collect()
        };
        for key in keys {
            self.watch(&key, poller);
        }
    }
}
